"""What one telemetry topic says of a service. Pure: a fold of its windows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from judge.history import History
from judge.impossible import ImpossibleWindowError, ended_at_most, refuse_impossible
from judge.trial import by_rollout
from schemas.window_book import WindowBook
from schemas.windows import Cell, CohortWindow

KEPT_MS = 7_200_000
"""Twice as long as a rollout looks back from its start."""

_SETTLED_MS = 60_000
"""Windows that closed so long ago are no longer compared as open ones."""


@dataclass(frozen=True, slots=True)
class Closed:
    """What one window, of all partitions, says of one rollout: final."""

    end_ms: int
    window_ms: int
    cells: list[Cell]


@dataclass(slots=True)
class Source:
    """One telemetry topic of one service."""

    book: WindowBook = field(default_factory=WindowBook)
    windows: dict[int, list[Closed]] = field(default_factory=dict)
    """Final windows by rollout that nobody has compared yet: a start may be read after windows of its sessions."""
    history: History = field(default_factory=History)
    """How often each version failed, before a rollout too."""
    incomplete_ms: int | None = None
    """End of the newest window that lacks something, or that counts what is impossible."""
    window_ms: int = 0
    """The size of a window; 0 before the first."""
    _newest_ms: int = 0
    _forgotten_ms: int = 0

    def read(self, window: CohortWindow, oldest: int, told_ms: int | None = None) -> None:
        """What one partition says; windows are folded once every partition has closed them.

        Rollouts before number `oldest` are over: nobody compares their sessions any more. Raises
        :class:`judge.impossible.ImpossibleWindowError`: what such a window should have said is missing. `told_ms` is when
        the log took it, where there is a log: none can have begun after.
        """
        try:
            refuse_impossible(window, told_ms)
        except ImpossibleWindowError:
            self._lacks(ended_at_most(window, told_ms))
            raise
        self.book.read(window)
        self.window_ms, self._newest_ms = window.window_ms, max(self._newest_ms, window.window_end)
        for _, finals in groupby(self.book.take_final(), key=lambda final: final.window_start):
            self._close(tuple(finals), oldest)

    def forget(self) -> None:
        """Let go of all that no rollout which starts from now on will ask for.

        Where a service is heard on a topic by mistake, on some of its partitions, nothing would ever be closed.
        """
        upto = self._newest_ms - KEPT_MS
        if upto < self._forgotten_ms + _SETTLED_MS:
            return
        self._forgotten_ms = upto
        self.book.forget(upto)
        self.book.settle(self._newest_ms - _SETTLED_MS)
        newer = {rollout: [c for c in closed if c.end_ms > upto] for rollout, closed in self.windows.items()}
        self.windows = {rollout: closed for rollout, closed in newer.items() if closed}

    def _close(self, finals: Sequence[CohortWindow], oldest: int) -> None:
        """One window, of every partition that had something to say."""
        cells = [cell for final in finals for cell in final.cells]
        self.history.add(finals[0].window_end, cells)
        if any(final.incomplete for final in finals):
            self._lacks(finals[0].window_end)
        for rollout, labelled in by_rollout(cells).items():
            if rollout >= oldest:
                closed = Closed(finals[0].window_end, finals[0].window_ms, labelled)
                self.windows.setdefault(rollout, []).append(closed)

    def _lacks(self, end_ms: int) -> None:
        self.incomplete_ms = max(self.incomplete_ms or 0, end_ms)
