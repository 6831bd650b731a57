"""What davylamp's own policy is to come to at ten new sessions a second, and what its revisions come to. Pure."""

from collections.abc import Sequence

from bench.judge.faults import FAULTS
from bench.judge.limit import CLUMPS, expected_bound_s, robust_bound_s
from bench.judge.results import NAMES, Results
from bench.judge.rivals import End
from bench.judge.tables import CellOf, Column, cells, ended, heading, markdown, percent
from bench.judge.traffic import WINDOW_S

RATE = 10.0
MARGINS = ("margin", "margin-1%", "p99x1.1")
NEAR = ("errors+1",)
"""Beyond its margin by the least."""
TIMED = ("errors+20", "errors+5", "p99x1.5")
_FALSE, _ON_MARGIN, _WRONG = 0.01, 0.05, 0.01
_TIMES = 1.5
_REVISIONS = tuple(name for name in NAMES if name.startswith("revision"))


def targets(found: Results) -> str:
    """A row a target; what is missed is said to be."""
    every = {cell.name: cell for cell in cells(found, RATE)}
    healthy = [cell for name, cell in every.items() if not FAULTS[name].is_harmful and name not in MARGINS]
    harmful = [cell for name, cell in every.items() if FAULTS[name].is_harmful]
    rows = [
        _shares("nothing beyond a margin: rolled back", healthy, "rolled_back", _FALSE),
        *(
            _shares(FAULTS[name].title + ": rolled back", [every[name]], "rolled_back", _ON_MARGIN)
            for name in MARGINS
            if name in every
        ),
        _shares("something beyond a margin: proceeded", harmful, "proceeded", _WRONG),
        *(
            _shares(FAULTS[name].title + " alone: proceeded", [every[name]], "proceeded", _WRONG)
            for name in NEAR
            if name in every
        ),
    ]
    for name in TIMED:
        if name in every:
            rows += _times(every[name])
    return markdown(["", "at most", *map(heading, _REVISIONS)], rows)


def _shares(title: str, every: Sequence[CellOf], end: End, most: float) -> list[str]:
    told = [_share([cell.column(name) for cell in every], end, most) for name in _REVISIONS]
    return [title, f"{100 * most:.0f} %", *told]


def _share(columns: Sequence[Column], end: End, most: float) -> str:
    seen, runs = ended(columns, end)
    if not runs:
        return "–"
    return f"{percent(seen / runs, runs)} of {runs:,}{'' if seen / runs <= most else ', **missed**'}"


def _times(cell: CellOf) -> list[list[str]]:
    """Against the bound for the clumps that each run really had, against any clumps, and for those of the targets."""
    bounds = {
        "this stream's clumps": cell.bound_s,
        "any clumps": robust_bound_s(cell.name, RATE),
        f"clumps of {CLUMPS[cell.name]:g}": expected_bound_s(cell.name, RATE),
    }
    rows = []
    for of, bound_s in bounds.items():
        if bound_s is None:
            continue
        most_s = _TIMES * bound_s + WINDOW_S
        title = f"{cell.fault.title}: median time; the bound for {of} is {bound_s:.0f} s"
        rows.append([title, f"{most_s:.0f} s", *(_time(cell.column(name), most_s) for name in _REVISIONS)])
    return rows


def _time(column: Column, most_s: float) -> str:
    if not column.runs:
        return "–"
    return f"{column.median_s:.0f} s of {column.runs}{'' if column.median_s <= most_s else ', **missed**'}"
