"""The chain rule: which entries of the ledger hold. One code for every reader, so that all accept the same ones."""

from dataclasses import dataclass, field, replace

from schemas.decisions import NO_ENTRY, LedgerEntry, Opening

_CLOSED = frozenset({"rollback", "drained", "retire"})
"""Kinds after which a rollout can no longer be rolled back."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The entry is the new head."""

    entry: LedgerEntry


@dataclass(frozen=True, slots=True)
class Void:
    """The entry has no effect anywhere."""

    entry: LedgerEntry
    reason: str


@dataclass(frozen=True, slots=True)
class ServiceLedger:
    """The accepted entries of one service, oldest first. Immutable: :meth:`read` returns the next state."""

    entries: tuple[LedgerEntry, ...] = ()
    offset: int = -1
    """Ledger offset of the head: the fencing number. -1 without a head."""

    @property
    def head(self) -> LedgerEntry | None:
        """The newest accepted entry."""
        return self.entries[-1] if self.entries else None

    @property
    def head_id(self) -> str:
        """What the next entry must name in `after`."""
        return self.entries[-1].id if self.entries else NO_ENTRY

    def read(self, entry: LedgerEntry, offset: int) -> "tuple[ServiceLedger, Accepted | Void]":
        """Apply the chain rule to the next record of the log."""
        reason = self._why_void(entry)
        if reason is not None:
            return self, Void(entry, reason)
        return replace(self, entries=(*self.entries, entry), offset=offset), Accepted(entry)

    def _why_void(self, entry: LedgerEntry) -> str | None:
        if entry.id != entry.derived_id():
            return "its id does not follow from its content"
        head = self.head
        if entry.kind == "rollback":
            if head is None or head.rollout != entry.rollout:
                return f"rollout {entry.rollout} is not the newest"
            return f"rollout {entry.rollout} ended with {head.kind}" if head.kind in _CLOSED else None
        if entry.after != self.head_id:
            return f"it follows {entry.after or 'nothing'}, the head is {self.head_id or 'nothing'}"
        if (entry.kind == "start") != (entry.opening is not None):
            return "`opening` belongs to `start` and to nothing else"
        return None

    def rollout(self, number: int) -> tuple[LedgerEntry, ...]:
        """The accepted entries of one rollout."""
        return tuple(e for e in self.entries if e.rollout == number)

    @property
    def opening(self) -> Opening | None:
        """What the newest rollout was started with."""
        return next((e.opening for e in reversed(self.entries) if e.opening is not None), None)

    @property
    def baseline(self) -> str | None:
        """The version that serves everybody now; None until a rollout was started (then the service file says it)."""
        head = self.head
        if head is None:
            return None
        return head.canary if head.kind in {"complete", "retire"} else head.baseline

    @property
    def running(self) -> bool:
        """Whether the newest rollout may still go up."""
        return self.head is not None and self.head.kind not in _CLOSED | {"complete"}


@dataclass(frozen=True, slots=True)
class Ledger:
    """All services of the topic."""

    services: dict[str, ServiceLedger] = field(default_factory=dict)

    def of(self, service: str) -> ServiceLedger:
        """The chain of one service, empty if it has none."""
        return self.services.get(service, ServiceLedger())

    def read(self, entry: LedgerEntry, offset: int) -> "tuple[Ledger, Accepted | Void]":
        """Apply the chain rule of the entry's service."""
        chain, result = self.of(entry.service).read(entry, offset)
        return Ledger({**self.services, entry.service: chain}), result
