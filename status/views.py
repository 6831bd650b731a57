"""What the status service knows: a fold of the judge's views, the ledger, the routes and the services. Pure."""

from dataclasses import dataclass, field

from davylamp_sdk._message import Message
from schemas.control import Command, Outcome, RolloutState, RolloutView, RouteChange
from schemas.decisions import LedgerEntry
from schemas.fleet import Fleet
from schemas.ledger import Accepted, Ledger, ServiceLedger, Void
from schemas.service import Service
from schemas.standing import Phase

CONFIRMATIONS = 200
"""Kept of each service."""
FATES = 1_000
"""Kept of all entries: whoever wrote one waits for its fate for seconds."""


class Confirmation(Message):
    """Every proxy that existed had acknowledged the route of an entry."""

    entry: str
    proxies: int
    at: int
    """When the log took the word that completed it, Unix milliseconds."""
    took_ms: float | None = None
    """Entry decided → acknowledged by the slowest proxy, by its router; None where no router saw the entry come."""


class RolloutStatus(Message):
    """Everything about a service's newest rollout."""

    service: str
    definition: Service | None
    rollout: RolloutView | None
    """The judge's view, or what the ledger says where the judge has not looked yet; None: no entry was ever written."""
    route: RouteChange | None
    ledger: tuple[LedgerEntry, ...]
    """The accepted entries of the newest rollout, oldest first."""
    confirmed: tuple[Confirmation, ...] = ()
    """Of these entries, those that every proxy has acknowledged."""
    telemetry: str | None = None
    """The topic from which the service is counted now."""


@dataclass(slots=True)
class Overview:
    """The newest of everything, by service."""

    ledger: Ledger = field(default_factory=Ledger)
    views: dict[str, RolloutView] = field(default_factory=dict)
    routes: dict[str, RouteChange] = field(default_factory=dict)
    fleets: dict[str, Fleet] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    fates: dict[tuple[str, int], Accepted | Void] = field(default_factory=dict)
    """(service, offset) of an entry → what the chain rule said: an id alone does not tell two equal entries apart.
    Of the newest that were read."""
    confirmed: dict[str, dict[str, Confirmation]] = field(default_factory=dict)
    """Service → entry → when every proxy ran it for the first time; of the newest entries."""
    _statuses: dict[str, tuple[tuple[object, ...], RolloutStatus]] = field(default_factory=dict)
    """Service → what its status was put together from, and that status."""

    def read(self, topic: str, value: bytes, offset: int, at_ms: int) -> Message | None:
        """Take one record, which the log took at `at_ms`; what holds from now on, None for a void entry.

        Raises ``ValueError`` if it is not understood.
        """
        if topic == "rollout-decisions":
            entry = LedgerEntry.read(value)
            self.ledger, fate = self.ledger.read(entry, offset)
            self.fates[entry.service, offset] = fate
            if len(self.fates) > FATES:
                del self.fates[next(iter(self.fates))]
            return entry if isinstance(fate, Accepted) else None
        if topic == "rollouts":
            view = RolloutView.read(value)
            self.views[view.service] = view
            return view
        if topic == "route-changes":
            change = RouteChange.read(value)
            self.routes[change.service] = change
            self.fleets[change.service] = self.fleets.get(change.service, Fleet()).read(change, at_ms)
            self._confirm(change, at_ms)
            return change
        service = Service.read(value)
        self.services[service.service] = service
        return service

    def remove(self, service: str) -> None:
        """Its definition was taken away; what the ledger says of it stays."""
        self.services.pop(service, None)

    def knows(self, service: str) -> bool:
        """Whether anybody has ever applied or released it."""
        return service in self.services or self.ledger.of(service).head is not None

    def status(self, service: str) -> RolloutStatus | None:
        """What is known of one service, the same object until something else is heard; None if nobody has heard of it."""
        if not self.knows(service):
            return None
        definition, view, route = self.services.get(service), self.views.get(service), self.routes.get(service)
        chain, confirmed = self.ledger.of(service), self.confirmed.get(service, {})
        rest = definition, view, route, self.ledger.services.get(service), next(reversed(confirmed.values()), None)
        kept = self._statuses.get(service)
        if kept is None or any(now is not before for now, before in zip(rest, kept[0], strict=True)):
            entries = chain.rollout(chain.standing.rollout)
            status = RolloutStatus(
                service=service,
                definition=definition,
                rollout=newest_view(view, chain, service),
                route=route,
                ledger=entries,
                confirmed=tuple(confirmed[entry.id] for entry in entries if entry.id in confirmed),
                telemetry=self.telemetry(service),
            )
            kept = self._statuses[service] = rest, status
        return kept[1]

    def telemetry(self, service: str) -> str | None:
        """The topic from which a service is counted now; None for an unknown one."""
        return self.ledger.of(service).telemetry(self.services.get(service))

    def all(self) -> list[RolloutStatus]:
        """Every service, by name."""
        names = sorted({*self.services, *self.ledger.services})
        return [status for name in names if (status := self.status(name)) is not None]

    def _confirm(self, change: RouteChange, at_ms: int) -> None:
        known, fleet = self.confirmed.setdefault(change.service, {}), self.fleets[change.service]
        if not change.entry or change.entry in known or not fleet.runs(change.entry, at_ms):
            return
        took = [w.change.took_ms for w in fleet.words.values() if w.change.entry == change.entry and w.change.took_ms]
        proxies = len(fleet.picture(change.entry, at_ms))
        known[change.entry] = Confirmation(
            entry=change.entry, proxies=proxies, at=at_ms, took_ms=max(took, default=None)
        )
        if len(known) > CONFIRMATIONS:
            known.pop(next(iter(known)))

    def answer(self, command: Command) -> Outcome | None:
        """What became of a command; None while nobody has answered.

        A start that replaces a running rollout is carried out in two entries: the `rollback` is not yet its answer,
        and while the proxies take that in, neither is a refusal.
        """
        carried_out = [e for e in self.ledger.of(command.service).entries if e.command == command.id]
        for entry in carried_out:
            if command.kind != "start" or entry.kind == "start":
                return Outcome(command=command.id, accepted=True, sentence=entry.reason.sentence)
        view = self.views.get(command.service)
        if view is None or carried_out:
            return None
        return next((o for o in view.outcomes if o.command == command.id), None)


_STATES: dict[Phase, RolloutState] = {
    "pending": "pending",
    "running": "shifting",
    "held": "held",
    "rolled_back": "rolled_back",
    "drained": "drained",
    "completed": "completed",
    "retired": "retired",
}
"""What the ledger alone says of a phase: a stage that nobody has seen acknowledged is still shifting."""


def newest_view(view: RolloutView | None, chain: ServiceLedger, service: str) -> RolloutView | None:
    """The judge's view, corrected where the ledger is ahead of it: people roll back without a judge, and see it."""
    head, standing = chain.head, chain.standing
    if head is None or (view is not None and not _behind(view, chain)):
        return view
    base = view or RolloutView(service=service, rollout=0, looked_at=head.decided_at)
    return base.model_copy(
        update={
            "rollout": standing.rollout,
            "state": _STATES[standing.phase] if standing.phase else None,
            "stage": standing.stage,
            "stages": len(standing.opening.plan.stages) if standing.opening else 0,
            "share": standing.share,
            "baseline": standing.baseline or head.baseline,
            "canary": standing.canary,
            "head": head.id,
            "observe": standing.opening.plan.observe if standing.opening else False,
            "frozen": standing.frozen,
            "held_because": _held_because(chain),
            "waiting_for": "The judge has not looked at the newest entry yet." if standing.live else None,
            "awaits": None,
        }
    )


def _held_because(chain: ServiceLedger) -> str | None:
    held = [e.reason.sentence for e in chain.rollout(chain.standing.rollout) if e.kind == "hold"]
    return held[-1] if chain.standing.phase == "held" else None


def _behind(view: RolloutView, chain: ServiceLedger) -> bool:
    """Its head is one of the entries before ours. A head that we do not know yet is ahead of us."""
    return view.head != chain.head_id and (not view.head or any(e.id == view.head for e in chain.entries))
