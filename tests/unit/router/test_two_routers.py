"""Two routers over one log, each with proxies of its own: what all readers make of both their words."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from router.agent import Router
from router.fold import TOPICS
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


@dataclass
class Pair:
    """Two routers, `r0` and `r1`; either may be frozen."""

    clock: FakeClock = field(default_factory=FakeClock)
    balancers: tuple[MemoryLoadBalancer, MemoryLoadBalancer] = field(
        default_factory=lambda: (MemoryLoadBalancer(), MemoryLoadBalancer())
    )
    log: MemoryLog = field(init=False)
    routers: list[Router] = field(init=False)

    def __post_init__(self) -> None:
        self.log = MemoryLog(clock=self.clock)
        self.routers = [
            Router(f"r{i}", self.log.reader(*TOPICS), self.log.writer(), balancer, self.clock)
            for i, balancer in enumerate(self.balancers)
        ]

    async def write(self, *messages: Service | LedgerEntry) -> None:
        for message in messages:
            topic: Topic = "services" if isinstance(message, Service) else "rollout-decisions"
            await self.log.writer().append(topic, message.service, message.dump())

    def fleet(self) -> Fleet:
        made = Fleet()
        for record in self.log.records("route-changes"):
            made = made.read(RouteChange.read(record.value or b""), record.timestamp_ms)
        return made

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


async def test_a_decision_is_in_force_when_the_proxies_of_both_run_it() -> None:
    pair = Pair()
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


async def test_a_proxy_that_moves_to_the_other_router_counts_there() -> None:
    pair = Pair()
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


async def test_a_frozen_routers_proxies_are_unknown_until_they_come_to_the_other() -> None:
    pair = Pair()
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
