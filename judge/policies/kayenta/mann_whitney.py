"""The Mann-Whitney test as R's ``wilcox.test(conf.int = TRUE)`` does it for large samples: interval and estimate of a shift."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from judge.policies.kayenta.pairs import Floats
from judge.policies.kayenta.root_search import find_zero
from judge.policies.kayenta.statistics import ranks


class AllTiedError(ArithmeticError):
    """No interval can be computed: every value is tied with every other."""


@dataclass(frozen=True, slots=True)
class Shift:
    """By how much the experiment lies above the control, in the metric's unit."""

    lower: float
    upper: float
    """On heavily tied data this may lie below `lower`."""
    estimate: float
    """Hodges and Lehmann's: the median of the differences of a value of either."""


def shift(experiment: Floats, control: Floats, confidence: float) -> Shift:
    """Interval and estimate, two-sided. Raises :class:`AllTiedError`.

    With up to four values a side no rank sum is extreme enough at 98 %, and the interval is the range of differences.
    """
    z = NormalDist().inv_cdf(1 - (1 - confidence) / 2)
    low = float(experiment.min() - control.max())
    high = float(experiment.max() - control.min())

    def bound(quantile: float) -> float:
        """Where the standardized rank sum is the quantile, or the end of the range that it does not reach."""

        def f(mu: float) -> float:
            return standardized(experiment, control, mu) - quantile

        if f(low) <= 0:
            return low
        return high if f(high) >= 0 else find_zero(f, low, high)

    return Shift(
        lower=bound(z),
        upper=bound(-z),
        estimate=find_zero(lambda mu: standardized(experiment, control, mu), low, high),
    )


def standardized(experiment: Floats, control: Floats, mu: float) -> float:
    """The rank sum of ``experiment - mu`` as a normal deviate: corrected for ties and by 1/2 for continuity.

    A step function that falls as `mu` rises. Raises :class:`AllTiedError`.
    """
    m, n = float(len(experiment)), float(len(control))
    with np.errstate(invalid="ignore"):
        found, ties = ranks(np.concatenate((experiment - mu, control)))
    excess = float(found[: len(experiment)].sum()) - m * (m + 1) / 2 - m * n / 2
    tied = float((ties**3 - ties).sum())
    variance = m * n / 12 * ((m + n + 1) - tied / ((m + n) * (m + n - 1)))
    if variance == 0:
        raise AllTiedError
    continuity = math.copysign(0.5, excess) if excess else 0.0
    return (excess - continuity) / math.sqrt(variance)
