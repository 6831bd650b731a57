"""The gate of a stage: roll back, hold, wait, or proceed. A pure table; the order of its rows is its meaning."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from judge.policies.port import Assessment
from judge.rollout.observed import FITTING, HEALTHY, BaselineHealth, Mismatch, SampleRatio, Silence
from judge.trial import Cohort
from schemas.decisions import Reason
from schemas.plan import Plan

MAX_EXTENSION = 2.0
"""A stage that proves nothing is extended to at most this many times its planned duration."""

UNKNOWN_SCORE = 75.0
"""Of a check without evidence: below it there is evidence against the canary, above it some is proved."""

LOST_ANSWERS = 3
"""So many requests that proxies saw answered while telemetry was silent are not chance."""

APPROVAL = "approval"
"""Code of waiting for nothing but a person's word; :mod:`judge.rollout.machine` says it of an open gate."""

_LATE = Reason(code="deadline", sentence="The rollout has not ended by its deadline.")


@dataclass(frozen=True, slots=True)
class Rollback:
    """The canary is out."""

    reason: Reason
    severe: bool = False
    """Its sessions are better off elsewhere at once."""


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
class StageLook:
    """All a gate may know."""

    plan: Plan
    assessment: Assessment
    breach_sentence: str
    severe: bool
    """A breach of at least `severe_from` of requests."""
    elapsed_s: float
    """Data time since the last proxy acknowledged the stage, without the time held."""
    planned_s: float
    windows: Silence
    """From the end of the newest final window to now."""
    baseline: Silence
    """From the cohort's newest request to the newest final window."""
    canary: Silence
    overdue: Literal["hold", "rollback"] | None
    """What the plan wants of a rollout that has not ended by its deadline; None before."""
    unacknowledged: str | None
    """Which proxies do not run the stage's route, in words; None if all do."""
    canary_sessions: int
    """Born in this stage."""
    min_sessions: int
    last_stage: bool
    hole_s: float | None = None
    """Since the newest window that lacks messages, unread or unreadable; None without any."""
    sample_ratio: SampleRatio = FITTING
    mismatches: tuple[Mismatch, ...] = ()
    health: BaselineHealth = HEALTHY
    waived: frozenset[str] = frozenset()
    """Codes of holds in this stage that a person has resumed: it is not held for those again."""


Row = Callable[[StageLook], Gate | None]


def gate(look: StageLook) -> Gate:
    """The first row that applies; the last one always does."""
    return next(verdict for row in _ROWS if (verdict := row(look)) is not None)


def missing_data(look: StageLook) -> Hold | None:
    """Missing data is never a reason to roll back, nor to rise."""
    if look.windows.broken:
        return _hold("stale", f"No window has closed for {_limit(look.windows)}.")
    cohorts: tuple[tuple[Cohort, Silence], ...] = (("baseline", look.baseline), ("canary", look.canary))
    for cohort, silence in cohorts:
        if silence.broken and silence.answered >= LOST_ANSWERS:
            seen = f"the proxies saw {silence.answered} of them answered meanwhile"
            return _hold("telemetry_lost", f"No request of the {cohort} was counted for {_limit(silence)}, but {seen}.")
        if silence.broken:
            return _hold(f"{cohort}_silent", f"No request of the {cohort} was counted for {_limit(silence)}.")
    if look.hole_s is not None and look.hole_s < look.plan.stale_after_s:
        sentence = (
            "Telemetry was lost before it was counted: retention took it from the log, floods of it were unreadable, or what "
            "was counted is impossible."
        )
        return _hold("incomplete", f"{sentence} The stage goes on {look.plan.stale_after_s:g} s after that.")
    return None


def _breach(look: StageLook) -> Rollback | None:
    if look.assessment.breached_by is None:
        return None
    return Rollback(Reason(code="breach", sentence=look.breach_sentence), look.severe)


def _low_score(look: StageLook) -> Rollback | None:
    """Stricter than the statistics, as the plan wants it. A score that lacks only proof counts when the time is up."""
    below, score = look.plan.rollback_below, look.assessment.score
    if score >= below or look.canary_sessions < look.min_sessions:
        return None
    if score >= UNKNOWN_SCORE and look.elapsed_s < look.planned_s:
        return None
    sentence = f"The score is {score:g}; the plan rolls back below {below:g}."
    return Rollback(Reason(code="score", sentence=sentence))


def _sample_ratio(look: StageLook) -> Hold | None:
    """A cohort that is not heard at all is silent, whatever that does to numbers: that is told first."""
    ratio = look.sample_ratio
    silent = look.baseline.unusual or look.canary.unusual
    if ratio.fits or silent or look.plan.on_sample_ratio == "ignore" or "sample_ratio" in look.waived:
        return None
    return _hold(
        "sample_ratio",
        f"{ratio.canary} of {ratio.canary + ratio.baseline} new sessions met the canary where the shares in force expect "
        f"{ratio.expected:.0f}: the cohorts are not drawn as they should be, so what is compared is not comparable.",
    )


def _mismatch(look: StageLook) -> Gate | None:
    found = next((m for m in look.mismatches if m.real), None)
    if found is None or look.plan.on_mismatch == "ignore" or "mismatch" in look.waived:
        return None
    whole = found.mismatched == found.requests
    deployed = f"{found.version} was never deployed" if whole else f"{found.version} is not deployed everywhere"
    sentence = (
        f"{found.mismatched} of {found.requests} requests that proxies assigned to {found.version} in this stage were "
        f"answered by servers that say another version: {deployed}."
    )
    reason = Reason(code="mismatch", sentence=sentence)
    return Rollback(reason) if look.plan.on_mismatch == "rollback" else Hold(reason)


def _out_of_time(look: StageLook) -> Rollback | None:
    """By the plan's own word a rollout ends at its deadline, also one whose data went missing before it."""
    return Rollback(_LATE) if look.overdue == "rollback" else None


def _overdue(look: StageLook) -> Hold | None:
    return Hold(_LATE) if look.overdue == "hold" else None


def _too_early(look: StageLook) -> Wait | None:
    if look.unacknowledged is not None:
        return _wait("route_unacknowledged", look.unacknowledged)
    for cohort, silence in (("baseline", look.baseline), ("canary", look.canary)):
        if silence.unusual:
            return _wait("quiet", f"No request of the {cohort} was counted for {silence.age_s:.0f} s.")
    if look.elapsed_s < look.planned_s:
        return _wait("planned_time", f"{look.elapsed_s:.0f} s of {look.planned_s:.0f} s collected.")
    return None


def _sick_baseline(look: StageLook) -> Hold | None:
    """Only the promotion is held: a canary that is sicker still is rolled back all the same."""
    health = look.health
    if not health.sick or look.plan.on_sick_baseline == "ignore" or "sick_baseline" in look.waived:
        return None
    return _hold(
        "sick_baseline",
        f"The baseline itself fails {100 * health.now.rate:.3g} % of {health.now.requests} requests in this stage, "
        f"{100 * health.before.rate:.3g} % in the hour before the rollout: both being sick is nobody's proof.",
    )


def _too_few_sessions(look: StageLook) -> Gate | None:
    """Never waived, not even by a proof: a stage that nobody entered says nothing about who would."""
    if look.canary_sessions >= look.min_sessions:
        return None
    sentence = f"{look.canary_sessions} of at least {look.min_sessions} canary sessions in this stage."
    return _hold_once(look, "min_sessions", sentence, over=look.elapsed_s >= look.plan.max_stage_s)


def _unjudged(look: StageLook) -> Hold | None:
    """A check that the plan asks for and that nobody can answer any more: even a proof of the others is none of it."""
    checks = look.assessment.unjudged
    if not checks or "unproven" in look.waived:
        return None
    sentence = (
        "can no longer be judged: the sum of a cohort's values has outgrown 64 bits, in millionths, or values of a rate are "
        "more than 1. Send a mean in a larger unit, a rate as 0 to 1."
    )
    return _hold("unproven", f"{', '.join(checks)} {sentence}")


def _within(look: StageLook) -> Proceed | None:
    if not look.assessment.within:
        return None
    return Proceed(Reason(code="within", sentence=f"Every check is within its limit{_basis(look)}."))


def _suspicious(look: StageLook) -> Gate | None:
    if not look.assessment.suspicious:
        return None
    sentence = f"The canary looks worse, short of proof{_basis(look)}."
    return _hold_once(look, "suspicious", sentence, over=_extended(look))


def _unproven(look: StageLook) -> Gate:
    """100 % leaves no baseline to compare with, and a strict plan never goes on without proof."""
    missing = [c for c in look.assessment.checks if c.gate_margin is not None and c.verdict != "within"]
    names = f" ({', '.join(check.check for check in missing)})" if missing else ""
    sentence = f"No breach and nothing suspicious, yet not proven within its limits{names}{_basis(look)}."
    reason = Reason(code="unproven", sentence=sentence)
    if look.plan.strict or (look.last_stage and look.plan.on_unproven_final == "hold"):
        return _hold_once(look, "unproven", sentence, over=_extended(look))
    if not look.last_stage:
        return Proceed(reason)
    if not _extended(look):
        return Wait(reason)
    return Proceed(reason) if look.plan.on_unproven_final == "proceed" else Rollback(reason)


_ROWS: tuple[Row, ...] = (
    _breach,
    _out_of_time,
    missing_data,
    _low_score,
    _sample_ratio,
    _mismatch,
    _overdue,
    _too_early,
    _sick_baseline,
    _too_few_sessions,
    _unjudged,
    _within,
    _suspicious,
    _unproven,
)
"""Breach, a deadline that rolls back, missing data, a low score, cohorts that are not what they should be, a deadline that
holds, time, the baseline's health, sessions, proof."""


def _extended(look: StageLook) -> bool:
    return look.elapsed_s >= MAX_EXTENSION * look.planned_s


def _hold_once(look: StageLook, code: str, sentence: str, *, over: bool) -> Gate:
    """Wait, and once the time for it is over hold; a person who resumes has said to go on waiting."""
    return _hold(code, sentence) if over and code not in look.waived else _wait(code, sentence)


def _basis(look: StageLook) -> str:
    return f" after {look.elapsed_s:.0f} s and {look.canary_sessions} canary sessions"


def _limit(silence: Silence) -> str:
    return f"{silence.age_s:.0f} s (limit {silence.limit_s:.0f} s)"


def _hold(code: str, sentence: str) -> Hold:
    return Hold(Reason(code=code, sentence=sentence))


def _wait(code: str, sentence: str) -> Wait:
    return Wait(Reason(code=code, sentence=sentence))
