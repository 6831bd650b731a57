"""The policy that a plan names. What the machine is given: each rollout is judged as its own plan says. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from judge.policies.kayenta.policy import Kayenta
from judge.policies.kayenta.settings import Thresholds
from judge.policies.port import Comparison, Policy
from judge.policies.sequential import Sequential
from judge.policies.threshold.policy import argo_relative_to_baseline, relative_to_baseline
from judge.trial import Trial
from schemas.plan import Plan
from schemas.policies import (
    FAILED_CHECKS,
    FAILURE_LIMIT,
    FIRST_REVISION,
    MARGINAL,
    PASSING,
    USUAL_REVISION,
    PolicyChoice,
    PolicyName,
)


@dataclass(frozen=True, slots=True)
class AsPlanned:
    """A :class:`judge.policies.port.Policy`: whichever the rollout's plan names, with its settings."""

    otherwise: Policy = field(default_factory=Sequential)

    def begin(self, trial: Trial) -> Comparison:
        """See :class:`judge.policies.port.Policy`."""
        choice = trial.plan.policy
        policy = self.otherwise if choice is None else _POLICIES[choice.name](trial.plan, choice)
        return policy.begin(trial)


def sequential(plan: Plan) -> Sequential:
    """davylamp's own, by the constants that the plan names; a plan that names another policy gets the usual ones."""
    if plan.policy is not None and plan.policy.name != "sequential":
        return Sequential(USUAL_REVISION)
    return Sequential((plan.policy and plan.policy.revision) or FIRST_REVISION)


def _sequential(plan: Plan, _: PolicyChoice) -> Policy:
    return sequential(plan)


def _kayenta(plan: Plan, choice: PolicyChoice) -> Policy:
    passing = PASSING if choice.passing is None else choice.passing
    marginal = min(MARGINAL, passing) if choice.marginal is None else choice.marginal
    return Kayenta(thresholds=Thresholds(passing, marginal), slot_ms=round(plan.interval_s * 1000))


def _threshold(plan: Plan, choice: PolicyChoice) -> Policy:
    if choice.rule == "argo":
        limit = FAILURE_LIMIT if choice.failure_limit is None else choice.failure_limit
        return argo_relative_to_baseline(plan, failure_limit=limit, interval_s=plan.interval_s)
    failed = choice.failed_checks or FAILED_CHECKS
    return relative_to_baseline(plan, threshold=failed, interval_s=plan.interval_s)


_POLICIES: Mapping[PolicyName, Callable[[Plan, PolicyChoice], Policy]] = {
    "sequential": _sequential,
    "kayenta": _kayenta,
    "threshold": _threshold,
}
