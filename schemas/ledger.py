"""The chain rule: which entries of the ledger hold. One code for every reader, so that all accept the same ones."""

from dataclasses import dataclass, field, replace

from davylamp_sdk import _chain
from schemas.decisions import NO_ENTRY, LedgerEntry, Opening
from schemas.service import Service
from schemas.standing import Standing


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
    standing: Standing = field(default_factory=Standing)
    """What the entries add up to."""

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
        reason = self.why_void(entry)
        if reason is not None:
            return self, Void(entry, reason)
        chain = replace(self, entries=(*self.entries, entry), offset=offset, standing=self.standing.after(entry))
        return chain, Accepted(entry)

    def why_void(self, entry: LedgerEntry) -> str | None:
        """Why an entry would have no effect here, None if it would.

        By :func:`davylamp_sdk._chain.why_void`, which servers read the ledger by as well.
        """
        return _chain.why_void(self.standing, self.head_id, entry)

    def rollout(self, number: int) -> tuple[LedgerEntry, ...]:
        """The accepted entries of one rollout."""
        return tuple(e for e in self.entries if e.rollout == number)

    @property
    def opening(self) -> Opening | None:
        """What the newest rollout was started with."""
        return self.standing.opening

    @property
    def baseline(self) -> str | None:
        """The version that serves everybody now; None until a rollout was started (then the service file says it)."""
        return self.standing.baseline

    def telemetry(self, definition: Service | None) -> str | None:
        """The telemetry topic from which the service is counted now; None for one of which nothing is known.

        While a rollout is live that of its start, which nothing can change. Else that of `definition`, the service's newest:
        there the next rollout will be counted. Where a definition is not there any more, the newest rollout's.
        """
        opening = self.standing.opening
        if opening is not None and (self.standing.live or definition is None):
            return opening.service.telemetry
        return definition.telemetry if definition is not None else None


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
