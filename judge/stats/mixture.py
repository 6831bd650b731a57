"""The evidence for a breach: averaged over bets and restarts within a check, then over checks. All in logs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import numpy as np

from judge.stats.evidence import Floats, LogWealth
from judge.stats.lines import Indices

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class RestartMixture:
    """Wealth that was spread over restarts; what no restart has taken up yet is kept as cash and stays 1."""

    weights: Floats
    """Shape (k,), sum at most 1."""
    since: LogWealth
    """Shape (columns, k, J): the log wealth of the bets when each restart began."""
    log_parts: Floats
    """Shape (J,): each bet's part of what a restart stakes, in logs."""

    @classmethod
    def none(cls, columns: int, bets: int, parts: Floats | None = None) -> Self:
        """Nothing has begun. `parts` of the bets sum to 1, shape (bets,); equal ones without."""
        equal = np.full(bets, -math.log(bets))
        return cls(np.zeros(0), LogWealth.none(columns, 0, bets), equal if parts is None else np.log(parts))

    @property
    def cash(self) -> float:
        """What is not at stake."""
        return max(0.0, 1.0 - float(self.weights.sum()))

    def restart(self, wealth: LogWealth, weight: float) -> "RestartMixture":
        """Begin afresh from `wealth`, shape (columns, J). A ValueError unless weights are above 0 and sum to at most 1."""
        weights = np.append(self.weights, weight)
        if weight <= 0 or weights.sum() > 1 + _ROUNDING:
            raise ValueError(f"restart weights must be above 0 and sum to at most 1, not {weights.tolist()}")
        at_zero = np.concatenate((self.since.at_zero, wealth.at_zero[:, np.newaxis]), axis=1)
        slope = np.concatenate((self.since.slope, wealth.slope[:, np.newaxis]), axis=1)
        return replace(self, weights=weights, since=LogWealth(at_zero, slope))

    def of(self, columns: Indices) -> "RestartMixture":
        """Some of the columns."""
        return replace(self, since=self.since.of(columns))

    def terms(self, wealth: LogWealth, pooled: Floats) -> LogWealth:
        """The logs whose exponentials, with the cash, add up to E: shape (columns, k, J), tempered by `pooled`.

        They are linear in the margin like the wealth they come from.
        """
        at_zero = wealth.at_zero[:, np.newaxis] - self.since.at_zero
        slope = wealth.slope[:, np.newaxis] - self.since.slope
        spread = pooled[:, np.newaxis, np.newaxis]
        at_zero /= spread  # in place: these are the largest arrays of a look
        slope /= spread
        at_zero += np.log(self.weights)[:, np.newaxis] + self.log_parts
        return LogWealth(at_zero, slope)


@dataclass(frozen=True, slots=True)
class Combination:
    """The evidence of all checks as one."""

    log_g: float
    breached: bool
    """Not latched: the caller remembers the first time."""
    worst: str
    """The check with most weighted evidence; of a breach, the culprit."""


@lru_cache(maxsize=256)
def needed_log_e(alpha: float, share: float = 1.0) -> float:
    """What ln E one check with `share` of the error rate `alpha` needs to breach by itself."""
    if not (0 < alpha < 1 and 0 < share <= 1):
        raise ValueError(f"alpha {alpha} and share {share} must lie between 0 and 1")
    return -math.log(alpha) - math.log(share)


def combine(log_e: Mapping[str, float], shares: Mapping[str, float], alpha: float) -> Combination:
    """The weighted average of the checks' evidence, which needs no correction for their number (Vovk & Wang, 2021).

    Both by the name of the check. A ValueError unless names agree, shares are positive and sum to at most 1.
    """
    if log_e.keys() != shares.keys() or not log_e or math.fsum(shares.values()) > 1 + _ROUNDING:
        raise ValueError(f"shares {dict(shares)} do not spread at most 1 over the checks {list(log_e)}")
    weighted = {check: math.log(shares[check]) + log_e[check] for check in log_e}
    log_g = log_sum_exp(np.array(list(weighted.values())))
    return Combination(log_g, log_g >= needed_log_e(alpha), max(weighted, key=lambda check: weighted[check]))


def log_sum_exp(logs: Floats) -> float:
    """ln of the sum, shape (k,); never overflows. -inf is a term of 0."""
    return float(np.logaddexp.reduce(logs))
