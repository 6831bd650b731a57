"""One service's rollout, folded from its ledger and from what the judge says of it. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from davylamp_sdk._chain import why_void
from davylamp_sdk._entry import Entry, OpeningOfEntry
from davylamp_sdk._link import NO_ENTRY
from davylamp_sdk._standing import Phase, Standing


@dataclass(frozen=True, slots=True)
class Rollout:
    """Where a service's newest rollout stands: what the ledger says, and what the judge last saw in it."""

    service: str
    number: int = 0
    """Counts up with every start; 0: none was ever started."""
    phase: Phase | None = None
    """`pending`, `running`, `held`, `rolled_back`, `drained`, `completed` or `retired`."""
    stage: int = 0
    """1-based; 0 while the start waits for a person, one more than the plan has once completed."""
    share: int = 0
    """Of new sessions to the canary, of 10,000."""
    baseline: str | None = None
    """The version that serves everybody else; after a promotion it is the old canary."""
    canary: str | None = None
    frozen: bool = False
    """No new rollout may start."""
    reason: str = ""
    """The newest entry's sentence."""
    actor: str = ""
    """`judge`, or whose word the newest entry is."""
    decided_at: int | None = None
    """When it was decided, Unix milliseconds."""
    score: float | None = None
    """The judge's, 0 to 100; None while there is none."""
    waiting_for: str | None = None
    """What the stage's gate waits for, a sentence."""
    looked_at: int | None = field(default=None, compare=False)
    """When the judge last looked, Unix milliseconds. Not part of whether something has changed."""


@dataclass(frozen=True, slots=True)
class View:
    """What the judge says of a rollout."""

    rollout: int
    score: float | None
    waiting_for: str | None
    looked_at: int


def _nowhere() -> Standing[OpeningOfEntry]:
    return Standing()


@dataclass(frozen=True, slots=True)
class ServiceFold:
    """What has been read of one service. Immutable: the readings return the next state."""

    service: str
    standing: Standing[OpeningOfEntry] = field(default_factory=_nowhere)
    head: Entry | None = None
    view: View | None = None

    def read_entry(self, raw: bytes) -> "ServiceFold":
        """The next record of the ledger. Raises ``ValueError`` if it is no entry; another service's changes nothing."""
        entry = Entry.read(raw)
        head = self.head.id if self.head else NO_ENTRY
        if entry.service != self.service or why_void(self.standing, head, entry) is not None:
            return self
        return replace(self, standing=self.standing.after(entry), head=entry)

    def read_view(self, raw: bytes) -> "ServiceFold":
        """The next record of the judge's view. Raises ``ValueError`` if it is none."""
        try:
            document: Mapping[str, Any] = json.loads(raw)
            if document["service"] != self.service:
                return self
            return replace(self, view=_view(document))
        except (AttributeError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"no view of a rollout: {error!r}") from error

    @property
    def rollout(self) -> Rollout:
        """What a server is told."""
        standing, head = self.standing, self.head
        known = self.view if self.view and self.view.rollout == standing.rollout else None
        return Rollout(
            service=self.service,
            number=standing.rollout,
            phase=standing.phase,
            stage=standing.stage,
            share=standing.share,
            baseline=standing.baseline,
            canary=standing.canary,
            frozen=standing.frozen,
            reason=head.reason if head else "",
            actor=head.actor if head else "",
            decided_at=head.decided_at if head else None,
            score=known.score if known else None,
            waiting_for=known.waiting_for if known else None,
            looked_at=known.looked_at if known else None,
        )


def _view(document: Mapping[str, Any]) -> View:
    score, waiting_for = document.get("score"), document.get("waiting_for")
    return View(
        rollout=int(document["rollout"]),
        score=None if score is None else float(score),
        waiting_for=None if waiting_for is None else str(waiting_for),
        looked_at=int(document["looked_at"]),
    )
