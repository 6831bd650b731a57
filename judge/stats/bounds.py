"""Bounds of the difference ``p_C - r p_B`` that hold at every look at once: margins the evidence just rejects."""

from collections.abc import Callable
from dataclasses import dataclass

from judge.stats.dispersion import Dispersion
from judge.stats.process import RateProcess
from judge.stats.within import NEEDED_LOG_E

_STEPS = 30
"""The limit, then halvings of what is left of [-1, 1]: to 4e-9 at worst."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Either end is None where the evidence rules nothing out, above all without data."""

    lower: float | None
    """From the whole rollout, at the check's share of alpha."""
    upper: float | None
    """From the current stage alone: "ruled out: more than +x"."""


def bounds(process: RateProcess, spread: Dispersion, needed: float, limit: float, stage_limit: float) -> Bounds:
    """Bounds that never contradict the verdict: ``lower >= limit`` exactly when this check breaches by itself, and
    ``upper <= stage_limit`` exactly when it is within.

    `needed` is the ln E of a breach by this check alone; `limit` its margin, `stage_limit` the stage's, both inside
    (-1, 1) for the promise to hold. The ends rest on different windows and may cross when the canary changed.
    """
    return Bounds(
        lower_bound(lambda margin: process.log_e_breach(margin, spread), needed, limit),
        upper_bound(lambda margin: process.log_e_within(margin, spread), NEEDED_LOG_E, stage_limit),
    )


def lower_bound(log_e: Callable[[float], float], needed: float, limit: float) -> float | None:
    """The largest margin that `log_e`, which falls in the margin, still rejects; None if it rejects not even -1.

    `limit` is tried first, so that rounding cannot put the bound on its wrong side.
    """
    low, high = -1.0, 1.0
    if log_e(low) < needed:
        return None
    if log_e(high) >= needed:
        return high
    middle = limit if low < limit < high else 0.0
    for _ in range(_STEPS):
        low, high = (middle, high) if log_e(middle) >= needed else (low, middle)
        middle = (low + high) / 2
    return low


def upper_bound(log_e: Callable[[float], float], needed: float, limit: float) -> float | None:
    """The smallest margin that `log_e`, which rises in the margin, still rejects; None if it rejects not even 1."""
    mirrored = lower_bound(lambda margin: log_e(-margin), needed, -limit)
    return None if mirrored is None else -mirrored
