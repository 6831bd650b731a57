"""How a reader of `cohort-windows` merges what it reads. Pure, and one code for every reader.

Two workers may speak for one partition (one of them a zombie), a worker may say things again after a crash, and a large
window comes in parts. Hence:

- a window counts once all its parts are there, of one worker at one moment; what is said of the window itself stands
  in the first, and a cell too large for one part is put together from several;
- a final window wins over any partial, and all finals of a window say the same; of partials the one that reaches
  furthest (``through``) wins;
- a window of a partition is final once a final of it or of a later window is there: where nothing happened not every
  window is published. A partial that such a later final overtakes is void: retention took its messages.

A window and its partition mean something within one telemetry topic only, so a reader keeps a book for each.
"""

from dataclasses import dataclass, field
from heapq import heappop, heappush

from schemas.windows import Cell, CohortWindow

MAX_SAID = 64
"""Words on an open window that are remembered: some 16 s of them. Where a partition lags behind for longer the oldest go, which
can only take from what may look bad and add to what it is compared with (:meth:`WindowBook.aligned_windows`)."""

_At = tuple[int, int]
"""(window start, partition): the order in which windows are folded."""


@dataclass(frozen=True, slots=True)
class _Saying:
    """Of which its parts belong together: one worker, one window, one moment."""

    at: _At
    final: bool
    instance: str
    through: int
    parts: int

    @classmethod
    def of(cls, window: CohortWindow) -> "_Saying":
        at = window.window_start, window.partition
        return cls(at, window.final, window.instance, window.through, window.parts)


@dataclass(slots=True)
class WindowBook:
    """The cohort windows of one service from one telemetry topic, in any order that the log may bring them.

    Feed it with :meth:`read`; then :meth:`take_final` gives each final window exactly once, and :meth:`open_windows`
    what is known beyond. Windows come out whole (``parts == 1``) and as they were published otherwise.
    """

    _source: str | None = None
    """The telemetry topic; None before the first window."""

    _best: dict[_At, CohortWindow] = field(default_factory=dict)
    _partials: dict[_At, list[CohortWindow]] = field(default_factory=dict)
    """What was last said of each open window, in the order of ``through``."""
    _open: set[_At] = field(default_factory=set)
    """Those of the best that are partials."""
    _finals: list[tuple[int, int, int]] = field(default_factory=list)
    """(window end, window start, partition) of the others, a heap: many may wait for a partition that says nothing."""
    _unfinished: dict[_Saying, dict[int, CohortWindow]] = field(default_factory=dict)
    _newest: dict[int, int] = field(default_factory=dict)
    """Partition → end of its newest final window."""
    _taken: dict[int, int] = field(default_factory=dict)
    """Partition → end of the newest window that was taken."""
    _partitions: int = 0

    def read(self, window: CohortWindow) -> None:
        """Read the next message of the service. Messages that are overtaken, or known already, change nothing.

        Raises ``ValueError`` for a window of another telemetry topic than the first one's.
        """
        self._source = self._source or window.source
        if window.source != self._source:
            raise ValueError(f"a window of {window.source} in the book of {self._source}: keep one for each")
        self._partitions = max(self._partitions, window.partitions)
        if self._overtaken(window):
            return
        whole = self._whole(window)
        if whole is None:
            return
        at = whole.window_start, whole.partition
        known = self._best.get(at)
        if known is None or _better(whole, known):
            self._best[at] = whole
            self._count(at, whole)
            said = self._partials.setdefault(at, [])
            said.append(whole)
            del said[:-MAX_SAID]
        if whole.final:
            self._close(whole.partition, whole.window_end)

    def frontier(self) -> int | None:
        """Unix milliseconds up to which every partition is final: the smallest end of their newest final windows.

        None until each of the telemetry topic's partitions has one: before, a window may lack a partition's events.
        """
        if not self._partitions or len(self._newest) < self._partitions:
            return None
        return min(self._newest.values())

    def take_final(self, upto: int | None = None) -> tuple[CohortWindow, ...]:
        """The final windows that end at or before ``upto`` and were not taken yet, by (window start, partition).

        ``upto`` is Unix milliseconds, by default the frontier. Raises ``ValueError`` beyond it: there, windows of other
        partitions may still come.
        """
        frontier = self.frontier()
        if upto is None:
            upto = frontier
        elif frontier is None or upto > frontier:
            raise ValueError(f"windows are final up to {frontier}, not up to {upto}")
        if upto is None:
            return ()
        ripe = list[_At]()
        while self._finals and self._finals[0][0] <= upto:
            _, start, partition = heappop(self._finals)
            ripe.append((start, partition))
        taken = tuple(self._best.pop(at) for at in sorted(ripe))
        for at in ripe:
            self._partials.pop(at, None)
        for window in taken:
            self._taken[window.partition] = window.window_end
        return taken

    def forget(self, upto: int) -> None:
        """Let go of what ends at or before ``upto`` (Unix milliseconds) and waits for other partitions, as if it was taken."""
        while self._finals and self._finals[0][0] <= upto:
            end, *at = heappop(self._finals)
            self._drop((at[0], at[1]))
            self._taken[at[1]] = end
        for partial in [at for at in self._open if self._best[at].window_end <= upto]:
            self._drop(partial)

    def settle(self, upto: int) -> None:
        """Of final windows that end at or before ``upto`` forget what was said while they were open: nobody aligns them."""
        for end, *at in self._finals:
            if end <= upto:
                del self._partials[at[0], at[1]][:-1]

    def open_windows(self) -> tuple[CohortWindow, ...]:
        """The best that is known of each window beyond the frontier, by (window start, partition).

        Finals are among them where a partition is ahead of the others. None of this may be taken for complete.
        """
        frontier = self.frontier()
        return tuple(w for _, w in sorted(self._best.items()) if frontier is None or w.window_end > frontier)

    def aligned_windows(self) -> tuple[tuple[CohortWindow | None, CohortWindow], ...]:
        """The open windows twice, around one moment that every partition with cells has reached: (up to it, to it or beyond).

        Partitions are read at different speeds. Who compares what one says with what another says should take the
        first of the pair for what may look bad and the second for what it is compared with: then an incident that
        both met is never seen on one side alone. The moment is the smallest ``clock_ms`` of the partitions' newest
        words. Without a first, a partition had said nothing by then.
        """
        newest: dict[int, int] = {}
        for window in self.open_windows():
            if window.cells:
                newest[window.partition] = max(newest.get(window.partition, 0), window.clock_ms)
        if not newest:
            return ()
        moment = min(newest.values())
        return tuple(
            (_last_upto(moment, said), _first_from(moment, said))
            for _, said in sorted(self._partials.items())
            if self.frontier() is None or said[0].window_end > (self.frontier() or 0)
        )

    def _overtaken(self, window: CohortWindow) -> bool:
        reached = self._taken if window.final else self._newest
        return window.window_end <= reached.get(window.partition, -1)

    def _whole(self, window: CohortWindow) -> CohortWindow | None:
        if window.parts == 1:
            return window
        saying = _Saying.of(window)
        have = self._unfinished.setdefault(saying, {})
        have[window.part] = window
        if len(have) < window.parts:
            return None
        del self._unfinished[saying]
        pieces: dict[tuple[str, str], list[Cell]] = {}
        for _, part in sorted(have.items()):
            for cell in part.cells:
                pieces.setdefault((cell.version, cell.label), []).append(cell)
        cells = tuple(map(_joined, pieces.values()))
        return have[1].model_copy(update={"part": 1, "parts": 1, "cells": cells})

    def _close(self, partition: int, end: int) -> None:
        """Forget what a final window overtakes: the parts of older ones, and partials that no final followed."""
        self._newest[partition] = max(end, self._newest.get(partition, end))
        for saying in [s for s in self._unfinished if s.at[1] == partition and s.at[0] < end]:
            del self._unfinished[saying]
        for void in [at for at in self._open if at[1] == partition and self._best[at].window_end <= end]:
            self._drop(void)

    def _count(self, at: _At, best: CohortWindow) -> None:
        if best.final:
            self._open.discard(at)
            heappush(self._finals, (best.window_end, *at))
        else:
            self._open.add(at)

    def _drop(self, at: _At) -> None:
        del self._best[at]
        self._partials.pop(at, None)
        self._open.discard(at)


def _joined(pieces: list[Cell]) -> Cell:
    """A cell that exceeded a part: all but its metrics and bucket histograms stands in the first piece."""
    if len(pieces) == 1:
        return pieces[0]
    histograms = {i: h for piece in pieces for i, h in piece.bucket_histograms.items()}
    metrics = {name: metric for piece in pieces for name, metric in piece.metrics.items()}
    return pieces[0].model_copy(update={"bucket_histograms": histograms, "metrics": metrics})


def _last_upto(moment: int, said: list[CohortWindow]) -> CohortWindow | None:
    return next((w for w in reversed(said) if w.clock_ms <= moment), None)


def _first_from(moment: int, said: list[CohortWindow]) -> CohortWindow:
    return next((w for w in said if w.clock_ms >= moment), said[-1])


def _better(new: CohortWindow, known: CohortWindow) -> bool:
    return not known.final and (new.final or new.through > known.through)
