"""Two routers over one log, each with proxies of its own: what all readers make of both their words."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from router.agent import Router
from router.disk import Disk
from router.fold import TOPICS
from router.keeper import Keeper
from router.latch import Word
from router.memory import MemoryLoadBalancer
from schemas.control import RouteChange
from schemas.decisions import LedgerEntry
from schemas.fleet import Fleet
from schemas.service import Service
from schemas.topics import Topic
from tests.builders import SERVICE, entry
from transport.clock import FakeClock
from transport.memory_log import MemoryLog

START = entry("start")
PROCEED = entry("proceed", START)
ROLLBACK = entry("rollback", PROCEED)
WORD = Word(service="orders", rollout=1, reason="it burns", actor="ada")


@dataclass
class Pair:
    """Two routers, `r0` and `r1`; either may be frozen."""

    folder: Path
    """Each has a disk of its own there."""
    clock: FakeClock = field(default_factory=FakeClock)
    balancers: tuple[MemoryLoadBalancer, MemoryLoadBalancer] = field(
        default_factory=lambda: (MemoryLoadBalancer(), MemoryLoadBalancer())
    )
    log: MemoryLog = field(init=False)
    routers: list[Router] = field(init=False)

    def __post_init__(self) -> None:
        self.log = MemoryLog(clock=self.clock)
        self.routers = [
            Router(f"r{i}", self.log.reader(*TOPICS), self.log.writer(), balancer, self.clock, self._keeper(i))
            for i, balancer in enumerate(self.balancers)
        ]

    def _keeper(self, which: int) -> Keeper:
        return Keeper(Disk(self.folder / f"r{which}"), self.log.writer())

    async def write(self, *messages: Service | LedgerEntry) -> None:
        for message in messages:
            topic: Topic = "services" if isinstance(message, Service) else "rollout-decisions"
            await self.log.writer().append(topic, message.service, message.dump())

    def fleet(self) -> Fleet:
        made = Fleet()
        for record in self.log.records("route-changes"):
            made = made.read(RouteChange.read(record.value or b""), record.timestamp_ms)
        return made

    def entries(self) -> list[LedgerEntry]:
        return [LedgerEntry.read(record.value or b"") for record in self.log.records("rollout-decisions")]

    async def written(self, *kinds: str) -> None:
        """Wait until the ledger holds these."""
        async with asyncio.timeout(10):
            while [e.kind for e in self.entries()] != list(kinds):  # noqa: ASYNC110 - tasks of the routers
                await asyncio.sleep(0.001)

    def versions(self, proxy: str, which: int) -> set[str]:
        """Whom new sessions may meet there."""
        runs = self.balancers[which].proxies[proxy].runs
        assert runs is not None
        return {weight.version for weight in runs.routes["orders"].weights}

    def moves(self, proxy: str) -> None:
        """From the first router to the second."""
        self.balancers[0].disconnect(proxy)
        self.balancers[1].connect(proxy)

    async def runs(self, head: LedgerEntry) -> None:
        """Wait until every proxy runs it, by both routers' words."""
        async with asyncio.timeout(10):
            while not self.fleet().runs(head.id, self.clock.now_ms()):  # noqa: ASYNC110 - tasks of the routers
                await asyncio.sleep(0.001)

    async def second_passes(self, *awake: int) -> None:
        self.clock.advance(seconds=1)
        for i in awake:
            await self.routers[i].reconcile()
        for _ in range(20):  # what they tell arrives
            await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def running(self, which: int) -> AsyncIterator[None]:
        task = asyncio.create_task(self.routers[which].run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


async def test_a_decision_is_in_force_when_the_proxies_of_both_run_it(pair: Pair) -> None:
    pair.balancers[0].connect("lb0")
    pair.balancers[1].connect("lb1", None)
    await pair.write(SERVICE, START)
    async with pair.running(0), pair.running(1):
        await pair.second_passes(0, 1)
        assert [(p.proxy, p.state) for p in pair.fleet().picture(START.id, pair.clock.now_ms())] == [
            ("lb0", "acknowledged"),
            ("lb1", "pending"),
        ]
        pair.balancers[1].connect("lb1")
        await pair.runs(START)
        await pair.write(PROCEED)
        await pair.runs(PROCEED)


async def test_a_proxy_that_moves_to_the_other_router_counts_there(pair: Pair) -> None:
    pair.balancers[0].connect("lb0")
    pair.balancers[0].connect("lb1")
    await pair.write(SERVICE, START)
    async with pair.running(0), pair.running(1):
        await pair.runs(START)
        pair.balancers[0].disconnect("lb1")
        await pair.second_passes(0, 1)
        assert not pair.fleet().runs(START.id, pair.clock.now_ms())
        pair.balancers[1].connect("lb1")
        await pair.runs(START)
        assert pair.fleet().routers_of("lb1") == ("r1",)


async def test_a_frozen_routers_proxies_are_unknown_until_they_come_to_the_other(pair: Pair) -> None:
    pair.balancers[0].connect("lb0")
    pair.balancers[1].connect("lb1")
    await pair.write(SERVICE, START)
    async with pair.running(1):
        async with pair.running(0):
            await pair.runs(START)
        for _ in range(6):
            await pair.second_passes(1)
        unknown = {p.proxy for p in pair.fleet().picture(START.id, pair.clock.now_ms()) if not p.connected}
        assert unknown == {"lb0"}
        await pair.write(PROCEED, ROLLBACK)
        pair.balancers[1].connect("lb0")
        await pair.runs(ROLLBACK)
        async with pair.running(0):  # it wakes, and its proxies are gone
            pair.balancers[0].disconnect("lb0")
            await pair.second_passes(0, 1)
            await pair.runs(ROLLBACK)


async def test_a_rollback_said_to_both_stays_in_force_while_one_is_frozen_before_it_could_write_it(pair: Pair) -> None:
    """Each has it on its own disk: the frozen one's proxies find it at the other, whatever the judge decides meanwhile."""
    for which, balancer in enumerate(pair.balancers):
        balancer.connect(f"lb{which}")
    await pair.write(SERVICE, START)
    async with pair.running(1):
        async with pair.running(0):
            await pair.runs(START)
            pair.log.away_s = 60.0
            for router in pair.routers:
                await router.roll_back(WORD)
        pair.moves("lb0")
        assert pair.versions("lb0", 1) == pair.versions("lb1", 1) == {"v1"}
        pair.log.away_s = 0.0
        await pair.write(PROCEED)
        await pair.second_passes(1)
        await pair.written("start", "proceed", "rollback")
        back = pair.entries()[-1]
        await pair.runs(back)
        async with pair.running(0):  # it wakes, and says it once more
            await pair.second_passes(0, 1)
            await pair.runs(back)
        assert pair.versions("lb0", 1) == pair.versions("lb1", 1) == {"v1"}
    chain = pair.routers[0]._read_fold.ledger.of("orders")
    assert [e.kind for e in chain.entries] == ["start", "proceed", "rollback"]
    assert not pair.routers[0]._keeper.latches


async def test_a_router_that_starts_after_the_word_with_another_disk_knows_it_only_from_the_ledger(pair: Pair) -> None:
    """So the command asks every router that is listed. As soon as the frozen one wakes, the ledger has it."""
    pair.balancers[0].connect("lb0")
    await pair.write(SERVICE, START)
    async with pair.running(0):
        await pair.second_passes(0)
        pair.log.away_s = 60.0
        await pair.routers[0].roll_back(WORD)
        assert pair.versions("lb0", 0) == {"v1"}
    pair.log.away_s = 0.0
    async with pair.running(1):
        pair.moves("lb0")
        await pair.second_passes(1)
        assert pair.versions("lb0", 1) == {"v1", "v2"}
        async with pair.running(0):
            await pair.second_passes(0, 1)
            await pair.written("start", "rollback")
            await pair.runs(pair.entries()[-1])
        assert pair.versions("lb0", 1) == {"v1"}
