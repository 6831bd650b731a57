"""People's rollback: an entry of the ledger that needs no judge. Pure."""

from typing import Literal

from schemas.decisions import Cut, LedgerEntry, Reason
from schemas.ledger import ServiceLedger
from schemas.plan import HoldMode
from schemas.standing import Standing

Back = Literal["rollback", "undo"]
"""Of a live rollout; of one that is completed and still bakes."""


def why_not(chain: ServiceLedger, service: str, back: Back, seen: str | None = None) -> str | None:
    """Why it cannot be taken back that way, as a sentence that says where it stands; None if it can.

    Whoever asks for a rollback with `seen` an earlier entry of a rollout that was completed meanwhile meant that
    rollout: the rollback wins.
    """
    standing = chain.standing
    meant_live = seen is not None and any(e.id == seen for e in chain.rollout(standing.rollout)[:-1])
    if standing.live:
        return _still_running(standing, service) if back == "undo" else None
    if standing.phase == "completed":
        return None if back == "undo" or meant_live else _is_completed(standing, service)
    return _is_over(standing, service)


def rollback_entry(
    chain: ServiceLedger, *, actor: str, reason: str, hold_mode: HoldMode | None, now_ms: int, code_version: str
) -> LedgerEntry:
    """The entry that takes the newest rollout back to the baseline it was started with.

    Only for a chain for which :func:`why_not` has no objection. It names no offsets: a person's word follows from
    no input.
    """
    standing, start = chain.standing, chain.rollout(chain.standing.rollout)[0]
    by_plan = standing.opening.plan.rollback.mode if standing.opening else "drain"
    return LedgerEntry.make(
        after=chain.head_id,
        service=start.service,
        kind="rollback",
        rollout=standing.rollout,
        stage=standing.stage,
        share=0,
        baseline=start.baseline,
        canary=start.canary,
        hold_mode=hold_mode or by_plan,
        reason=Reason(code="person", sentence=f"{actor} rolled back: {reason}"),
        cut=Cut(offsets={}, now=now_ms),
        plan_hash=start.plan_hash,
        actor=actor,
        code_version=code_version,
    )


def _still_running(standing: Standing, service: str) -> str:
    phase = (standing.phase or "").replace("_", " ")
    return f"Rollout {standing.rollout} of {service} is {phase}, nothing to undo: davylamp rollback {service} takes it back."


def _is_completed(standing: Standing, service: str) -> str:
    return (
        f"Rollout {standing.rollout} of {service} is completed, {standing.baseline} serves everybody: "
        f"davylamp undo {service} takes it back."
    )


def _is_over(standing: Standing, service: str) -> str:
    if standing.phase is None:
        return f"{service} has no rollout: davylamp start PLAN begins one."
    if standing.phase == "retired":
        return (
            f"Rollout {standing.rollout} of {service} is retired, its old baseline is no longer kept: "
            "to go back, start a rollout of the version you want."
        )
    ended = "and its canary has drained" if standing.phase == "drained" else "and its canary's sessions drain"
    return f"Rollout {standing.rollout} of {service} is already rolled back, {ended}: davylamp start PLAN begins a new one."
