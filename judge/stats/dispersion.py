"""How much less a request says than an independent one would: requests of one session fail together."""

from dataclasses import dataclass

import numpy as np

from judge.stats.evidence import Counts

BASELINE_BUCKETS_WORTH = 8
"""nu, usually: the baseline's dispersion counts as much as this many canary buckets with events."""

MIN_BUCKETS = 3
"""Fewer canary buckets with events are never a breach: one broken client is not a bad release."""

MIN_FILLED = 20
"""A mean's dispersion is a variance over buckets and nothing else bounds it: it takes so many of the canary's."""


@dataclass(frozen=True, slots=True)
class Dispersion:
    """The variance of a cohort's bad requests over their number, 1 when independent, and how widely they are spread."""

    pooled: float
    """D: log wealth is divided by it. At least the canary's own, and for rates at least 1."""
    canary: float
    baseline: float
    canary_buckets: int
    """k_y: session buckets in which the canary had a bad request."""
    canary_filled: int = 0
    """Session buckets in which the canary was counted at all."""

    @property
    def larger(self) -> float:
        """Of both cohorts' own: few bad requests of the canary that happen to be scattered do not make it small."""
        return max(self.canary, self.baseline)

    @property
    def widespread(self) -> bool:
        """Enough canary buckets had bad requests for a breach to be believed."""
        return self.canary_buckets >= MIN_BUCKETS


def dispersion(canary: Counts, baseline: Counts, floor: float = 1.0, nu: float = BASELINE_BUCKETS_WORTH) -> Dispersion:
    """Pool the dispersions of both cohorts, each of shape (buckets, 2) and cumulative over the rollout.

    Up fast, down slowly: the canary's own dispersion counts in full where it is high, and replaces the baseline's only
    as its events spread over `nu` buckets; at 0 with its first one. A bucket is a hash of the assigned unit, salted differently from the assignment.
    """
    of_canary, of_baseline = cohort_dispersion(canary, floor), cohort_dispersion(baseline, floor)
    spread, filled = np.count_nonzero(canary > 0, axis=0)[::-1].tolist()
    shrunk = (nu * of_baseline + spread * of_canary) / (nu + spread) if nu + spread else of_baseline
    return Dispersion(max(of_canary, shrunk), of_canary, of_baseline, spread, filled)


def cohort_dispersion(buckets: Counts, floor: float = 1.0) -> float:
    """One cohort's variance over mean: the ratio estimator's variance over k buckets, by the bad requests.

    Cochran, Sampling Techniques (1977), ch. 6 with the factor k / (k - 1). Over the mean, not over the binomial
    variance, since the bets are Poisson's. At least `floor`: 1 for rates; 0 for the sums of a mean, whose unit is
    anything, so that dividing by it makes the evidence free of the unit. Without bad requests, or with less than two
    buckets to tell apart, it is 1.
    """
    filled = buckets[buckets[:, 0] > 0]
    counted, bad = filled.T
    all_bad = np.add.reduce(bad)
    if all_bad == 0 or len(filled) < 2:  # noqa: PLR2004 - a variance needs two
        return 1.0
    rate = all_bad / np.add.reduce(counted)
    factor = len(filled) / (len(filled) - 1)
    return max(floor, float(factor * np.add.reduce(np.square(bad - rate * counted)) / all_bad))
