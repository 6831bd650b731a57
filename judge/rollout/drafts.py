"""Entries as the judge writes them: what follows from the head is filled in here, once. Pure."""

from dataclasses import dataclass
from typing import Any

from judge.policies.port import Assessment
from judge.rollout.state import ServiceState
from schemas.control import Command
from schemas.decisions import Cut, EntryKind, LedgerEntry, Reason
from schemas.units import FULL_SHARE


@dataclass(frozen=True, slots=True)
class Drafts:
    """Writes entries that follow the head of one service at one cut."""

    state: ServiceState
    cut: Cut
    code_version: str
    assessment: Assessment | None = None
    """What was known of the canary, quoted in the entry; None where nothing is compared."""

    def stay(self, kind: EntryKind, reason: Reason, command: Command | None = None, **fields: Any) -> LedgerEntry:
        """An entry that changes neither stage nor share."""
        standing = self.state.chain.standing
        return self._entry(kind, reason, command, stage=standing.stage, share=standing.share, **fields)

    def back(self, reason: Reason, command: Command | None = None, *, severe: bool = False) -> LedgerEntry:
        """The rollback of the running rollout; `severe`: its sessions get no answers where they are."""
        policy = self.state.plan.rollback
        mode = policy.severe if severe else policy.mode
        stage = self.state.chain.standing.stage
        culprit = self.assessment.breached_by if self.assessment and command is None else None
        return self._entry("rollback", reason, command, stage=stage, share=0, hold_mode=mode, culprit=culprit)

    def forward(self, reason: Reason, command: Command | None = None, *, full: bool = False) -> LedgerEntry:
        """The next stage, or 100 % after the last one or where it is asked for."""
        plan, stage = self.state.plan, self.state.chain.standing.stage
        share = FULL_SHARE if full else plan.next_share(stage)
        if share == FULL_SHARE:
            return self._entry("complete", reason, command, stage=len(plan.stages) + 1, share=share)
        return self._entry("proceed", reason, command, stage=stage + 1, share=share)

    def start(self, reason: Reason, command: Command, baseline: str) -> LedgerEntry:
        """A rollout: stage 1, or stage 0 where the plan wants a person's approval first."""
        if command.opening is None or self.state.service is None:
            raise ValueError(f"command {command.id}: a start needs a plan and a known service")
        plan = command.opening.plan
        waits = "start" in plan.approve
        return self._entry(
            "start",
            reason,
            command,
            rollout=self.state.chain.standing.rollout + 1,
            stage=0 if waits else 1,
            share=0 if waits else plan.stages[0].share,
            baseline=baseline,
            canary=plan.canary,
            plan_hash=plan.hash,
            opening=command.opening.model_copy(update={"service": self.state.service}),
        )

    def _entry(self, kind: EntryKind, reason: Reason, command: Command | None, **fields: Any) -> LedgerEntry:
        chain = self.state.chain
        known = {
            "after": chain.head_id,
            "service": self.state.name,
            "kind": kind,
            "rollout": chain.standing.rollout,
            "baseline": self.state.own_baseline,
            "canary": chain.standing.canary or self.state.own_baseline,
            "score": self.assessment.score if self.assessment else None,
            "checks": tuple(self.assessment.checks) if self.assessment else (),
            "reason": reason,
            "cut": self.cut,
            "plan_hash": chain.head.plan_hash if chain.head else "",
            "actor": command.actor if command else "judge",
            "command": command.id if command else None,
            "code_version": self.code_version,
            "acknowledged": self.state.acknowledged.get(chain.head_id),
        }
        return LedgerEntry.make(**{**known, **fields})
