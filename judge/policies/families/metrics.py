"""Custom metrics: numbers that servers send with their requests, as a rate or as a mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import chain

import numpy as np

from judge.policies.families.port import LARGEST_SUM, Claim, Figures, Rows, Spread, Teller, Totals, Whole
from judge.policies.families.rates import Clusters
from judge.stats.dispersion import MIN_BUCKETS, MIN_FILLED
from judge.stats.histogram import BINS, Dense, dense, edges, quantile_bin
from judge.trial import COHORTS, Cohort, CohortCells, TrialWindow
from schemas.checks import LARGEST_FALL, CustomCheck
from schemas.decisions import Count
from schemas.windows import BUCKETS, COARSE_PER_FINE, MICRO, Metric

UNIT = 1 / MICRO
LARGEST = 1e9
"""No value is larger: streams leave such ones out."""

WINSORISED_AT = 0.999
CAP_CALLS = 200
"""Baseline values from which the cap is taken, once; before there is no data."""
_LEAST_VARIATION = 1e-3
"""A metric that never varies would prove any difference at once: D is at least this part of its mean."""


def claim_of(name: str, plan: CustomCheck) -> Claim:
    """What the plan allows. Lower is worse: the arms are exchanged, so the baseline may be so much above the canary."""
    ratio = plan.within.ratio or 0.0
    allowed = 1 + ratio if plan.worse == "higher" else 1 / (1 - min(ratio, LARGEST_FALL))
    is_mean = plan.kind == "mean"
    return Claim(
        name,
        kind=plan.kind,
        worse=plan.worse,
        margin=plan.within.points or 0.0,
        ratio=allowed,
        unit=UNIT,
        scale=LARGEST if is_mean else 1.0,
        waits=is_mean,
    )


def _arms(canary: Sequence[int], baseline: Sequence[int], claim: Claim) -> Whole:
    """One row of one column, the arms exchanged where lower is worse. Of many partitions a sum may be beyond 64 bits."""
    pair = (*canary, *baseline) if claim.worse == "higher" else (*baseline, *canary)
    return np.array([[min(number, LARGEST_SUM) for number in pair]], np.int64)


def _figures(claim: Claim, totals: Totals, log_e: Sequence[float]) -> Figures:  # noqa: ARG001 - a Teller
    first, second = (
        Count(n=n, bad=float(f"{micro * UNIT:.6g}"), value=float(f"{micro * UNIT / n:.6g}") if n else None)
        for n, micro in (totals[:2], totals[2:])
    )
    return Figures(second, first) if claim.worse == "higher" else Figures(first, second)


@dataclass(slots=True)
class MetricRate:
    """Values of 0 to 1, like a cache miss: a rate like any other, in open windows too.

    Larger ones, like a percentage, are none, and the bets rest on that: once they come the check cannot be judged any more.
    """

    claim: Claim
    clusters: Clusters = field(default_factory=Clusters)
    beyond: bool = False
    """A cohort's values added up to more than there were."""

    def fold(self, window: TrialWindow) -> Rows:
        """See :class:`Family`."""
        self.beyond = self.beyond or self._is_beyond(window)
        if self.beyond:
            return {}
        for cohort in COHORTS:
            self.clusters.add(cohort, self._buckets(window, cohort))
        return self.peek(window)

    def peek(self, window: TrialWindow) -> Rows:
        """See :class:`Family`."""
        if self.beyond or self._is_beyond(window):
            return {}
        return {
            (stratum.stage, stratum.kind, 0): _arms(self._count(pair.canary), self._count(pair.baseline), self.claim)
            for stratum, pair in window.strata.items()
        }

    def spread(self, still_open: Sequence[TrialWindow] = ()) -> Spread:
        """See :class:`Family`. Of a metric whose lack is bad, the canary's sessions count that have it at all."""
        clusters, told_of = self.clusters.copy(), [w for w in still_open if not self._is_beyond(w)]
        for window in told_of:
            for cohort in COHORTS:
                clusters.add(cohort, self._buckets(window, cohort))
        found = clusters.dispersion(unit=UNIT)
        told = found.canary_buckets if self.claim.worse == "higher" else found.canary_filled
        full = self.beyond or self.clusters.full()
        return Spread(found.pooled, told >= MIN_BUCKETS and not full, proof=found.proof, full=full)

    def teller(self) -> Teller:
        """See :class:`Family`."""
        return partial(_figures, self.claim)

    def _count(self, cohort: CohortCells) -> tuple[int, int]:
        found = _found(cohort, self.claim.check)
        return sum(m.n for m in found), sum(m.micro for m in found)

    def _is_beyond(self, window: TrialWindow) -> bool:
        return any(
            metric.micro > metric.n * MICRO
            for cohort in COHORTS
            for cell in window.cells(cohort)
            if (metric := cell.metrics.get(self.claim.check)) is not None
        )

    def _buckets(self, window: TrialWindow, cohort: Cohort) -> Whole:
        table = np.zeros((BUCKETS, 2), np.int64)
        for cell in window.cells(cohort):
            metric = cell.metrics.get(self.claim.check, Metric())
            for index, bucket in metric.buckets.items():
                table[index] += (bucket.n, bucket.micro)
        return table


@dataclass(slots=True)
class MetricMean:
    """Sums of any values that are not negative, winsorised at the baseline's 99.9 %, once and before what is judged.

    The dispersion has no floor: dividing by it makes the evidence free of the metric's unit, and a variance over session
    buckets, so the proof is asymptotic: it takes many of them. Waits for final windows, which say how values spread.
    """

    claim: Claim
    clusters: Clusters = field(default_factory=Clusters)
    cap: int | None = None
    """Coarse bin: values in it and above count as its lower edge."""
    _seen: Dense = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def fold(self, window: TrialWindow) -> Rows:
        """See :class:`Family`."""
        rows = self._rows(window) if self.cap is not None else {}
        if self.cap is None:
            name = self.claim.check
            self._seen = self._seen + dense(m.histogram for c in window.cells("baseline") if (m := c.metrics.get(name)))
            if self._seen.sum() >= CAP_CALLS:
                found = quantile_bin(self._seen, WINSORISED_AT)
                self.cap = (found or 0) // COARSE_PER_FINE + 1
        return rows

    def peek(self, window: TrialWindow) -> Rows:
        """See :class:`Family`."""
        return {}

    def spread(self, still_open: Sequence[TrialWindow] = ()) -> Spread:
        """See :class:`Family`."""
        counted, micro = map(sum, self.clusters.sums["baseline"].T.tolist())
        found = self.clusters.dispersion(_LEAST_VARIATION * micro * UNIT / counted if micro else 1.0, UNIT)
        full = self.clusters.full()
        believed = found.canary_filled >= MIN_FILLED and not full
        return Spread(found.pooled, believed, proof=found.proof, full=full)

    def teller(self) -> Teller:
        """See :class:`Family`."""
        return partial(_figures, self.claim)

    def _rows(self, window: TrialWindow) -> Rows:
        return {
            (stratum.stage, stratum.kind, 0): _arms(
                self._count("canary", pair.canary), self._count("baseline", pair.baseline), self.claim
            )
            for stratum, pair in window.strata.items()
        }

    def _count(self, cohort: Cohort, counted: CohortCells) -> tuple[int, int]:
        """Values, and their winsorised sum in millionths."""
        found = _found(counted, self.claim.check)
        for metric in found:
            self.clusters.add(cohort, self._bucket_sums(metric))
        histograms = [metric.histogram for metric in found if metric.histogram]
        return sum(m.n for m in found), sum(self._sums(histograms, 1).tolist())

    def _bucket_sums(self, metric: Metric) -> Whole:
        table = np.zeros((BUCKETS, 2), np.int64)
        for index, bucket in metric.buckets.items():
            table[index, 0] = bucket.n
        histograms = {index: bins for index, bins in metric.bucket_histograms.items() if bins}
        table[list(histograms), 1] = self._sums(list(histograms.values()), COARSE_PER_FINE)
        return table

    def _sums(self, histograms: Sequence[Mapping[int, int]], width: int) -> Whole:
        """Of each histogram, none empty, whose bins are `width` fine ones wide: all values in millionths."""
        if not histograms:
            return np.zeros(0, np.int64)
        bins = np.fromiter(chain.from_iterable(histograms), np.intp)
        counts = np.fromiter(chain.from_iterable(h.values() for h in histograms), np.int64)
        firsts = np.cumsum([0, *map(len, histograms[:-1])])
        found: Whole = np.add.reduceat(counts * winsorised(self.limit, width)[bins], firsts)
        return np.where(found < 0, LARGEST_SUM, found)  # a bin's middle may be more than what streams added up

    @property
    def limit(self) -> float:
        """The cap in the metric's unit."""
        return float(edges()[(self.cap or 0) * COARSE_PER_FINE])


@lru_cache(maxsize=64)
def winsorised(limit: float, width: int) -> Whole:
    """What a value in each bin, `width` fine ones wide, counts as: the bin's middle, and never more than `limit`; in millionths.

    The exact sum is of no use here: what is left of an enormous value once a bin's middle is taken off it is larger
    than all the others together.
    """
    middle = (edges()[:BINS:width] + edges()[width::width]) / 2
    found: Whole = np.rint(np.minimum(middle, limit) * MICRO).astype(np.int64)
    found.flags.writeable = False
    return found


def _found(cohort: CohortCells, name: str) -> list[Metric]:
    return [metric for cell in cohort.cells if (metric := cell.metrics.get(name)) is not None]
