"""The gate of a stage: roll back, wait, or proceed. A pure table; the order of its rows is its meaning."""

from dataclasses import dataclass

from judge.policies.port import Assessment
from schemas.decisions import Reason

MAX_EXTENSION = 2.0
"""A stage that proved nothing is extended to at most this many times its planned duration."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """The canary is out."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is decided: the stage's clock runs on and no entry is written."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Proceed:
    """The next stage may begin."""

    reason: Reason


Gate = Rollback | Wait | Proceed


@dataclass(frozen=True, slots=True)
class StageLook:
    """All a gate may know."""

    assessment: Assessment
    breach_sentence: str
    elapsed_s: float
    """Data time since the last proxy acknowledged the stage."""
    planned_s: float
    evidence_age_s: float
    """From the end of the newest final window to now."""
    stale_after_s: float
    route_acknowledged: bool
    canary_sessions: int
    min_sessions: int
    last_stage: bool


def gate(look: StageLook) -> Gate:
    """Order: breach, stale, route, planned time, within, suspicion, sessions, extension."""
    if look.assessment.breached_by is not None:
        return Rollback(Reason(code="breach", sentence=look.breach_sentence))
    waiting = _blocked(look)
    if waiting is not None:
        return Wait(waiting)
    if look.assessment.within:
        return Proceed(Reason(code="within", sentence=f"Every check is within its limit{_basis(look)}."))
    unproven = _unproven(look)
    if unproven is not None:
        return Wait(unproven)
    return Proceed(
        Reason(
            code="unproven",
            sentence=f"No breach and nothing suspicious, yet not proven within its limits{_basis(look)}.",
        )
    )


def _blocked(look: StageLook) -> Reason | None:
    if look.evidence_age_s > look.stale_after_s:
        return Reason(
            code="stale",
            sentence=f"No window has closed for {look.evidence_age_s:.0f} s (limit {look.stale_after_s:.0f} s).",
        )
    if not look.route_acknowledged:
        return Reason(code="route_unacknowledged", sentence="A proxy has not acknowledged the stage's route.")
    if look.elapsed_s < look.planned_s:
        return Reason(code="planned_time", sentence=f"{look.elapsed_s:.0f} s of {look.planned_s:.0f} s collected.")
    return None


def _unproven(look: StageLook) -> Reason | None:
    if look.assessment.suspicious:
        return Reason(code="suspicious", sentence="The canary looks worse, short of proof: the stage is extended.")
    if look.canary_sessions < look.min_sessions:
        return Reason(
            code="min_sessions",
            sentence=f"{look.canary_sessions} of at least {look.min_sessions} canary sessions in this stage.",
        )
    if look.last_stage:
        over = look.elapsed_s >= MAX_EXTENSION * look.planned_s
        code = "unproven_final" if over else "unproven"
        return Reason(
            code=code, sentence="The last stage is not proven within its limits: 100% would leave no baseline."
        )
    return None


def _basis(look: StageLook) -> str:
    return f" after {look.elapsed_s:.0f} s and {look.canary_sessions} canary sessions"
