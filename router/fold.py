"""What the router knows: the ledger and the services, folded from their topics."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from router.snapshot import Offsets, Snapshot, snapshot
from schemas.decisions import LedgerEntry
from schemas.ledger import Accepted, Ledger, Void
from schemas.service import Service
from schemas.topics import Topic
from transport.log import Record

LEDGER: Topic = "rollout-decisions"
SERVICES: Topic = "services"
COMMANDS: Topic = "rollout-commands"
ROUTED: tuple[Topic, ...] = (LEDGER, SERVICES)
"""What routes follow from."""
VIEWS: Topic = "rollouts"
TOPICS: tuple[Topic, ...] = (*ROUTED, COMMANDS, VIEWS)
"""What a router reads."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Everything that was read. Immutable: :meth:`read` returns the next state."""

    ledger: Ledger = field(default_factory=Ledger)
    services: Mapping[str, Service] = field(default_factory=dict)
    reached: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """By topic and partition: offset + 1 of the newest record in force."""
    before: Offsets = field(default_factory=Offsets)
    """How far it reached without having been read here."""

    @property
    def offsets(self) -> Offsets:
        """How far the records in force reach."""
        return Offsets(self.before.ledger + self._sum(LEDGER), self.before.services + self._sum(SERVICES))

    @property
    def snapshot(self) -> Snapshot:
        """What proxies are asked for."""
        return snapshot(self.ledger, self.services, self.offsets)

    def read(self, record: Record) -> "tuple[Fold, Accepted | Void | None]":
        """The next record of :data:`ROUTED`, and what the chain rule says of a ledger entry.

        Raises ``pydantic.ValidationError`` for a record that is not understood: it has no effect.
        """
        if record.topic == SERVICES:
            return self._in_force(record, services=self._with_service(record)), None
        if record.value is None:
            return self, None
        ledger, result = self.ledger.read(LedgerEntry.read(record.value), record.offset)
        return (self._in_force(record, ledger=ledger) if isinstance(result, Accepted) else self), result

    def _with_service(self, record: Record) -> dict[str, Service]:
        if record.value is None:
            name = (record.key or b"").decode(errors="replace")
            return {known: service for known, service in self.services.items() if known != name}
        service = Service.read(record.value)
        return {**self.services, service.service: service}

    def _in_force(self, record: Record, **fields: object) -> "Fold":
        reached = {**self.reached, (record.topic, record.partition): record.offset + 1}
        return replace(self, reached=reached, **fields)  # type: ignore[arg-type]  # names and types from above

    def _sum(self, topic: str) -> int:
        return sum(end for (name, _), end in self.reached.items() if name == topic)
