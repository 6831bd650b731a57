"""What a gate may know of a running stage, gathered from a service's state at a cut. Pure."""

import math
from typing import Literal

from judge.evidence import Evidence
from judge.policies.port import Assessment
from judge.rollout.gate import Silence, StageLook
from judge.rollout.stage_clock import StageClock
from judge.rollout.state import ServiceState
from judge.rollout.wording import breach_sentence
from judge.trial import Cohort
from schemas.decisions import Cut
from schemas.units import FULL_SHARE

SILENT_GAPS = 5
"""A cohort is silent after so many times the gap that is normal between its sessions at this share."""

USUAL_WINDOWS = 2
"""So many empty windows in a row are chance, not silence."""


def stage_look(state: ServiceState, cut: Cut, evidence: Evidence, assessment: Assessment) -> StageLook:
    """The stage that the ledger's head is in."""
    plan, standing, clock = state.plan, state.chain.standing, state.clock
    stage = plan.stages[max(standing.stage, 1) - 1]
    return StageLook(
        assessment=assessment,
        breach_sentence=breach_sentence(assessment),
        elapsed_s=clock.elapsed_s,
        planned_s=stage.duration_s,
        max_stage_s=plan.max_stage_s,
        windows=Silence(_windows_age_s(state, clock, cut), plan.stale_after_s),
        baseline=_silence(state, evidence, clock, "baseline"),
        canary=_silence(state, evidence, clock, "canary"),
        overdue=_overdue(state, cut),
        route_acknowledged=state.route_acknowledged(cut.now),
        canary_sessions=evidence.sessions("canary", standing.stage),
        min_sessions=stage.min_sessions,
        last_stage=standing.stage == len(plan.stages),
        strict=plan.strict,
        on_unproven_final=plan.on_unproven_final,
    )


def _windows_age_s(state: ServiceState, clock: StageClock, cut: Cut) -> float:
    """How old the newest final window is; before the stage's acknowledgement nothing is expected."""
    if clock.acknowledged is None:
        return 0.0
    newest = max(state.book.frontier() or 0, clock.acknowledged.at)
    return max(0, cut.now - newest) / 1000


def _silence(state: ServiceState, evidence: Evidence, clock: StageClock, cohort: Cohort) -> Silence:
    """Since the cohort's newest request in a final window, or since the stage began."""
    frontier = state.book.frontier()
    if clock.acknowledged is None or frontier is None:
        return Silence(0.0, math.inf)
    newest = max(evidence.last_request_ms(cohort) or 0, clock.acknowledged.at)
    gaps_s = SILENT_GAPS * _expected_gap_s(state, evidence, clock, cohort)
    return Silence(
        max(0, frontier - newest) / 1000,
        limit_s=max(state.plan.stale_after_s, gaps_s),
        usual_s=max(USUAL_WINDOWS * state.window_ms / 1000, gaps_s),
    )


def _expected_gap_s(state: ServiceState, evidence: Evidence, clock: StageClock, cohort: Cohort) -> float:
    """Between two sessions of the cohort, by the baseline's sessions of this stage: 0 where there are none."""
    standing = state.chain.standing
    born, share = evidence.sessions("baseline", standing.stage), standing.share / FULL_SHARE
    if not born or not 0 < share < 1:
        return math.inf if cohort == "canary" else 0.0
    gap_s = clock.elapsed_s / born
    return gap_s if cohort == "baseline" else gap_s * (1 - share) / share


def _overdue(state: ServiceState, cut: Cut) -> Literal["hold", "rollback"] | None:
    """The plan's word about a rollout that goes on for too long; a hold for it comes once, then a person decides."""
    deadline, began = state.plan.deadline, state.rollout[0].decided_at
    if cut.now - began < deadline.after_s * 1000:
        return None
    told = any(e.kind == "hold" and e.reason.code == "deadline" for e in state.rollout)
    return None if told and deadline.then == "hold" else deadline.then
