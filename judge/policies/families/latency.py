"""Latency by exceedances: how many of the canary's requests are slower than the baseline's own quantile allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from judge.policies.families.port import Claim, Figures, Rows, Spread, Teller, Totals, Whole
from judge.policies.families.rates import Clusters
from judge.stats.histogram import Dense, RollingHistogram, Threshold, dense, quantile, threshold
from judge.trial import COHORTS, Cohort, CohortCells, TrialWindow
from schemas.checks import LatencyCheck
from schemas.decisions import Count
from schemas.windows import BUCKETS, COARSE_PER_FINE


@dataclass(slots=True)
class Latency:
    """Requests above the baseline's quantile, and the canary's above so much more than that.

    The quantile is that of the baseline's newest closed windows, taken anew each `refresh` of data time and always
    before the requests that it judges: so any threshold is fair, even a wrong one, and a shared slow database raises it
    for both. Both cohorts are counted in the same windows. Waits for final windows, for only they say how the slow
    requests are spread over sessions.
    """

    claim: Claim
    plan: LatencyCheck
    clusters: Clusters = field(default_factory=Clusters)
    threshold: Threshold | None = None
    _rolling: dict[Cohort, RollingHistogram] = field(init=False)
    _refreshed: int = -1
    """Number of the period in which the threshold was taken."""

    def __post_init__(self) -> None:
        """Without data."""
        self._rolling = {cohort: RollingHistogram(1000 * self.plan.over_s) for cohort in COHORTS}

    @property
    def quantile(self) -> float:
        """0.99 of the p99."""
        return 1 - (self.claim.tail or 0.0)

    def fold(self, window: TrialWindow) -> Rows:
        """See :class:`Family`."""
        self._refresh(window.end_ms - window.window_ms)
        rows = self._rows(window) if self.threshold is not None else {}
        for cohort in COHORTS:
            self._rolling[cohort].add(window.end_ms, dense(cell.histogram for cell in window.cells(cohort)))
        return rows

    def peek(self, window: TrialWindow) -> Rows:
        """See :class:`Family`."""
        return {}

    def spread(self, still_open: Sequence[TrialWindow] = ()) -> Spread:
        """See :class:`Family`."""
        found = self.clusters.dispersion()
        return Spread(found.pooled, found.widespread, proof=found.proof)

    def teller(self) -> Teller:
        """See :class:`Family`. The values are both cohorts' quantiles over the newest windows."""
        newest = {cohort: rolling.total for cohort, rolling in self._rolling.items()}
        return partial(_figures, self.quantile, newest, self.threshold)

    def _refresh(self, now_ms: int) -> None:
        period = int(now_ms // (1000 * self.plan.refresh_s))
        if period == self._refreshed and self.threshold is not None:
            return
        for rolling in self._rolling.values():
            rolling.forget(now_ms)
        baseline = self._rolling["baseline"].total
        enough = baseline.sum() >= self.plan.min_calls
        self.threshold = threshold(baseline, self.quantile, self.plan.within) if enough else None
        self._refreshed = period

    def _rows(self, window: TrialWindow) -> Rows:
        rows = {}
        for stratum, pair in window.strata.items():
            rows[stratum.stage, stratum.kind, 0] = np.array(
                [[*self._count("canary", pair.canary), *self._count("baseline", pair.baseline)]], np.int64
            )
        return rows

    def _count(self, cohort: Cohort, counted: CohortCells) -> tuple[int, int]:
        edge = self._edge(cohort)
        histogram = dense(cell.histogram for cell in counted.cells)
        coarse = -(-edge // COARSE_PER_FINE)
        if _floor(counted) <= coarse:  # else nobody knows whose the slow ones below the floor were
            self.clusters.add(cohort, _slow_buckets(counted, coarse))
        return int(histogram.sum()), int(histogram[edge:].sum())

    def _edge(self, cohort: Cohort) -> int:
        if self.threshold is None:
            raise RuntimeError("requests were counted without a threshold")
        return self.threshold.canary if cohort == "canary" else self.threshold.baseline


def _figures(
    q: float,
    newest: Mapping[Cohort, Dense],
    above: Threshold | None,
    totals: Totals,
    log_e: Sequence[float],  # noqa: ARG001 - a Teller
) -> Figures:
    n_canary, bad_canary, n_baseline, bad_baseline = totals
    values = {c: quantile(newest[c], q) for c in COHORTS}
    shown = {c: float(f"{v:.6g}") if v is not None else None for c, v in values.items()}
    return Figures(
        Count(n=n_baseline, bad=bad_baseline, value=shown["baseline"]),
        Count(n=n_canary, bad=bad_canary, value=shown["canary"]),
        *(above.values if above is not None else (None, None)),
    )


def _floor(counted: CohortCells) -> int:
    """From this coarse bin on the histograms of session buckets hold everything.

    It is the window's own p75 and may lie above a threshold of the last ten minutes: where both cohorts have just become
    slower, most requests are slow. All of them count as such, by the cells' whole histograms; but how they cluster is not
    estimated from the slowest quarter, which may well be spread evenly: that is left to the other windows.
    """
    return max((cell.bucket_floor for cell in counted.cells if cell.bucket_floor is not None), default=0)


def _slow_buckets(counted: CohortCells, coarse: int) -> Whole:
    """Requests and slow ones of each session bucket, shape (64, 2).

    Coarse bins that begin above the edge: the dispersion of what is a little slower still, as good an estimate.
    """
    table = np.zeros((BUCKETS, 2), np.int64)
    table[:, 0] = counted.buckets[:, 4]
    for cell in counted.cells:
        for bucket, bins in cell.bucket_histograms.items():
            table[bucket, 1] += sum(n for index, n in bins.items() if index >= coarse)
    return table
