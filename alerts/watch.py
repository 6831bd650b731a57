"""What alerts knows of one service: its chain, the newest word of each router, and when the judge last got on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from alerts.cause import Limits
from alerts.picture import Voice, in_force, picture
from schemas.control import ProxyRoute, RolloutView, RouteChange
from schemas.decisions import EntryKind, LedgerEntry
from schemas.fleet import Roster
from schemas.ledger import Accepted, ServiceLedger, Void

_NEUTRAL: frozenset[EntryKind] = frozenset({"approve", "freeze", "unfreeze"})
"""They change no share."""
_WITHOUT_CANARY: frozenset[EntryKind] = frozenset({"rollback", "drained", "retire"})


@dataclass(frozen=True, slots=True)
class Watch:
    """One service. Immutable: each `read_…` returns the next state; none of them knows what time it is."""

    service: str
    chain: ServiceLedger = field(default_factory=ServiceLedger)
    held_s: float | None = None
    """Since when it is held."""
    voices: Mapping[str, Voice] = field(default_factory=dict)
    """By router: its newest picture."""
    roster: Roster = field(default_factory=Roster)
    """Which proxies exist."""
    acknowledged: str = ""
    """Id of the entry that was last in force on every proxy; empty: none is known."""
    diverged_s: float | None = None
    """Since when the head is not in force on every proxy."""
    router_heard_s: float = -math.inf
    judge_heard_s: float = -math.inf
    looked_at: int = 0
    """The judge's newest heartbeat, by its own clock: only whether it moves matters."""
    judged: Mapping[str, int] = field(default_factory=dict)
    """How far the judge has read its inputs, by that heartbeat."""
    told: tuple[str, int] | None = None
    """Topic and partition, and offset, of the newest route change: one of the judge's inputs."""
    asked: tuple[str, str] | None = None
    """The approval that the judge last said it awaits, and the head it said that of."""

    def read_entry(self, entry: LedgerEntry, offset: int, at_s: float) -> "tuple[Watch, Accepted | Void]":
        """The next ledger entry, under the chain rule."""
        chain, result = self.chain.read(entry, offset)
        if isinstance(result, Void):
            return self, result
        before = self._started(at_s) if entry.kind == "start" else self
        return replace(before, chain=chain, held_s=self._held_since(chain, at_s)), result

    def read_route(self, change: RouteChange, at_s: float, place: tuple[str, int] | None = None) -> "Watch":
        """A router's newest picture, and where it lies in the log; its acknowledgement may come before the entry, or long
        after.
        """
        voices, roster = {**self.voices, change.router: Voice(change, at_s)}, self.roster.read(change)
        everywhere = in_force(picture(voices.values(), roster.names, change.entry, at_s, math.inf))
        return replace(
            self,
            voices=voices,
            roster=roster,
            router_heard_s=max(self.router_heard_s, at_s),
            told=place or self.told,
            acknowledged=change.entry if everywhere else self.acknowledged,
        )

    def read_view(self, view: RolloutView, at_s: float) -> "Watch":
        """The judge's newest view. One that reads nothing while there is something to read does not look, however it beats.

        A judge that took another's place may have a clock that is behind: that it moves is all that counts.
        """
        if view.looked_at == self.looked_at:
            return self
        behind = self.told is not None and view.judged.get(self.told[0], 0) <= self.told[1]
        stuck = behind and view.judged == self.judged
        heard_s = self.judge_heard_s if stuck else max(self.judge_heard_s, at_s)
        same_head = self.asked is not None and self.asked[1] == view.head
        asked = (view.awaits, view.head) if view.awaits else self.asked if same_head else None
        return replace(self, looked_at=view.looked_at, judged=view.judged, judge_heard_s=heard_s, asked=asked)

    @property
    def awaits(self) -> str | None:
        """The approval that the rollout waits for, from when the judge first said so until the ledger moves on.

        What proves a stage may come and go while people are asked: it is not asked for anew each time.
        """
        standing = self.chain.standing
        if self.asked is None or standing.phase not in ("pending", "running"):
            return None
        (approval, head), entries = self.asked, self.chain.entries
        moved = max((n for n, entry in enumerate(entries) if entry.kind not in _NEUTRAL), default=0)
        stale = any(entry.id == head for entry in entries[:moved])
        return None if stale or approval in standing.approved else approval

    def blind_after_s(self, limits: Limits) -> float:
        """How long the judge may be silent: as the rollout's plan says, or less."""
        opening = self.chain.standing.opening
        return limits.blind_s if opening is None else min(limits.blind_s, opening.plan.blind_after_s)

    def proxies(self, now_s: float, limits: Limits) -> tuple[ProxyRoute, ...]:
        """Every proxy that exists, measured by the head."""
        return picture(self.voices.values(), self.roster.names, self.chain.head_id, now_s, limits.proxies_unknown_s)

    def settled(self, now_s: float, limits: Limits) -> "Watch":
        """With `diverged_s` as of now."""
        if self.chain.head is None or in_force(self.proxies(now_s, limits)):
            return replace(self, diverged_s=None)
        return replace(self, diverged_s=now_s if self.diverged_s is None else self.diverged_s)

    def woken(self, now_s: float, since: Mapping[str, float]) -> "Watch":
        """Silence and divergence are counted from now, but from `since` (by key) for what burnt already."""
        return replace(
            self,
            router_heard_s=since.get(self.key("router_silent"), now_s),
            judge_heard_s=since.get(self.key("blind"), now_s),
            diverged_s=since.get(self.key(self.drift), now_s),
        )

    @property
    def exposed(self) -> bool:
        """Whether some proxy may still give the canary sessions: by the route last in force or one asked for since."""
        passed = False
        for entry in reversed(self.chain.entries):
            passed = passed or entry.id == self.acknowledged
            if entry.kind in _NEUTRAL:
                continue
            if entry.share > 0 and entry.kind not in _WITHOUT_CANARY:
                return True
            if passed or (not self.acknowledged and entry.kind != "rollback"):
                return False
        return False

    @property
    def drift(self) -> str:
        """A rollback that is not in force is a cause of its own, whatever drifted before."""
        return "drift_rollback" if self.chain.standing.phase == "rolled_back" else "drift"

    def key(self, *names: str) -> str:
        """Of a cause in the newest rollout."""
        return "/".join((self.service, str(self.chain.standing.rollout), *names))

    def _held_since(self, chain: ServiceLedger, at_s: float) -> float | None:
        if chain.standing.phase != "held":
            return None
        return at_s if self.held_s is None else self.held_s

    def _started(self, at_s: float) -> "Watch":
        return replace(
            self,
            router_heard_s=max(self.router_heard_s, at_s),
            judge_heard_s=max(self.judge_heard_s, at_s),
        )
