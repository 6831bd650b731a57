"""Everything the judge knows of one service: a fold of its inputs, whatever the order in which topics arrive."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from judge.evidence import Evidence
from judge.history import History
from judge.impossible import ImpossibleReportError
from judge.policies.port import Assessment, Comparison, Policy, StageTimes
from judge.proxies import ProxyBook
from judge.rollout.source import Closed, Source
from judge.rollout.stage_clock import StageClock, stage_clock, stage_starts
from judge.trial import Trial, TrialWindow
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


_ASKED_KEPT_MS = 2 * CLOCKS_DIFFER_MS
"""A command expires after seconds of the judge's clock; of the broker's, by which they are put away here, these are enough."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A command, and when the log took it."""

    command: Command
    at_ms: int


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
    sources: dict[str, Source] = field(default_factory=dict)
    """By telemetry topic. Which one counts (:attr:`heard`) may be read after its windows."""
    compared: Compared | None = None
    proxies: ProxyBook = field(default_factory=ProxyBook)
    _unheard: Source = field(default_factory=Source)
    """Stays empty: a topic on which nothing was heard."""
    _incomplete_ms: int | None = None
    """Append time of the newest record that could not be understood."""
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
            fresh = [asked for asked in self.asked if asked.at_ms >= at_ms - _ASKED_KEPT_MS]
            self.asked = [*fresh, Asked(command, at_ms)]

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

    def read_window(self, window: CohortWindow, told_ms: int | None = None) -> None:
        """What one partition of a telemetry topic says, and when the log took it.

        Raises as :meth:`judge.rollout.source.Source.read` does.
        """
        rollout = self.chain.standing.rollout
        self.sources.setdefault(window.source, Source()).read(window, rollout, told_ms)
        if self.compared is not None and self.compared.trial.rollout == rollout:
            self._compare(self.compared)  # now, for a look should be quick

    def _compare(self, compared: Compared) -> None:
        """Add what has closed of the newest rollout since, on its own telemetry topic."""
        own = self.sources.get(self.opening.service.telemetry, self._unheard)
        for closed in own.windows.pop(compared.trial.rollout, ()):
            compared.add(closed)

    def lacks(self, at_ms: int) -> None:
        """Something that was counted up to this moment is not known: no share rises for a while."""
        self._incomplete_ms = max(self._incomplete_ms or 0, at_ms)

    @property
    def telemetry(self) -> str | None:
        """The topic whose windows count now; those of the newest rollout stay what its own topic said when it is over."""
        return self.chain.telemetry(self.service)

    @property
    def heard(self) -> Source:
        """What the service's own telemetry topic says. Windows of others are passed over: anybody may write there."""
        own = self.telemetry
        return self._unheard if own is None else self.sources.get(own, self._unheard)

    @property
    def book(self) -> WindowBook:
        """The windows that count."""
        return self.heard.book

    @property
    def history(self) -> History:
        """How often each version failed, before a rollout too."""
        return self.heard.history

    @property
    def window_ms(self) -> int:
        """The size of a window; 0 before the first."""
        return self.heard.window_ms

    @property
    def incomplete_ms(self) -> int | None:
        """Up to when something was lost unread, or could not be understood: the end of a window, or a record's append time."""
        return max((ms for ms in (self.heard.incomplete_ms, self._incomplete_ms) if ms is not None), default=None)

    def forget(self) -> None:
        """Let go of old windows that no rollout will ask for: while one is live, those of other topics than its own.

        Which topic that is must be known: call it once the ledger has been read to its end.
        """
        own = self.telemetry if self.chain.standing.live else None
        for name, source in self.sources.items():
            if name != own:
                source.forget()

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
        return self.chain.standing.own_baseline or self.serving

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
            for source in self.sources.values():
                source.windows = {number: closed for number, closed in source.windows.items() if number >= rollout}
        if self.compared.policy is not policy:
            raise RuntimeError(f"service {self.name} is compared under another policy already")
        self._compare(self.compared)
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
