"""Whether the judge looks, as far as a router can know, and what is to be done if it does not. Pure.

Only a router can tell silence from a quiet log: while a rollout runs it appends to one of the judge's inputs each second.
"""

from dataclasses import dataclass, field

from router.entries import draft
from schemas.control import RolloutView
from schemas.decisions import LedgerEntry, Reason
from schemas.ledger import ServiceLedger

ASLEEP_S = 5.0
"""A longer gap between two ticks means that this process was stopped: nobody else was silent."""

_Heartbeat = tuple[str, dict[str, int]]


@dataclass(slots=True)
class _Heard:
    """One service."""

    beat: _Heartbeat = ("", {})
    """Head and judged offsets, by the judge's newest word."""
    moved_s: float = 0.0
    told: tuple[str, int] | None = None
    """Topic and partition, and offset, of what this router last appended for the judge."""
    behind_s: float | None = None
    """Since when the judge has not read something that this router appended; None: it has read all."""

    def settle(self, now_s: float) -> None:
        if self.told is None or self.beat[1].get(self.told[0], 0) > self.told[1]:
            self.behind_s = None
        elif self.behind_s is None:
            self.behind_s = now_s


@dataclass(slots=True)
class Blindness:
    """The judge's heartbeat, by service. Seconds are those of one monotonic clock.

    The judge is blind while something that this router appended is unread, and neither the judged offsets nor the head
    of its view move. Time in which this router was stopped, or could not reach the log, counts for nothing.
    """

    _heard: dict[str, _Heard] = field(default_factory=dict)
    _ticked_s: float | None = None

    def view(self, view: RolloutView, now_s: float) -> None:
        """The judge's newest view."""
        self._beat(view.service, (view.head, view.judged), now_s)

    def decided(self, entry: LedgerEntry, now_s: float) -> None:
        """A new entry: one that the judge wrote says as much as its view, which may come later."""
        if entry.cut.offsets:
            self._beat(entry.service, (entry.id, entry.cut.offsets), now_s)

    def told(self, service: str, topic: str, partition: int, offset: int, now_s: float) -> None:
        """This router has appended a record that the judge reads."""
        heard = self._of(service, now_s)
        heard.told = f"{topic}-{partition}", offset
        heard.settle(now_s)

    def tick(self, now_s: float, *, reachable: bool) -> None:
        """Call it each second, with whether the log answers."""
        slept = self._ticked_s is not None and now_s - self._ticked_s > ASLEEP_S
        self._ticked_s = now_s
        if slept or not reachable:
            for heard in self._heard.values():
                heard.moved_s = now_s
                heard.behind_s = now_s if heard.behind_s is not None else None

    def lasts_s(self, service: str, now_s: float) -> float:
        """How long the judge has been blind; 0 if it looks, or if nobody can know."""
        heard = self._heard.get(service)
        if heard is None or heard.behind_s is None:
            return 0.0
        return now_s - max(heard.moved_s, heard.behind_s)

    def _beat(self, service: str, beat: _Heartbeat, now_s: float) -> None:
        heard = self._of(service, now_s)
        if beat != heard.beat:
            heard.beat, heard.moved_s = beat, now_s
            heard.settle(now_s)

    def _of(self, service: str, now_s: float) -> _Heard:
        return self._heard.setdefault(service, _Heard(moved_s=now_s))


def word(chain: ServiceLedger, blind_s: float, now_ms: int) -> LedgerEntry | None:
    """What the plan wants written when nobody has looked for so long; None if nothing, or it is done already.

    A plan that only observes is held at most.
    """
    standing = chain.standing
    if standing.opening is None or not standing.live or standing.share == 0:
        return None
    plan = standing.opening.plan
    if blind_s < plan.blind_after_s:
        return None
    reason = Reason(code="blind", sentence=f"The judge has not looked for {blind_s:.0f} s: nobody watches the canary.")
    if plan.on_blind == "rollback" and not plan.observe:
        return draft(chain, "rollback", reason, share=0, actor="router", now_ms=now_ms)
    if standing.phase != "running":
        return None
    return draft(chain, "hold", reason, share=standing.share, actor="router", now_ms=now_ms)
