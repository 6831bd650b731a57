"""Rollouts that a judge ran over the log in memory: what verification, recordings and replays are tried on."""

from typing import Any

from judge.agent import Judge
from judge.fold import TOPICS
from judge.policies.sequential import Sequential
from judge.rollout.machine import Machine
from judge.verify import links
from schemas.control import Command, ProxyReport, RouteChange
from schemas.decisions import LedgerEntry
from schemas.labels import Label
from schemas.ledger import ServiceLedger
from schemas.service import Service
from schemas.windows import Bucket, Cell, CohortWindow
from tests.builders import ONLY_ERRORS, SEED, SERVICE, opening, route
from transport.clock import FakeClock
from transport.log import Batch, Record
from transport.memory_log import MemoryLog

T0 = FakeClock().now_ms()
MACHINE = Machine(Sequential(), "0.1")
CHECKS = ONLY_ERRORS
Tapes = dict[str, list[Record]]


def cell(version: str, stage: int, n: int, bad: int, rollout: int = 1, nonce_of: str | None = None) -> Cell:
    """`n` requests, and as many new sessions as the stage's share says."""
    label = Label.make(SEED, rollout, stage, nonce_of or version, "session")
    buckets = {i: Bucket(n=n // 8, err=bad // 8) for i in range(8)}
    outcomes: dict[Any, int] = {"ok": n - bad, "server_error": bad}
    return Cell(
        version=version,
        label=str(label),
        outcomes=outcomes,
        new_sessions=n // 4 if (version, stage) == ("v2", 1) else n,
        buckets=buckets,
    )


def window(at_ms: int, *cells: Cell, partition: int = 0, partitions: int = 2, **changes: Any) -> CohortWindow:
    """One second of a telemetry partition, ending at `at_ms`."""
    known: dict[str, Any] = {"final": True, "instance": "s", "through": 1, "first_offset": 0, "source": "mcp-requests"}
    return CohortWindow(
        service="orders",
        partition=partition,
        partitions=partitions,
        window_start=at_ms // 1000 * 1000 - 1000,
        window_ms=1000,
        clock_ms=at_ms // 1000 * 1000,
        cells=cells,
        **known | changes,
    )


class Rollout:
    """A judge that runs over the log in memory, second by second, with proxies that acknowledge at once."""

    def __init__(self, machine: Machine = MACHINE) -> None:
        self.clock = FakeClock()
        self.log = MemoryLog(clock=self.clock)
        self.judge = Judge(machine, self.log.writer(), self.clock)
        self.read = dict.fromkeys(TOPICS, 0)
        self.acknowledged = ""

    @property
    def chain(self) -> ServiceLedger:
        chain = ServiceLedger()
        for link in links(self.tapes, "orders"):
            chain, _ = chain.read(link.entry, len(chain.entries))
        return chain

    @property
    def tapes(self) -> Tapes:
        return {topic: list(self.log.records(topic)) for topic in TOPICS}

    async def put(
        self, topic: Any, message: Service | Command | RouteChange | ProxyReport | CohortWindow | LedgerEntry
    ) -> None:
        await self.log.writer().append(topic, "orders", message.dump())

    async def start(self, canary: str = "v2", **plan: Any) -> None:
        await self.put("services", SERVICE)
        await self.ask("start", opening=opening(canary, **{"checks": CHECKS, **plan}))

    async def ask(self, kind: Any, **fields: Any) -> None:
        seen, number = self.chain.head_id, len(self.log.records("rollout-commands"))
        await self.put(
            "rollout-commands",
            Command(id=f"c{number}", service="orders", kind=kind, seen=seen, actor="anna", **fields),
        )
        await self.turn()

    async def turn(self) -> None:
        """The judge reads what is new, twice: its own entry comes back."""
        for _ in range(2):
            records = tuple(r for t in TOPICS for r in self.log.records(t)[self.read[t] :])
            self.read = {t: len(self.log.records(t)) for t in TOPICS}
            await self.judge.handle(Batch(records, caught_up=True))

    async def run(self, seconds: int, *, bad: int = 0, silent: bool = False) -> None:
        for _ in range(seconds):
            self.clock.advance(1)
            head = self.chain.head
            if head is not None and head.id != self.acknowledged:
                await self.put("route-changes", route(head.id))
                self.acknowledged = head.id
            if not silent:
                await self._count(bad)
            await self.turn()

    async def _count(self, bad: int) -> None:
        standing, now = self.chain.standing, self.clock.now_ms()
        stage = min(max(standing.stage, 1), 2)
        cells = (cell("v1", stage, 800, 0, standing.rollout), cell("v2", stage, 800, bad, standing.rollout))
        await self.put("cohort-windows", window(now + 1000, *cells, final=False, instance="zombie"))
        await self.put("cohort-windows", window(now, *cells))
        await self.put("cohort-windows", window(now, partition=1))


async def promoted() -> Rollout:
    rollout = Rollout()
    await rollout.start(approve=["start"], bake="20s")
    await rollout.ask("approve", approves="start")
    await rollout.run(3)
    await rollout.ask("hold")
    await rollout.run(2)
    await rollout.ask("resume")
    await rollout.run(60)
    return rollout


async def broken() -> Rollout:
    rollout = Rollout()
    await rollout.start()
    await rollout.run(4)
    await rollout.run(70, silent=True)
    await rollout.run(2)
    await rollout.run(5, bad=400)
    await rollout.run(5)
    return rollout
