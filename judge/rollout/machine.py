"""The rollout machine: what the judge says next. A pure function of a service's state and the cut."""

from dataclasses import dataclass

from judge.evidence import Evidence
from judge.policies.port import Assessment, Policy
from judge.rollout.gate import Gate, Proceed, Rollback, StageLook, Wait, gate
from judge.rollout.state import Asked, ServiceState
from judge.rollout.wording import breach_sentence, started_sentence
from schemas.control import Outcome, RolloutView
from schemas.decisions import Cut, EntryKind, LedgerEntry, Opening, Reason
from schemas.units import FULL_SHARE, format_share

COMMAND_EXPIRES_S = 30.0
"""An older command is not carried out: nobody expects a release to start by itself after an outage."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the judge wants to write at one cut."""

    entry: LedgerEntry | None
    view: RolloutView


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of every service: a policy, and the version of the code that goes into each entry."""

    policy: Policy
    code_version: str

    def decide(self, state: ServiceState, cut: Cut) -> Decision:
        """The next entry, if any, and what people are shown. Never looks at anything but its arguments."""
        if state.phase in ("shifting", "collecting"):
            return self._judge(state, cut)
        entry, outcomes = self._answer(state, cut)
        head, opening = state.chain.head, state.chain.opening
        evidence = state.evidence(head, opening) if head and opening else None
        return Decision(entry, _view(state, cut, outcomes, evidence))

    def _judge(self, state: ServiceState, cut: Cut) -> Decision:
        head, opening = state.chain.head, state.chain.opening
        if head is None or opening is None:
            raise RuntimeError(f"service {state.name}: a running rollout has a head and an opening")
        evidence = state.evidence(head, opening)
        assessment = self.policy.assess(evidence, opening.plan, state.stage_times(head))
        verdict = gate(_look(state, head, opening, cut, evidence, assessment))
        entry = self._entry(state, head, opening, cut, assessment, verdict)
        outcomes = tuple(_refused(asked, "a rollout is running") for asked in _fresh(state, cut))
        return Decision(entry, _view(state, cut, outcomes, evidence, assessment, verdict))

    def _entry(
        self, state: ServiceState, head: LedgerEntry, opening: Opening, cut: Cut, assessment: Assessment, verdict: Gate
    ) -> LedgerEntry | None:
        kind: EntryKind
        if isinstance(verdict, Wait):
            return None
        if isinstance(verdict, Rollback):
            kind, stage, share = "rollback", head.stage, 0
        else:
            stage, share = head.stage + 1, opening.plan.next_share(head.stage)
            kind = "complete" if share == FULL_SHARE else "proceed"
        return LedgerEntry.make(
            after=head.id,
            service=state.name,
            kind=kind,
            rollout=head.rollout,
            stage=stage,
            share=share,
            baseline=head.baseline,
            canary=head.canary,
            score=assessment.score,
            checks=assessment.checks,
            reason=verdict.reason,
            cut=cut,
            plan_hash=head.plan_hash,
            actor="judge",
            code_version=self.code_version,
            acknowledged=state.acknowledged.get(head.id),
        )

    def _answer(self, state: ServiceState, cut: Cut) -> tuple[LedgerEntry | None, tuple[Outcome, ...]]:
        outcomes: list[Outcome] = []
        for asked in _fresh(state, cut):
            reason = _why_not(state, asked)
            if reason is None:
                return self._start(state, asked, cut), tuple(outcomes)
            outcomes.append(_refused(asked, reason))
        return None, tuple(outcomes)

    def _start(self, state: ServiceState, asked: Asked, cut: Cut) -> LedgerEntry:
        command, head = asked.command, state.chain.head
        plan, baseline = command.opening.plan, _baseline(state)
        return LedgerEntry.make(
            after=state.chain.head_id,
            service=state.name,
            kind="start",
            rollout=1 if head is None else head.rollout + 1,
            stage=1,
            share=plan.stages[0].share,
            baseline=baseline,
            canary=plan.canary,
            reason=Reason(code="started", sentence=started_sentence(plan, baseline)),
            cut=cut,
            plan_hash=plan.hash,
            actor=command.actor,
            code_version=self.code_version,
            opening=command.opening.model_copy(update={"service": state.service, "command": command.id}),
            acknowledged=None if head is None else state.acknowledged.get(head.id),
        )


def _look(
    state: ServiceState, head: LedgerEntry, opening: Opening, cut: Cut, evidence: Evidence, assessment: Assessment
) -> StageLook:
    stage = opening.plan.stages[head.stage - 1]
    frontier, acknowledged = state.book.frontier(), state.acknowledged.get(head.id)
    return StageLook(
        assessment=assessment,
        breach_sentence=breach_sentence(assessment),
        elapsed_s=_elapsed_s(state, head),
        planned_s=stage.duration_s,
        evidence_age_s=max(0, cut.now - (frontier or (acknowledged.at if acknowledged else cut.now))) / 1000,
        stale_after_s=opening.plan.stale_after_s,
        route_acknowledged=state.route_acknowledged,
        canary_sessions=evidence.canary_sessions_of_stage,
        min_sessions=stage.min_sessions,
        last_stage=head.stage == len(opening.plan.stages),
    )


def _elapsed_s(state: ServiceState, head: LedgerEntry) -> float:
    """Data time: from the last acknowledgement to the end of the newest window that every partition has closed."""
    acknowledged, frontier = state.acknowledged.get(head.id), state.book.frontier()
    if acknowledged is None or frontier is None:
        return 0.0
    return max(0, frontier - acknowledged.at) / 1000


def _fresh(state: ServiceState, cut: Cut) -> list[Asked]:
    """The commands that may still be answered, oldest first: neither carried out already nor expired."""
    done = {e.opening.command for e in state.chain.entries if e.opening is not None}
    oldest = cut.now - COMMAND_EXPIRES_S * 1000
    return [a for a in state.asked if a.command.id not in done and a.at_ms >= oldest]


def _baseline(state: ServiceState) -> str:
    """The version that serves everybody: the ledger's, or the service file's before the first rollout."""
    if state.chain.baseline is not None:
        return state.chain.baseline
    return state.service.baseline if state.service is not None else ""


def _why_not(state: ServiceState, asked: Asked) -> str | None:
    """Why a start is refused, as a sentence that says what to do."""
    plan, service, head = asked.command.opening.plan, state.service, state.chain.head
    if service is None:
        return f"service {state.name} is not known: davylamp service apply FILE first"
    if plan.canary not in service.versions:
        return f"version {plan.canary} is not among the versions of {state.name}: {', '.join(sorted(service.versions))}"
    if plan.canary == _baseline(state):
        return f"version {plan.canary} is the baseline already: it serves everybody"
    if asked.command.seen != state.chain.head_id:
        return "the ledger has moved since you looked: look again with davylamp status, then start"
    if head is not None and not state.route_acknowledged:
        return f"a proxy has not acknowledged the last decision ({head.kind} of rollout {head.rollout}) yet: try again"
    return None


def _refused(asked: Asked, reason: str) -> Outcome:
    return Outcome(command=asked.command.id, accepted=False, sentence=reason)


def _view(
    state: ServiceState,
    cut: Cut,
    outcomes: tuple[Outcome, ...],
    evidence: Evidence | None = None,
    assessment: Assessment | None = None,
    verdict: Gate | None = None,
) -> RolloutView:
    head, opening = state.chain.head, state.chain.opening
    common = RolloutView(
        service=state.name,
        rollout=0,
        baseline=_baseline(state) or None,
        outcomes=outcomes,
        judged=cut.offsets,
        looked_at=cut.now,
    )
    if head is None or opening is None:
        return common
    shown = assessment or Assessment(head.score or 0.0, head.checks, None, within=False, suspicious=False)
    return common.model_copy(
        update={
            "rollout": head.rollout,
            "state": state.phase,
            "stage": head.stage,
            "stages": len(opening.plan.stages),
            "share": head.share,
            "baseline": head.baseline,
            "canary": head.canary,
            "head": head.id,
            "waiting_for": _waiting_for(state, verdict),
            "stage_elapsed_s": _elapsed_s(state, head) if assessment else None,
            "score": shown.score if assessment or head.score is not None else None,
            "checks": shown.checks,
            "baseline_sessions": evidence.baseline_sessions if evidence else 0,
            "canary_sessions": evidence.canary_sessions if evidence else 0,
        }
    )


def _waiting_for(state: ServiceState, verdict: Gate | None) -> str | None:
    head = state.chain.head
    if state.phase == "shifting" and head is not None:
        return f"Every proxy must acknowledge {format_share(head.share)} for {head.canary} first."
    return verdict.reason.sentence if isinstance(verdict, Wait | Proceed) else None
