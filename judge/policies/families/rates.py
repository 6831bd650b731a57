"""Rates of requests: errors, failed tool calls, cancelled and rejected requests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from judge.policies.families.port import LARGEST_SUM, Claim, Figures, Rows, Spread, Teller, Totals, Whole, added
from judge.stats.dispersion import MIN_BUCKETS, Dispersion, Pooling, shrunk
from judge.trial import COHORTS, Cohort, CohortCells, TrialWindow
from schemas.decisions import Count
from schemas.outcomes import ERROR_BAD, ERROR_COUNTED, total
from schemas.windows import BUCKETS

Counting = Callable[[CohortCells], tuple[int, int]]
"""(counted, bad)."""

UNCLUSTERED_DISPERSION = 3.0
"""Where sessions cannot be told apart: more than was measured for errors that come in clumps."""


def errors(cohort: CohortCells) -> tuple[int, int]:
    """Requests, and those that failed."""
    cells = cohort.cells
    return sum(total(c.outcomes, ERROR_COUNTED) for c in cells), sum(total(c.outcomes, ERROR_BAD) for c in cells)


def tool_failures(cohort: CohortCells) -> tuple[int, int]:
    """Tool calls, and those that failed."""
    return sum(c.tool_calls for c in cohort.cells), int(cohort.buckets[:, 3].sum())


def cancellations(cohort: CohortCells) -> tuple[int, int]:
    """Requests, and those that the client cancelled."""
    cancelled = sum(c.outcomes.get("cancelled", 0) for c in cohort.cells)
    return errors(cohort)[0] + cancelled, cancelled


def rejections(cohort: CohortCells) -> tuple[int, int]:
    """Requests, and those that the transport rejected."""
    rejected = sum(c.outcomes.get("rejected", 0) for c in cohort.cells)
    return errors(cohort)[0] + rejected, rejected


def rows_of(window: TrialWindow, count: Counting) -> Rows:
    """One row a stratum, of one column."""
    return {
        (stratum.stage, stratum.kind, 0): np.array([[*count(pair.canary), *count(pair.baseline)]], np.int64)
        for stratum, pair in window.strata.items()
    }


def rate_count(n: int, bad: int) -> Count:
    """A cohort's counts, with the rate if there is one."""
    return Count(n=n, bad=bad, value=float(f"{bad / n:.6g}") if n else None)


def rate_figures(totals: Totals, log_e: Sequence[float] = ()) -> Figures:  # noqa: ARG001 - a Teller
    """Counts with their rates."""
    n_canary, bad_canary, n_baseline, bad_baseline = totals
    return Figures(rate_count(n_baseline, bad_baseline), rate_count(n_canary, bad_canary))


def _no_buckets() -> dict[Cohort, Whole]:
    return {cohort: np.zeros((BUCKETS, 2), np.int64) for cohort in COHORTS}


@dataclass(slots=True)
class Clusters:
    """Sums per session bucket of both cohorts, over the rollout."""

    sums: dict[Cohort, Whole] = field(default_factory=_no_buckets)
    pooling: Pooling = shrunk

    def copy(self) -> "Clusters":
        """To add more to."""
        return replace(self, sums=dict(self.sums))

    def add(self, cohort: Cohort, table: Whole) -> None:
        """Shape (64, 2), nothing negative. A sum beyond 64 bits stays at the largest, and :meth:`full` says so."""
        self.sums[cohort] = added(self.sums[cohort], table)

    def full(self) -> bool:
        """Whether a cohort's buckets together are more than 64 bits hold: then its totals and its clusters are not known."""
        return any(sums.sum(axis=0, dtype=np.float64).max() >= LARGEST_SUM for sums in self.sums.values())

    def dispersion(self, floor: float = 1.0, unit: float = 1.0) -> Dispersion:
        """Of both cohorts, pooled; one counted bad is worth `unit`."""
        return _dispersion(self.sums["canary"].tobytes(), self.sums["baseline"].tobytes(), floor, unit, self.pooling)


@lru_cache(maxsize=16)
def _dispersion(canary: bytes, baseline: bytes, floor: float, unit: float, pooling: Pooling) -> Dispersion:
    """All tool calls are asked for by two checks."""
    scale = np.array([1.0, unit])
    one, other = (np.frombuffer(table, np.int64).reshape(-1, 2) * scale for table in (canary, baseline))
    return pooling(one, other, floor)


@dataclass(slots=True)
class ClusteredRate:
    """A rate whose counts come per session bucket, in open windows too."""

    claim: Claim
    count: Counting
    columns: slice
    """Of the bucket table: counted, bad."""
    clusters: Clusters = field(default_factory=Clusters)

    def fold(self, window: TrialWindow) -> Rows:
        """See :class:`Family`."""
        for cohort in COHORTS:
            self.clusters.add(cohort, window.buckets(cohort)[:, self.columns])
        return self.peek(window)

    def peek(self, window: TrialWindow) -> Rows:
        """See :class:`Family`."""
        return rows_of(window, self.count)

    def spread(self, still_open: Sequence[TrialWindow] = ()) -> Spread:
        """See :class:`Family`."""
        clusters = self.clusters.copy()
        for window in still_open:
            for cohort in COHORTS:
                clusters.add(cohort, window.buckets(cohort)[:, self.columns])
        found = clusters.dispersion()
        return Spread(found.pooled, found.widespread, proof=found.proof)

    def teller(self) -> Teller:
        """See :class:`Family`."""
        return rate_figures


@dataclass(slots=True)
class UnclusteredRate:
    """A rate whose sessions cannot be told apart: a fixed dispersion, and events in at least three windows."""

    claim: Claim
    count: Counting
    windows: int = 0
    """With a bad request of the canary."""

    def fold(self, window: TrialWindow) -> Rows:
        """See :class:`Family`."""
        rows = rows_of(window, self.count)
        self.windows += any(row[0, 1] for row in rows.values())
        return rows

    def peek(self, window: TrialWindow) -> Rows:
        """See :class:`Family`."""
        return {}

    def spread(self, still_open: Sequence[TrialWindow] = ()) -> Spread:
        """See :class:`Family`."""
        return Spread(UNCLUSTERED_DISPERSION, self.windows >= MIN_BUCKETS)

    def teller(self) -> Teller:
        """See :class:`Family`."""
        return rate_figures
