"""Results as tables: a row a fault, a column a judge, each number with how many runs it is of. Pure."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.judge.faults import FAULTS, RATES, Fault
from bench.judge.results import NAMES, Results, Run, Said
from bench.judge.rivals import OURS, End
from bench.judge.simulate import goal

_FEW = 5
"""Below so many times a median has no standard error worth telling."""
_RESAMPLES = 400
_RARE = 0.01
"""Seldom or nearly always is told with a decimal."""


@dataclass(frozen=True, slots=True)
class Column:
    """One judge in one cell: what it said, run by run."""

    fault: Fault
    said: tuple[Said, ...]

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.said)

    def share(self, *ends: str) -> float:
        """Of runs that ended so."""
        return sum(s.verdict.end in ends for s in self.said) / self.runs

    @property
    def early(self) -> float:
        """Share of rollbacks before there was any fault."""
        return sum(self._is_early(s) for s in self.said) / self.runs

    @property
    def caught(self) -> tuple[Said, ...]:
        """Rollbacks since the fault began."""
        return tuple(s for s in self.said if s.verdict.end == "rolled_back" and not self._is_early(s))

    @property
    def times_s(self) -> tuple[float, ...]:
        """From the fault's begin, ascending."""
        return tuple(sorted(s.verdict.at_s - self.fault.begins_s for s in self.caught))

    @property
    def _all_times_s(self) -> list[float]:
        """Of what was not over before there was a fault. What was not found is found never: else whoever finds little were praised."""
        early = sum(map(self._is_early, self.said))
        return [*self.times_s, *[math.inf] * (self.runs - early - len(self.times_s))]

    @property
    def median_s(self) -> float:
        """Infinite where less than half were found, or every run was over before there was a fault."""
        return statistics.median(self._all_times_s or [math.inf])

    @property
    def p95_s(self) -> float:
        """Infinite where less were found."""
        return self._all_times_s[math.ceil(0.95 * len(self._all_times_s)) - 1]

    @property
    def harmed(self) -> float:
        """Median of the sessions that were harmed by then."""
        return float(np.median([s.harmed for s in self.caught]))

    def _is_early(self, said: Said) -> bool:
        return said.verdict.end == "rolled_back" and said.verdict.at_s <= self.fault.begins_s


@dataclass(frozen=True, slots=True)
class CellOf:
    """One fault at one rate."""

    rate: float
    name: str
    runs: tuple[Run, ...]

    @property
    def fault(self) -> Fault:
        """What is wrong."""
        return FAULTS[self.name]

    def column(self, judge: str) -> Column:
        """What one judge said."""
        return Column(self.fault, tuple(run.said[judge] for run in self.runs if judge in run.said))

    @property
    def bound_s(self) -> float | None:
        """Median of Wald's bound; None without any."""
        found = [run.bound_s for run in self.runs if run.bound_s is not None]
        return float(np.median(found)) if len(found) == len(self.runs) else None


def ended(columns: Iterable[Column], end: End) -> tuple[int, int]:
    """How many runs of several cells ended so, and of how many."""
    ends = [said.verdict.end for column in columns for said in column.said]
    return ends.count(end), len(ends)


def cells(found: Results, rate: float) -> list[CellOf]:
    """Those with runs, in the faults' order."""
    every = [CellOf(rate, name, tuple(r for r in found.runs if (r.rate, r.fault) == (rate, name))) for name in FAULTS]
    return [cell for cell in every if cell.runs]


def tables(found: Results) -> str:
    """All of them, as Markdown."""
    return "\n\n".join(_of_rate(found, rate) for rate in RATES if cells(found, rate))


def _of_rate(found: Results, rate: float) -> str:
    every = cells(found, rate)
    parts = [f"### {rate:g} new sessions a second"]
    healthy = [cell for cell in every if not cell.fault.is_harmful]
    harmful = [cell for cell in every if cell.fault.is_harmful]
    if healthy:
        parts += ["Rolled back although nothing (beyond a margin) was wrong:", _healthy(healthy)]
    if harmful:
        parts += ["Rolled back because something was:", _harmful(harmful)]
    return "\n\n".join(parts)


def _healthy(every: Sequence[CellOf]) -> str:
    rows = [[_title(cell), *(_cell(_false, cell, judge) for judge in NAMES)] for cell in every]
    return markdown(["runs", *map(heading, NAMES)], rows)


def _harmful(every: Sequence[CellOf]) -> str:
    rows = [[_title(cell), *(_cell(_true, cell, judge) for judge in NAMES), *_bound(cell)] for cell in every]
    return markdown(["runs", *map(heading, NAMES), "Wald's bound", "ours / bound"], rows)


def heading(judge: str) -> str:
    """Of a judge's column."""
    return "ours" if judge == OURS else f"ours, {judge}" if judge.startswith("revision") else judge


def _title(cell: CellOf) -> str:
    n, wanted = len(cell.runs), goal(cell.rate, cell.name)
    return f"{cell.fault.title} ({n} of {wanted})" if n < wanted else f"{cell.fault.title} ({n})"


def _cell(tell: Callable[[Column], str], cell: CellOf, judge: str) -> str:
    """A judge that was added later may have seen fewer of the streams."""
    column = cell.column(judge)
    if not column.runs:
        return "–"
    return tell(column) if column.runs == len(cell.runs) else f"{tell(column)} (of {column.runs})"


def _false(column: Column) -> str:
    held = column.share("held")
    return f"{percent(column.share('rolled_back'), column.runs)}{f', held {100 * held:.0f} %' if held else ''}"


def _true(column: Column) -> str:
    """Median ± its standard error / 95th percentile, seconds; sessions harmed; then what went otherwise."""
    told = []
    times = column.times_s
    if times:
        error = error_of_median(times) if len(times) == column.runs else ""
        told.append(f"{_seconds(column.median_s)}{error} / {_seconds(column.p95_s)} · {column.harmed:.0f}")
    if len(times) < column.runs:
        told.append(f"{percent(len(times) / column.runs, column.runs)} found")
    for word, share in (("early", column.early), ("wrong", column.share("proceeded")), ("held", column.share("held"))):
        if share:
            told.append(f"{word} {100 * share:.0f} %")
    return ", ".join(told)


def _bound(cell: CellOf) -> list[str]:
    """And how many times longer ours takes, where it finds more than half."""
    bound, column = cell.bound_s, cell.column(OURS)
    if bound is None or not column.runs:
        return ["–", "–"]
    ratio = column.median_s / bound
    return [_seconds(bound), f"{ratio:.1f}" if math.isfinite(ratio) else "–"]


def percent(share: float, runs: int) -> str:
    """With its standard error; at the ends with what it may be all the same (95 %, the rule of three)."""
    if share in {0.0, 1.0}:
        sign = "<" if share == 0 else ">"
        limit = 100 * min(3 / runs, 1.0)
        digits = 0 if limit >= 1 else 1
        return f"{100 * share:.0f} % ({sign} {limit if share == 0 else 100 - limit:.{digits}f} %)"
    digits = 1 if min(share, 1 - share) < _RARE else 0
    return f"{100 * share:.{digits}f} ± {100 * math.sqrt(share * (1 - share) / runs):.{digits}f} %"


def error_of_median(times: Sequence[float]) -> str:
    """Bootstrap of the median."""
    if len(times) < _FEW:
        return ""
    random = np.random.default_rng(1)
    medians = np.median(random.choice(np.array(times), (_RESAMPLES, len(times))), axis=1)
    return f" ± {float(medians.std()):.0f}"


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if math.isfinite(value) else "never"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
