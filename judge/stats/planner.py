"""What a canary request is worth as evidence, at rates that one supposes: how long a verdict and a proof will take."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from judge.stats.dispersion import MIN_BUCKETS
from judge.stats.evidence import Floats

OVERHEAD = 1.6
"""What the mixture over bets costs, in logs: nobody knows the best bet before."""

_STEPS = 60
"""Of a bisection: to the last bit that anybody reads."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one canary request, with its part of the baseline's, adds to the log wealth of the best bet."""

    mean: float
    """0 or less: no bet wins."""
    variance: float

    def requests_until(self, log_e: float, dispersion: float = 1.0, z: float = 0.0) -> float:
        """Canary requests until ln E is `log_e` with the probability whose normal quantile is `z`; infinite if never.

        Evidence after n requests is about normal with mean ``n K / D`` and variance ``n s^2 / D`` (K, s^2: this step's);
        the n at which its quantile is what is needed.
        """
        if self.mean <= 0:
            return math.inf
        mean, variance = self.mean / dispersion, self.variance / dispersion
        noise = z * math.sqrt(variance)
        root = (noise + math.sqrt(noise**2 + 4 * mean * (log_e + OVERHEAD))) / (2 * mean)
        return root**2


def step(rates: tuple[float, float], margin: float, canary_share: float, bets: Floats, ratio: float = 1.0) -> Step:
    """Of the best of `bets`; `rates` are the canary's and the baseline's, and `canary_share` of requests the canary's."""
    canary, baseline = rates
    others = (1 - canary_share) / canary_share
    theta = ratio / (ratio + others)
    log_g = np.log1p(theta * (bets - 1))
    a = bets / np.exp(log_g)
    won = canary * np.log(a) - others * baseline * log_g - margin * (a - 1)
    best = int(won.argmax())
    variance = canary * math.log(a[best]) ** 2 + others * baseline * float(log_g[best]) ** 2
    return Step(float(won[best]), variance)


def growth(rates: tuple[float, float], margin: float, canary_share: float, bets: Floats, ratio: float = 1.0) -> float:
    """Expected log wealth that the best of `bets` wins a canary request; 0 or less: no bet wins."""
    return step(rates, margin, canary_share, bets, ratio).mean


def requests_until(needed: float, log_e: float, per_request: float, dispersion: float) -> float:
    """About so many canary requests until `log_e` is `needed`, if each adds `per_request`; infinite if they add nothing."""
    if per_request <= 0:
        return math.inf
    return max(0.0, needed + OVERHEAD - max(log_e, 0.0)) * dispersion / per_request


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Sessions that begin at a steady rate and ask at a steady rate until an exponential end."""

    sessions_per_s: float
    requests_per_session: float
    session_s: float
    """Mean length, by requests."""

    def sessions(self, share: float, seconds: float) -> float:
        """Begun so long after the stage began."""
        return self.sessions_per_s * share * seconds

    def requests(self, share: float, seconds: float) -> float:
        """What those have asked by then: young sessions have most of their requests before them."""
        unasked_s = self.session_s * -math.expm1(-seconds / self.session_s)
        return self.sessions_per_s * share * self.requests_per_session * (seconds - unasked_s)

    def seconds_until(self, share: float, requests: float) -> float:
        """The inverse of :meth:`requests`; infinite where there will never be so many."""
        rate = self.sessions_per_s * share * self.requests_per_session
        if rate <= 0 or math.isinf(requests):
            return math.inf
        latest_s = (requests / rate + self.session_s) * (1 + 1e-9)
        return smallest(lambda s: self.requests(share, s) >= requests, 0.0, latest_s)


def chance_of_a_breach_believed(sessions_with_bad: float) -> float:
    """That at least three sessions have a bad request, where `sessions_with_bad` are expected to (Poisson)."""
    terms = (sessions_with_bad**k / math.factorial(k) for k in range(MIN_BUCKETS))
    return 1 - math.exp(-sessions_with_bad) * math.fsum(terms)


def sessions_to_believe(probability: float) -> float:
    """So many sessions with a bad request must be expected for three of them to be there with `probability`."""
    return smallest(lambda mean: chance_of_a_breach_believed(mean) >= probability, 0.0, 100.0)


def smallest(enough: Callable[[float], bool], low: float, high: float) -> float:
    """The smallest number for which `enough`, which only ever becomes true, is; infinite if `high` is not."""
    if not enough(high):
        return math.inf
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
