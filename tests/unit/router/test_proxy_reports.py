"""What is said on `proxy-reports`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from router.proxy_reports import ProxyReports
from router.snapshot import ServiceRoute
from router.witness import Witness
from schemas.control import ProxyReport
from schemas.decisions import EntryKind
from schemas.ledger import Accepted, Ledger
from schemas.service import Version
from schemas.topics import Topic
from tests.builders import entry
from tests.unit.router.proxy_words import of_cluster, push
from transport.log import LogError, Position

PLACE = Version(endpoints=("127.0.0.1:8001",))
ORDERS = ServiceRoute("orders", "e1", "/mcp", ("*",), {"v1": PLACE, "v2": PLACE}, (), (), ("v1",), home="v1")


def ledger(*kinds: EntryKind) -> Ledger:
    made = Ledger()
    for now, kind in enumerate(kinds, 1):
        made, result = made.read(entry(kind, made.of("orders").head, now=now), now)
        assert isinstance(result, Accepted)
    return made


class Away:
    """A log that takes nothing while it is `away`, and a queue of what it took."""

    def __init__(self) -> None:
        self.away = False
        self.offered = asyncio.Semaphore(0)
        self.taken: asyncio.Queue[ProxyReport] = asyncio.Queue()

    async def append(self, topic: Topic, service: str, value: bytes) -> Position:
        report = ProxyReport.read(value)
        assert (topic, service) == ("proxy-reports", report.service)
        self.offered.release()
        if self.away:
            raise LogError("away")
        self.taken.put_nowait(report)
        return Position(0, 0, 0)

    async def close(self) -> None:
        """Nothing to let go of."""


@asynccontextmanager
async def running(reports: ProxyReports) -> AsyncIterator[None]:
    task = asyncio.create_task(reports.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def sent(witness: Witness, completed: int, proxy: str = "lb0") -> None:
    witness.push(proxy, push(of_cluster("orders.v2", completed=completed)), 1)


async def told(log: Away, count: int) -> list[tuple[str, int]]:
    reports = [await asyncio.wait_for(log.taken.get(), 5) for _ in range(count)]
    assert log.taken.empty()
    return [(r.proxy, r.versions["v2"].sent) for r in reports]


async def test_what_is_due_is_written_under_its_service() -> None:
    log, witness = Away(), Witness("r", 1)
    reports = ProxyReports(log, witness)
    sent(witness, 3)
    async with running(reports):
        reports.tell([ORDERS], Ledger(), 2)
        assert await told(log, 1) == [("lb0", 3)]


@pytest.mark.parametrize("kinds", [("start",), ("start", "hold"), ("start", "rollback"), ("start", "complete")])
async def test_while_two_versions_serve_every_push_is_told(kinds: tuple[EntryKind, ...]) -> None:
    log, witness = Away(), Witness("r", 1)
    reports = ProxyReports(log, witness)
    async with running(reports):
        for n in (1, 2, 3):
            sent(witness, 3)
            reports.tell([ORDERS], ledger(*kinds), n)
            assert await told(log, 1) == [("lb0", 3)]


@pytest.mark.parametrize("kinds", [(), ("start", "rollback", "drained"), ("start", "complete", "retire")])
async def test_else_only_what_is_new_is_told(kinds: tuple[EntryKind, ...]) -> None:
    log, witness = Away(), Witness("r", 1)
    reports = ProxyReports(log, witness)
    async with running(reports):
        for _ in range(3):
            sent(witness, 3)
            reports.tell([ORDERS], ledger(*kinds), 1)
        sent(witness, 3, "lb1")
        reports.tell([ORDERS], ledger(*kinds), 1)
        assert await told(log, 2) == [("lb0", 3), ("lb1", 3)]


async def test_of_each_proxy_the_newest_waits_for_a_log_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    log, witness = Away(), Witness("r", 1)
    log.away = True
    reports = ProxyReports(log, witness)
    async with running(reports):
        for completed in (3, 4, 5):
            sent(witness, completed)
            reports.tell([ORDERS], ledger("start"), 2)
            await log.offered.acquire()
        sent(witness, 9, "lb1")
        reports.tell([ORDERS], ledger("start"), 2)
        log.away = False
        reports.retry()
        assert sorted(await told(log, 2)) == [("lb0", 5), ("lb1", 9)]
    assert [getattr(r, "action", None) for r in caplog.records] == ["proxy_report_unwritten"] * 3
