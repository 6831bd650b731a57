"""The port of a policy: how evidence becomes an assessment. It knows no clock, no ledger and no topic."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from judge.proxies import Difference
from judge.trial import Trial, TrialWindow
from schemas.decisions import CheckResult


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Where the rollout stands, in data time (Unix milliseconds of window ends)."""

    stage: int
    """1-based."""
    started_ms: tuple[int, ...]
    """When each stage so far was first acknowledged by the last proxy; the rollout began at the first."""
    proof_ms: int | None = None
    """Windows that end later are this stage's own: from its start, or from when it was begun anew. None: not yet."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a policy says at one cut."""

    score: float
    """0 to 100, for people: 0 exactly on a breach, never used to decide."""
    checks: Sequence[CheckResult]
    """For people; a policy may work them out when somebody reads them, as they are at this cut."""
    breached_by: str | None
    """The check that costs the canary its release, with open windows counted; None without a breach."""
    within: bool
    """Every check that a gate asks for proved this stage's margin, on final windows."""
    suspicious: bool
    """The evidence of some check against the canary is 3 or more, short of a breach, on final windows; once it was, until
    it falls below 1."""
    unjudged: tuple[str, ...] = ()
    """Deciding checks that can say nothing any more, for what they count has outgrown the numbers: no share rises on that."""
    sentence: str | None = None
    """Why there is a breach, in the policy's own words; None: the culprit's numbers say it."""


class Comparison(Protocol):
    """One rollout under one policy: a fold of its final windows, which may be looked at as often as one likes.

    "No data" is never evidence in either direction: without data nothing is breached and nothing is within.
    """

    def add(self, window: TrialWindow) -> None:
        """The next final window in which this rollout's sessions were heard: each once, in order of time.

        It may come before the acknowledgements of stages that began before it: when stages began is said only by
        :meth:`assess`, and what it said before does not count.
        """

    def add_difference(self, difference: Difference) -> None:
        """The next difference of two reports of a proxy: each once, in the order of their topic."""

    def assess(self, still_open: Sequence[TrialWindow], times: StageTimes) -> Assessment:
        """Assess the canary at one cut: a function of what was added so far and of the arguments, nothing else.

        Windows that are `still_open` may bring a breach forward, and do nothing else.
        """


class Policy(Protocol):
    """Compares canary with baseline."""

    def begin(self, trial: Trial) -> Comparison:
        """A rollout without data."""
