"""What waits for the log, and what does not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from router.newest import Newest

Message = tuple[str, int]


class Log:
    """Takes what its partitions have a leader for."""

    def __init__(self, *mute: str) -> None:
        self.taken: list[Message] = []
        self.begun: list[Message] = []
        self.refuses = False
        self._leader = asyncio.Event()
        self._mute = mute

    async def write(self, message: Message) -> bool:
        self.begun.append(message)
        if message[0] in self._mute:
            await self._leader.wait()
        if self.refuses:
            return False
        self.taken.append(message)
        return True

    def lead(self) -> None:
        self._leader.set()


@contextlib.asynccontextmanager
async def running(log: Log) -> AsyncIterator[Newest[Message]]:
    newest = Newest(log.write, key=lambda message: message[0])
    task = asyncio.create_task(newest.run())
    try:
        yield newest
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settle() -> None:
    """Everybody who can go on does."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_partition_without_a_leader_mutes_no_other_service() -> None:
    log = Log("orders")
    async with running(log) as newest:
        newest.offer(("orders", 1))
        await settle()
        for number in (1, 2):
            newest.offer(("billing", number))
            await settle()
        assert log.taken == [("billing", 1), ("billing", 2)]


async def test_of_what_waits_behind_a_write_only_the_newest_is_written_and_at_once() -> None:
    log = Log("orders")
    async with running(log) as newest:
        for number in (1, 2, 3):
            newest.offer(("orders", number))
            await settle()
        assert log.begun == [("orders", 1)]
        log.lead()
        await settle()
        assert log.taken == [("orders", 1), ("orders", 3)]


async def test_what_the_log_refused_is_written_when_it_is_tried_again() -> None:
    log = Log()
    async with running(log) as newest:
        log.refuses = True
        newest.offer(("orders", 1))
        await settle()
        assert log.begun == [("orders", 1)]
        log.refuses = False
        newest.retry()
        await settle()
        newest.retry()
        await settle()
    assert log.taken == [("orders", 1)]
