"""Every check that a plan may ask for: its family, its part of alpha, its weight in the score."""

import math
from collections.abc import Callable, Mapping

from judge.policies.families.latency import Latency
from judge.policies.families.losses import Losses
from judge.policies.families.metrics import MetricMean, MetricRate, claim_of
from judge.policies.families.port import Claim, Family
from judge.policies.families.proxied import Availability
from judge.policies.families.rates import (
    ClusteredRate,
    Clusters,
    UnclusteredRate,
    cancellations,
    errors,
    rejections,
    tool_failures,
)
from judge.policies.families.tools import COLUMNS as TOOL_COLUMNS
from judge.policies.families.tools import Tools
from judge.policies.revisions import REVISIONS, Constants
from judge.proxies import Difference
from judge.trial import Trial, TrialWindow
from schemas.checks import Checks, CustomCheck
from schemas.policies import FIRST_REVISION

ALPHA_PARTS: Mapping[str, float] = {
    "error_rate": 0.30,
    "tool_success": 0.20,
    "latency_p99": 0.20,
    "latency_p90": 0.10,
    "session_loss": 0.10,
    "tools": 0.10,
    "cancel_rate": 0.10,
    "rejected_rate": 0.10,
}
"""Of alpha, before they are divided by their sum: so what a plan lacks goes to the others in proportion."""

ALPHA_PARTS_BESIDE_AVAILABILITY: Mapping[str, float] = {
    **ALPHA_PARTS,
    "error_rate": 0.25,
    "tool_success": 0.15,
    "availability": 0.10,
}

CUSTOM_PART = 0.10
"""Of each custom metric: as much as a built-in check that warns."""

SCORE_WEIGHTS: Mapping[str, float] = {
    "error_rate": 30.0,
    "tool_success": 25.0,
    "latency_p99": 25.0,
    "latency_p90": 8.0,
    "session_loss": 6.0,
    "tools": 6.0,
}
OTHER_SCORE_WEIGHT = 6.0

_SHOWN = frozenset({"cancel_rate", "rejected_rate"})
_FAILURES = frozenset({"error_rate", "tool_success", "tools"})


def shares(checks: Checks) -> dict[str, float]:
    """Each deciding check's part of alpha: by the plan alone, fixed before the first request. They sum to 1."""
    parts = ALPHA_PARTS_BESIDE_AVAILABILITY if checks.availability.enabled else ALPHA_PARTS
    mine = {check: parts.get(check, CUSTOM_PART) for check in checks.enabled}
    return {check: part / math.fsum(mine.values()) for check, part in mine.items()}


def score_weight(check: str) -> float:
    """The check's part of the score, in any unit."""
    return SCORE_WEIGHTS.get(check, OTHER_SCORE_WEIGHT)


def families(checks: Checks, constants: Constants = REVISIONS[FIRST_REVISION]) -> list[Family[TrialWindow]]:
    """The checks that are fed by windows; cancelled and rejected requests are always shown.

    Errors and failed tools are pooled as the revision says. Everything else is pooled as by the first one: a latency, for one client of the
    baseline may draw its quantile; a metric, for where its lack is bad the arms are exchanged, and nothing bounds a mean's dispersion from below.
    """
    mine = [check for check in _FAMILIES if getattr(checks, check).enabled or check in _SHOWN]
    custom = [(name, check) for name, check in sorted(checks.metrics.items()) if check.enabled]
    built_in = [
        _FAMILIES[check](checks, Clusters(pooling=constants.pooling) if check in _FAILURES else Clusters())
        for check in mine
    ]
    return built_in + [_custom(name, check, Clusters()) for name, check in custom]


def proxied_families(trial: Trial) -> list[Family[Difference]]:
    """The checks that are fed by the proxies' own reports."""
    plan = trial.plan.checks.availability
    return [Availability(Claim("availability", margin=plan.within, waits=True), trial)] if plan.enabled else []


def _error_rate(checks: Checks, clusters: Clusters) -> Family[TrialWindow]:
    claim = Claim("error_rate", margin=checks.error_rate.within, proves=True)
    return ClusteredRate(claim, errors, slice(0, 2), clusters)


def _tool_success(checks: Checks, clusters: Clusters) -> Family[TrialWindow]:
    claim = Claim("tool_success", margin=checks.tool_success.within, proves=True)
    return ClusteredRate(claim, tool_failures, slice(2, 4), clusters)


def _latency_p99(checks: Checks, clusters: Clusters) -> Family[TrialWindow]:
    return Latency(Claim("latency_p99", "latency", tail=0.01, proves=True, waits=True), checks.latency_p99, clusters)


def _latency_p90(checks: Checks, clusters: Clusters) -> Family[TrialWindow]:
    return Latency(Claim("latency_p90", "latency", tail=0.10, waits=True), checks.latency_p90, clusters)


def _session_loss(checks: Checks, _: Clusters) -> Family[TrialWindow]:
    plan = checks.session_loss
    claim = Claim("session_loss", "loss", ratio=1 + plan.within, columns=len(plan.ages_s) - 1, waits=True)
    return Losses(claim, plan)


def _tools(checks: Checks, clusters: Clusters) -> Family[TrialWindow]:
    return Tools(Claim("tools", "tools", margin=checks.tools.within, columns=TOOL_COLUMNS), clusters)


def _custom(name: str, check: CustomCheck, clusters: Clusters) -> Family[TrialWindow]:
    claim = claim_of(name, check)
    return MetricMean(claim, clusters) if check.kind == "mean" else MetricRate(claim, clusters)


def _cancel_rate(checks: Checks, _: Clusters) -> Family[TrialWindow]:
    plan = checks.cancel_rate
    return UnclusteredRate(Claim("cancel_rate", margin=plan.within, decides=plan.enabled, waits=True), cancellations)


def _rejected_rate(checks: Checks, _: Clusters) -> Family[TrialWindow]:
    plan = checks.rejected_rate
    return UnclusteredRate(Claim("rejected_rate", margin=plan.within, decides=plan.enabled, waits=True), rejections)


_FAMILIES: dict[str, Callable[[Checks, Clusters], Family[TrialWindow]]] = {
    "error_rate": _error_rate,
    "tool_success": _tool_success,
    "latency_p99": _latency_p99,
    "latency_p90": _latency_p90,
    "session_loss": _session_loss,
    "tools": _tools,
    "cancel_rate": _cancel_rate,
    "rejected_rate": _rejected_rate,
}
