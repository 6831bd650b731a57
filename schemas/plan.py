"""The plan of a rollout, as a person writes it. Whatever contradicts is told all at once: each rule is a field's."""

import hashlib
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationInfo

from davylamp_sdk._message import Message
from schemas.checks import Checks, meaningless
from schemas.names import ServiceName, VersionName
from schemas.policies import COMPARED, PolicyChoice, as_usual, by_name, interval_of
from schemas.units import FULL_SHARE, Duration, Percent, Share, format_duration_s, format_share

HoldMode = Literal["drain", "rehome", "evict"]
"""They end by themselves until the deadline, move to the baseline at once, or get 404 at once."""

MAX_ROLLOUT_S = 1_209_600.0
"""A rollout lasts 14 days at most: the windows that it rests on are kept for 30."""


def _as_text(value: Any) -> Any:
    """Stage numbers may be written as numbers."""
    return (
        [str(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in value]
        if isinstance(value, list)
        else value
    )


class Stage(Message):
    """A share of new sessions, and how long to collect at least before the gate decides."""

    share: Annotated[Share, Field(description="Of new sessions; in steps of 0.01%.")]
    duration_s: Annotated[Duration, Field(alias="for", gt=0, description="So long at least.")]
    min_sessions: Annotated[
        int, Field(ge=1, description="Canary sessions born in the stage, below which it is extended.")
    ] = 20


class RollbackPolicy(Message):
    """What becomes of the canary's living sessions after a rollback."""

    mode: Annotated[
        HoldMode,
        Field(
            description="`drain`: they end by themselves until `deadline`; `rehome`: they move to the baseline at once; "
            "`evict`: they get 404 at once, and begin anew."
        ),
    ] = "drain"
    severe: Annotated[
        HoldMode,
        Field(
            description="Instead of `mode` after a breach of errors or availability by at least `severe_from` of requests."
        ),
    ] = "rehome"
    severe_from: Annotated[
        Percent,
        Field(gt=0, le=1, description="A breach is severe if at least so many more of the canary's requests fail."),
    ] = 0.5
    deadline_s: Annotated[
        Duration,
        Field(
            alias="deadline",
            gt=0,
            description="After that the canary's sessions are no longer held (`drain`): they get 404 and begin anew on the baseline.",
        ),
    ] = 900.0


def _within_evidence(after_s: float) -> float:
    if after_s > MAX_ROLLOUT_S:
        longest = format_duration_s(MAX_ROLLOUT_S)
        raise ValueError(f"a rollout lasts {longest} at most, for its evidence is kept for 30 days")
    return after_s


class DeadlinePolicy(Message):
    """What happens to a rollout that has not ended in time."""

    after_s: Annotated[
        Duration,
        Field(alias="after", gt=0, description="Since the start: longer than the stages together, 14d at most."),
        AfterValidator(_within_evidence),
    ] = MAX_ROLLOUT_S
    then: Annotated[
        Literal["hold", "rollback"],
        Field(description="`rollback` also if its data is missing; `hold` once, for a person."),
    ] = "hold"


Approval = Annotated[str, StringConstraints(pattern=r"^(start|promote|[1-9][0-9]?)$")]
"""`start`, a stage's number (stage 1 is `start`), or `promote` (100 %)."""


_USUAL_STAGES = (("1%", "10m", 20), ("10%", "30m", 50), ("50%", "60m", 50))
"""Share, time, sessions."""


def _document_stages() -> tuple[Stage, ...]:
    return tuple(Stage.model_validate({"share": s, "for": d, "min_sessions": n}) for s, d, n in _USUAL_STAGES)


def _rising(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    shares = [stage.share for stage in stages]
    if shares != sorted(set(shares)) or shares[-1] >= FULL_SHARE:
        listed = ", ".join(map(format_share, shares))
        raise ValueError(f"shares must rise and stay below 100% (100% follows by itself): {listed}")
    return stages


def _after_the_stages(deadline: DeadlinePolicy, info: ValidationInfo) -> DeadlinePolicy:
    planned_s = sum(stage.duration_s for stage in _stages(info))
    if planned_s >= deadline.after_s:
        after, planned = format_duration_s(deadline.after_s), format_duration_s(planned_s)
        raise ValueError(f"after {after} no rollout would have ended: the stages alone take {planned}")
    return deadline


def _of_the_stages(approve: tuple[Approval, ...], info: ValidationInfo) -> tuple[Approval, ...]:
    stages = _stages(info)
    unknown = [a for a in approve if a.isdigit() and stages and int(a) > len(stages)]
    if unknown:
        raise ValueError(f"there are {len(stages)} stages, no stage {', '.join(unknown)}")
    return tuple(dict.fromkeys("start" if a == "1" else a for a in approve))


def _of_the_longest_stage(max_stage_s: float, info: ValidationInfo) -> float:
    planned_s = max((stage.duration_s for stage in _stages(info)), default=0.0)
    if planned_s > max_stage_s:
        raise ValueError(f"{format_duration_s(max_stage_s)} is shorter than a stage: {format_duration_s(planned_s)}")
    return max_stage_s


USUAL_ALPHA = 0.05


def _judges_what_is_asked(policy: PolicyChoice | None, info: ValidationInfo) -> PolicyChoice | None:
    """What a plan asks for and its policy cannot do would be lost without a word."""
    if policy is None or policy.name == "sequential":
        return as_usual(policy) if (info.context or {}).get("written") else policy
    wrong = [*_unknown_to(policy, info), *_too_slow(policy, info)]
    if wrong:
        raise ValueError("; ".join(wrong))
    return policy


def _unknown_to(policy: PolicyChoice, info: ValidationInfo) -> Iterator[str]:
    if info.data.get("alpha", USUAL_ALPHA) != USUAL_ALPHA:
        yield f"`alpha` means nothing to {policy.name}: leave it out, or take policy sequential"
    checks, compared = info.data.get("checks"), COMPARED[policy.name]
    if not isinstance(checks, Checks) or compared is None:
        return
    built_in = [name for name in checks.enabled if name not in checks.metrics]
    usual = Checks()  # what is on by default was not asked for: a plan that is read back names every check
    asked = [n for n in built_in if n not in compared and getattr(checks, n) != getattr(usual, n)]
    if asked:
        switched_off = ", ".join(f"`{name}: off`" for name in asked)
        yield f"{policy.name} cannot compare {', '.join(asked)}: write {switched_off}, or take policy sequential"
    if not set(checks.enabled) & {*compared, *checks.metrics}:
        yield f"{policy.name} compares {', '.join(sorted(compared))} and custom metrics, and all of them are off"


def _too_slow(policy: PolicyChoice, info: ValidationInfo) -> Iterator[str]:
    stages = _stages(info)
    if not stages:
        return
    shortest_s, planned_s = min(s.duration_s for s in stages), sum(s.duration_s for s in stages)
    if policy.slot_s is not None and policy.slot_s > shortest_s:
        slot, stage = format_duration_s(policy.slot_s), format_duration_s(shortest_s)
        yield f"`slot` {slot} is longer than a stage ({stage}), which would be judged by no value: write a shorter one"
    needed_s = policy.needed_measurements * interval_of(policy.interval_s, shortest_s)
    if needed_s > planned_s:
        needed, planned = format_duration_s(needed_s), format_duration_s(planned_s)
        yield f"it would end no rollout before {needed}, and the stages take {planned}: write a shorter `interval`"


def _stages(info: ValidationInfo) -> tuple[Stage, ...]:
    """Of the same plan; none if they are wrong themselves."""
    stages: tuple[Stage, ...] = info.data.get("stages", ())
    return stages


WRITTEN = {"written": True}
"""The context in which a plan is read from a person. What would silently do nothing is refused there; a plan of the ledger was
taken once, and stays what it is."""

Unproven = Literal["hold", "proceed", "rollback"]


def _of_a_plan_that_is_not_strict(final: Unproven, info: ValidationInfo) -> Unproven:
    if (info.context or {}).get("written") and info.data.get("strict") and final != "hold":
        raise ValueError(_said_twice(final))
    return final


def _meant(checks: Checks, info: ValidationInfo) -> Checks:
    if (info.context or {}).get("written") and (wrong := list(meaningless(checks))):
        raise ValueError("; ".join(wrong))
    return checks


def _said_twice(final: Unproven) -> str:
    return f"`strict: true` holds whatever is unproven, so {final} would never happen: leave one of them out"


def as_written(plan: "Plan") -> "Plan":
    """A plan that a person hands in and that was read already. A ValueError for what would silently do nothing."""
    if plan.strict and plan.on_unproven_final != "hold":
        raise ValueError(f"on_unproven_final: {_said_twice(plan.on_unproven_final)}")
    if wrong := list(meaningless(plan.checks)):
        raise ValueError(f"checks: {'; '.join(wrong)}")
    return plan.model_copy(update={"policy": as_usual(plan.policy)})


class Plan(Message):
    """What to release, in which steps, and which limits hold. Everything but ``service`` and ``canary`` has a default."""

    service: Annotated[ServiceName, Field(description="One that `davylamp service apply` was told of.")]
    canary: Annotated[VersionName, Field(description="One of its versions, other than the baseline.")]
    stages: Annotated[
        tuple[Stage, ...],
        Field(
            min_length=1,
            max_length=20,
            description="Shares that rise; 100% follows by itself. Default: "
            f"{', '.join(f'{share} for {time} and {least} sessions' for share, time, least in _USUAL_STAGES)}.",
        ),
        AfterValidator(_rising),
    ] = Field(default_factory=_document_stages)
    checks: Annotated[Checks, Field(description="What is compared."), AfterValidator(_meant)] = Checks()
    rollback: Annotated[RollbackPolicy, Field(description="What becomes of living sessions.")] = RollbackPolicy()
    deadline: Annotated[
        DeadlinePolicy,
        Field(validate_default=True, description="When it ends at the latest."),
        AfterValidator(_after_the_stages),
    ] = DeadlinePolicy()
    approve: Annotated[
        tuple[Approval, ...],
        BeforeValidator(_as_text),
        Field(description="What waits for a person's word."),
        AfterValidator(_of_the_stages),
    ] = ()
    observe: Annotated[bool, Field(description="Decide and alert, never apply: the first stage's share stays.")] = False
    strict: Annotated[bool, Field(description="Never proceed unproven.")] = False
    on_unproven_final: Annotated[
        Unproven,
        Field(description="When the last stage's time is up and its limits are neither broken nor proved."),
        AfterValidator(_of_a_plan_that_is_not_strict),
    ] = "hold"
    on_sample_ratio: Annotated[
        Literal["hold", "ignore"], Field(description="When the cohorts' new sessions do not fit the share.")
    ] = "hold"
    on_mismatch: Annotated[
        Literal["hold", "rollback", "ignore"],
        Field(description="When servers say another version than the proxies assigned: never deployed, or half."),
    ] = "hold"
    on_sick_baseline: Annotated[
        Literal["hold", "ignore"],
        Field(description="When the baseline fails three times as often as before the rollout: no proof for anybody."),
    ] = "hold"
    on_blind: Annotated[
        Literal["hold", "rollback"],
        Field(description="When the judge has not looked for `blind_after`: the router's word."),
    ] = "hold"
    blind_after_s: Annotated[
        Duration,
        Field(alias="blind_after", gt=0, description="Without a look of the judge: then `on_blind`, and a page."),
    ] = 120.0
    rollback_below: Annotated[
        float, Field(ge=0, le=95, description="Roll back below this score, too: stricter than the statistics.")
    ] = 0.0
    bake_s: Annotated[Duration, Field(alias="bake", description="How long 100 % can be undone.")] = 1800.0
    alpha: Annotated[
        float,
        Field(
            gt=0,
            lt=0.5,
            description="Probability of rolling back a canary on its limits, of all checks together. What is proved is "
            "alpha / (1 - alpha), for closed windows, where failures cluster no more than is estimated.",
        ),
    ] = USUAL_ALPHA
    stale_after_s: Annotated[
        Duration,
        Field(
            alias="stale_after",
            gt=0,
            description="No window closes for so long: held, until one does. So it is where none holds a request of one cohort, "
            "for so long, for 15 s and for five of its usual gaps at least.",
        ),
    ] = 60.0
    warm_up_s: Annotated[
        Duration,
        Field(
            alias="warm_up",
            ge=0,
            description="So long after each stage began principals and cookies are not judged: those that moved meet cold caches.",
        ),
    ] = 120.0
    max_stage_s: Annotated[
        Duration,
        Field(
            alias="max_stage",
            gt=0,
            description="How long a stage waits for `min_sessions` before it is held.",
        ),
        AfterValidator(_of_the_longest_stage),
    ] = 86400.0

    policy: Annotated[
        PolicyChoice | None,
        BeforeValidator(by_name),
        Field(validate_default=True, description="The rule that judges. Default: sequential, davylamp's own."),
        AfterValidator(_judges_what_is_asked),
    ] = None

    @property
    def interval_s(self) -> float:
        """How far apart a policy that judges values over time takes them, unless it is written."""
        written = (self.policy.slot_s or self.policy.interval_s) if self.policy else None
        return interval_of(written, min(stage.duration_s for stage in self.stages))

    def share_of(self, stage: int) -> int:
        """The share of ``stage`` (1-based): 0 before the first, 10,000 after the last."""
        shares = (0, *(s.share for s in self.stages))
        return shares[stage] if stage < len(shares) else FULL_SHARE

    def next_share(self, stage: int) -> int:
        """The share after ``stage``: the next stage's, or 10,000 after the last."""
        return self.share_of(stage + 1)

    def approval_after(self, stage: int) -> Approval:
        """The word for what comes after ``stage``, whether the plan wants one or not; stage 0 waits for ``start``."""
        if stage == 0:
            return "start"
        return str(stage + 1) if stage < len(self.stages) else "promote"

    @property
    def hash(self) -> str:
        """128 bits of BLAKE2b over the canonical JSON, in hex."""
        return hashlib.blake2b(self.dump(), digest_size=16).hexdigest()
