"""What two cohorts did, window by window: the time series that other systems' judges compare. Pure.

davylamp's own policy compares counts, stratum by stratum. Kayenta, Flagger and Argo compare *values over time*: a rate or a
latency for each minute. Here those are made from cohort windows, and from nothing else.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from davylamp_sdk._event import Outcome
from judge.stats.histogram import dense, quantile
from schemas.decisions import Count
from schemas.labels import Label
from schemas.outcomes import ERROR_BAD, ERROR_COUNTED, LATENCY_COUNTED, requests_in, total
from schemas.window_book import WindowBook
from schemas.windows import MICRO, Cell, CohortWindow

_QUANTILES = {"latency_p50": 0.5, "latency_p90": 0.9, "latency_p95": 0.95, "latency_p99": 0.99}
_RATES: Mapping[str, frozenset[Outcome]] = {
    "error_rate": ERROR_BAD,
    "cancel_rate": frozenset({"cancelled"}),
    "rejected_rate": frozenset({"rejected"}),
}
_TOTALS = ("requests", "new_sessions")

VALUES = (*_RATES, "tool_success", *_QUANTILES, *_TOTALS)
"""What every service's windows give; the names of its custom metrics come on top. Rates are of bad ones, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What one cohort did in some time; tallies of different times add up."""

    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    tool_calls: int = 0
    tool_failures: int = 0
    new_sessions: int = 0
    histogram: Mapping[int, int] = field(default_factory=dict)
    """Latency: bin → requests."""
    metrics: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Custom metric → how many values, and their sum in millionths."""

    @classmethod
    def of(cls, cell: Cell) -> "Tally":
        """One cell's."""
        return cls(
            outcomes=cell.outcomes,
            tool_calls=sum(bucket.tools for bucket in cell.buckets.values()),
            tool_failures=sum(bucket.tf for bucket in cell.buckets.values()),
            new_sessions=cell.new_sessions,
            histogram=cell.histogram,
            metrics={name: (metric.n, metric.micro) for name, metric in cell.metrics.items()},
        )

    def __add__(self, other: "Tally") -> "Tally":
        names = {*self.metrics, *other.metrics}
        pairs = {name: (self.metrics.get(name, (0, 0)), other.metrics.get(name, (0, 0))) for name in names}
        return Tally(
            outcomes=Counter(self.outcomes) + Counter(other.outcomes),
            tool_calls=self.tool_calls + other.tool_calls,
            tool_failures=self.tool_failures + other.tool_failures,
            new_sessions=self.new_sessions + other.new_sessions,
            histogram=Counter(self.histogram) + Counter(other.histogram),
            metrics={name: (a[0] + b[0], a[1] + b[1]) for name, (a, b) in pairs.items()},
        )

    def count(self, name: str) -> Count:
        """What `name` counts here, with its value. Raises ``KeyError`` for what windows never give.

        A custom metric that no request brought counts nothing: there is no telling whether it exists.
        """
        n, bad, value = self._counted(name)
        return Count(n=n, bad=bad, value=None if n == 0 else value)

    def value(self, name: str) -> float:
        """The value of `name`: a rate (0 to 1), milliseconds, a total or a mean. NaN where nothing was counted."""
        found = self.count(name)
        return math.nan if found.value is None else found.value

    def _counted(self, name: str) -> tuple[int, float, float | None]:
        """How many, how many (or how much) of it, and the value."""
        if name in _RATES:
            n = total(self.outcomes, ERROR_COUNTED | _RATES[name])
            bad = total(self.outcomes, _RATES[name])
            return n, bad, bad / n if n else None
        if name == "tool_success":
            return (
                self.tool_calls,
                self.tool_failures,
                self.tool_failures / self.tool_calls if self.tool_calls else None,
            )
        if name in _QUANTILES:
            return total(self.outcomes, LATENCY_COUNTED), 0, quantile(dense([self.histogram]), _QUANTILES[name])
        if name in _TOTALS:
            many = self.new_sessions if name == "new_sessions" else requests_in(self.outcomes)
            return max(many, 1), many, float(many)
        n, micro = self.metrics.get(name, (0, 0))
        return n, micro / MICRO, micro / MICRO / n if n else None


@dataclass(frozen=True, slots=True)
class Slot:
    """Both cohorts in one stretch of time."""

    end_ms: int
    baseline: Tally = Tally()
    canary: Tally = Tally()


@dataclass(frozen=True, slots=True)
class CohortSeries:
    """A rollout's labelled sessions, slot by slot in time order; what lies between slots was empty."""

    slots: tuple[Slot, ...]
    slot_ms: int = 0
    """0 without any slot."""

    def over(self, from_ms: int, to_ms: int) -> Slot:
        """All slots that end after `from_ms` and at or before `to_ms`, as one."""
        first, last = (bisect_right(self.slots, ms, key=lambda slot: slot.end_ms) for ms in (from_ms, to_ms))
        inside = self.slots[first:last]
        return Slot(to_ms, total_of(slot.baseline for slot in inside), total_of(slot.canary for slot in inside))

    def coarser(self, slot_ms: int) -> "CohortSeries":
        """The same in slots of `slot_ms`, from the first one on without a gap; the last one may not be full."""
        if not self.slots:
            return self
        start, end = self.start_ms, self.slots[-1].end_ms
        edges = range(start, end, slot_ms)
        return CohortSeries(tuple(self.over(edge, edge + slot_ms) for edge in edges), slot_ms)

    @property
    def start_ms(self) -> int:
        """Where the first slot begins; 0 without any."""
        return self.slots[0].end_ms - self.slot_ms if self.slots else 0

    @property
    def total(self) -> Slot:
        """Everything as one."""
        return self.over(-1, self.slots[-1].end_ms) if self.slots else Slot(0)


def cohort_series(
    windows: Iterable[CohortWindow], baseline: str, canary: str, rollout: int | None = None
) -> CohortSeries:
    """The final windows of one service as a series, merged over partitions and workers as every reader merges them.

    Only labelled sessions are in it: those that `rollout` assigned, by default the newest one that a label names.
    Labels are taken at their word: who has the ledger can tell a forged one, a file of windows cannot.
    """
    finals = final_windows(windows)
    if rollout is None:
        rollout = max(
            (label.rollout for w in finals for cell in w.cells if (label := Label.parse(cell.label))), default=0
        )
    found: dict[int, Slot] = {}
    for window in finals:
        sides = {version: total_of(_of_rollout(window.cells, version, rollout)) for version in (baseline, canary)}
        here = found.get(window.window_end, Slot(window.window_end))
        found[window.window_end] = Slot(window.window_end, here.baseline + sides[baseline], here.canary + sides[canary])
    slots = tuple(slot for _, slot in sorted(found.items()))
    first = next((i for i, slot in enumerate(slots) if slot.baseline.outcomes or slot.canary.outcomes), len(slots))
    return CohortSeries(slots[first:], finals[0].window_ms if finals else 0)


def final_windows(windows: Iterable[CohortWindow]) -> tuple[CohortWindow, ...]:
    """What every partition has closed, in the order in which the judge folds it."""
    book = WindowBook()
    for window in windows:
        book.read(window)
    return book.take_final()


def _of_rollout(cells: Sequence[Cell], version: str, rollout: int) -> Iterable[Tally]:
    for cell in cells:
        label = Label.parse(cell.label)
        if cell.version == version and label is not None and label.rollout == rollout:
            yield Tally.of(cell)


def total_of(tallies: Iterable[Tally]) -> Tally:
    """All of them as one."""
    return sum(tallies, Tally())
