"""The plan of a rollout, as a person writes it."""

import hashlib
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from davylamp_sdk._message import Message
from schemas.checks import Checks
from schemas.names import ServiceName, VersionName
from schemas.units import FULL_SHARE, Duration, Percent, Share, format_share

HoldMode = Literal["drain", "rehome", "evict"]
"""They end by themselves until the deadline, move to the baseline at once, or get 404 at once."""


def _as_text(value: Any) -> Any:
    """Stage numbers may be written as numbers."""
    return (
        [str(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in value]
        if isinstance(value, list)
        else value
    )


class Stage(Message):
    """A share of new sessions, and how long to collect at least before the gate decides."""

    share: Share
    duration_s: Annotated[Duration, Field(alias="for", gt=0)]
    min_sessions: Annotated[
        int, Field(ge=1, description="Canary sessions born in the stage, below which it is extended.")
    ] = 20


class RollbackPolicy(Message):
    """What becomes of the canary's living sessions after a rollback."""

    mode: HoldMode = "drain"
    severe: Annotated[
        HoldMode,
        Field(
            description="Instead of `mode` after a breach of errors or availability by at least `severe_from` of requests."
        ),
    ] = "rehome"
    severe_from: Annotated[Percent, Field(gt=0, le=1)] = 0.5
    deadline_s: Annotated[Duration, Field(alias="deadline", gt=0)] = 900.0
    """After that the canary's sessions are no longer held (`drain`): they get 404 and begin anew on the baseline."""


class DeadlinePolicy(Message):
    """What happens to a rollout that has not ended in time."""

    after_s: Annotated[Duration, Field(alias="after", gt=0)] = 1_209_600.0
    then: Literal["hold", "rollback"] = "hold"


Approval = Annotated[str, StringConstraints(pattern=r"^(start|promote|[1-9][0-9]?)$")]
"""`start`, a stage's number, or `promote` (100 %)."""


def _document_stages() -> tuple[Stage, ...]:
    rows = (("1%", "10m", 20), ("10%", "30m", 50), ("50%", "60m", 50))
    return tuple(Stage.model_validate({"share": s, "for": d, "min_sessions": n}) for s, d, n in rows)


class Plan(Message):
    """What to release, in which steps, and which limits hold. Everything but ``service`` and ``canary`` has a default."""

    service: ServiceName
    canary: VersionName
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=20)] = Field(default_factory=_document_stages)
    checks: Checks = Checks()
    rollback: RollbackPolicy = RollbackPolicy()
    deadline: DeadlinePolicy = DeadlinePolicy()
    approve: Annotated[
        tuple[Approval, ...], BeforeValidator(_as_text), Field(description="What waits for a person's word.")
    ] = ()
    observe: Annotated[bool, Field(description="Decide and alert, never apply: the first stage's share stays.")] = False
    strict: Annotated[bool, Field(description="Never proceed unproven.")] = False
    on_unproven_final: Literal["hold", "proceed", "rollback"] = "hold"
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
    blind_after_s: Annotated[Duration, Field(alias="blind_after", gt=0)] = 120.0
    rollback_below: Annotated[
        float, Field(ge=0, le=95, description="Roll back below this score, too: stricter than the statistics.")
    ] = 0.0
    bake_s: Annotated[Duration, Field(alias="bake", description="How long 100 % can be undone.")] = 1800.0
    alpha: Annotated[float, Field(gt=0, le=0.5, description="Probability of rolling back a canary on its limits.")] = (
        0.05
    )
    stale_after_s: Annotated[Duration, Field(alias="stale_after", gt=0)] = 60.0
    max_stage_s: Annotated[Duration, Field(alias="max_stage", gt=0)] = 86400.0

    @model_validator(mode="after")
    def _shares_rise(self) -> Self:
        shares = [stage.share for stage in self.stages]
        if shares != sorted(set(shares)) or shares[-1] >= FULL_SHARE:
            listed = ", ".join(map(format_share, shares))
            raise ValueError(f"stages must rise and stay below 100% (100% follows by itself): {listed}")
        return self

    @model_validator(mode="after")
    def _approvals_exist(self) -> Self:
        unknown = [a for a in self.approve if a.isdigit() and int(a) > len(self.stages)]
        if unknown:
            raise ValueError(f"approve: there are {len(self.stages)} stages, no stage {', '.join(unknown)}")
        return self

    def share_of(self, stage: int) -> int:
        """The share of ``stage`` (1-based): 0 before the first, 10,000 after the last."""
        shares = (0, *(s.share for s in self.stages))
        return shares[stage] if stage < len(shares) else FULL_SHARE

    def next_share(self, stage: int) -> int:
        """The share after ``stage``: the next stage's, or 10,000 after the last."""
        return self.share_of(stage + 1)

    @property
    def hash(self) -> str:
        """128 bits of BLAKE2b over the canonical JSON, in hex."""
        return hashlib.blake2b(self.dump(), digest_size=16).hexdigest()
