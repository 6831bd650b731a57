"""A rollout from a file: its windows and its plan, without a log or a ledger. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from davylamp_sdk import __version__
from judge.disorder import DisorderError, refuse_disorder
from judge.impossible import ImpossibleWindowError, refuse_impossible
from judge.policies.cohort_series import CohortSeries, cohort_series, final_windows
from judge.rollout.state import ServiceState
from schemas.decisions import Acknowledgement, Cut, LedgerEntry, Opening, Reason
from schemas.labels import UNJUDGED, Label
from schemas.plan import MAX_ROLLOUT_S, Plan
from schemas.service import Service
from schemas.windows import CohortWindow

_SEED = "0" * 32
_ROLLOUT = 1


class RecordingError(ValueError):
    """The windows do not fit the plan."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The windows of one rollout, with what they are about."""

    windows: Sequence[CohortWindow]
    """As the topic holds them, in its order: those of other services are passed over."""
    plan: Plan
    baseline: str | None = None
    """None: the one other version that the windows name."""
    rollout: int | None = None
    """None: the newest one that the windows name."""
    telemetry: str | None = None
    """The topic that counts. Which one that is stands in the ledger, and a file of windows has none: so somebody says it,
    or (None) the windows come from one alone."""

    @property
    def own(self) -> tuple[CohortWindow, ...]:
        """The plan's service's, of its telemetry topic. Raises :class:`RecordingError` where that may be any of several:
        the busiest is a guess, and who writes most to a topic of his own would be judged."""
        own = [window for window in self.windows if window.service == self.plan.service]
        topics = sorted({window.source for window in own})
        if self.telemetry is None and len(topics) > 1:
            raise RecordingError(
                f"which telemetry topic is {self.plan.service}'s? The windows are of {', '.join(topics)}"
            )
        return tuple(window for window in own if self.telemetry in (None, window.source))


def recorded_series(recorded: Recorded) -> CohortSeries:
    """What both cohorts did, as a series. Raises :class:`RecordingError`."""
    finals = _finals(recorded)
    baseline, rollout = _baseline(recorded, finals), _rollout(recorded, finals)
    return cohort_series(recorded.own, baseline, recorded.plan.canary, rollout)


def recorded_state(recorded: Recorded) -> ServiceState:
    """What the judge would know of the rollout, had it read its log: the same fold, fed with what the windows show.

    Labels are taken at their word, for the seed that proves them lies in the ledger. A stage begins with the first
    window that holds a session of it, which may be a little later than the acknowledgement that the judge goes by. Raises :class:`RecordingError`.
    """
    plan = recorded.plan.model_copy(update={"approve": ()})
    finals = _finals(recorded)
    telemetry = finals[0].source
    baseline, rollout = _baseline(recorded, finals), _rollout(recorded, finals)
    starts = _stage_starts(plan, finals, rollout)
    state = ServiceState(plan.service)
    for stage, at in enumerate(starts, start=1):
        entry = _entry(state, plan, baseline, telemetry, stage, at)
        state.read_entry(entry, stage - 1)
        state.acknowledged[entry.id] = Acknowledgement(entry=entry.id, partition=0, offset=stage - 1, at=at)
    for window in recorded.own:
        cells = tuple(
            cell.model_copy(update={"label": _own_label(cell.label, cell.version, rollout)}) for cell in window.cells
        )
        state.read_window(window.model_copy(update={"cells": cells}))
    return state


def _finals(recorded: Recorded) -> tuple[CohortWindow, ...]:
    try:
        for window in recorded.own:
            refuse_impossible(window)
        refuse_disorder(recorded.own)
    except (ImpossibleWindowError, DisorderError) as error:
        raise RecordingError(str(error)) from error
    finals = final_windows(recorded.own)
    if not finals:
        service = recorded.plan.service
        raise RecordingError(f"there is no final window of {service}: every partition must have closed at least one")
    for before, after in pairwise(finals):
        if after.window_start - before.window_end > 1000 * MAX_ROLLOUT_S:
            raise RecordingError(
                f"between the windows {before.window_start} and {after.window_start} lies more than a rollout lasts"
            )
    return finals


def _baseline(recorded: Recorded, finals: Sequence[CohortWindow]) -> str:
    named, canary = recorded.baseline, recorded.plan.canary
    others = {cell.version for window in finals for cell in window.cells if cell.label != UNJUDGED} - {canary}
    if named is not None:
        if named not in others:
            why = (
                "is the canary" if named == canary else f"is not in the windows; they name {', '.join(sorted(others))}"
            )
            raise RecordingError(f"baseline {named} {why}")
        return named
    if len(others) != 1:
        listed = ", ".join(sorted(others)) or "no other version"
        raise RecordingError(f"which version is the baseline? The windows name {listed} beside {canary}")
    return others.pop()


def _rollout(recorded: Recorded, finals: Sequence[CohortWindow]) -> int:
    labels = (Label.parse(cell.label) for window in finals for cell in window.cells)
    known, named = {label.rollout for label in labels if label}, recorded.rollout
    if named is not None and named not in known:
        listed = ", ".join(map(str, sorted(known))) or "none"
        raise RecordingError(f"rollout {named} is not in the windows; they name {listed}")
    return max(known, default=_ROLLOUT) if named is None else named


def _stage_starts(plan: Plan, finals: Sequence[CohortWindow], rollout: int) -> list[int]:
    """The first window of each stage that the windows name, and of those before it."""
    first: dict[int, int] = {1: finals[0].window_start}
    for window in finals:
        for label in (Label.parse(cell.label) for cell in window.cells):
            if label is not None and label.rollout == rollout:
                first.setdefault(label.stage, window.window_start)
    if max(first) > len(plan.stages):
        raise RecordingError(f"the windows name stage {max(first)}, the plan has {len(plan.stages)}")
    return [min(at for named, at in first.items() if named >= stage) for stage in range(1, max(first) + 1)]


def _entry(state: ServiceState, plan: Plan, baseline: str, telemetry: str, stage: int, at: int) -> LedgerEntry:
    """What the ledger would say when a stage begins."""
    versions = {version: {"endpoints": ["127.0.0.1:1"]} for version in (baseline, plan.canary)}
    service = Service.model_validate(
        {"service": plan.service, "baseline": baseline, "versions": versions, "telemetry": telemetry}
    )
    return LedgerEntry.make(
        after=state.chain.head_id,
        service=plan.service,
        kind="start" if stage == 1 else "proceed",
        rollout=_ROLLOUT,
        stage=stage,
        share=plan.stages[stage - 1].share,
        baseline=baseline,
        canary=plan.canary,
        reason=Reason(code="recorded", sentence="The windows show sessions of this stage."),
        cut=Cut(offsets={}, now=at),
        plan_hash=plan.hash,
        actor="judge",
        code_version=__version__,
        opening=Opening(plan=plan, service=service, seed=_SEED) if stage == 1 else None,
    )


def _own_label(text: str, version: str, rollout: int) -> str:
    label = Label.parse(text)
    if label is None or label.rollout != rollout:
        return UNJUDGED
    return str(Label.make(_SEED, _ROLLOUT, label.stage, version, label.kind))
