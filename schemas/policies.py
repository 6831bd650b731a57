"""Which rule judges a rollout, as a person writes it into a plan."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from davylamp_sdk._message import Message
from schemas.units import Duration

PolicyName = Literal["sequential", "kayenta", "threshold"]
Rule = Literal["flagger", "argo"]

Revision = Literal[1, 2]
FIRST_REVISION: Revision = 1
"""What a plan means that names none: so it stays, or entries that were decided by it could not be recomputed."""
USUAL_REVISION: Revision = 2
"""What a plan that a person hands in is judged by, if it names none: it is written into it then."""

COMPARED: Mapping[PolicyName, frozenset[str] | None] = {
    "sequential": None,
    "kayenta": frozenset({"error_rate", "tool_success", "latency_p99", "latency_p90", "cancel_rate", "rejected_rate"}),
    "threshold": frozenset(
        {"error_rate", "tool_success", "latency_p99", "latency_p90", "cancel_rate", "rejected_rate"}
    ),
}
"""The built-in checks that a policy can compare; None: all. Custom metrics are compared by all of them."""


def _of(policy: PolicyName, rule: Rule | None = None) -> Callable[[Any, ValidationInfo], Any]:
    """The setting of one policy, and of one rule of it: written beside another it would silently do nothing."""

    def check(value: Any, info: ValidationInfo) -> Any:
        chosen, chosen_rule = info.data.get("name", policy), info.data.get("rule") or "flagger"
        if value is not None and chosen != policy:
            raise ValueError(f"belongs to policy {policy}, not to {chosen}: leave it out")
        if value is not None and rule is not None and chosen_rule != rule:
            raise ValueError(f"belongs to rule {rule}, not to {chosen_rule}: leave it out")
        return value

    return check


def _below_pass(marginal: float | None, info: ValidationInfo) -> float | None:
    passing = info.data.get("passing") or PASSING
    if marginal is not None and marginal > passing:
        raise ValueError(f"{marginal:g} lies above pass ({passing:g}): a score cannot pass and be marginal")
    return marginal


PASSING = 95.0
MARGINAL = 75.0
FAILED_CHECKS = 5
FAILURE_LIMIT = 0

_SLOT = "Default: 1m, or a tenth of the shortest stage where that is less."
Score = Annotated[float, Field(ge=0, le=100)]


class PolicyChoice(Message):
    """A rule and its settings; `policy: kayenta` alone takes the defaults.

    `sequential` is davylamp's own. The others are there to compare with, and for who wants their decisions as they were:
    they judge values over time, know no session and correct for no look.
    """

    name: Annotated[PolicyName, Field(description="Whose rule.")]
    revision: Annotated[
        Revision | None,
        Field(
            description=f"sequential: the constants that it judges by; they never change under a number. Default: {USUAL_REVISION}. "
            "2 finds moderate rises of errors sooner than 1."
        ),
        AfterValidator(_of("sequential")),
    ] = None
    passing: Annotated[
        Score | None,
        Field(alias="pass", description=f"kayenta: the score that passes. Default: {PASSING:g}."),
        AfterValidator(_of("kayenta")),
    ] = None
    marginal: Annotated[
        Score | None,
        Field(description=f"kayenta: below it the canary fails. Default: {MARGINAL:g}, or `pass` where that is less."),
        AfterValidator(_of("kayenta")),
        AfterValidator(_below_pass),
    ] = None
    slot_s: Annotated[
        Duration | None,
        Field(alias="slot", ge=1, description=f"kayenta: the time that one value is made of. {_SLOT}"),
        AfterValidator(_of("kayenta")),
    ] = None
    rule: Annotated[
        Rule | None, Field(description="threshold: whose rule. Default: flagger."), AfterValidator(_of("threshold"))
    ] = None
    interval_s: Annotated[
        Duration | None,
        Field(
            alias="interval",
            ge=1,
            description=f"threshold: between two measurements, and over which each is taken. {_SLOT}",
        ),
        AfterValidator(_of("threshold")),
    ] = None
    failed_checks: Annotated[
        int | None,
        Field(ge=1, description=f"flagger: failed checks in the whole rollout that end it. Default: {FAILED_CHECKS}."),
        AfterValidator(_of("threshold", "flagger")),
    ] = None
    failure_limit: Annotated[
        int | None,
        Field(
            ge=0,
            description=f"argo: measurements of a metric that may fail; one more ends it. Default: {FAILURE_LIMIT}.",
        ),
        AfterValidator(_of("threshold", "argo")),
    ] = None

    @property
    def needed_measurements(self) -> int:
        """So many intervals pass before the rule could end a rollout; 0 for those that need none."""
        if self.name != "threshold":
            return 0
        if self.rule == "argo":
            return 1 + (self.failure_limit or FAILURE_LIMIT)
        return 1 + (self.failed_checks or FAILED_CHECKS)  # rolled back one tick after the check that fills the count


def by_name(value: Any) -> Any:
    """``policy: kayenta`` says the same as ``policy: {name: kayenta}``."""
    if not isinstance(value, str | Mapping | PolicyChoice | None):
        raise ValueError(f"{value!r} is no policy; write its name, or {{name: kayenta, pass: 95}}")  # noqa: TRY004 - pydantic takes no other
    return {"name": value} if isinstance(value, str) else value


def as_usual(choice: PolicyChoice | None) -> PolicyChoice | None:
    """What a person's plan says of its policy, with the revision that is usual where it names none."""
    meant = choice or PolicyChoice(name="sequential")
    if USUAL_REVISION == FIRST_REVISION or meant.name != "sequential" or meant.revision is not None:
        return choice
    return meant.model_copy(update={"revision": USUAL_REVISION})


def interval_of(written_s: float | None, shortest_stage_s: float) -> float:
    """What a slot or an interval is where nobody wrote one."""
    return written_s if written_s is not None else min(60.0, shortest_stage_s / 10)
