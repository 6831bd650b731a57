"""The whole of davylamp in one virtual second hand: every service by its own code, over a log and proxies in memory.

Each process touches the outside only through :class:`tests.unit.control_hands.Hands`, which know a name for every moment
before and after a write. At any of them the process can be struck: killed, so that a new one starts in its place, or
frozen, so that a new one starts beside it and it goes on later with what it was about to do.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from alerts.memory import Book
from alerts.wording import Message
from router.memory import MemoryProxy
from schemas.control import Command, RouteChange
from schemas.decisions import LedgerEntry
from schemas.fleet import Fleet
from schemas.ledger import Accepted, ServiceLedger
from tests.builders import SERVICE
from tests.unit.control_hands import Blow, Door, Hands, Name
from tests.unit.control_processes import RUN, Running, chain_of
from tests.unit.router.proxy_words import of_cluster, push
from transport.clock import FakeClock
from transport.memory_log import MemoryLog

NAMES: tuple[Name, ...] = ("streams", "judge", "router", "alerts", "status")

REPLACED_AFTER_S = 0.5
WOKEN_AFTER_S = 8.0
"""A frozen process; by then its successor has done its work."""
SLOW_S = 1.0
"""So long the slower proxy takes for a route: a stage is `shifting` meanwhile."""


@dataclass(frozen=True)
class Strike:
    """Where a process is struck: the first time that it comes to `point` while the rollout is in `state`."""

    process: Name
    point: str
    state: str
    blow: Blow = "killed"


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
        self.wrote: set[tuple[Name, str]] = set()
        """(process, topic)."""
        self.struck_at: Strike | None = None
        self.running: dict[Name, Running] = {}
        self.former: list[Running] = []
        """Processes that were struck."""
        self.refuses: dict[str, str] = {}
        """By proxy: what it says of every route that it is given."""
        self.gone: set[str] = set()
        """Proxies that no router reaches."""
        self.slow_s = SLOW_S
        """How long `lb1` takes for a route."""
        self.pager_hangs = False
        self.meanwhile: dict[tuple[Name, str, str], Callable[[], Awaitable[object]]] = {}
        """What happens while a process is just about to do something, or has just done it: once."""
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
        for record in self.log.records("rollout-decisions", start=self._read["rollout-decisions"]):
            entry = LedgerEntry.read(record.value or b"")
            before, (self.chain, result) = self.chain, self.chain.read(entry, record.offset)
            if isinstance(result, Accepted) and entry.share > before.standing.share and before.head is not None:
                self._may_rise(before)
            self._read["rollout-decisions"] += 1
        for record in self.log.records("route-changes", start=self._read["route-changes"]):
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

    def kill(self, *names: Name) -> None:
        """They are gone, and nobody takes their place until :meth:`start`."""
        for name in names:
            running = self.running[name]
            running.hands.dead = True
            running.ended.set()
            if self.door is not None and self.door._hands is running.hands:
                self.left(self.door)
            if running.task is not None:
                running.task.cancel()

    async def at(self, hands: Hands, point: str) -> None:
        """Whatever is to happen at this moment happens before the process goes on."""
        then = self.meanwhile.pop((hands.name, point, self.state), None)
        if then is not None:
            await then()

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
            if name not in self.gone:
                door.proxies[name] = self.proxies[name] = MemoryProxy(None, runs=known.runs)
        self._ask("lb0")

    def left(self, door: Door) -> None:
        """They are cut off, and keep their routes."""
        for proxy in door.proxies.values():
            proxy.connected = False
        if self.door is door:
            self.door = None

    def vanish(self, proxy: str) -> None:
        """No router reaches it any more; it goes on serving by its last route."""
        self.gone.add(proxy)
        if self.door is not None:
            self.door.disconnect(proxy)

    def come_back(self, proxy: str) -> None:
        """It asks a router again."""
        self.gone.discard(proxy)
        if self.door is not None:
            self.door.proxies[proxy] = self.proxies[proxy]
        self._ask(proxy)

    def accept(self, proxy: str) -> None:
        """It has come to its senses."""
        self.refuses.pop(proxy, None)
        self._ask(proxy)

    def report(self, proxy: str) -> None:
        """It pushes what it has counted: nothing yet."""
        witness = self.running["router"].witness
        if witness is not None:
            witness.push(proxy, push(of_cluster("other", completed=1)), self.clock.now_ms())

    def _ask(self, proxy: str) -> None:
        if self.door is not None and self.door.newest is not None and proxy not in self.gone:
            self.door.connect(proxy, self.door.changes_to(proxy))

    async def _slow_proxy(self) -> None:
        while True:
            await asyncio.sleep(self.slow_s)
            self._ask("lb1")
            if self.door is not None and "lb1" in self.door.proxies:
                self.door.proxies["lb1"].answer = None

    # Processes.

    def start(self, name: Name) -> None:
        """A new process."""
        self.running[name] = running = Running(name, Hands(self, name))
        running.task = asyncio.create_task(RUN[name](self, running), name=name)

    async def ask(self, command: Command) -> None:
        """A person's word to whoever reads it, past the status service."""
        await self.log.writer().append("rollout-commands", "orders", command.dump())

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
            if not running.hands.dead and (chain := chain_of(running)) is not None and chain != self.chain:
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
