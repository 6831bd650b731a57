"""What two cohorts' counts say about a difference in rates, as the log wealth of a fixed set of bets.

Nothing is estimated: the baseline's rate never enters. For a bet ``rho`` and one stratum with ``theta = r N_C /
(r N_C + N_B)`` and ``g = 1 + theta (rho - 1)``, each bad canary request multiplies the wealth by ``rho / g``, each bad
baseline request by ``1 / g``, and the margin ``m`` costs ``m N_C (rho / g - 1)`` in logs. Under ``p_C <= r p_B + m``
(for ``rho > 1``; ``>=`` for ``rho < 1``) the expected wealth is at most 1, whatever the baseline's rate and the sizes:
``E a^Y <= exp(p (a - 1))`` for Y in [0, 1], and ``r N_C (rho / g - 1) = N_B (1 - 1 / g)`` lets ``p_B`` cancel. At
``m = 0`` this is the test of two streams in Lindon & Kallus (2024) and Turner & Grünwald (2023).
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64 | np.float64]
"""The last axis is (counted, bad), with 0 <= bad <= counted."""


def _bets(log_rho: Floats) -> Floats:
    rho: Floats = np.exp(log_rho)
    rho.flags.writeable = False
    return rho


BETS_ABOVE = _bets(np.geomspace(math.log(1.08), math.log(200), 14))
"""Bets that the canary is worse: rate ratios from a hair above the baseline to an outage."""

LARGE_RATIOS = (2.5, 60.0)
"""Of the rises that one is in a hurry to find."""


def mostly_large() -> Floats:
    """Each bet's part, shape (14,): half of the wealth on all alike, and half on those on a rise by :data:`LARGE_RATIOS`."""
    low, high = LARGE_RATIOS
    large = (low < BETS_ABOVE) & (high > BETS_ABOVE)
    parts: Floats = 0.5 / len(BETS_ABOVE) + 0.5 * large / np.count_nonzero(large)
    parts.flags.writeable = False
    return parts


BETS_BELOW = _bets(-np.geomspace(0.03, 3, 12))
"""Bets that the canary is better than a margin."""


@dataclass(frozen=True, slots=True, eq=False)
class LogWealth:
    """Log wealth of J bets, linear in the margin: ``at_zero - margin * slope``. Sums over independent strata add up.

    The last axis is the bets'; those before it are processes side by side, and snapshots of them.
    """

    at_zero: Floats
    """Log wealth at margin 0 (A in the formula)."""
    slope: Floats
    """What one unit of margin costs (C in the formula): never negative for bets above, never positive for bets below."""

    @classmethod
    def none(cls, *shape: int) -> Self:
        """The wealth before any data: exactly 0 in logs at every margin."""
        return cls(np.zeros(shape), np.zeros(shape))

    def __add__(self, other: "LogWealth") -> "LogWealth":
        return LogWealth(self.at_zero + other.at_zero, self.slope + other.slope)

    def __sub__(self, earlier: "LogWealth") -> "LogWealth":
        """What was won since `earlier`."""
        return LogWealth(self.at_zero - earlier.at_zero, self.slope - earlier.slope)

    def at(self, margin: float) -> Floats:
        """The log wealth against the claim that the difference of rates lies at `margin`."""
        return self.at_zero - margin * self.slope

    def bets(self, first: int, last: int | None = None) -> "LogWealth":
        """A part of the bets."""
        return LogWealth(self.at_zero[..., first:last], self.slope[..., first:last])

    def of(self, processes: NDArray[np.intp]) -> "LogWealth":
        """Some of those that the first axis holds."""
        return LogWealth(self.at_zero[processes], self.slope[processes])


def log_wealth(canary: Counts, baseline: Counts, bets: Floats, ratio: float | Floats = 1.0) -> LogWealth:
    """What `bets` win on all rows together: shapes (rows, ..., 2), (rows, ..., 2), (J,) to (..., J).

    A row is a stratum: one window, stage of birth and kind. Rows are never pooled, for under changing load a pooled
    rate blames the canary for an incident that both cohorts shared (Simpson's paradox). What is between the rows' axis
    and the last one stands side by side: other checks of the same rows. Where one cohort is empty nothing is compared
    and exactly 0 is won. `ratio` is r of ``p_C <= r p_B + m``, one for all or one each.
    """
    compared = (canary[..., :1] > 0) & (baseline[..., :1] > 0)
    canary, baseline = canary * compared, baseline * compared
    n_canary, bad_canary = canary[..., :1], canary[..., 1:]
    n_baseline, bad_baseline = baseline[..., :1], baseline[..., 1:]
    weight = np.asarray(ratio)[..., np.newaxis] * n_canary
    theta = weight / np.where(compared, weight + n_baseline, 1.0)
    surplus = bets - 1
    change = theta * surplus
    log_g = np.log1p(change)
    at_zero = bad_canary * (np.log(bets) - log_g) - bad_baseline * log_g
    slope = n_canary * (1 - theta) * surplus / (1 + change)
    return LogWealth(np.add.reduce(at_zero), np.add.reduce(slope))
