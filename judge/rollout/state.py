"""Everything the judge knows of one service: a fold of its inputs, whatever the order in which topics arrive."""

from dataclasses import dataclass, field
from functools import partial

from judge.evidence import Evidence, RolloutWindows, Strata, labelled
from judge.policies.port import StageTimes
from judge.rollout.stage_clock import StageClock, stage_clock, stage_starts
from schemas.control import Command, RouteChange
from schemas.decisions import Acknowledgement, LedgerEntry, Opening
from schemas.fleet import Fleet
from schemas.ledger import Accepted, ServiceLedger, Void
from schemas.plan import Plan
from schemas.service import Service
from schemas.window_book import WindowBook
from schemas.windows import CohortWindow


@dataclass(frozen=True, slots=True)
class Asked:
    """A command, and when the log took it."""

    command: Command
    at_ms: int


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
    windows: dict[int, RolloutWindows] = field(default_factory=dict)
    """Final windows by rollout."""
    window_ms: int = 0
    """The size of a window; 0 before the first."""

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

    def read_window(self, window: CohortWindow) -> None:
        """What one telemetry partition says; windows are folded once every partition has closed them."""
        self.book.read(window)
        self.window_ms = window.window_ms
        for final in self.book.take_final():
            for rollout, cells in labelled(final.cells).items():
                self.windows.setdefault(rollout, RolloutWindows()).add(final.window_end, cells)

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
        return stage_clock(self.rollout, self.acknowledged, self.book.frontier())

    @property
    def times(self) -> StageTimes:
        """Where the rollout stands, for a policy."""
        stage = min(max(self.chain.standing.stage, 1), len(self.plan.stages))
        return StageTimes(stage, stage_starts(self.rollout, self.acknowledged))

    def evidence(self) -> Evidence:
        """What the windows say about the newest rollout."""
        standing, opening, baseline = self.chain.standing, self.opening, self.own_baseline
        canary = opening.plan.canary
        final = self.windows.get(standing.rollout, RolloutWindows())
        born = partial(final.new_sessions, opening, standing.rollout)
        still_open = RolloutWindows()
        for upto, beyond in self.book.aligned_windows():
            pairs = [(upto, [canary]), (beyond, [baseline])]
            for window, versions in pairs:
                cells = labelled(window.cells).get(standing.rollout, []) if window else []
                still_open.add(beyond.window_end, [(label, cell) for label, cell in cells if cell.version in versions])
        return Evidence(
            final=final.strata(opening, baseline, standing.rollout),
            open=still_open.strata(opening, baseline, standing.rollout) if still_open.windows else Strata.empty(),
            baseline_sessions=born(baseline),
            canary_sessions=born(canary),
            baseline_sessions_of_stage=born(baseline, standing.stage),
            canary_sessions_of_stage=born(canary, standing.stage),
        )
