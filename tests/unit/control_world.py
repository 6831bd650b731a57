"""The whole of davylamp in one virtual second hand: every service by its own code, over a log and proxies in memory.

Each process touches the outside only through :class:`Hands`, which know a name for every moment before and after a write.
At any of them the process can be struck: killed, so that a new one starts in its place, or frozen, so that a new one
starts beside it and it goes on later with what it was about to do.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from alerts.agent import TOPICS as TOLD
from alerts.agent import Alerts
from alerts.cause import Limits
from alerts.delivery import EVERYTHING, Post
from alerts.memory import Book, Told
from alerts.wording import Message
from judge.agent import TOPICS as JUDGED
from judge.agent import Judge
from router.agent import Router
from router.disk import Acknowledged, Disk
from router.fold import TOPICS as ROUTED
from router.keeper import Keeper
from router.latch import Latches
from router.memory import MemoryLoadBalancer, MemoryProxy
from router.snapshot import Snapshot, is_later
from schemas.control import RouteChange
from schemas.decisions import LedgerEntry
from schemas.fleet import Fleet
from schemas.ledger import Accepted, ServiceLedger
from schemas.topics import Topic
from status.desk import Desk
from status.feed import TOPICS as SHOWN
from status.feed import Feed
from streams.checkpoint import Checkpoint
from streams.handover import Assigned, Polled
from streams.outbox import Outgoing
from streams.owner import Owner, Pace
from streams.publisher import Publisher
from tests.builders import SERVICE
from tests.unit.control_actors import MACHINE
from transport.clock import FakeClock
from transport.log import Batch, Position
from transport.memory_log import MemoryLog, MemoryWriter

Name = Literal["judge", "router", "status", "alerts", "streams"]
NAMES: tuple[Name, ...] = ("streams", "judge", "router", "alerts", "status")
Blow = Literal["killed", "frozen"]

WINDOW_MS = 1_000
REPLACED_AFTER_S = 0.5
WOKEN_AFTER_S = 8.0
"""A frozen process; by then its successor has done its work."""
SLOW_S = 1.0
"""So long the slower proxy takes for a route: a stage is `shifting` meanwhile."""


class DiedError(BaseException):
    """The process is gone."""


@dataclass(frozen=True)
class Strike:
    """Where a process is struck: the first time that it comes to `point` while the rollout is in `state`."""

    process: Name
    point: str
    state: str
    blow: Blow = "killed"


@dataclass
class Hands:
    """What one process does to the outside."""

    world: "World"
    name: Name
    dead: bool = False
    woken: asyncio.Event | None = None
    """Set: it is frozen until then."""

    async def at(self, point: str) -> None:
        """It is about to do something, or has just done it. A dead one never comes back from here."""
        if not self.dead and self.world.strikes(self, point):
            self.world.struck(self)
        await self.awake()

    async def awake(self) -> None:
        """A frozen one waits here."""
        if self.woken is not None:
            await self.woken.wait()
        if self.dead:
            await asyncio.get_running_loop().create_future()

    def at_once(self, point: str) -> None:
        """The same where nobody can wait: nothing is frozen here."""
        if not self.dead and self.world.strikes(self, point):
            self.world.struck(self, "killed")
        if self.dead or (self.woken is not None and not self.woken.is_set()):
            raise DiedError


class Eyes:
    """A process's reader."""

    def __init__(self, hands: Hands, *topics: Topic) -> None:
        self._hands = hands
        self._reader = hands.world.log.reader(*topics)

    @property
    def away_s(self) -> float:
        return self._reader.away_s

    async def batches(self) -> AsyncIterator[Batch]:
        async for batch in self._reader.batches():
            await self._hands.awake()
            yield batch

    async def read_to_end(self) -> None:
        await self._reader.read_to_end()

    async def close(self) -> None:
        await self._reader.close()


class Pen(MemoryWriter):
    """A process's writer."""

    _WRITES: dict[tuple[Name, str], str] = {  # noqa: RUF012 - a constant
        ("judge", "rollout-decisions"): "entry",
        ("judge", "rollouts"): "view",
        ("router", "route-changes"): "picture",
        ("router", "rollout-decisions"): "latched rollback",
        ("status", "rollout-commands"): "command",
        ("status", "rollout-decisions"): "rollback",
        ("status", "services"): "service",
    }

    def __init__(self, hands: Hands) -> None:
        super().__init__(hands.world.log, 1)
        self._hands = hands

    async def append(self, topic: Topic, service: str, value: bytes) -> Position:
        what = self._WRITES[self._hands.name, topic]
        await self._hands.at(f"{what} not written")
        position = await super().append(topic, service, value)
        await self._hands.at(f"{what} written")
        return position


class Door(MemoryLoadBalancer):
    """A router's proxies: `lb0` answers at once, `lb1` takes its time. They move to whichever router opens last."""

    def __init__(self, hands: Hands) -> None:
        super().__init__()
        self._hands = hands

    async def apply(self, snapshot: Snapshot) -> None:
        new = snapshot != self.newest
        if new:
            await self._hands.at("route not applied")
        await super().apply(snapshot)
        self._hands.world.arrive(self)
        if new:
            await self._hands.at("route applied, not told")

    async def close(self) -> None:
        await super().close()
        self._hands.world.left(self)

    def changes_to(self, snapshot: Snapshot) -> str | None:
        """A proxy takes whatever it is given; nobody may give it an older route."""
        for proxy in self.proxies.values():
            if proxy.connected and proxy.runs is not None and is_later(proxy.runs.version, than=snapshot.version):
                self._hands.world.wrongs.append(f"a proxy went back from {proxy.runs.version} to {snapshot.version}")
        return None


class Platter(Disk):
    """A router's disk."""

    def __init__(self, folder: Path, hands: Hands) -> None:
        super().__init__(folder)
        self._hands = hands

    def latch(self, latches: Latches) -> None:
        self._hands.at_once("latch not on disk")
        super().latch(latches)
        self._hands.at_once("latch on disk, not applied")

    def keep(self, acknowledged: Acknowledged) -> None:
        self._hands.at_once("route not kept")
        super().keep(acknowledged)
        self._hands.at_once("route kept")


class Pager:
    """On-call: what they were told outlives every process."""

    name = "pager"

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    async def send(self, message: Message) -> None:
        await self._hands.at("alert not told")
        self._hands.world.told.append(message)
        await self._hands.at("alert told, not remembered")


class Notebook:
    """What alerts remember."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    def load(self) -> Book:
        return self._hands.world.book

    def save(self, receivers: Any) -> None:
        self._hands.at_once("alerts not remembered")
        kept: dict[str, Told] = dict(receivers)
        self._hands.world.book = Book(receivers=kept)
        self._hands.at_once("alerts remembered")


class Windows:
    """The streams' outbox."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    async def send(self, record: Outgoing) -> None:
        while self._hands.world.log.away_s:  # noqa: ASYNC110 - librdkafka tries again by itself
            await asyncio.sleep(0.1)
        what = self._what(record)
        await self._hands.at(f"{what} not published")
        await self._hands.world.log.put(
            record.topic, record.partition or 0, record.value, record.key, dict(record.headers)
        )
        await self._hands.at(f"{what} published" + (", not committed" if what == "final window" else ""))

    async def acknowledged(self) -> None:
        await self._hands.at("windows not acknowledged")

    def check(self) -> None:
        """The log in memory refuses nothing."""

    async def close(self) -> None:
        """Nothing is under way."""

    def _what(self, record: Outgoing) -> str:
        if record.topic != "cohort-windows":
            return "tick"
        return "final window" if (record.key or b"").endswith(b"final") else "open window"


@dataclass
class Running:
    """A process, its hands, and the tasks that it consists of."""

    name: Name
    hands: Hands
    task: "asyncio.Task[None] | None" = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    desk: Desk | None = None
    router: Router | None = None
    judge: Judge | None = None
    alerts: Alerts | None = None


class World:
    """Everything that runs. Make it in a :class:`tests.unit.control_time.VirtualLoop`."""

    def __init__(self, clock: FakeClock, folder: Path, strike: Strike | None = None) -> None:
        self.clock = clock
        self.folder = folder
        self.log = MemoryLog(clock=clock)
        self.told: list[Message] = []
        self.book = Book()
        self.commit: tuple[int, str] | None = None
        self.door: Door | None = None
        self.proxies: dict[str, MemoryProxy] = {}
        self.wrongs: list[str] = []
        """What must never happen, and did."""
        self.reached: dict[tuple[Name, str, str], int] = {}
        """(process, point, state) → how often."""
        self.struck_at: Strike | None = None
        self.running: dict[Name, Running] = {}
        self.former: list[Running] = []
        """Processes that were struck."""
        self._strike = strike
        self._tasks: list[asyncio.Task[None]] = []
        self.chain = ServiceLedger()
        self._fleet = Fleet()
        self._read = {"rollout-decisions": 0, "route-changes": 0}

    # Where it stands, by a reader of our own.

    @property
    def state(self) -> str:
        """Where the newest rollout stands; `running` is told apart by whether every proxy runs the stage's route."""
        self._follow()
        phase = self.chain.standing.phase
        if phase == "running":
            acknowledged = self._fleet.runs(self.chain.head_id, self.clock.now_ms())
            return "collecting" if acknowledged else "shifting"
        return phase or "none"

    @property
    def entries(self) -> tuple[LedgerEntry, ...]:
        """What the ledger holds."""
        self._follow()
        return self.chain.entries

    def _follow(self) -> None:
        for record in self.log.records("rollout-decisions")[self._read["rollout-decisions"] :]:
            entry = LedgerEntry.read(record.value or b"")
            before, (self.chain, result) = self.chain, self.chain.read(entry, record.offset)
            if isinstance(result, Accepted) and entry.share > before.standing.share and before.head is not None:
                self._may_rise(before)
            self._read["rollout-decisions"] += 1
        for record in self.log.records("route-changes")[self._read["route-changes"] :]:
            self._fleet = self._fleet.read(RouteChange.read(record.value or b""), record.timestamp_ms)
            self._read["route-changes"] += 1

    def _may_rise(self, before: ServiceLedger) -> None:
        """Invariant 1, by the proxies themselves: each runs the route of the entry before."""
        for name, proxy in self.proxies.items():
            if proxy.runs is None or int(proxy.runs.version.split("-")[0]) <= before.offset:
                self.wrongs.append(f"a share rises although {name} does not run {before.head_id}")

    # Blows.

    def strikes(self, hands: Hands, point: str) -> bool:
        """Whether the process is struck here and now."""
        state = self.state
        self.reached[hands.name, point, state] = self.reached.get((hands.name, point, state), 0) + 1
        strike = self._strike
        if strike is None or (hands.name, point, state) != (strike.process, strike.point, strike.state):
            return False
        self._strike, self.struck_at = None, strike
        return True

    def struck(self, hands: Hands, blow: Blow | None = None) -> None:
        """It does nothing from here on; another one takes its place."""
        running = self.running[hands.name]
        blow = blow or (self.struck_at.blow if self.struck_at else "killed")
        if blow == "killed":
            hands.dead = True
        else:
            hands.woken = asyncio.Event()
        if isinstance(self.door, Door) and self.door._hands is hands:
            self.left(self.door)
        self.former.append(running)
        self._tasks.append(asyncio.create_task(self._replace(running)))

    async def _replace(self, old: Running) -> None:
        old.ended.set()
        await asyncio.sleep(REPLACED_AFTER_S)
        if old.hands.dead and old.task is not None:
            old.task.cancel()
        self.start(old.name)
        if old.hands.woken is not None:
            await asyncio.sleep(WOKEN_AFTER_S)
            old.hands.woken.set()

    # Proxies.

    def arrive(self, door: Door) -> None:
        """Proxies that have no router come to this one."""
        if self.door is not None or door._hands.dead or door._hands.woken is not None:
            return
        self.door = door
        for name in ("lb0", "lb1"):
            known = self.proxies.get(name, MemoryProxy(None))
            door.proxies[name] = self.proxies[name] = MemoryProxy(None, connected=True, runs=known.runs)
        door.connect("lb0", door.changes_to)

    def left(self, door: Door) -> None:
        """They are cut off, and keep their routes."""
        for proxy in door.proxies.values():
            proxy.connected = False
        if self.door is door:
            self.door = None

    async def _slow_proxy(self) -> None:
        while True:
            await asyncio.sleep(SLOW_S)
            if self.door is not None and self.door.newest is not None:
                self.door.connect("lb1", self.door.changes_to)
                self.door.proxies["lb1"].answer = None

    # Processes.

    def start(self, name: Name) -> None:
        """A new process."""
        self.running[name] = running = Running(name, Hands(self, name))
        running.task = asyncio.create_task(_RUN[name](self, running), name=name)

    async def begin(self) -> None:
        """Everything starts; the service is known and routed."""
        await self.log.writer().append("services", "orders", SERVICE.dump())
        self._tasks.append(asyncio.create_task(self._slow_proxy()))
        for name in NAMES:
            self.start(name)
        await self.until(lambda: all(p.runs is not None for p in self.proxies.values()) and len(self.proxies) > 1)

    async def until(self, true: Callable[[], bool], patience_s: float = 90.0) -> None:
        """Wait, in virtual time."""
        end = self.clock.monotonic_s() + patience_s
        while not true():
            if self.clock.monotonic_s() > end:
                kinds = [e.kind for e in self.entries]
                raise AssertionError(f"not within {patience_s} s: {self.state} {kinds}, struck at {self.struck_at}")
            await asyncio.sleep(0.05)

    async def until_state(self, *states: str) -> None:
        """Until the rollout stands so."""
        await self.until(lambda: self.state in states)

    @property
    def route_converged(self) -> bool:
        """Every proxy runs the ledger's head, and a router has said so."""
        return self._fleet.runs(self.chain.head_id, self.clock.now_ms()) if self.entries else False

    def agree(self) -> None:
        """Invariant 2: every process that reads the ledger has accepted the same entries."""
        for running in (*self.running.values(), *self.former):
            if not running.hands.dead and (chain := _chain_of(running)) is not None and chain != self.chain:
                self.wrongs.append(f"{running.name} accepts other entries than the ledger holds")

    async def end(self) -> None:
        """Everybody stops."""
        everybody = [*self.running.values(), *self.former]
        tasks = [*self._tasks, *(r.task for r in everybody if r.task is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def failures(self) -> list[str]:
        """Processes that ended although nobody struck them."""
        return [
            f"{r.name}: {r.task.exception()!r}"
            for r in (*self.running.values(), *self.former)
            if r.task is not None and r.task.done() and not r.task.cancelled() and not r.hands.dead
        ]


def _chain_of(running: Running) -> ServiceLedger | None:
    """What a process takes for the ledger of `orders`; None: it does not read it."""
    if running.judge is not None:
        return running.judge._fold.state("orders", 0).chain
    if running.router is not None:
        return running.router._read_fold.ledger.of("orders")
    if running.desk is not None:
        return running.desk.feed.overview.ledger.of("orders")
    if running.alerts is not None:
        return running.alerts._causes.watches["orders"].chain
    return None


async def _judge(world: World, running: Running) -> None:
    running.judge = judge = Judge(MACHINE, Pen(running.hands), world.clock)
    queue: asyncio.Queue[Batch] = asyncio.Queue(maxsize=4)

    async def follow() -> None:
        async for batch in Eyes(running.hands, *JUDGED).batches():
            await queue.put(batch)

    async def beat() -> None:
        while True:
            await asyncio.sleep(0.25)
            await running.hands.awake()
            await queue.put(Batch((), caught_up=False))

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        group.create_task(beat())
        while True:
            await judge.handle(await queue.get())


async def _router(world: World, running: Running) -> None:
    """Who takes a dead one's place has its name and its disk; two that live at once have names of their own."""
    frozen = sum(former.name == "router" and not former.hands.dead for former in world.former)
    name, pen = f"router-{frozen + 1}", Pen(running.hands)
    keeper = Keeper(Platter(world.folder / name, running.hands), pen)
    running.router = Router(name, Eyes(running.hands, *ROUTED), pen, Door(running.hands), world.clock, keeper)
    await running.router.run()


async def _status(world: World, running: Running) -> None:
    feed = Feed(Eyes(running.hands, *SHOWN))
    running.desk = Desk(feed, Pen(running.hands), world.clock)
    await feed.run()


async def _alerts(world: World, running: Running) -> None:
    post = Post([(Pager(running.hands), EVERYTHING)], Notebook(running.hands), world.clock)
    running.alerts = Alerts(Eyes(running.hands, *TOLD), world.clock, post, Limits())
    await running.alerts.run()


async def _streams(world: World, running: Running) -> None:
    hands = running.hands

    def commit(_: int, checkpoint: Checkpoint) -> None:
        if not hands.dead and world.running["streams"].hands is hands:  # Kafka takes no commit of whoever was replaced
            world.commit = checkpoint.offset, checkpoint.metadata(WINDOW_MS)
        hands.at_once("window committed")

    pace = Pace("mcp-requests", WINDOW_MS, 0.25, "streams-1")
    owner = Owner(Publisher(Windows(hands), 1), pace, world.clock, lambda: frozenset({"orders"}), commit)
    start = Checkpoint.parse(*world.commit, WINDOW_MS) if world.commit else Checkpoint.earliest(0)
    await owner.handle(Assigned(0, 1, start, 0))

    async def beat() -> None:
        while True:
            await asyncio.sleep(0.1)
            await hands.awake()
            await owner.beat()

    async with asyncio.TaskGroup() as group:
        group.create_task(beat())
        number = 0
        async for batch in Eyes(hands, "mcp-requests").batches():
            records = tuple(r for r in batch.records if r.offset >= start.warm_offset)
            number += bool(records)
            if records:
                await owner.handle(Polled(0, number, records))


_RUN: dict[Name, Callable[[World, Running], Coroutine[Any, Any, None]]] = {
    "judge": _judge,
    "router": _router,
    "status": _status,
    "alerts": _alerts,
    "streams": _streams,
}
