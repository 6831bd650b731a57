"""The judge's edge: in which order it is fed."""

import asyncio
from collections.abc import AsyncIterator

import faust

from judge.app import Follower
from judge.fold import LEDGER, WINDOWS
from transport.faust_app import BatchChannel
from transport.log import Batch, Reader
from transport.memory_log import MemoryLog


class ByHand:
    """A reader that is handed its batches."""

    def __init__(self) -> None:
        self.asked, self.closed = False, False
        self.given: asyncio.Queue[Batch] = asyncio.Queue()

    async def batches(self) -> AsyncIterator[Batch]:
        self.asked = True
        while True:
            yield await self.given.get()

    async def close(self) -> None:
        self.closed = True


def followed(control: Reader, windows: Reader, log: MemoryLog) -> tuple[Follower, AsyncIterator[Batch]]:
    channel = BatchChannel(faust.App("test", store="memory://"), maxsize=4)
    return Follower(control, windows, log.writer(), channel, every_s=3600), aiter(channel)


async def test_no_window_is_read_before_the_ledger_was_read_to_its_end() -> None:
    log, control, windows = MemoryLog(), ByHand(), ByHand()
    await log.put(LEDGER, 0, b"{}")
    await log.put(WINDOWS, 0, b"{}")
    follower, fed = followed(control, windows, log)
    async with follower:
        windows.given.put_nowait(Batch(tuple(log.records(WINDOWS)), caught_up=True))
        for caught_up in (False, True):
            assert not windows.asked
            control.given.put_nowait(Batch(tuple(log.records(LEDGER)), caught_up))
            batch = await anext(fed)
            assert ([record.topic for record in batch.records], batch.caught_up) == ([LEDGER], False)
        batch = await anext(fed)
        assert ([record.topic for record in batch.records], batch.caught_up) == ([WINDOWS], True)
    assert (control.closed, windows.closed) == (True, True)


async def test_who_has_caught_up_with_the_windows_hears_of_the_ledger_on() -> None:
    log = MemoryLog()
    follower, fed = followed(log.reader(LEDGER), log.reader(WINDOWS), log)
    async with follower:
        assert not (await anext(fed)).caught_up
        assert (await anext(fed)).caught_up
        await log.put(LEDGER, 0, b"{}")
        assert [record.topic for record in (await anext(fed)).records] == [LEDGER]
