"""What a plan compares: the checks and their limits, as a person writes them."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, StringConstraints, WithJsonSchema, model_validator

from davylamp_sdk._message import Message
from schemas.units import Duration, Percent, Points, format_percent, format_points, parse_percent, parse_points
from schemas.windows import SESSION_AGES_S

_POINTS = "Percentage points that the canary's rate may lie above the baseline's."

MetricName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]

SUCCESSES = frozenset({"tool_success", "availability"})
"""Checks that count failures, and that people read as the share that succeeds."""


def _switched(value: Any) -> Any:
    """`latency_p90: off` says the same as `latency_p90: {enabled: false}`, and `on` as `{}`; YAML reads them as booleans."""
    if value is True or value == "on":
        return {"enabled": True}
    return {"enabled": False} if value is False or value == "off" else value


class Check(Message):
    """What every check has."""

    enabled: Annotated[
        bool, Field(description="Whether the check decides; `on` or `off` in place of the check says it, too.")
    ] = True

    @model_validator(mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        return _switched(value)


class RateCheck(Check):
    """The canary's rate may exceed the baseline's by less than ``within``."""

    within: Annotated[Points, Field(description=_POINTS)] = 0.005


class ToolSuccess(RateCheck):
    """Tool calls that fail, `isError` among them: the canary's rate may exceed the baseline's by less than ``within``."""

    within: Annotated[Points, Field(description=_POINTS)] = 0.01


class ToolCheck(RateCheck):
    """Each tool by itself, averaged: one tool of ten that fails is drowned in the rate of all."""

    within: Annotated[Points, Field(description=_POINTS)] = 0.05


class LatencyCheck(Check):
    """A quantile of the canary's latency may exceed the baseline's by less than ``within``.

    The baseline's quantile is taken over the last ``over`` of closed windows, anew each ``refresh``, from at least
    ``min_calls`` requests; before there are so many the check has no data.
    """

    within: Annotated[
        Percent, Field(description="Of the baseline's quantile: how much slower the canary's may be.")
    ] = 0.10
    over_s: Annotated[
        Duration, Field(alias="over", gt=0, description="The baseline's quantile is that of so long a time.")
    ] = 600.0
    refresh_s: Annotated[Duration, Field(alias="refresh", gt=0, description="It is taken anew so often.")] = 60.0
    min_calls: Annotated[
        int,
        Field(ge=20, description="From fewer of the baseline's requests it is not taken: the check has no data then."),
    ] = 200


def _ages(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


class SessionLoss(Check):
    """Sessions that fall silent: the canary's share may exceed the baseline's by less than ``within`` of it.

    A session is at risk in the band between two ``ages`` once it was heard at the first, and lost if it was not heard
    at the second nor within ``idle`` after it. One that its client ended in between was neither, where servers tell it.
    """

    within: Annotated[
        Percent, Field(description="Of the baseline's share of lost sessions: how much larger the canary's may be.")
    ] = 0.50
    idle_s: Annotated[
        Duration, Field(alias="idle", gt=0, description="A session that is silent for so long beyond an age is lost.")
    ] = 120.0
    ages_s: Annotated[
        tuple[Duration, ...],
        BeforeValidator(_ages),
        Field(
            alias="ages",
            min_length=2,
            max_length=len(SESSION_AGES_S),
            description="Whoever was heard at one of these ages, and not at the next, may be lost. These are counted; fewer may be named.",
        ),
    ] = (0.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1800.0)

    @model_validator(mode="after")
    def _ages_are_counted(self) -> Self:
        if list(self.ages_s) != sorted(set(self.ages_s)) or not set(self.ages_s) <= set(SESSION_AGES_S):
            known = ", ".join(f"{age:g}s" for age in SESSION_AGES_S)
            raise ValueError(f"ages must rise and be among those that are counted: {known}")
        return self


class Limit(Message):
    """How much worse a custom metric may be: in percentage points, or as a part of the baseline's."""

    points: float | None = None
    ratio: float | None = None


def _limit(value: Any) -> Any:
    """``"1pp"`` or ``"10%"``."""
    if isinstance(value, Limit | Mapping):
        return value
    if isinstance(value, str) and value.strip().endswith("pp"):
        return {"points": parse_points(value)}
    try:
        return {"ratio": parse_percent(value)}
    except ValueError:
        raise ValueError(f"{value!r} is not a margin; write it like 10% (of the baseline's) or 1pp (points)") from None


def _written(limit: Limit) -> str:
    return format_points(limit.points) if limit.points is not None else format_percent(limit.ratio or 0.0)


class CustomCheck(Check):
    """A number that the servers send with their requests, in ``metrics`` of the event."""

    kind: Annotated[
        Literal["rate", "mean"],
        Field(description="`rate`: each value is 0 to 1, like a cache miss; `mean`: any value that is not negative."),
    ]
    worse: Annotated[Literal["higher", "lower"], Field(description="Which way is bad.")] = "higher"
    within: Annotated[
        Limit,
        Field(
            description="How much worse the canary's may be: a part of the baseline's, or points of a rate.",
            json_schema_extra={"default": "10%"},
        ),
        BeforeValidator(_limit),
        PlainSerializer(_written, return_type=str),
        WithJsonSchema({"type": "string", "examples": ["10%", "1pp"]}),
    ] = Limit(ratio=0.10)

    @model_validator(mode="after")
    def _a_mean_has_no_points(self) -> Self:
        if self.kind == "mean" and self.within.points is not None:
            raise ValueError("a mean has no percentage points: write `within` like 10%")
        return self


LARGEST_FALL = 0.99
"""Nothing can be lower than the baseline by more than all of it."""

GIVEN = frozenset({"latency_p50", "latency_p95", "requests", "new_sessions"})
"""Beside the built-in checks, the names of what windows tell of every service: a rule that names one means that."""


class Checks(Message):
    """What is compared. A key that names no built-in check and has a ``kind`` is a custom metric."""

    error_rate: Annotated[RateCheck, Field(description="Requests that fail, as servers tell it.")] = RateCheck()
    tool_success: Annotated[ToolSuccess, Field(description="Tool calls that fail.")] = ToolSuccess()
    latency_p99: Annotated[LatencyCheck, Field(description="The slowest hundredth.")] = LatencyCheck()
    latency_p90: Annotated[LatencyCheck, Field(description="The slowest tenth.")] = LatencyCheck()
    session_loss: Annotated[SessionLoss, Field(description="Sessions that fall silent.")] = SessionLoss()
    tools: Annotated[ToolCheck, Field(description="Each tool by itself.")] = ToolCheck()
    availability: Annotated[
        RateCheck, Field(description="Requests that fail, as proxies saw it: also of a canary too dead to speak.")
    ] = RateCheck()
    cancel_rate: Annotated[RateCheck, Field(description="Requests that clients cancel.")] = RateCheck(enabled=False)
    rejected_rate: Annotated[
        RateCheck, Field(description="What HTTP refuses before MCP sees it: unknown sessions, malformed messages.")
    ] = RateCheck(enabled=False)
    custom: Annotated[
        dict[MetricName, CustomCheck],
        Field(max_length=8, description="By name; they may also stand beside the others."),
    ] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _custom_metrics_stand_beside_the_others(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        own = {k: v for k, v in value.items() if k not in cls.model_fields and isinstance(v, Mapping) and "kind" in v}
        if not own:
            return value
        rest = {k: v for k, v in value.items() if k not in own}
        return {**rest, "custom": {**rest.get("custom", {}), **own}}

    @model_validator(mode="after")
    def _something_decides(self) -> Self:
        if not self.enabled:
            raise ValueError("every check is off: nothing would be compared")
        return self

    @property
    def metrics(self) -> dict[str, CustomCheck]:
        """The custom metrics that are judged: none that is called like a built-in check, which would stand in for it.

        People's plans with such a name are refused (:func:`meaningless`); one of the ledger keeps its built-in check.
        """
        return {name: check for name, check in self.custom.items() if name not in type(self).model_fields}

    def decides(self, name: str) -> bool:
        """Whether the check of this name is enabled; false for one that the plan does not have."""
        check = self.metrics.get(name) or vars(self).get(name)
        return bool(getattr(check, "enabled", False))

    @property
    def enabled(self) -> tuple[str, ...]:
        """The names of the checks that decide, built-in ones first."""
        built_in = [name for name in type(self).model_fields if name != "custom" and getattr(self, name).enabled]
        return (*built_in, *(name for name, check in sorted(self.metrics.items()) if check.enabled))


def meaningless(checks: Checks) -> Iterator[str]:
    """What the checks say and nobody could do as it is meant, each with what to write. Refused from people alone."""
    for name, check in checks.custom.items():
        if name in Checks.model_fields or name in GIVEN:
            yield f"`{name}` is a name of davylamp's own, and its check would be lost: give the metric another one"
        if check.worse == "lower" and (check.within.ratio or 0.0) > LARGEST_FALL:
            yield f"`{name}`: nothing is {_written(check.within)} lower than the baseline's: write at most {format_percent(LARGEST_FALL)}"
