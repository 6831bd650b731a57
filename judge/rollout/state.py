"""Everything the judge knows of one service: a fold of its inputs, whatever the order in which topics arrive."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from judge.evidence import Evidence
from judge.history import History
from judge.impossible import ImpossibleReportError, ImpossibleWindowError, refuse_impossible
from judge.policies.port import Assessment, Comparison, Policy, StageTimes
from judge.proxies import ProxyBook
from judge.rollout.stage_clock import StageClock, stage_clock, stage_starts
from judge.trial import Trial, TrialWindow, by_rollout
from schemas.control import Command, ProxyReport, RouteChange
from schemas.decisions import Acknowledgement, LedgerEntry, Opening
from schemas.fleet import Fleet
from schemas.ledger import Accepted, ServiceLedger, Void
from schemas.plan import Plan
from schemas.service import Service
from schemas.window_book import WindowBook
from schemas.windows import Cell, CohortWindow

CLOCKS_DIFFER_MS = 3_600_000
"""Between the judge, which says when a rollout began, and the broker, at most."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A command, and when the log took it."""

    command: Command
    at_ms: int


@dataclass(frozen=True, slots=True)
class Closed:
    """What one window, of all partitions, says of one rollout: final."""

    end_ms: int
    window_ms: int
    cells: list[Cell]


_Pair = tuple[CohortWindow | None, CohortWindow]
"""An open window up to a moment, and to it or beyond."""


@dataclass(slots=True)
class Compared:
    """The newest rollout as its windows and the proxies tell it, under one policy."""

    policy: Policy
    trial: Trial
    comparison: Comparison
    started_ms: int
    """When its start was decided."""
    evidence: Evidence = field(default_factory=Evidence)
    _told: int = 0
    """How far the proxies' differences were read."""
    _open: tuple[tuple[_Pair, ...], tuple[TrialWindow, ...]] = ((), ())
    """The newest open windows as they were read, and as they are compared."""

    def add(self, closed: Closed) -> None:
        """The next final window in which the rollout's sessions were heard."""
        window = self.trial.window(closed.end_ms, closed.window_ms, closed.cells)
        if window.strata:
            self.evidence.add(window)
            self.comparison.add(window)

    def still_open(self, aligned: tuple[_Pair, ...]) -> tuple[TrialWindow, ...]:
        """Up to a moment that all partitions have reached for the canary, beyond it for the baseline."""
        if not _same(aligned, self._open[0]):
            self._open = aligned, tuple(w for w in self._windows(aligned) if w.strata)
        return self._open[1]

    def _windows(self, aligned: tuple[_Pair, ...]) -> Iterator[TrialWindow]:
        cells: dict[tuple[int, int], list[Cell]] = {}
        for upto, beyond in aligned:
            mine = [cell for cell in upto.cells if cell.version == self.trial.canary] if upto else []
            theirs = [cell for cell in beyond.cells if cell.version == self.trial.baseline]
            cells.setdefault((beyond.window_end, beyond.window_ms), []).extend(mine + theirs)
        for (end_ms, window_ms), found in sorted(cells.items()):
            yield self.trial.window(end_ms, window_ms, found)

    def hear(self, proxies: ProxyBook) -> None:
        """What the proxies have told since. Nothing counts before the first acknowledgement; the clocks may differ."""
        self._told, found = proxies.after(self._told, self.started_ms - CLOCKS_DIFFER_MS)
        for difference in found:
            self.comparison.add_difference(difference)


@dataclass(slots=True)
class ServiceState:
    """One service. Each `read_…` takes one record; none of them decides anything."""

    name: str
    chain: ServiceLedger = field(default_factory=ServiceLedger)
    service: Service | None = None
    fleet: Fleet = field(default_factory=Fleet)
    """What the routers say of the proxies."""
    acknowledged: dict[str, Acknowledgement] = field(default_factory=dict)
    """By entry: when it was first in force on every proxy."""
    asked: list[Asked] = field(default_factory=list)
    book: WindowBook = field(default_factory=WindowBook)
    windows: dict[int, list[Closed]] = field(default_factory=dict)
    """Final windows of rollouts that nobody compares yet: a start may be read after windows of its sessions."""
    compared: Compared | None = None
    proxies: ProxyBook = field(default_factory=ProxyBook)
    history: History = field(default_factory=History)
    """How often each version failed, before a rollout too."""
    incomplete_ms: int | None = None
    """Up to when something was lost unread, or could not be understood: the end of a window, or a record's append time."""
    window_ms: int = 0
    """The size of a window; 0 before the first."""
    _clock: tuple[ServiceLedger, int, int | None, StageClock] | None = None
    """The newest that was asked for, and what it follows from: the chain, acknowledgements (which only come) and frontier."""
    _times: tuple[StageClock, StageTimes] | None = None

    def read_entry(self, entry: LedgerEntry, offset: int) -> Accepted | Void:
        """A ledger entry, under the chain rule."""
        self.chain, result = self.chain.read(entry, offset)
        return result

    def read_service(self, service: Service | None) -> None:
        """The service's newest definition; None: it was taken away."""
        self.service = service

    def read_route(self, change: RouteChange, partition: int, offset: int, at_ms: int) -> None:
        """What the proxies run."""
        self.fleet = self.fleet.read(change, at_ms)
        if change.entry not in self.acknowledged and self.fleet.runs(change.entry, at_ms):
            self.acknowledged[change.entry] = Acknowledgement(
                entry=change.entry, partition=partition, offset=offset, at=at_ms
            )

    def read_command(self, command: Command, at_ms: int) -> None:
        """A person's word; to forget a proxy is asked of the routers."""
        if command.kind != "forget":
            self.asked.append(Asked(command, at_ms))

    def read_report(self, report: ProxyReport, at_ms: int) -> None:
        """What a proxy counted by itself.

        Raises :class:`judge.impossible.ImpossibleReportError`: what the report should have said is missing.
        """
        try:
            self.proxies.read(report, at_ms)
        except ImpossibleReportError:
            self.lacks(at_ms)
            raise
        if self.compared is not None:
            self.compared.hear(self.proxies)

    def read_window(self, window: CohortWindow) -> None:
        """What one telemetry partition says; windows are folded once every partition has closed them.

        Raises :class:`judge.impossible.ImpossibleWindowError`: what such a window should have said is missing.
        """
        try:
            refuse_impossible(window)
        except ImpossibleWindowError:
            self.lacks(window.window_end)
            raise
        self.book.read(window)
        self.window_ms = window.window_ms
        for _, finals in groupby(self.book.take_final(), key=lambda final: final.window_start):
            self._close(tuple(finals))

    def _close(self, finals: Sequence[CohortWindow]) -> None:
        """One window, of every partition that had something to say. Older rollouts than the newest are over."""
        cells = [cell for final in finals for cell in final.cells]
        self.history.add(finals[0].window_end, cells)
        if any(final.incomplete for final in finals):
            self.lacks(finals[0].window_end)
        for rollout, labelled in by_rollout(cells).items():
            closed = Closed(finals[0].window_end, finals[0].window_ms, labelled)
            if self.compared is not None and self.compared.trial.rollout == rollout:
                self.compared.add(closed)
            elif rollout >= self.chain.standing.rollout:
                self.windows.setdefault(rollout, []).append(closed)

    def lacks(self, end_ms: int) -> None:
        """Something that was counted up to this moment is not known: no share rises for a while."""
        self.incomplete_ms = max(self.incomplete_ms or 0, end_ms)

    @property
    def opening(self) -> Opening:
        """What the newest rollout was started with. Raises ``RuntimeError`` before the first one."""
        if self.chain.opening is None:
            raise RuntimeError(f"service {self.name} has had no rollout yet")
        return self.chain.opening

    @property
    def plan(self) -> Plan:
        """The newest rollout's, as it was started: later edits change nothing."""
        return self.opening.plan

    @property
    def own_baseline(self) -> str:
        """The newest rollout's own baseline, also after its promotion; before the first one the service file's."""
        started = next((e for e in reversed(self.chain.entries) if e.kind == "start"), None)
        return started.baseline if started else self.serving

    @property
    def serving(self) -> str:
        """The version that serves everybody: the ledger's, or the service file's before the first rollout."""
        return self.chain.baseline or (self.service.baseline if self.service else "")

    def route_acknowledged(self, now_ms: int) -> bool:
        """Every proxy that exists runs the head's route, by the routers' newest words: silence is none."""
        return self.fleet.runs(self.chain.head_id, now_ms)

    @property
    def rollout(self) -> tuple[LedgerEntry, ...]:
        """The accepted entries of the newest rollout."""
        return self.chain.rollout(self.chain.standing.rollout)

    @property
    def clock(self) -> StageClock:
        """The current stage's."""
        chain, acknowledged, frontier = self.chain, len(self.acknowledged), self.book.frontier()
        known = self._clock
        if known is None or known[0] is not chain or known[1:3] != (acknowledged, frontier):
            found = stage_clock(self.rollout, self.acknowledged, frontier)
            known = self._clock = chain, acknowledged, frontier, found
        return known[3]

    @property
    def times(self) -> StageTimes:
        """Where the rollout stands, for a policy. It follows from what the clock follows from."""
        clock, known = self.clock, self._times
        if known is None or known[0] is not clock:
            stage, begun = min(max(self.chain.standing.stage, 1), len(self.plan.stages)), clock.acknowledged
            starts = stage_starts(self.rollout, self.acknowledged)
            known = self._times = clock, StageTimes(stage, starts, begun.at if begun else None)
        return known[1]

    def under(self, policy: Policy) -> Compared:
        """The newest rollout with all its final windows. A state is compared under one policy: windows are not kept.

        Raises ``RuntimeError`` before the first rollout, and for another policy than the first one's.
        """
        rollout = self.chain.standing.rollout
        if self.compared is None or self.compared.trial.rollout != rollout:
            trial = Trial.of(self.opening, rollout, self.own_baseline)
            self.compared = Compared(policy, trial, policy.begin(trial), self.rollout[0].decided_at)
            self.windows = {number: closed for number, closed in self.windows.items() if number >= rollout}
        if self.compared.policy is not policy:
            raise RuntimeError(f"service {self.name} is compared under another policy already")
        for closed in self.windows.pop(rollout, ()):
            self.compared.add(closed)
        self.compared.hear(self.proxies)
        return self.compared

    def assess(self, policy: Policy) -> Assessment:
        """What `policy` says of the newest rollout now, open windows included."""
        compared = self.under(policy)
        return compared.comparison.assess(compared.still_open(self.book.aligned_windows()), self.times)


def _same(one: tuple[_Pair, ...], other: tuple[_Pair, ...]) -> bool:
    """The very same windows: what was read once never changes."""
    return len(one) == len(other) and all(
        a is b for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)
    )
