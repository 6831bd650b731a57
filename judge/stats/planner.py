"""What a canary request is worth as evidence, at rates that one supposes: how long a proof will take."""

import math

import numpy as np

from judge.stats.evidence import Floats

OVERHEAD = 1.6
"""What the mixture over bets costs, in logs: nobody knows the best bet before."""


def growth(rates: tuple[float, float], margin: float, canary_share: float, bets: Floats, ratio: float = 1.0) -> float:
    """Expected log wealth that the best of `bets` wins a canary request; `rates` are the canary's and the baseline's.

    `canary_share` of all requests are the canary's. 0 or less: no bet wins.
    """
    canary, baseline = rates
    others = (1 - canary_share) / canary_share
    theta = ratio / (ratio + others)
    log_g = np.log1p(theta * (bets - 1))
    a = bets / np.exp(log_g)
    won = canary * np.log(a) - others * baseline * log_g - margin * (a - 1)
    return float(won.max())


def requests_until(needed: float, log_e: float, per_request: float, dispersion: float) -> float:
    """About so many canary requests until `log_e` is `needed`, if each adds `per_request`; infinite if they add nothing."""
    if per_request <= 0:
        return math.inf
    return max(0.0, needed + OVERHEAD - max(log_e, 0.0)) * dispersion / per_request
