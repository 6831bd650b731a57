"""The forest plot's scale: every check in units of its own limit, so that one line is everybody's limit. Pure.

`u` is the distance in limits: 0 is no change, 1 the limit, more is worse. The plot never rescales, so the eye learns one
place: no change at a third of its width, the limit at 52.94 %.
"""

import math
from collections.abc import Callable

_LEFT, _WIDTH = 1.7, 5.1
"""What lies left of no change, and in all, in units of the folded scale."""

_UNIT = 0.01
_RATIO_UNIT = math.log(1.1)
"""What a limit of nothing is measured in instead: one percentage point, ten per cent."""


def by_difference(limit: float) -> Callable[[float], float]:
    """Differences of rates, worse upwards, in limits. A limit of zero is where no change is: it counts from 1 on."""
    if limit == 0:
        return lambda difference: 1 + difference / _UNIT
    return lambda difference: difference / limit


def by_ratio(limit: float) -> Callable[[float], float]:
    """Ratios, worse upwards, in limits: twice and half lie equally far from no change. -inf for 0 and less."""
    if limit == 1:
        return lambda ratio: 1 + math.log(ratio) / _RATIO_UNIT if ratio > 0 else -math.inf
    return lambda ratio: math.log(ratio) / math.log(limit) if ratio > 0 else -math.inf


def folded(u: float) -> float:
    """Linear where decisions fall, logarithmic beyond, smooth at 1."""
    return u if abs(u) <= 1 else math.copysign(1 + math.log(abs(u)), u)


def place(u: float) -> float:
    """Where it lies, in % of the plot's width; below 0 or above 100 it is off the plot."""
    return 100 * (folded(u) + _LEFT) / _WIDTH if math.isfinite(u) else math.copysign(math.inf, u)
