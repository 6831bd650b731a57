"""What the status service knows: a fold of the judge's views, the ledger, the routes and the services. Pure."""

from dataclasses import dataclass, field

from davylamp_sdk._message import Message
from schemas.control import RolloutView, RouteChange
from schemas.decisions import LedgerEntry
from schemas.ledger import Ledger
from schemas.service import Service


class RolloutStatus(Message):
    """Everything about a service's newest rollout."""

    service: str
    definition: Service | None
    rollout: RolloutView | None
    route: RouteChange | None
    ledger: tuple[LedgerEntry, ...]
    """The accepted entries of the newest rollout, oldest first."""


@dataclass(slots=True)
class Overview:
    """The newest of everything, by service."""

    ledger: Ledger = field(default_factory=Ledger)
    views: dict[str, RolloutView] = field(default_factory=dict)
    routes: dict[str, RouteChange] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)

    def read(self, topic: str, value: bytes, offset: int) -> None:
        """Take one record. Raises ``ValueError`` if it is not understood."""
        if topic == "rollout-decisions":
            self.ledger, _ = self.ledger.read(LedgerEntry.read(value), offset)
        elif topic == "rollouts":
            view = RolloutView.read(value)
            self.views[view.service] = view
        elif topic == "route-changes":
            change = RouteChange.read(value)
            self.routes[change.service] = change
        elif topic == "services":
            service = Service.read(value)
            self.services[service.service] = service

    def status(self, service: str) -> RolloutStatus | None:
        """What is known of one service; None if nobody has heard of it."""
        chain = self.ledger.of(service)
        if service not in self.services and chain.head is None:
            return None
        return RolloutStatus(
            service=service,
            definition=self.services.get(service),
            rollout=self.views.get(service),
            route=self.routes.get(service),
            ledger=chain.rollout(chain.head.rollout) if chain.head else (),
        )

    def all(self) -> list[RolloutStatus]:
        """Every service, by name."""
        names = sorted({*self.services, *self.ledger.services})
        return [status for name in names if (status := self.status(name)) is not None]

    def answer(self, service: str, command: str) -> tuple[bool, str] | None:
        """What became of a command: (accepted, a sentence); None while nobody has answered."""
        for entry in self.ledger.of(service).entries:
            if entry.opening is not None and entry.opening.command == command:
                return True, entry.reason.sentence
        view = self.views.get(service)
        found = next((o for o in view.outcomes if o.command == command), None) if view else None
        return (found.accepted, found.sentence) if found else None
