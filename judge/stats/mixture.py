"""The evidence for a breach: averaged over bets and restarts within a check, then over checks. All in logs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from judge.stats.dispersion import Dispersion
from judge.stats.evidence import Floats, LogWealth

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class RestartMixture:
    """Wealth that was spread over restarts; what no restart has taken up yet is kept as cash and stays 1."""

    weights: Floats
    """Shape (k,), sum at most 1."""
    since: LogWealth
    """Shape (k, J): the log wealth of the bets when each restart began."""

    @classmethod
    def cash(cls, bets: int) -> Self:
        """Nothing has begun."""
        return cls(np.zeros(0), LogWealth.none(0, bets))

    def restart(self, wealth: LogWealth, weight: float) -> "RestartMixture":
        """Begin afresh from `wealth`, shape (J,). A ValueError unless weights are above 0 and sum to at most 1."""
        weights = np.append(self.weights, weight)
        if weight <= 0 or weights.sum() > 1 + _ROUNDING:
            raise ValueError(f"restart weights must be above 0 and sum to at most 1, not {weights.tolist()}")
        at_zero = np.vstack((self.since.at_zero, wealth.at_zero))
        return RestartMixture(weights, LogWealth(at_zero, np.vstack((self.since.slope, wealth.slope))))

    def log_e(self, wealth: LogWealth, margin: float, spread: Dispersion) -> float:
        """ln E: the log evidence against ``p_C <= r p_B + margin``, falling in `margin`; 0 where there is no data.

        At most 0 while the canary's bad requests come from too few session buckets.
        """
        cash = max(0.0, 1.0 - float(self.weights.sum()))
        won = (wealth - self.since).at(margin) / spread.pooled
        average = log_mean_exp(won) + np.log(self.weights)
        log_e = log_sum_exp(np.append(average, math.log(cash) if cash > 0 else -math.inf))
        return log_e if spread.widespread else min(log_e, 0.0)


@dataclass(frozen=True, slots=True)
class Combination:
    """The evidence of all checks as one."""

    log_g: float
    breached: bool
    """Not latched: the caller remembers the first time."""
    worst: str
    """The check with most weighted evidence; of a breach, the culprit."""


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


def log_mean_exp(logs: Floats) -> Floats:
    """ln of the mean over the last axis, which must be finite; never overflows."""
    top = logs.max(axis=-1, keepdims=True)
    mean: Floats = np.log(np.exp(logs - top).mean(axis=-1)) + top[..., 0]
    return mean
