"""Ledger entries as a router writes them: for a person who spoke to it, or because nobody looks. Pure."""

from davylamp_sdk import __version__
from schemas.decisions import Cut, EntryKind, LedgerEntry, Reason
from schemas.ledger import ServiceLedger


def draft(chain: ServiceLedger, kind: EntryKind, reason: Reason, *, share: int, actor: str, now_ms: int) -> LedgerEntry:
    """An entry of the newest rollout that follows the head. It names no offsets: it follows from no input.

    Only for a chain with a rollout.
    """
    standing, start = chain.standing, chain.rollout(chain.standing.rollout)[0]
    by_plan = standing.opening.plan.rollback.mode if standing.opening else "drain"
    return LedgerEntry.make(
        after=chain.head_id,
        service=start.service,
        kind=kind,
        rollout=standing.rollout,
        stage=standing.stage,
        share=share,
        baseline=start.baseline,
        canary=start.canary,
        hold_mode=by_plan,
        reason=reason,
        cut=Cut(offsets={}, now=now_ms),
        plan_hash=start.plan_hash,
        actor=actor,
        code_version=__version__,
    )
