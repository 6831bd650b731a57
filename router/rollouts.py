"""What each rollout of a service left behind in living sessions and cookies: which labels were given out, and what becomes of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby

from schemas.decisions import LedgerEntry, Opening
from schemas.labels import UNJUDGED, Kind, Label, salt
from schemas.plan import HoldMode
from schemas.standing import Phase, Standing


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """A version and a label that a living session or cookie may carry together."""

    version: str
    label: str


@dataclass(frozen=True, slots=True)
class Rollout:
    """The entries of one rollout, added up."""

    number: int
    phase: Phase
    opening: Opening
    baseline: str
    """The version that served everybody when it began."""
    canary: str
    highest: int
    """The highest stage that sessions were born in, 0 while the start waits for its approval."""
    completed: bool
    """It reached 100 %, whatever came then."""
    mode: HoldMode | None
    """What becomes of the canary's sessions; None unless it was rolled back."""

    @property
    def salt(self) -> str:
        """What its principals are hashed with."""
        return salt(self.opening.seed)

    @property
    def assign(self) -> tuple[Kind, ...]:
        """The kinds that it assigns: those of its start, however the service is edited."""
        return self.opening.service.assign

    def label(self, version: str, stage: int, kind: Kind) -> str:
        """The label of units of a kind that `stage` assigned to `version`."""
        return str(Label.make(self.opening.seed, self.number, self._bounded(stage), version, kind))

    @property
    def announced_pairs(self) -> list[Pair]:
        """While it runs: whatever sessions of its cohorts may carry, those of stages to come too.

        A proxy that takes a stage's route first gives out labels which the others meet before they have taken it. So
        each proxy knows them all from the start on. What 100 % gives out bears no nonce: before it is in force anybody
        could choose the canary with it.
        """
        return self._pairs(len(self.opening.plan.stages), self.canary, self.baseline)

    @property
    def canary_pairs(self) -> list[Pair]:
        """Whatever its canary's sessions may carry; those born at 100 % were never judged."""
        unjudged = [Pair(self.canary, UNJUDGED)] if self.completed else []
        return self._pairs(self._bounded(self.highest), self.canary) + unjudged

    def _pairs(self, upto: int, *versions: str) -> list[Pair]:
        """Every stage up to this one and every kind, with each of `versions`."""
        stages = range(1, upto + 1)
        return [Pair(v, self.label(v, s, kind)) for s in stages for kind in self.assign for v in versions]

    def _bounded(self, stage: int) -> int:
        return min(stage, len(self.opening.plan.stages))


def living(entries: Sequence[LedgerEntry]) -> Sequence[LedgerEntry]:
    """Those that a route may still follow from: of the newest rollout that was retired or has drained, and what came later.

    Earlier ones only from the oldest promotion on whose baseline is still kept. A ledger is kept for ever, and what a route
    costs does not grow with it: rollouts add up only while each is started before the last one has drained.
    """
    ended = next((entry.rollout for entry in reversed(entries) if entry.kind in ("retire", "drained")), 0)
    retired = next((entry.rollout for entry in reversed(entries) if entry.kind == "retire"), 0)
    undone = {entry.rollout for entry in entries if entry.kind == "rollback"}
    kept = (e.rollout for e in entries if e.kind == "complete" and e.rollout > retired and e.rollout not in undone)
    first = min(ended, next(kept, ended))
    older = next((n for n in range(len(entries), 0, -1) if entries[n - 1].rollout < first), 0)
    return entries[older:]


def rollouts(entries: Iterable[LedgerEntry]) -> list[Rollout]:
    """The rollouts of one service's accepted entries, oldest first."""
    groups = (list(group) for _, group in groupby(entries, key=lambda e: e.rollout))
    return [rollout for group in groups if (rollout := _rollout(group)) is not None]


def baking(told: list[Rollout]) -> list[Rollout]:
    """The promotions whose old baseline still serves its sessions: until they, or a later one, are retired."""
    return [r for r in _since(told, "retired") if r.phase == "completed"]


def rolled_back(told: list[Rollout], mode: HoldMode) -> list[Rollout]:
    """The rollouts whose canary's sessions are treated so.

    A drain ends with its `drained`, or with a later rollout's end: a `start` that came first leaves it none of its
    own. A re-homing ends only with a later rollout's end: the canary is rid of the sessions at once, so nobody waits.
    """
    living = [r for r in _since(told, "retired", "drained") if r.mode == mode]
    return [r for r in living if mode != "drain" or r.phase == "rolled_back"]


def _since(told: list[Rollout], *ends: Phase) -> list[Rollout]:
    """From the newest rollout that ended so on, itself included."""
    last = max((i for i, rollout in enumerate(told) if rollout.phase in ends), default=0)
    return told[last:]


def _rollout(group: list[LedgerEntry]) -> Rollout | None:
    """None for what was written before the first rollout: a freeze."""
    standing = reduce(Standing.after, group, Standing())
    if standing.phase is None or standing.opening is None:
        return None
    return Rollout(
        number=standing.rollout,
        phase=standing.phase,
        opening=standing.opening,
        baseline=group[0].baseline,
        canary=group[0].canary,
        highest=max(e.stage for e in group),
        completed=any(e.kind == "complete" for e in group),
        mode=next((e.hold_mode for e in group if e.kind == "rollback"), None),
    )
