"""Files of windows that no topic holds: cut, shuffled or put together by hand. Pure.

What the judge reads from its log it need not ask this: there a window that comes too late is passed over, and the first of two
counts, for both can be nothing but the same said again. Of a file each would be a judgement of less than what stands in it.
"""

from collections.abc import Iterable, Sequence

from schemas.windows import CohortWindow

_Lane = tuple[int, int]
"""Partition and width: where the width was changed the same time is told once more, in other windows."""
_At = tuple[_Lane, int, int, int]
"""Lane, start, part, parts."""


class DisorderError(ValueError):
    """The final windows are not those of one topic, in its order."""


def refuse_disorder(windows: Iterable[CohortWindow]) -> None:
    """Raises :class:`DisorderError`. The windows are of one service and one telemetry topic.

    A worker may say a window again after a crash: the same, and then empty ones that were left out before. Of the newest windows
    parts may be still to come.
    """
    told: dict[_At, CohortWindow] = {}
    newest: dict[_Lane, int] = {}
    starts: set[tuple[_Lane, int]] = set()
    for window in (window for window in windows if window.final):
        lane, start = (window.partition, window.window_ms), window.window_start
        at = lane, start, window.part, window.parts
        _refuse_twice(window, told.get(at))
        last = newest.get(lane, start)
        if window.cells and start < last and (lane, start) not in starts:
            raise DisorderError(
                f"{_place(window)}: it stands after {last}: leave the windows in the order of their topic"
            )
        told[at], newest[lane] = window, max(last, start)
        starts.add((lane, start))
    for at, window in told.items():
        _refuse_gap(at, window, told, newest[at[0]])


def _refuse_twice(window: CohortWindow, before: CohortWindow | None) -> None:
    if before is not None and before.cells != window.cells:
        raise DisorderError(f"{_place(window)}: it stands twice, with other counts")
    cohorts = [(cell.version, cell.label) for cell in window.cells]
    for i, cohort in enumerate(cohorts):
        if (first := cohorts.index(cohort)) != i:
            raise DisorderError(f"{_place(window)}: cells[{i}]: its version and label are those of cells[{first}]")


def _refuse_gap(at: _At, window: CohortWindow, told: Iterable[_At], newest: int) -> None:
    lane, start, _, parts = at
    missing: Sequence[int] = [n for n in range(1, parts + 1) if (lane, start, n, parts) not in told]
    if missing and start < newest:
        raise DisorderError(f"{_place(window)}: part {missing[0]} of {parts} is missing")


def _place(window: CohortWindow) -> str:
    return f"window {window.window_start} of {window.source}-{window.partition}"
