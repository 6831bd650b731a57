"""Who acts in the model of control: judges, routers and proxies around a log that is turned by hand."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from judge.agent import Judge
from judge.fold import LEDGER, TOPICS
from judge.policies.port import Assessment, StageTimes
from judge.proxies import Difference
from judge.rollout.machine import Decision, Machine
from judge.rollout.state import ServiceState
from judge.trial import Cohort, Trial, TrialWindow
from router.fold import ROUTED, Fold
from router.snapshot import Snapshot, is_later
from schemas.control import ProxyRoute, RouteChange
from schemas.decisions import CheckResult, Count, Cut
from schemas.ledger import ServiceLedger
from schemas.topics import Topic
from transport.clock import FakeClock
from transport.log import Batch, LogError, Position, Record

Fate = Literal["taken", "lost", "taken_unknown", "dies_before", "dies_after", "late"]
"""What becomes of an append to the ledger. ``late``: whoever wrote was frozen; it arrives in a log that has moved on."""


class DiedError(BaseException):
    """The process is gone."""


class Plain:
    """A policy whose statistics anybody can follow: one failed canary request is a breach, five sessions are proof."""

    def begin(self, trial: Trial) -> "Counted":
        return Counted()


@dataclass
class Counted:
    final: list[TrialWindow] = field(default_factory=list)

    def add(self, window: TrialWindow) -> None:
        self.final.append(window)

    def add_difference(self, difference: Difference) -> None: ...

    def assess(self, still_open: Sequence[TrialWindow], times: StageTimes) -> Assessment:
        seen = [*self.final, *still_open]
        n, bad = _requests(seen, "canary")
        others, _ = _requests(seen, "baseline")
        born = [
            cell.new_sessions
            for window in self.final
            for stratum, pair in window.strata.items()
            if stratum.stage == times.stage
            for cell in pair.canary.cells
        ]
        within = not bad and sum(born) >= 5
        check = CheckResult(
            check="error_rate",
            verdict="breached" if bad else "within" if within else "undecided",
            baseline=Count(n=others, bad=0),
            canary=Count(n=n, bad=bad),
            margin=0.05,
            log_e_breach=9.0 if bad else 0.0,
            log_e_within=9.0 if within else 0.0,
        )
        return Assessment(0.0 if bad else 80.0, (check,), "error_rate" if bad else None, within, suspicious=False)


def _requests(windows: Sequence[TrialWindow], cohort: Cohort) -> tuple[int, int]:
    outcomes = [cell.outcomes for window in windows for cell in window.cells(cohort)]
    return sum(sum(o.values()) for o in outcomes), sum(o.get("server_error", 0) for o in outcomes)


class Strict(Machine):
    """The judge passes over a service that it cannot judge; here there must be none."""

    def decide(self, state: ServiceState, cut: Cut) -> Decision:
        try:
            return super().decide(state, cut)
        except Exception as error:
            raise UnjudgedError from error


class UnjudgedError(BaseException):
    """The machine has failed."""


MACHINE = Strict(Plain(), "0.1")


class Tape:
    """The log: what was taken, in order, and what is still on its way."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.topics: dict[str, list[Record]] = {topic: [] for topic in TOPICS}
        self.under_way: list[bytes] = []

    def put(self, topic: str, value: bytes) -> Position:
        records = self.topics[topic]
        records.append(Record(topic, 0, len(records), self.clock.now_ms(), b"orders", value))
        return Position(0, len(records) - 1, self.clock.now_ms())

    def reel(self) -> Mapping[str, Sequence[Record]]:
        """The topics as a process that is started now reads them, from their start."""
        return self.topics

    def close(self) -> None:
        """No more of it."""


class Pen:
    """A judge's writer. `fate` is that of its next entry only."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.fate: Fate = "taken"

    async def append(self, topic: Topic, service: str, value: bytes) -> Position:
        if topic != LEDGER:
            return Position(0, 0, 0)
        fate, self.fate = self.fate, "taken"
        if fate == "dies_before":
            raise DiedError
        if fate == "late":
            self.tape.under_way.append(value)
        if fate in ("late", "lost"):
            raise LogError("nobody knows")
        position = self.tape.put(topic, value)
        if fate == "dies_after":
            raise DiedError
        if fate == "taken_unknown":
            raise LogError("nobody knows")
        return position

    async def close(self) -> None: ...


class JudgeSeat:
    """One judge process, and how far it has read."""

    def __init__(self, tape: Tape, runner: asyncio.Runner) -> None:
        self.tape = tape
        self.runner = runner
        self.pen = Pen(tape)
        self.restart()

    def restart(self) -> None:
        """A new process folds everything before it decides."""
        self.judge = Judge(MACHINE, self.pen, self.tape.clock)
        self.reel = self.tape.reel()
        self.read: dict[str, int] = dict.fromkeys(TOPICS, 0)
        self.fresh = True

    def look(self, fate: Fate = "taken", most: int | None = None, topics: tuple[str, ...] = TOPICS) -> None:
        """Read at most so many records of each of `topics`, in their order, then look."""
        self.pen.fate = fate
        records: list[Record] = []
        for topic in TOPICS if self.fresh else topics:
            start = self.read[topic]
            new = self.reel[topic][start : None if most is None or self.fresh else start + most]
            self.read[topic] += len(new)
            records += new
        self.fresh = False
        try:
            self.runner.run(self.judge.handle(Batch(tuple(records), caught_up=True)))
        except DiedError:
            self.restart()

    @property
    def chain(self) -> ServiceLedger:
        state = self.judge._fold.states.get("orders")
        return state.chain if state else ServiceLedger()


@dataclass
class Proxy:
    """Runs what it acknowledged last, connected or not."""

    name: str
    router: "RouterSeat | None" = None
    runs: Snapshot | None = None


@dataclass
class RouterSeat:
    """The pure parts of a router. It remembers its proxies across restarts: they exist until somebody forgets them."""

    name: str
    tape: Tape
    fold: Fold = field(default_factory=Fold)
    read: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROUTED, 0))
    known: dict[str, Proxy] = field(default_factory=dict)
    told: RouteChange | None = None
    beats: int = 0
    """How often a live picture was told again though nothing was new."""
    reel: Mapping[str, Sequence[Record]] = field(init=False)

    def __post_init__(self) -> None:
        self.reel = self.tape.reel()

    def follow(self, most: int | None = None) -> None:
        before = self.fold.snapshot.version
        for topic in ROUTED:
            start = self.read[topic]
            for record in self.reel[topic][start : None if most is None else start + most]:
                self.fold, _ = self.fold.read(record)
                self.read[topic] += 1
        assert not is_later(before, than=self.fold.snapshot.version)

    def restart(self) -> None:
        self.fold, self.read, self.told = Fold(), dict.fromkeys(ROUTED, 0), None
        self.reel = self.tape.reel()
        for proxy in self.known.values():
            proxy.router = None if proxy.router is self else proxy.router
        self.follow()

    def connect(self, proxy: Proxy) -> None:
        """It serves a new stream only after it has read to the end; a stream that knows more is closed."""
        self.follow()
        if proxy.runs is None or not is_later(proxy.runs.version, than=self.fold.snapshot.version):
            proxy.router = self
            self.known[proxy.name] = proxy

    def tell(self) -> None:
        route = self.fold.snapshot.routes.get("orders")
        if route is None:
            return
        proxies = tuple(self._route(proxy) for _, proxy in sorted(self.known.items()))
        done = bool(proxies) and all(p.state == "acknowledged" for p in proxies)
        version = self.fold.snapshot.version
        change = RouteChange(
            service="orders",
            router=self.name,
            entry=route.entry,
            version=version,
            proxies=proxies,
            acknowledged=done,
            live=self.fold.ledger.of("orders").standing.live,
            at=0,
        )
        if change.live or change != self.told:
            self.beats += change == self.told
            self.told = change
            self.tape.put("route-changes", change.dump())

    def _route(self, proxy: Proxy) -> ProxyRoute:
        there = proxy.router is self and proxy.runs is not None
        same = there and proxy.runs is not None and proxy.runs.routes == self.fold.snapshot.routes
        state: Literal["acknowledged", "pending"] = "acknowledged" if same else "pending"
        return ProxyRoute(proxy=proxy.name, state=state, connected=proxy.router is self)
