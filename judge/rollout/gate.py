"""The gate of a stage: roll back, hold, wait, or proceed. A pure table; the order of its rows is its meaning."""

import math
from dataclasses import dataclass
from typing import Literal

from judge.policies.port import Assessment
from schemas.decisions import Reason

MAX_EXTENSION = 2.0
"""A stage that proves nothing is extended to at most this many times its planned duration."""

MISSING_DATA = frozenset({"stale", "baseline_silent", "canary_silent"})
"""Codes of holds that resume by themselves, once the data is back. Any other needs a person."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """The canary is out."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Hold:
    """The share stays, the stage's clock stops, an entry says so. Rollback stays armed."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is decided: the stage's clock runs on and no entry is written."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Proceed:
    """The next stage may begin."""

    reason: Reason


Gate = Rollback | Hold | Wait | Proceed


@dataclass(frozen=True, slots=True)
class Silence:
    """How long nothing was heard, in seconds; up to when that is usual, and from when on it is missing data."""

    age_s: float
    limit_s: float
    usual_s: float = math.inf

    @property
    def unusual(self) -> bool:
        """Too long to let a share rise on what was heard before."""
        return self.age_s > self.usual_s

    @property
    def broken(self) -> bool:
        """It lasts too long."""
        return self.age_s > self.limit_s


@dataclass(frozen=True, slots=True)
class StageLook:
    """All a gate may know."""

    assessment: Assessment
    breach_sentence: str
    elapsed_s: float
    """Data time since the last proxy acknowledged the stage, without the time held."""
    planned_s: float
    max_stage_s: float
    windows: Silence
    """From the end of the newest final window to now."""
    baseline: Silence
    """From the cohort's newest request to the newest final window."""
    canary: Silence
    overdue: Literal["hold", "rollback"] | None
    """What the plan wants of a rollout that has not ended by its deadline; None before."""
    route_acknowledged: bool
    canary_sessions: int
    """Born in this stage."""
    min_sessions: int
    last_stage: bool
    strict: bool = False
    on_unproven_final: Literal["hold", "proceed", "rollback"] = "hold"


def gate(look: StageLook) -> Gate:
    """Order: breach, missing data, deadline, route, fresh data, planned time, sessions, within, suspicion, proof."""
    if look.assessment.breached_by is not None:
        return Rollback(Reason(code="breach", sentence=look.breach_sentence))
    return missing_data(look) or _overdue(look) or _too_early(look) or _planned_time_over(look)


def missing_data(look: StageLook) -> Hold | None:
    """Missing data is never a reason to roll back, nor to rise."""
    if look.windows.broken:
        return _hold("stale", f"No window has closed for {_limit(look.windows)}.")
    for cohort, silence in (("baseline", look.baseline), ("canary", look.canary)):
        if silence.broken:
            return _hold(f"{cohort}_silent", f"No request of the {cohort} was counted for {_limit(silence)}.")
    return None


def _overdue(look: StageLook) -> Gate | None:
    if look.overdue is None:
        return None
    reason = Reason(code="deadline", sentence="The rollout has not ended by its deadline.")
    return Rollback(reason) if look.overdue == "rollback" else Hold(reason)


def _too_early(look: StageLook) -> Wait | None:
    if not look.route_acknowledged:
        return _wait("route_unacknowledged", "A proxy has not acknowledged the stage's route.")
    for cohort, silence in (("baseline", look.baseline), ("canary", look.canary)):
        if silence.unusual:
            return _wait("quiet", f"No request of the {cohort} was counted for {silence.age_s:.0f} s.")
    if look.elapsed_s < look.planned_s:
        return _wait("planned_time", f"{look.elapsed_s:.0f} s of {look.planned_s:.0f} s collected.")
    return None


def _planned_time_over(look: StageLook) -> Gate:
    if look.canary_sessions < look.min_sessions:
        return _too_few_sessions(look)
    if look.assessment.within:
        return Proceed(Reason(code="within", sentence=f"Every check is within its limit{_basis(look)}."))
    extended = look.elapsed_s >= MAX_EXTENSION * look.planned_s
    if look.assessment.suspicious:
        sentence = "The canary looks worse, short of proof"
        return _hold("suspicious", f"{sentence}{_basis(look)}.") if extended else _wait("suspicious", f"{sentence}.")
    if look.last_stage or look.strict:
        return _proof_needed(look, extended=extended)
    return Proceed(_unproven(look))


def _too_few_sessions(look: StageLook) -> Gate:
    """Never waived, not even by a proof: a stage that nobody entered says nothing about who would."""
    sentence = f"{look.canary_sessions} of at least {look.min_sessions} canary sessions in this stage."
    over = look.elapsed_s >= look.max_stage_s
    return _hold("min_sessions", sentence) if over else _wait("min_sessions", sentence)


def _proof_needed(look: StageLook, *, extended: bool) -> Gate:
    """100 % leaves no baseline to compare with, and a strict plan never goes on without proof."""
    if not extended:
        return _wait("unproven", "Not proven within its limits yet: the stage is extended.")
    if look.last_stage and not look.strict:
        reason = _unproven(look)
        if look.on_unproven_final == "proceed":
            return Proceed(reason)
        return Rollback(reason) if look.on_unproven_final == "rollback" else Hold(reason)
    return Hold(_unproven(look))


def _unproven(look: StageLook) -> Reason:
    sentence = f"No breach and nothing suspicious, yet not proven within its limits{_basis(look)}."
    return Reason(code="unproven", sentence=sentence)


def _basis(look: StageLook) -> str:
    return f" after {look.elapsed_s:.0f} s and {look.canary_sessions} canary sessions"


def _limit(silence: Silence) -> str:
    return f"{silence.age_s:.0f} s (limit {silence.limit_s:.0f} s)"


def _hold(code: str, sentence: str) -> Hold:
    return Hold(Reason(code=code, sentence=sentence))


def _wait(code: str, sentence: str) -> Wait:
    return Wait(Reason(code=code, sentence=sentence))
