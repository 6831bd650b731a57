"""Everything the judge knows of one service: a fold of its inputs, whatever the order in which topics arrive."""

from dataclasses import dataclass, field

from judge.evidence import Evidence, RolloutWindows, Strata, labelled
from judge.policies.port import StageTimes
from schemas.control import Command, RolloutState, RouteChange
from schemas.decisions import Acknowledgement, LedgerEntry, Opening
from schemas.ledger import Accepted, ServiceLedger, Void
from schemas.service import Service
from schemas.window_book import WindowBook
from schemas.windows import CohortWindow

_STAGE_KINDS = frozenset({"start", "proceed"})
_PHASES: dict[str, RolloutState] = {"rollback": "rolled_back", "complete": "completed"}


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
    route: RouteChange | None = None
    """The newest word of the router."""
    acknowledged: dict[str, Acknowledgement] = field(default_factory=dict)
    """By entry: when it was first in force on every proxy."""
    asked: list[Asked] = field(default_factory=list)
    book: WindowBook = field(default_factory=WindowBook)
    windows: dict[int, RolloutWindows] = field(default_factory=dict)
    """Final windows by rollout."""

    def read_entry(self, entry: LedgerEntry, offset: int) -> Accepted | Void:
        """A ledger entry, under the chain rule."""
        self.chain, result = self.chain.read(entry, offset)
        return result

    def read_service(self, service: Service) -> None:
        """The service's newest definition."""
        self.service = service

    def read_route(self, change: RouteChange, partition: int, offset: int, at_ms: int) -> None:
        """What the proxies run."""
        self.route = change
        if change.acknowledged and change.entry not in self.acknowledged:
            self.acknowledged[change.entry] = Acknowledgement(
                entry=change.entry, partition=partition, offset=offset, at=at_ms
            )

    def read_command(self, command: Command, at_ms: int) -> None:
        """A person's word."""
        self.asked.append(Asked(command, at_ms))

    def read_window(self, window: CohortWindow) -> None:
        """What one telemetry partition says; windows are folded once every partition has closed them."""
        self.book.read(window)
        for final in self.book.take_final():
            for rollout, cells in labelled(final.cells).items():
                self.windows.setdefault(rollout, RolloutWindows()).add(final.window_end, cells)

    @property
    def phase(self) -> RolloutState | None:
        """Where the newest rollout stands; None before the first."""
        head = self.chain.head
        if head is None:
            return None
        running: RolloutState = "collecting" if head.id in self.acknowledged else "shifting"
        return _PHASES.get(head.kind, running)

    @property
    def route_acknowledged(self) -> bool:
        """Every proxy runs the head's route, by the router's newest word."""
        return self.route is not None and self.route.acknowledged and self.route.entry == self.chain.head_id

    def stage_times(self, head: LedgerEntry) -> StageTimes:
        """The stages of the head's rollout that every proxy has acknowledged."""
        begun = [e.id for e in self.chain.rollout(head.rollout) if e.kind in _STAGE_KINDS]
        return StageTimes(head.stage, tuple(self.acknowledged[i].at for i in begun if i in self.acknowledged))

    def evidence(self, head: LedgerEntry, opening: Opening) -> Evidence:
        """What the windows say about the head's rollout."""
        final = self.windows.get(head.rollout, RolloutWindows())
        still_open = RolloutWindows()
        for window in self.book.open_windows():
            still_open.add(window.window_end, labelled(window.cells).get(head.rollout, []))
        return Evidence(
            final=final.strata(opening, head.baseline, head.rollout),
            open=still_open.strata(opening, head.baseline, head.rollout) if still_open.windows else Strata.empty(),
            baseline_sessions=final.new_sessions(head.baseline),
            canary_sessions=final.new_sessions(head.canary),
            canary_sessions_of_stage=final.new_sessions(head.canary, head.stage),
        )
