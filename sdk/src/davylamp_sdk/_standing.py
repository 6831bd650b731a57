"""Where a service stands: its accepted entries, added up. The table of legal transitions is part of the contract."""

from dataclasses import dataclass, replace
from typing import Generic, Literal, Self

from davylamp_sdk._link import EntryKind, Link, Opening

Phase = Literal["pending", "running", "held", "rolled_back", "drained", "completed", "retired"]
"""Of the newest rollout; None before the first. `pending` waits for a person's approval of the start, `completed` is
100 % with the old baseline still routable (baking), `drained` and `retired` are ends."""

_FREEZE: dict[EntryKind, None] = {"freeze": None, "unfreeze": None}

TRANSITIONS: dict[Phase | None, dict[EntryKind, Phase | None]] = {
    None: {"start": "running"},
    "pending": {"approve": "pending", "proceed": "running", "rollback": "rolled_back"},
    "running": {
        "approve": "running",
        "proceed": "running",
        "complete": "completed",
        "retry": "running",
        "hold": "held",
        "rollback": "rolled_back",
    },
    "held": {
        "approve": "held",
        "proceed": "running",
        "complete": "completed",
        "retry": "running",
        "hold": "held",
        "resume": "running",
        "rollback": "rolled_back",
    },
    "rolled_back": {"drained": "drained", "start": "running"},
    "drained": {"start": "running"},
    "completed": {"rollback": "rolled_back", "retire": "retired", "start": "running"},
    "retired": {"start": "running"},
}
"""Phase → kind of the next entry → phase after it. What is not listed is void, except `freeze` and `unfreeze`, which are
legal everywhere and change no phase. A `start` at stage 0 leads to `pending`: the plan wants a person's word first."""

LIVE: frozenset[Phase] = frozenset({"pending", "running", "held"})
"""The canary may have a share, and may still go up."""


@dataclass(frozen=True, slots=True)
class Standing(Generic[Opening]):
    """What every reader knows of a service after reading its chain."""

    phase: Phase | None = None
    rollout: int = 0
    stage: int = 0
    """1-based; 0 while a start waits for its approval; the number of stages plus one once completed."""
    share: int = 0
    """Of new sessions to the canary, of 10,000."""
    baseline: str | None = None
    """The version that serves everybody else; after a promotion the old canary. None before the first rollout."""
    own_baseline: str | None = None
    """The baseline that the newest rollout began with, whatever came then."""
    canary: str | None = None
    opening: Opening | None = None
    approved: frozenset[str] = frozenset()
    """What people have approved in this rollout: `start`, a stage's number, `promote`."""
    frozen: bool = False
    """No new rollout may start."""
    rejected: frozenset[str] = frozenset()
    """Versions that were rolled back and not started again since."""

    @property
    def live(self) -> bool:
        """Whether the newest rollout may still go up."""
        return self.phase in LIVE

    def may_follow(self, kind: EntryKind) -> bool:
        """Whether an entry of this kind is legal here."""
        if kind == "start" and self.frozen:
            return False
        return kind in TRANSITIONS[self.phase] or kind in _FREEZE

    def after(self, entry: Link[Opening]) -> Self:
        """The standing once `entry`, which is legal, has been accepted."""
        if entry.kind in _FREEZE:
            return replace(self, frozen=entry.kind == "freeze")
        if entry.kind == "approve":
            return replace(self, approved=self.approved | {entry.approves or ""})
        if entry.kind == "start":
            return self._started(entry)
        return replace(
            self,
            phase=TRANSITIONS[self.phase][entry.kind],
            stage=self.stage if entry.kind == "rollback" else entry.stage,
            share=entry.share,
            baseline=entry.canary if entry.kind in ("complete", "retire") else entry.baseline,
            rejected=self.rejected | {entry.canary} if entry.kind == "rollback" else self.rejected,
        )

    def _started(self, entry: Link[Opening]) -> Self:
        return type(self)(
            phase="pending" if entry.stage == 0 else "running",
            rollout=entry.rollout,
            stage=entry.stage,
            share=entry.share,
            baseline=entry.baseline,
            own_baseline=entry.baseline,
            canary=entry.canary,
            opening=entry.opening,
            frozen=self.frozen,
            rejected=self.rejected - {entry.canary},
        )
