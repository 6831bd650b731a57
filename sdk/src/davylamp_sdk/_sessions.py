"""How old a session is, and since when it has been silent: remembered for those that began in this process."""

from collections import OrderedDict
from typing import Final

from davylamp_sdk._finished import FinishedRequest, Heard

CAPACITY: Final = 50_000
"""Sessions remembered, some 15 MB; the one that has been silent longest is forgotten first."""


class Sessions:
    """Used by one thread, in the order in which requests ended.

    A session has an age only if its first request was heard here: after a restart, and beyond the capacity, none is
    better than a wrong one. Principals and cookies have no birth: no age, and their first request is the first that this
    process hears of them under one label.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lives: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Session → when it began and when it was last heard, in monotonic seconds."""

    def __len__(self) -> int:
        return len(self._lives)

    def hear(self, request: FinishedRequest) -> Heard:
        """Take note of a request that has ended."""
        session = request.session
        if session is None:
            return Heard(request.first_of_session)
        if request.outcome == "rejected":
            return Heard()  # a client that knocks at a closed door is no sign of the session's life
        if request.kind != "session":
            return self._hear_birthless(f"{request.assignment} {session}", request.ended_s)
        if request.outcome == "ended":
            return self._hear_last(session, request.ended_s)
        if request.first_of_session:
            began_s = request.ended_s - request.duration_ms / 1000
            self._remember(session, began_s, request.ended_s)
            return Heard(first=True, age_ms=request.duration_ms)
        return self._hear_again(session, request.ended_s)

    def _hear_again(self, session: str, ended_s: float) -> Heard:
        life = self._lives.get(session)
        if life is None:
            return Heard()
        began_s, last_s = life
        self._remember(session, began_s, max(last_s, ended_s))
        return Heard(age_ms=(ended_s - began_s) * 1000, gap_ms=max(ended_s - last_s, 0.0) * 1000)

    def _hear_last(self, session: str, ended_s: float) -> Heard:
        heard = self._hear_again(session, ended_s)
        self._lives.pop(session, None)
        return heard

    def _hear_birthless(self, unit: str, ended_s: float) -> Heard:
        first = unit not in self._lives
        self._remember(unit, ended_s, ended_s)
        return Heard(first=first)

    def _remember(self, unit: str, began_s: float, last_s: float) -> None:
        self._lives[unit] = began_s, last_s
        self._lives.move_to_end(unit)
        if len(self._lives) > self._capacity:
            self._lives.popitem(last=False)
