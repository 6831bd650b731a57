"""What people are shown of a service: the judge's view. Pure."""

from dataclasses import dataclass
from typing import Any

from judge.evidence import Evidence
from judge.policies.port import Assessment
from judge.rollout.gate import APPROVAL, Gate, Proceed, Wait
from judge.rollout.state import ServiceState
from schemas.control import Outcome, RolloutState, RolloutView
from schemas.decisions import Cut
from schemas.plan import Approval
from schemas.units import format_share


@dataclass(frozen=True, slots=True)
class Seen:
    """What was compared at a cut, and what became of it."""

    evidence: Evidence | None = None
    assessment: Assessment | None = None
    verdict: Gate | None = None
    outcomes: tuple[Outcome, ...] = ()


def _rollout_state(state: ServiceState) -> RolloutState | None:
    """The phase, with `running` told apart by whether every proxy runs the stage's route."""
    phase = state.chain.standing.phase
    if phase == "running":
        return "collecting" if state.clock.acknowledged else "shifting"
    return phase


def view(state: ServiceState, cut: Cut, seen: Seen) -> RolloutView:
    """The service's newest rollout at a cut, but for the checks of a running one: :attr:`Seen.assessment` has them."""
    standing, head = state.chain.standing, state.chain.head
    common: dict[str, Any] = {
        "service": state.name,
        "rollout": standing.rollout,
        "baseline": state.own_baseline or None,
        "frozen": standing.frozen,
        "head": state.chain.head_id,
        "outcomes": seen.outcomes,
        "judged": cut.offsets,
        "looked_at": cut.now,
    }
    if state.chain.opening is None or head is None:
        return RolloutView(**common)
    running, clock, plan = seen.assessment, state.clock, state.plan
    return RolloutView(
        **common,
        state=_rollout_state(state),
        stage=standing.stage,
        stages=len(plan.stages),
        share=standing.share,
        canary=standing.canary,
        observe=plan.observe,
        held_because=clock.held.reason.sentence if clock.held and standing.phase == "held" else None,
        waiting_for=_waiting_for(state, seen.verdict),
        awaits=_awaits(state, seen.verdict),
        stage_elapsed_s=clock.elapsed_s if running else None,
        score=running.score if running else head.score,
        checks=() if running else head.checks,
        baseline_sessions=seen.evidence.sessions("baseline") if seen.evidence else 0,
        canary_sessions=seen.evidence.sessions("canary") if seen.evidence else 0,
    )


def _awaits(state: ServiceState, verdict: Gate | None) -> Approval | None:
    standing = state.chain.standing
    open_gate = standing.phase == "running" and isinstance(verdict, Wait) and verdict.reason.code == APPROVAL
    coming = state.plan.approval_after(standing.stage)
    return coming if (open_gate or standing.phase == "pending") and coming not in standing.approved else None


def _waiting_for(state: ServiceState, verdict: Gate | None) -> str | None:
    standing = state.chain.standing
    if standing.phase == "pending" and "start" not in standing.approved:
        return f"Waiting for a person: davylamp approve {state.name} start."
    if standing.phase == "pending" or (standing.phase == "running" and state.clock.acknowledged is None):
        return f"Every proxy must acknowledge {format_share(standing.share)} for {standing.canary} first."
    return verdict.reason.sentence if standing.phase == "running" and isinstance(verdict, Wait | Proceed) else None
