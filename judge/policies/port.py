"""The port of a policy: how evidence becomes an assessment. It knows no clock, no ledger and no topic."""

from dataclasses import dataclass
from typing import Protocol

from judge.evidence import Evidence
from schemas.decisions import CheckResult
from schemas.plan import Plan


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Where the rollout stands, in data time (Unix milliseconds of window ends)."""

    stage: int
    """1-based."""
    started_ms: tuple[int, ...]
    """When each stage so far was acknowledged by the last proxy; the rollout began at the first."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a policy says at one cut."""

    score: float
    """0 to 100, for people: 0 exactly on a breach, never used to decide."""
    checks: tuple[CheckResult, ...]
    breached_by: str | None
    """The check that costs the canary its release, with open windows counted; None without a breach."""
    within: bool
    """Every check proved this stage's margin, on final windows."""
    suspicious: bool
    """The evidence of some check against the canary is 3 or more, short of a breach, on final windows."""


class Policy(Protocol):
    """Compares canary with baseline. A pure function: the same evidence always gives the same assessment.

    "No data" is never evidence in either direction: without data nothing is breached and nothing is within.
    """

    def assess(self, evidence: Evidence, plan: Plan, times: StageTimes) -> Assessment:
        """Assess the canary at one cut."""
