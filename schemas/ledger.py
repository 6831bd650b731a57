"""The chain rule: which entries of the ledger hold. One code for every reader, so that all accept the same ones."""

from dataclasses import dataclass, field, replace

from schemas.decisions import NO_ENTRY, LedgerEntry, Opening
from schemas.entry_rules import why_wrong
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

        A `rollback` of the newest rollout holds at any head, once; everything else must follow the head. All must be
        legal in their phase (:data:`schemas.standing.TRANSITIONS`) and say what follows from the plan
        (:data:`schemas.entry_rules.RULES`).
        """
        if entry.id != entry.derived_id():
            return "its id does not follow from its content"
        if entry.kind == "rollback" and entry.rollout != self.standing.rollout:
            return f"rollout {entry.rollout} is not the newest"
        if entry.kind != "rollback" and entry.after != self.head_id:
            return f"it follows {entry.after or 'nothing'}, the head is {self.head_id or 'nothing'}"
        if not self.standing.may_follow(entry.kind):
            frozen = " and frozen" if self.standing.frozen else ""
            return f"a {entry.kind} is not possible while the service is {self.standing.phase or 'without a rollout'}{frozen}"
        return self._why_malformed(entry) or why_wrong(self.standing, entry)

    def _why_malformed(self, entry: LedgerEntry) -> str | None:
        if (entry.kind == "start") != (entry.opening is not None):
            return "`opening` belongs to `start` and to nothing else"
        if (entry.kind == "approve") != (entry.approves is not None):
            return "`approves` belongs to `approve` and to nothing else"
        expected = self.standing.rollout + (entry.kind == "start")
        if entry.rollout != expected:
            return f"it is of rollout {entry.rollout}, which should be {expected}"
        return None

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

    @property
    def running(self) -> bool:
        """Whether the newest rollout may still go up."""
        return self.standing.live


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
