"""How much less a request says than an independent one would: requests of one session fail together."""

from collections.abc import Callable
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
    """D: what speaks against the canary is divided by it, in logs. At least the canary's own, and for rates at least 1."""
    proof: float
    """What speaks for it, in the proof of a margin, is divided by this."""
    canary: float
    baseline: float
    canary_buckets: int
    """k_y: session buckets in which the canary had a bad request."""
    canary_filled: int = 0
    """Session buckets in which the canary was counted at all."""

    @property
    def widespread(self) -> bool:
        """Enough canary buckets had bad requests for a breach to be believed."""
        return self.canary_buckets >= MIN_BUCKETS


Pooling = Callable[[Counts, Counts, float], Dispersion]
"""Of the canary's buckets and the baseline's, each of shape (buckets, 2) and cumulative over the rollout, and a floor.

A bucket is a hash of the assigned unit, salted differently from the assignment.
"""


def shrunk(canary: Counts, baseline: Counts, floor: float = 1.0, nu: float = BASELINE_BUCKETS_WORTH) -> Dispersion:
    """Up fast, down slowly: the canary's own dispersion counts in full where it is high.

    It replaces the baseline's only as its events spread over `nu` buckets; at 0 with its first one.
    """
    of_canary, of_baseline = cohort_dispersion(canary, floor), cohort_dispersion(baseline, floor)
    spread, filled = _spread(canary)
    pooled = (nu * of_baseline + spread * of_canary) / (nu + spread) if nu + spread else of_baseline
    pooled = max(of_canary, pooled)
    return Dispersion(pooled, pooled, of_canary, of_baseline, spread, filled)


def by_variance(canary: Counts, baseline: Counts, floor: float = 1.0) -> Dispersion:
    """The design effect of the difference: each cohort's own dispersion counts by its part of the variance.

    That part is one over the cohort's size (Rao & Scott, Biometrics 48, 1992, of clustered counts): beside a hundred times as many
    requests of the baseline the canary's own clumps decide, at half and half both do. Jackknifed, for a client with most of a cohort's
    requests makes the rate that it is held against. Until the canary has a bad request the baseline says what they will be like.

    The proof takes the larger of both: few bad requests of the canary that happen to be scattered must not *make* one.
    """
    of_canary, of_baseline = (cohort_dispersion(cohort, floor, jackknife=True) for cohort in (canary, baseline))
    spread, filled = _spread(canary)
    n_canary, n_baseline = float(np.add.reduce(canary[:, 0])), float(np.add.reduce(baseline[:, 0]))
    pooled = of_baseline
    if spread:
        of_both = (n_baseline * of_canary + n_canary * of_baseline) / (n_canary + n_baseline)
        pooled = max(of_canary, of_both)
    return Dispersion(pooled, max(of_canary, of_baseline), of_canary, of_baseline, spread, filled)


def _spread(canary: Counts) -> tuple[int, int]:
    """In how many buckets the canary had a bad request, and in how many it was counted at all."""
    filled, spread = np.count_nonzero(canary > 0, axis=0).tolist()
    return spread, filled


def cohort_dispersion(buckets: Counts, floor: float = 1.0, *, jackknife: bool = False) -> float:
    """One cohort's variance over mean: the ratio estimator's variance over k buckets, by the bad requests.

    Cochran, Sampling Techniques (1977), ch. 6 with the factor k / (k - 1). Over the mean, not over the binomial
    variance, since the bets are Poisson's. At least `floor`: 1 for rates; 0 for the sums of a mean, whose unit is
    anything, so that dividing by it makes the evidence free of the unit. Without bad requests, or with less than two
    buckets to tell apart, it is 1.

    By the jackknife each bucket is held against the rate of the others: the same where buckets are alike, and more where one is most of
    the cohort, which draws the rate to itself (a delete-one ratio estimate; Cochran, section 6.17).
    """
    filled = buckets[buckets[:, 0] > 0]
    counted, bad = filled.T
    all_bad = np.add.reduce(bad)
    if all_bad == 0 or len(filled) < 2:  # noqa: PLR2004 - a variance needs two
        return 1.0
    rate = all_bad / np.add.reduce(counted)
    residual, factor = bad - rate * counted, len(filled) / (len(filled) - 1)
    if jackknife:
        residual, factor = residual / (1 - counted / np.add.reduce(counted)), 1 / factor
    return max(floor, float(factor * np.add.reduce(np.square(residual)) / all_bad))
