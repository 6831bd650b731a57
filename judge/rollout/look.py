"""What a gate may know of a running stage, gathered from a service's state at a cut. Pure."""

import math
from typing import Literal

from judge.evidence import Evidence
from judge.policies.port import Assessment
from judge.proxies import KNOWN_AFTER_MS
from judge.rollout.gate import StageLook
from judge.rollout.objections import unacknowledged
from judge.rollout.observed import FITTING, HEALTHY, BaselineHealth, Failures, Mismatch, SampleRatio, Silence
from judge.rollout.stage_clock import StageClock, newest_stage
from judge.rollout.state import Compared, ServiceState
from judge.rollout.wording import breach_sentence
from judge.stats.sample_ratio import THRESHOLD, sample_ratio_log_e
from judge.trial import COHORTS, Cohort, Stratum
from schemas.decisions import Cut
from schemas.plan import MAX_ROLLOUT_S
from schemas.units import FULL_SHARE

SILENT_GAPS = 5
"""A cohort is silent after so many times the gap that is normal between its sessions at this share."""

USUAL_WINDOWS = 2
"""So many empty windows in a row are chance, not silence."""

HOUR_BEFORE_MS = 3_600_000
"""How far back from its start a rollout asks how healthy the baseline was."""

SEVERE_CHECKS = frozenset({"error_rate", "availability"})
"""Whose bad ones are requests that nobody got an answer to."""


def stage_look(state: ServiceState, cut: Cut, compared: Compared, assessment: Assessment) -> StageLook:
    """The stage that the ledger's head is in."""
    plan, standing, clock, evidence = state.plan, state.chain.standing, state.clock, compared.evidence
    stage = plan.stages[max(standing.stage, 1) - 1]
    return StageLook(
        plan=plan,
        assessment=assessment,
        breach_sentence=breach_sentence(assessment),
        severe=_severe(assessment, plan.rollback.severe_from),
        elapsed_s=clock.elapsed_s,
        planned_s=stage.duration_s,
        windows=Silence(_windows_age_s(state, clock, cut), plan.stale_after_s),
        baseline=_silence(state, evidence, clock, "baseline"),
        canary=_silence(state, evidence, clock, "canary"),
        overdue=_overdue(state, cut),
        unacknowledged=_unacknowledged(state, cut),
        canary_sessions=evidence.sessions("canary", standing.stage),
        min_sessions=stage.min_sessions,
        last_stage=standing.stage == len(plan.stages),
        hole_s=_hole_s(state),
        sample_ratio=_sample_ratio(state, compared),
        mismatches=_mismatches(compared, clock),
        health=_health(state, clock),
        waived=_waived(state),
    )


def _unacknowledged(state: ServiceState, cut: Cut) -> str | None:
    if state.route_acknowledged(cut.now):
        return None
    sentence = unacknowledged(state, cut, "the stage's route")
    return f"{sentence[0].upper()}{sentence[1:]}."


def _severe(assessment: Assessment, severe_from: float) -> bool:
    """Whether so large a part of the canary's requests gets no answer."""
    if assessment.breached_by is None:
        return False
    culprit = next((c for c in assessment.checks if c.check == assessment.breached_by), None)
    return (
        culprit is not None
        and culprit.check in SEVERE_CHECKS
        and culprit.canary.n > 0
        and culprit.canary.bad >= severe_from * culprit.canary.n
    )


def _windows_age_s(state: ServiceState, clock: StageClock, cut: Cut) -> float:
    """How old the newest final window is; before the stage's acknowledgement nothing is expected."""
    if clock.acknowledged is None:
        return 0.0
    newest = max(state.book.frontier() or 0, clock.acknowledged.at)
    return max(0, cut.now - newest) / 1000


def _silence(state: ServiceState, evidence: Evidence, clock: StageClock, cohort: Cohort) -> Silence:
    """Since the cohort's newest request in a final window, or since the stage began.

    However impatient a plan is, nothing is missing before the proxies could say whether requests were answered meanwhile:
    they tell lost telemetry from a cohort that nobody meets. What is silent for longer than usual lets no share rise meanwhile.
    """
    frontier = state.book.frontier()
    if clock.acknowledged is None or frontier is None:
        return Silence(0.0, math.inf)
    newest = max(evidence.last_request_ms(cohort) or 0, clock.acknowledged.at)
    gaps_s = SILENT_GAPS * _expected_gap_s(state, evidence, clock, cohort)
    silence = Silence(
        max(0, frontier - newest) / 1000,
        limit_s=max(state.plan.stale_after_s, gaps_s, KNOWN_AFTER_MS / 1000),
        usual_s=max(USUAL_WINDOWS * state.window_ms / 1000, gaps_s),
    )
    return _with_answers(state, silence, cohort, newest) if silence.broken else silence


def _with_answers(state: ServiceState, silence: Silence, cohort: Cohort, since_ms: int) -> Silence:
    version = state.plan.canary if cohort == "canary" else state.own_baseline
    return Silence(silence.age_s, silence.limit_s, silence.usual_s, state.proxies.answered(version, since_ms))


def _expected_gap_s(state: ServiceState, evidence: Evidence, clock: StageClock, cohort: Cohort) -> float:
    """Between two sessions of the cohort, by the baseline's sessions of this stage: 0 where there are none."""
    standing = state.chain.standing
    born, share = evidence.sessions("baseline", standing.stage), standing.share / FULL_SHARE
    if not born or not 0 < share < 1:
        return math.inf if cohort == "canary" else 0.0
    gap_s = clock.elapsed_s / born
    return gap_s if cohort == "baseline" else gap_s * (1 - share) / share


def _overdue(state: ServiceState, cut: Cut) -> Literal["hold", "rollback"] | None:
    """The plan's word about a rollout that goes on for too long. A hold for it comes once, then a person decides; but past
    :data:`MAX_ROLLOUT_S`, when what it rests on begins to expire, a rollout that was resumed is held again."""
    deadline, began = state.plan.deadline, state.rollout[0].decided_at
    if cut.now - began < deadline.after_s * 1000:
        return None
    told = any(e.kind == "hold" and e.reason.code == "deadline" for e in state.rollout)
    resumed = told and deadline.then == "hold" and cut.now - began < MAX_ROLLOUT_S * 1000
    return None if resumed else deadline.then


def _hole_s(state: ServiceState) -> float | None:
    frontier = state.book.frontier()
    if state.incomplete_ms is None or frontier is None:
        return None
    return (frontier - state.incomplete_ms) / 1000


def _sample_ratio(state: ServiceState, compared: Compared) -> SampleRatio:
    """New sessions of every stage so far against its share: as the proxies told them, or else as telemetry did."""
    canary, baseline, expected, log_e = 0, 0, 0.0, 0.0
    for stage in range(1, min(state.chain.standing.stage, len(state.plan.stages)) + 1):
        share = state.plan.stages[stage - 1].share / FULL_SHARE
        met, others = _born(state, compared, stage)
        canary, baseline, expected = canary + met, baseline + others, expected + share * (met + others)
        log_e += sample_ratio_log_e(met, met + others, share)
    if not canary + baseline:
        return FITTING
    return SampleRatio(canary, baseline, expected, fits=log_e < math.log(THRESHOLD))


def _born(state: ServiceState, compared: Compared, stage: int) -> tuple[int, int]:
    """Sessions of the canary and of the baseline that were born in a stage."""
    trial, stratum = compared.trial, Stratum(stage, "session")
    met = state.proxies.born(trial.canary, trial.labels["canary", stratum])
    others = state.proxies.born(trial.baseline, trial.labels["baseline", stratum])
    if met + others:
        return met, others
    return compared.evidence.born("canary", stage), compared.evidence.born("baseline", stage)


def _mismatches(compared: Compared, clock: StageClock) -> tuple[Mismatch, ...]:
    """Since the stage began, or was begun anew; the canary's first."""
    if clock.acknowledged is None:
        return ()
    trial, since_ms = compared.trial, clock.acknowledged.at
    return tuple(
        Mismatch(cohort, trial.version(cohort), *compared.evidence.mismatches(cohort, since_ms))
        for cohort in reversed(COHORTS)
    )


def _health(state: ServiceState, clock: StageClock) -> BaselineHealth:
    """All of the baseline's sessions, old ones too, in the hour before the rollout and in this stage."""
    frontier, starts = state.book.frontier(), state.times.started_ms
    if clock.acknowledged is None or frontier is None or not starts:
        return HEALTHY
    version = state.own_baseline
    before = state.history.failures(version, starts[0] - HOUR_BEFORE_MS, starts[0])
    now = state.history.failures(version, clock.acknowledged.at, frontier)
    return BaselineHealth(Failures(*before), Failures(*now), state.plan.checks.error_rate.within)


def _waived(state: ServiceState) -> frozenset[str]:
    """What a person has resumed in this stage. A stage that is begun anew is held anew."""
    waived, held = set(), None
    for entry in newest_stage(state.rollout):
        if entry.kind == "hold":
            held = entry.reason.code
        elif entry.kind == "resume" and held is not None and entry.actor != "judge":
            waived.add(held)
    return frozenset(waived)
