"""When a router may answer a new stream: after it knows what the log held when the stream began."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router import freshness
from router.agent import Router
from router.disk import Disk
from router.fold import TOPICS
from router.freshness import Freshness, at_once
from router.keeper import Keeper
from router.latch import Latches
from router.memory import MemoryLoadBalancer
from tests.builders import SERVICE, entry
from transport.clock import FakeClock
from transport.log import Batch, LogError
from transport.memory_log import MemoryLog

START = entry("start")
ROLLBACK = entry("rollback", START)


class Asleep:
    """A log that answers when it is told to."""

    def __init__(self) -> None:
        self.away_s = 60.0
        self.answers = asyncio.Event()
        self.fails = False

    async def batches(self) -> AsyncIterator[Batch]:
        await asyncio.Event().wait()
        yield Batch((), caught_up=False)

    async def read_to_end(self) -> None:
        await self.answers.wait()
        if self.fails:
            raise LogError("the reader is closed")

    async def close(self) -> None:
        """Nothing is open."""


def keeper(folder: Path, *, latched: bool) -> Keeper:
    if latched:
        Disk(folder).latch(Latches({"orders": ROLLBACK}))
    return Keeper(Disk(folder), MemoryLog().writer())


async def test_without_an_answer_of_the_log_nobody_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "PATIENCE_S", 0.001)
    log = Asleep()
    asked = asyncio.create_task(Freshness(log, keeper(tmp_path, latched=False))())
    await asyncio.wait({asked}, timeout=0.05)
    assert not asked.done()
    log.answers.set()
    await asyncio.wait_for(asked, 10)


async def test_a_direct_rollback_in_force_is_served_without_a_log_after_some_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(freshness, "PATIENCE_S", 0.001)
    await asyncio.wait_for(Freshness(Asleep(), keeper(tmp_path, latched=True))(), 10)
    assert [getattr(r, "action", None) for r in caplog.records] == ["stream_waits", "served_unread"]
    assert getattr(caplog.records[-1], "latched", None) == ["orders"]


async def test_a_log_that_answers_and_takes_long_to_read_is_waited_for_also_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freshness, "PATIENCE_S", 0.001)
    log = Asleep()
    log.away_s = 0.0
    asked = asyncio.create_task(Freshness(log, keeper(tmp_path, latched=True))())
    await asyncio.wait({asked}, timeout=0.05)
    assert not asked.done()
    log.answers.set()
    await asyncio.wait_for(asked, 10)


async def test_a_direct_rollback_that_is_said_while_a_stream_waits_lets_it_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freshness, "PATIENCE_S", 0.001)
    kept = keeper(tmp_path, latched=False)
    asked = asyncio.create_task(Freshness(Asleep(), kept)())
    await asyncio.wait({asked}, timeout=0.01)
    kept.latch(ROLLBACK)
    await asyncio.wait_for(asked, 10)


async def test_with_a_log_that_answers_it_is_the_log_that_is_waited_for(tmp_path: Path) -> None:
    log = Asleep()
    log.answers.set()
    await Freshness(log, keeper(tmp_path, latched=True))()
    log.fails = True
    with pytest.raises(LogError, match="closed"):
        await Freshness(log, keeper(tmp_path, latched=True))()


async def test_when_it_returns_the_proxies_have_been_asked_for_the_newest(tmp_path: Path) -> None:
    log, proxies = MemoryLog(), MemoryLoadBalancer()
    reader, kept = log.reader(*TOPICS), keeper(tmp_path, latched=False)
    router = Router("router-1", reader, log.writer(), proxies, FakeClock(), kept)
    task = asyncio.create_task(router.run())
    fresh = Freshness(reader, kept)
    await log.writer().append("services", "orders", SERVICE.dump())
    for item in (START, ROLLBACK):
        await log.writer().append("rollout-decisions", "orders", item.dump())
        await asyncio.wait_for(fresh(), 10)
        assert proxies.newest is not None
        assert proxies.newest.routes["orders"].entry == item.id
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_where_nobody_writes_everything_is_fresh() -> None:
    await at_once()
