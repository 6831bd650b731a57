"""What a gate is told of a stage beside its policy's assessment, with the limits from which it matters. Pure."""

import math
from dataclasses import dataclass

from judge.trial import Cohort

FEW_MISMATCHES = 3
MISMATCH_SHARE = 0.01
"""A straggler that still serves the old version is told; from so many requests on the rollout is not what people think."""


@dataclass(frozen=True, slots=True)
class Silence:
    """How long nothing was heard, in seconds; up to when that is usual, and from when on it is missing data."""

    age_s: float
    limit_s: float
    usual_s: float = math.inf
    answered: int = 0
    """Requests that the proxies saw answered meanwhile."""

    @property
    def unusual(self) -> bool:
        """Too long to let a share rise on what was heard before."""
        return self.age_s > self.usual_s

    @property
    def broken(self) -> bool:
        """It lasts too long."""
        return self.age_s > self.limit_s


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Requests of a cohort in this stage, and those whose server said another version than the proxy had assigned."""

    cohort: Cohort
    version: str
    requests: int
    mismatched: int

    @property
    def real(self) -> bool:
        """More than a straggler."""
        return self.mismatched >= FEW_MISMATCHES and self.mismatched >= MISMATCH_SHARE * self.requests


@dataclass(frozen=True, slots=True)
class Failures:
    """How often a version failed in some time."""

    requests: int
    failed: int

    @property
    def rate(self) -> float:
        """0 without any request."""
        return self.failed / self.requests if self.requests else 0.0


SICK_FACTOR = 3.0
ENOUGH_REQUESTS = 100
"""Fewer say too little about a baseline's rate, before as now."""


@dataclass(frozen=True, slots=True)
class BaselineHealth:
    """The baseline's own failures in this stage, beside those of the hour before the rollout."""

    before: Failures
    now: Failures
    tolerated: float
    """A rise that the plan would allow the canary makes nobody sick."""

    @property
    def sick(self) -> bool:
        """It fails three times as often as it did: both cohorts being sick is nobody's proof."""
        known = min(self.before.requests, self.now.requests) >= ENOUGH_REQUESTS
        return (
            known
            and self.now.rate > SICK_FACTOR * self.before.rate
            and self.now.rate > self.before.rate + self.tolerated
        )


HEALTHY = BaselineHealth(Failures(0, 0), Failures(0, 0), 0.0)


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """New sessions of both cohorts so far, and whether their numbers fit the shares that were in force."""

    canary: int
    baseline: int
    expected: float
    """Of the canary."""
    fits: bool


FITTING = SampleRatio(0, 0, 0.0, fits=True)
