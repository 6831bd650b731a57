"""The rollout machine: what the judge says next. A pure function of a service's state and the cut."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from judge.policies.port import Assessment, Policy
from judge.rollout.commands import answer
from judge.rollout.drafts import Drafts
from judge.rollout.gate import APPROVAL, Gate, Hold, Proceed, Rollback, Wait, gate, missing_data
from judge.rollout.look import stage_look
from judge.rollout.stage_clock import first_acknowledgement
from judge.rollout.state import Compared, ServiceState
from judge.rollout.view import Seen, view
from schemas.control import Outcome, RolloutView
from schemas.decisions import RESUMES_ITSELF, CheckResult, Cut, LedgerEntry, Reason
from schemas.standing import Phase


@dataclass(frozen=True)
class Decision:
    """What the judge wants to write at one cut."""

    entry: LedgerEntry | None
    outline: RolloutView
    """What people are shown, but for the checks of a running rollout."""
    checks: Sequence[CheckResult]
    """Of a running rollout, worked out when they are read: not every look is told."""

    @cached_property
    def view(self) -> RolloutView:
        """What people are shown."""
        return self.outline.model_copy(update={"checks": tuple(self.checks)}) if self.checks else self.outline


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of every service: a policy, and the version of the code that goes into each entry."""

    policy: Policy
    code_version: str

    def decide(self, state: ServiceState, cut: Cut) -> Decision:
        """The next entry, if any, and what people are shown. Never looks at anything but its arguments.

        Order: a breach, then people's words, then what the phase says by itself (:data:`_PHASES`).
        """
        seen = self._see(state, cut)
        state.forget()  # what was closed has been compared
        drafts = Drafts(state, cut, self.code_version, seen.assessment)
        entry, outcomes = self._next(drafts, seen)
        checks = seen.assessment.checks if seen.assessment else ()
        told = Seen(seen.evidence, seen.assessment, seen.verdict, outcomes)
        return Decision(entry, view(state, cut, told), checks)

    def follow(self, state: ServiceState) -> None:
        """Compare what has closed, and let go of what nobody will ask for, without a decision: windows are still being read.

        As :meth:`ServiceState.forget`, only once the ledger has been read to its end.
        """
        if state.chain.opening is not None:
            state.under(self.policy)
        state.forget()

    def _next(self, drafts: Drafts, seen: Seen) -> tuple[LedgerEntry | None, tuple[Outcome, ...]]:
        if isinstance(seen.verdict, Rollback):
            breach = _rolled_back(drafts, seen.verdict)
            if breach is not None:
                return breach, ()
        entry, outcomes = answer(drafts)
        if entry is None:
            entry = _PHASES[drafts.state.chain.standing.phase](drafts, seen.verdict)
        return entry, outcomes

    def _see(self, state: ServiceState, cut: Cut) -> Seen:
        """Everything that is compared: nothing before the first rollout, and no verdict where none is running."""
        if state.chain.opening is None:
            return Seen()
        compared = state.under(self.policy)
        evidence = compared.evidence
        if not state.chain.standing.live or state.chain.standing.stage == 0:
            return Seen(evidence=evidence)
        assessment = state.assess(self.policy)
        return Seen(evidence, assessment, _verdict(state, cut, compared, assessment))


def _verdict(state: ServiceState, cut: Cut, compared: Compared, assessment: Assessment) -> Gate:
    look = stage_look(state, cut, compared, assessment)
    verdict = gate(look)
    if isinstance(verdict, Proceed):
        verdict = _wants_approval(state, verdict)
    if state.chain.standing.phase == "held" and not isinstance(verdict, Rollback):
        return missing_data(look) or Wait(Reason(code="held", sentence="It is held."))
    return verdict


def _wants_approval(state: ServiceState, verdict: Proceed) -> Gate:
    """The gate is open; a plan may want a person's word all the same."""
    plan, standing = state.plan, state.chain.standing
    coming = plan.approval_after(standing.stage)
    if coming not in plan.approve or coming in standing.approved:
        return verdict
    sentence = f"{verdict.reason.sentence} Waiting for a person: davylamp approve {state.name} {coming}."
    return Wait(Reason(code=APPROVAL, sentence=sentence))


def _rolled_back(drafts: Drafts, verdict: Rollback) -> LedgerEntry | None:
    """A breach ends the rollout; where the plan only observes, it is held once, with the same words."""
    if not drafts.state.plan.observe:
        return drafts.back(verdict.reason, severe=verdict.severe)
    return _advised(drafts, "would_rollback", verdict.reason)


def _advised(drafts: Drafts, code: str, reason: Reason) -> LedgerEntry | None:
    held = drafts.state.clock.held
    if held is not None and held.reason.code == code:
        return None
    sentence = f"Observing, so nothing is applied. {reason.sentence}"
    return drafts.stay("hold", Reason(code=code, sentence=sentence))


def _pending(drafts: Drafts, _: Gate | None) -> LedgerEntry | None:
    standing = drafts.state.chain.standing
    if "start" not in standing.approved or not drafts.state.route_acknowledged(drafts.cut.now):
        return None
    return drafts.forward(Reason(code="approved", sentence="The start is approved."))


def _running(drafts: Drafts, verdict: Gate | None) -> LedgerEntry | None:
    if isinstance(verdict, Hold):
        return drafts.stay("hold", verdict.reason)
    if not isinstance(verdict, Proceed):
        return None
    if drafts.state.plan.observe:
        return _advised(drafts, "would_proceed", verdict.reason)
    return drafts.forward(verdict.reason)


def _held(drafts: Drafts, verdict: Gate | None) -> LedgerEntry | None:
    """A hold for missing data resumes by itself; any other needs a person."""
    held = drafts.state.clock.held
    if held is None or held.reason.code not in RESUMES_ITSELF or isinstance(verdict, Hold):
        return None
    return drafts.stay("resume", Reason(code="data_back", sentence="The data is back."))


def _draining(drafts: Drafts, _: Gate | None) -> LedgerEntry | None:
    state = drafts.state
    back = next(e for e in reversed(state.rollout) if e.kind == "rollback")
    over = drafts.cut.now - back.decided_at >= state.plan.rollback.deadline_s * 1000
    if not (state.route_acknowledged(drafts.cut.now) if back.hold_mode == "evict" else over):
        return None
    return drafts.stay("drained", Reason(code="drained", sentence=f"No session of {back.canary} is kept any longer."))


def _baking(drafts: Drafts, _: Gate | None) -> LedgerEntry | None:
    state = drafts.state
    at = next(i for i, e in enumerate(state.rollout) if e.kind == "complete")
    complete, acknowledged = state.rollout[at], first_acknowledgement(state.rollout[at:], state.acknowledged)
    if acknowledged is None or drafts.cut.now - acknowledged.at < state.plan.bake_s * 1000:
        return None
    return drafts.stay("retire", Reason(code="baked", sentence=f"{complete.baseline} is no longer kept."))


def _rest(_: Drafts, __: Gate | None) -> None:
    return None


_PHASES: dict[Phase | None, Callable[[Drafts, Gate | None], LedgerEntry | None]] = {
    None: _rest,
    "pending": _pending,
    "running": _running,
    "held": _held,
    "rolled_back": _draining,
    "drained": _rest,
    "completed": _baking,
    "retired": _rest,
}
