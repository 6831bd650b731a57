"""Rules and measurements as people write them: Flagger's Canary, Argo's AnalysisTemplate, and what was measured. Pure.

A document is the object as it lies in git, with ``measurements`` beside it: metric → list of values in order, ``null``
where the provider had none. Without the rest of an object, ``rule: flagger`` with ``analysis``, or ``rule: argo`` with
``metrics`` (and ``dryRun``) is enough.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from judge.policies.threshold import argo, flagger
from judge.policies.threshold.conditions import Condition, parse_condition
from judge.policies.threshold.fields import (
    RuleError,
    duration_s,
    flag,
    items,
    limit,
    mapping,
    name_of,
    refuse_unknown_keys,
    text,
    whole,
)
from judge.policies.threshold.measurements import Measured, read_measurements, refuse_gaps

Rule = flagger.Analysis | tuple[argo.Metric, ...]

_DOCUMENT = frozenset(
    {"apiVersion", "kind", "metadata", "spec", "status", "rule", "analysis", "metrics", "dryRun", "measurements"}
)
_DECIDES_IN_FLAGGER = frozenset(
    {"interval", "threshold", "maxWeight", "stepWeight", "stepWeights", "iterations", "match", "mirror", "metrics"}
)
_FLAGGER_ANALYSIS = _DECIDES_IN_FLAGGER | {
    *("alerts", "canaryReadyThreshold", "mirrorWeight", "primaryReadyThreshold", "sessionAffinity"),
    *("stepWeightPromotion", "webhooks"),
}
"""``CanaryAnalysis`` in ``pkg/apis/flagger/v1beta1/canary.go``."""
_FLAGGER_METRIC = frozenset(
    {"name", "interval", "threshold", "thresholdRange", "query", "templateRef", "templateVariables"}
)
"""``CanaryMetric`` there."""
_DECIDES_IN_CANARY = frozenset({"skipAnalysis", "progressDeadlineSeconds", "suspend"})
"""Of a Canary's ``spec``, beside ``analysis``."""
MOST_STEPS = 100_000
"""Of ``iterations``; Flagger, which looks every ten seconds at most, would take twelve days."""
_ARGO_LIMITS = {
    "failureLimit": "failure_limit",
    "inconclusiveLimit": "inconclusive_limit",
    "consecutiveErrorLimit": "consecutive_error_limit",
    "consecutiveSuccessLimit": "consecutive_success_limit",
    "count": "count",
}
_ARGO_FIELDS = frozenset(
    {"name", "interval", "initialDelay", "successCondition", "failureCondition", "provider", *_ARGO_LIMITS}
)
"""``Metric`` in ``pkg/apis/rollouts/v1alpha1/analysis_types.go``."""


@dataclass(frozen=True, slots=True)
class Document:
    """A rule that was understood, with what was measured."""

    rule: Rule
    measured: Measured | None
    """None: the document holds none."""
    ignored: tuple[str, ...] = ()
    """What of the object takes part in the real decision and not in this one."""


def read_document(raw: Any) -> Document:
    """Raises :class:`RuleError` with the place."""
    if not isinstance(raw, Mapping):
        raise RuleError("the input is not an object with `rule` (flagger or argo), or a Canary or AnalysisTemplate")
    spec = mapping(raw.get("spec") or {}, "spec")
    named = raw.get("rule") or {"Canary": "flagger"}.get(str(raw.get("kind")), raw.get("kind"))
    if named == "flagger":
        found = _flagger_document(raw, spec)
    elif named in ("argo", "AnalysisTemplate", "ClusterAnalysisTemplate"):  # a tuple: a list would be no key of a set
        found = _argo_document(raw, spec)
    else:
        raise RuleError(f"`rule` is {named!r}; known are flagger and argo")
    refuse_unknown_keys(raw, _DOCUMENT, "")
    return found


def _flagger_document(raw: Mapping[str, Any], spec: Mapping[str, Any]) -> Document:
    """``canaryAnalysis`` is what ``analysis`` was called before (``GetAnalysis``)."""
    analysis = raw.get("analysis") or spec.get("analysis") or spec.get("canaryAnalysis")
    rule, measured = _flagger(analysis, spec.get("provider")), read_measurements(raw)
    if measured is not None:
        refuse_gaps(measured, [metric.name for metric in rule.metrics], equally_long=True)
    return Document(rule, measured, tuple(_ignored_by_flagger(spec, analysis)))


def _argo_document(raw: Mapping[str, Any], spec: Mapping[str, Any]) -> Document:
    metrics, dry_run = (raw.get(key) or spec.get(key) for key in ("metrics", "dryRun"))
    rule, measured = _argo(metrics, dry_run), read_measurements(raw, nan_is_a_value=True)
    if measured is not None:
        refuse_gaps(measured, [metric.name for metric in rule], equally_long=False)
    return Document(rule, measured, tuple(_ignored_by_argo(spec, metrics)))


def _flagger(analysis: Any, provider: Any) -> flagger.Analysis:
    """Metrics with a query of their own or built in are asked before those of templates (``runAnalysis``)."""
    if not isinstance(analysis, Mapping):
        raise RuleError("analysis: is missing (a Canary's spec.analysis)")
    refuse_unknown_keys(analysis, _FLAGGER_ANALYSIS, "analysis")
    metrics = _some_metrics(analysis.get("metrics"), "analysis.metrics", "")
    read = [_flagger_metric(m, f"analysis.metrics[{i}]") for i, m in enumerate(metrics)]
    ordered = sorted(zip(metrics, read, strict=True), key=lambda each: each[0].get("templateRef") is not None)
    threshold = whole(analysis, "threshold", "analysis")
    return flagger.Analysis(
        metrics=tuple(metric for _, metric in ordered),
        steps=_steps(analysis, on_kubernetes=provider == "kubernetes"),
        threshold=threshold if threshold > 0 else 1,
        interval_s=_flagger_interval_s(analysis),
    )


def _some_metrics(metrics: Any, path: str, where: str) -> list[Any]:
    """At least one, each under a name of its own: two could not be told apart in what was measured."""
    if not isinstance(metrics, list) or not metrics:
        raise RuleError(f"{path}: is not a list with at least one metric{where}")
    names: list[str] = []
    for i, metric in enumerate(metrics):
        name = name_of(metric, f"{path}[{i}]")
        if name in names:
            raise RuleError(f"{path}[{i}].name: {name!r} is the name of {path}[{names.index(name)}] too")
        names.append(name)
    return metrics


def _flagger_interval_s(analysis: Mapping[str, Any]) -> float:
    written = duration_s(analysis, "interval", "analysis")
    return max(flagger.MIN_INTERVAL_S, flagger.DEFAULT_INTERVAL_S if written is None else written)


def _steps(analysis: Mapping[str, Any], *, on_kubernetes: bool) -> tuple[int, ...]:
    """``iterations`` are A/B testing of what ``match`` says, else blue-green, as always ``on_kubernetes`` alone
    (``DeploymentStrategy``).
    """
    iterations = whole(analysis, "iterations", "analysis")
    if iterations > MOST_STEPS:
        raise RuleError(f"analysis.iterations: {iterations} is more than {MOST_STEPS}")
    match, mirror = items(analysis, "match", "analysis"), flag(analysis, "mirror", "analysis")
    if on_kubernetes:
        return flagger.iterated(iterations if iterations > 0 else flagger.ITERATIONS_ON_KUBERNETES, is_matched=False)
    if iterations > 0:
        return flagger.iterated(iterations, is_matched=bool(match))
    return (*(0,) * mirror, *_weights(analysis))


def _weights(analysis: Mapping[str, Any]) -> tuple[int, ...]:
    weights = analysis.get("stepWeights")
    if weights is not None and (not isinstance(weights, list) or not all(type(w) is int for w in weights)):
        raise RuleError("analysis.stepWeights: is not a list of whole numbers")
    step, highest = (whole(analysis, key, "analysis") for key in ("stepWeight", "maxWeight"))
    try:
        return flagger.weights(step, weights or (), highest)
    except ValueError as error:
        raise RuleError(f"analysis: {error}") from error


def _flagger_metric(metric: Any, path: str) -> flagger.Metric:
    """``threshold`` is the deprecated form: a minimum of a success rate, a maximum of everything else."""
    name = name_of(metric, path)
    refuse_unknown_keys(metric, _FLAGGER_METRIC, path)
    if metric.get("thresholdRange") is not None:
        low, high = _range(mapping(metric["thresholdRange"], f"{path}.thresholdRange"), f"{path}.thresholdRange")
    else:
        only = limit(metric, "threshold", path) or 0.0
        low, high = (only, None) if name == "request-success-rate" else (None, only)
    if name == "request-duration":
        low, high = (None if v is None else float(int(v)) for v in (low, high))
    return flagger.Metric(name, low, high, duration_s(metric, "interval", path) or 60.0, name == "request-duration")


def _range(limits: Mapping[str, Any], path: str) -> tuple[float | None, float | None]:
    refuse_unknown_keys(limits, ("min", "max"), path)
    low, high = limit(limits, "min", path), limit(limits, "max", path)
    if low is not None and high is not None and low > high:
        raise RuleError(f"{path}: no value is above {low:g} and below {high:g}")
    return low, high


def _ignored_by_flagger(spec: Mapping[str, Any], analysis: Any) -> Iterable[str]:
    """`analysis` has been read."""
    yield from (key for key in spec if key in _DECIDES_IN_CANARY)
    yield from (f"analysis.{key}" for key in analysis if key not in _DECIDES_IN_FLAGGER)


def _ignored_by_argo(spec: Mapping[str, Any], metrics: Any) -> Iterable[str]:
    """`metrics` have been read. Their ``provider`` is replaced by the measurements."""
    yield from (key for key in spec if key not in {"metrics", "dryRun"})
    yield from (f"metrics[{i}].provider" for i, metric in enumerate(metrics) if "provider" in metric)


def _argo(metrics: Any, dry_run: Any) -> tuple[argo.Metric, ...]:
    listed = _some_metrics(metrics, "metrics", " (an AnalysisTemplate's spec.metrics)")
    dry = _dry(dry_run, [metric["name"] for metric in listed])
    return tuple(_argo_metric(metric, f"metrics[{i}]", dry) for i, metric in enumerate(listed))


def _dry(rules: Any, names: Iterable[str]) -> frozenset[str]:
    """The metrics that `rules` match, each a regular expression that may match anywhere (``GetDryRunMetrics`` in
    ``utils/analysis/helpers.go``); one that matches none is an error there too.
    """
    if not isinstance(rules or [], list):
        raise RuleError("dryRun: is not a list")
    found: set[str] = set()
    for i, rule in enumerate(rules or ()):
        if not isinstance(rule, Mapping) or not isinstance(rule.get("metricName"), str):
            raise RuleError(f"dryRun[{i}].metricName: is missing")
        try:
            matched = {name for name in names if re.search(rule["metricName"], name)}
        except re.error as error:
            raise RuleError(f"dryRun[{i}].metricName: is no regular expression: {error}") from error
        if not matched:
            raise RuleError(f"dryRun[{i}].metricName: {rule['metricName']!r} matches no metric")
        found |= matched
    return frozenset(found)


def _argo_metric(metric: Mapping[str, Any], path: str, dry: frozenset[str]) -> argo.Metric:
    """A limit that is null counts as not written, as to Argo."""
    refuse_unknown_keys(metric, _ARGO_FIELDS, path)
    written = {theirs: ours for theirs, ours in _ARGO_LIMITS.items() if metric.get(theirs) is not None}
    limits = {ours: whole(metric, theirs, path) for theirs, ours in written.items()}
    if limits.get("count", 0) < 0:
        raise RuleError(f"{path}.count: {limits['count']} is below 0: Argo would end at its first measurement")
    name = name_of(metric, path)
    try:
        return argo.Metric(
            name=name,
            success=_condition(metric, "successCondition", path),
            failure=_condition(metric, "failureCondition", path),
            interval_s=_argo_interval_s(metric, path),
            initial_delay_s=duration_s(metric, "initialDelay", path) or 0.0,
            dry_run=name in dry,
            **limits,
        )
    except RuleError:
        raise
    except ValueError as error:
        raise RuleError(f"{path}: {error}") from error


def _argo_interval_s(metric: Mapping[str, Any], path: str) -> float | None:
    interval_s = duration_s(metric, "interval", path)
    if interval_s == 0:
        raise RuleError(f"{path}.interval: is 0, measured without a pause; write how far apart, like 30s")
    return interval_s


def _condition(metric: Mapping[str, Any], key: str, path: str) -> Condition | None:
    written = text(metric, key, path)
    if not written:
        return None
    try:
        return parse_condition(written)
    except ValueError as error:
        raise RuleError(f"{path}.{key}: {error}") from error
