"""Requests of one proxy that are open for long: each is logged again and again, and counted once. Pure."""

from dataclasses import dataclass, field

from router.bootstrap_reports import HUNG_AFTER_S
from router.proxy_log import Logged, Request

KEPT = 10_000
"""So many are remembered. Of more, each further one counts as new whenever it is logged."""
FORGOTTEN_AFTER_MS = 3_000 * HUNG_AFTER_S
"""Of a request that ends well nothing is logged: what is not logged any more is over."""


@dataclass(frozen=True, slots=True)
class _Open:
    times: int
    logged_ms: int


@dataclass(slots=True)
class OpenRequests:
    """Those that were logged while they were open."""

    kept: int = KEPT
    _known: dict[Request, _Open] = field(default_factory=dict)
    """In the order in which they were logged last."""

    def read(self, one: Logged, now_ms: int) -> int:
        """The next entry of the log. Returns how many there were of its request, with this one.

        An open request is logged each :data:`HUNG_AFTER_S`, but not how long it is open: so many entries are its age.
        """
        before = self._known.pop(one.request, None)
        times = before.times + 1 if before else 1
        if not one.ended and self._has_room(now_ms):
            self._known[one.request] = _Open(times, now_ms)
        return times

    def _has_room(self, now_ms: int) -> bool:
        while len(self._known) >= self.kept:
            last, oldest = next(iter(self._known.items()))
            if now_ms - oldest.logged_ms < FORGOTTEN_AFTER_MS:
                return False
            del self._known[last]
        return True
