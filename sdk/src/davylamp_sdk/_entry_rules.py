"""What each kind of entry must say of stage, share and versions: it follows from the plan that the rollout began with.

Without this a confused writer could skip a stage, or open another version's share, by naming the right head. What is
checked is what routes follow from, and nothing that a later version of the code could compute otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from davylamp_sdk._link import EntryKind, Link, Opening, PlanLike
from davylamp_sdk._standing import Standing

Step = tuple[int | None, int]
"""Stage and share; no stage: whichever its writer saw."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The stage and share of one kind of entry."""

    stage: str
    """In words, for `docs/reference/machine.md`."""
    share: str
    step: Callable[[Standing[Any], PlanLike], Step | None]
    """The same as a function; None: there is no such step."""


def _first(_: Standing[Any], plan: PlanLike) -> Step:
    stage = 0 if "start" in plan.approve else 1
    return stage, plan.share_of(stage)


def _next(standing: Standing[Any], plan: PlanLike) -> Step | None:
    stage = standing.stage + 1
    return (stage, plan.share_of(stage)) if stage <= len(plan.stages) else None


def _whole(_: Standing[Any], plan: PlanLike) -> Step:
    stage = len(plan.stages) + 1
    return stage, plan.share_of(stage)


def _same(standing: Standing[Any], _: PlanLike) -> Step:
    return standing.stage, standing.share


def _back(_: Standing[Any], __: PlanLike) -> Step:
    return None, 0


_SAME = Rule("the same", "the same", _same)

RULES: dict[EntryKind, Rule] = {
    "start": Rule("1; 0 if the plan wants the start approved", "the first stage's; 0 at stage 0", _first),
    "approve": _SAME,
    "proceed": Rule("the next", "the plan's for that stage", _next),
    "retry": _SAME,
    "hold": _SAME,
    "resume": _SAME,
    "rollback": Rule("any: its writer may have seen an older head", "0", _back),
    "drained": _SAME,
    "complete": Rule("one more than the plan has", "100%", _whole),
    "retire": _SAME,
    "freeze": _SAME,
    "unfreeze": _SAME,
}


def why_wrong(standing: Standing[Opening], entry: Link[Opening]) -> str | None:
    """Why a legal entry says what cannot be, None if it says what follows."""
    opening = entry.opening or standing.opening
    if opening is None:  # freeze and unfreeze before the first rollout
        return None if (entry.stage, entry.share) == (0, 0) else "there is no rollout, hence no stage and no share"
    return _wrong_step(standing, opening.plan, entry) or _wrong_version(standing, entry)


def _wrong_step(standing: Standing[Opening], plan: PlanLike, entry: Link[Opening]) -> str | None:
    step = RULES[entry.kind].step(standing, plan)
    if step is None:
        return f"a {entry.kind} from stage {standing.stage} is not possible: the plan has {len(plan.stages)} stages"
    stage, share = step
    if stage not in (None, entry.stage):
        return f"a {entry.kind} from stage {standing.stage} leads to stage {stage}, not to {entry.stage}"
    if share != entry.share:
        return f"a {entry.kind} from stage {standing.stage} has a share of {share}, not {entry.share}, of 10000"
    return None


def _wrong_version(standing: Standing[Opening], entry: Link[Opening]) -> str | None:
    """A rollout keeps its two versions to the end, also when the canary has become everybody's."""
    baseline, canary = standing.own_baseline, standing.canary
    if entry.opening is not None:
        plan, service = entry.opening.plan, entry.opening.service
        if not plan.service == service.service == entry.service:
            return f"its plan is for {plan.service} and its definition for {service.service}"
        baseline, canary = standing.baseline or service.baseline, plan.canary
        if baseline == canary:
            return f"canary {canary} is the baseline already"
    if entry.baseline != baseline:
        return f"the baseline is {baseline}, not {entry.baseline}"
    if entry.canary != canary:
        return f"the canary is {canary}, not {entry.canary}"
    return None
