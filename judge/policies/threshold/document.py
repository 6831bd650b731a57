"""Rules and measurements as people write them: Flagger's Canary, Argo's AnalysisTemplate, and what was measured. Pure.

A document is the object as it lies in git, with ``measurements`` beside it: metric → list of values in order, ``null``
where the provider had none. Without the rest of an object, ``rule: flagger`` with ``analysis``, or ``rule: argo`` with
``metrics`` (and ``dryRun``) is enough.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from judge.policies.threshold import argo, flagger
from judge.policies.threshold.conditions import Condition, parse_condition
from judge.policies.threshold.durations import parse_duration_s

Rule = flagger.Analysis | tuple[argo.Metric, ...]
Measured = dict[str, list[float | None]]

_DECIDES_IN_FLAGGER = frozenset(
    {"interval", "threshold", "maxWeight", "stepWeight", "stepWeights", "iterations", "match", "mirror", "metrics"}
)
_DECIDES_IN_CANARY = frozenset({"skipAnalysis", "progressDeadlineSeconds", "suspend"})
"""Of a Canary's ``spec``, beside ``analysis``."""
MOST_STEPS = 100_000
"""Of ``iterations``; Flagger, which looks every ten seconds at most, would take twelve days."""
_MOST = 2**31 - 1
"""Kubernetes' numbers of these fields have 32 bits."""
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


class RuleError(ValueError):
    """The rule or its measurements are not understood."""


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
    given = raw.get("spec")
    spec: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    named = raw.get("rule") or {"Canary": "flagger"}.get(str(raw.get("kind")), raw.get("kind"))
    if named == "flagger":
        analysis = raw.get("analysis") or spec.get("analysis")
        rule = _flagger(analysis, spec.get("provider"))
        return Document(rule, _measured(raw), tuple(_ignored_by_flagger(spec, analysis)))
    if named in {"argo", "AnalysisTemplate", "ClusterAnalysisTemplate"}:
        metrics, dry_run = (raw.get(key) or spec.get(key) for key in ("metrics", "dryRun"))
        return Document(
            _argo(metrics, dry_run), _measured(raw, nan_is_a_value=True), tuple(_ignored_by_argo(spec, metrics))
        )
    raise RuleError(f"`rule` is {named!r}; known are flagger and argo")


def _flagger(analysis: Any, provider: Any) -> flagger.Analysis:
    if not isinstance(analysis, Mapping):
        raise RuleError("analysis: is missing (a Canary's spec.analysis)")
    metrics = analysis.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        raise RuleError("analysis.metrics: is not a list with at least one metric")
    threshold = _whole(analysis, "threshold", "analysis")
    return flagger.Analysis(
        metrics=tuple(_flagger_metric(m, f"analysis.metrics[{i}]") for i, m in enumerate(metrics)),
        steps=_steps(analysis, on_kubernetes=provider == "kubernetes"),
        threshold=threshold if threshold > 0 else 1,
        interval_s=_flagger_interval_s(analysis),
    )


def _flagger_interval_s(analysis: Mapping[str, Any]) -> float:
    written = _duration_s(analysis, "interval", "analysis")
    return max(flagger.MIN_INTERVAL_S, flagger.DEFAULT_INTERVAL_S if written is None else written)


def _steps(analysis: Mapping[str, Any], *, on_kubernetes: bool) -> tuple[int, ...]:
    """``iterations`` are A/B testing of what ``match`` says, else blue-green, as always ``on_kubernetes`` alone."""
    iterations = _whole(analysis, "iterations", "analysis")
    if iterations > MOST_STEPS:
        raise RuleError(f"analysis.iterations: {iterations} is more than {MOST_STEPS}")
    match, mirror = analysis.get("match") or [], analysis.get("mirror") or False
    if not isinstance(match, list):
        raise RuleError("analysis.match: is not a list")
    if not isinstance(mirror, bool):
        raise RuleError("analysis.mirror: is neither true nor false")
    if on_kubernetes:
        return flagger.iterated(iterations if iterations > 0 else flagger.ITERATIONS_ON_KUBERNETES, is_matched=False)
    if iterations > 0:
        return flagger.iterated(iterations, is_matched=bool(match))
    return (*(0,) * mirror, *_weights(analysis))


def _weights(analysis: Mapping[str, Any]) -> tuple[int, ...]:
    weights = analysis.get("stepWeights") or []
    if not isinstance(weights, list) or not all(type(w) is int for w in weights):
        raise RuleError("analysis.stepWeights: is not a list of whole numbers")
    try:
        step, highest = (_whole(analysis, key, "analysis") for key in ("stepWeight", "maxWeight"))
        return flagger.weights(step, weights, highest)
    except ValueError as error:
        raise RuleError(f"analysis: {error}") from error


def _flagger_metric(metric: Any, path: str) -> flagger.Metric:
    """``threshold`` is the deprecated form: a minimum of a success rate, a maximum of everything else."""
    name = _name(metric, path)
    limits = metric.get("thresholdRange")
    if isinstance(limits, Mapping):
        low, high = _number(limits, "min", f"{path}.thresholdRange"), _number(limits, "max", f"{path}.thresholdRange")
        if low is not None and high is not None and low > high:
            raise RuleError(f"{path}.thresholdRange: no value is above {low:g} and below {high:g}")
    else:
        limit = _number(metric, "threshold", path) or 0.0
        low, high = (limit, None) if name == "request-success-rate" else (None, limit)
    if name == "request-duration":
        low, high = (None if v is None else float(int(v)) for v in (low, high))
    return flagger.Metric(name, low, high, _duration_s(metric, "interval", path) or 60.0, name == "request-duration")


def _ignored_by_flagger(spec: Mapping[str, Any], analysis: Any) -> Iterable[str]:
    """`analysis` has been read."""
    yield from (key for key in spec if key in _DECIDES_IN_CANARY)
    yield from (f"analysis.{key}" for key in analysis if key not in _DECIDES_IN_FLAGGER)


def _ignored_by_argo(spec: Mapping[str, Any], metrics: Any) -> Iterable[str]:
    """`metrics` have been read. Their ``provider`` is replaced by the measurements."""
    yield from (key for key in spec if key not in {"metrics", "dryRun"})
    yield from (f"metrics[{i}].provider" for i, metric in enumerate(metrics) if "provider" in metric)


def _argo(metrics: Any, dry_run: Any) -> tuple[argo.Metric, ...]:
    if not isinstance(metrics, list) or not metrics:
        raise RuleError("metrics: is not a list with at least one metric (an AnalysisTemplate's spec.metrics)")
    names: list[str] = []
    for i, metric in enumerate(metrics):
        name = _name(metric, f"metrics[{i}]")
        if name in names:
            raise RuleError(f"metrics[{i}].name: {name!r} is the name of metrics[{names.index(name)}] too")
        names.append(name)
    dry = _dry(dry_run, names)
    return tuple(_argo_metric(metric, f"metrics[{i}]", dry) for i, metric in enumerate(metrics))


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


def _argo_metric(metric: Any, path: str, dry: frozenset[str]) -> argo.Metric:
    _known(metric, path)
    name = _name(metric, path)
    limits = {ours: _whole(metric, theirs, path) for theirs, ours in _ARGO_LIMITS.items() if theirs in metric}
    try:
        return argo.Metric(
            name=name,
            success=_condition(metric, "successCondition", path),
            failure=_condition(metric, "failureCondition", path),
            interval_s=_argo_interval_s(metric, path),
            initial_delay_s=_duration_s(metric, "initialDelay", path) or 0.0,
            dry_run=name in dry,
            **limits,
        )
    except RuleError:
        raise
    except ValueError as error:
        raise RuleError(f"{path}: {error}") from error


def _known(metric: Mapping[str, Any], path: str) -> None:
    """A condition under a name that is not read would be a check that always passes."""
    for key in metric:
        if key not in _ARGO_FIELDS:
            near = get_close_matches(str(key), _ARGO_FIELDS, 1)
            raise RuleError(f"{path}.{key}: is not known" + (f"; did you mean {near[0]}?" if near else ""))


def _argo_interval_s(metric: Mapping[str, Any], path: str) -> float | None:
    interval_s = _duration_s(metric, "interval", path)
    if interval_s == 0:
        raise RuleError(f"{path}.interval: is 0, measured without a pause; write how far apart, like 30s")
    return interval_s


def _condition(metric: Mapping[str, Any], key: str, path: str) -> Condition | None:
    text = metric.get(key)
    if not text:
        return None
    try:
        return parse_condition(str(text))
    except ValueError as error:
        raise RuleError(f"{path}.{key}: {error}") from error


def _measured(document: Mapping[str, Any], *, nan_is_a_value: bool = False) -> Measured | None:
    if "measurements" not in document:
        return None
    raw = document["measurements"]
    if not isinstance(raw, Mapping) or not all(isinstance(values, list) for values in raw.values()):
        raise RuleError("measurements: is not an object of lists")
    nan = math.nan if nan_is_a_value else None
    return {
        str(name): [_reading(value, f"measurements.{name}[{i}]", nan) for i, value in enumerate(values)]
        for name, values in raw.items()
    }


def _reading(value: Any, path: str, nan: float | None) -> float | None:
    """A null is no value. NaN, which JSON may hold as a word, is none to Flagger, and a value like any other to Argo."""
    if value is None:
        return None
    if value == "NaN":
        return nan
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise RuleError(f"{path}: {value!r} is neither a number nor null")
    return _float(value, path)


def _name(metric: Any, path: str) -> str:
    if not isinstance(metric, Mapping) or not isinstance(metric.get("name"), str):
        raise RuleError(f"{path}.name: is missing")
    return str(metric["name"])


def _whole(raw: Mapping[str, Any], key: str, path: str) -> int:
    """A whole number, in a string too (Kubernetes' IntOrString); 0 if absent."""
    value = raw.get(key)
    if isinstance(value, str) and value.lstrip("-").isdigit():
        value = int(value)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise RuleError(f"{path}.{key}: {value!r} is not a whole number")
    if abs(value or 0) > _MOST:
        raise RuleError(f"{path}.{key}: is beyond {_MOST}")
    return value or 0


def _number(raw: Mapping[str, Any], key: str, path: str) -> float | None:
    value = raw.get(key)
    if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
        raise RuleError(f"{path}.{key}: {value!r} is not a number")
    if value is None:
        return None
    number = _float(value, f"{path}.{key}")
    if not math.isfinite(number):
        raise RuleError(f"{path}.{key}: {number} is no limit")
    return number


def _float(value: float, path: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise RuleError(f"{path}: is beyond what a number of 64 bits holds") from error


def _duration_s(raw: Mapping[str, Any], key: str, path: str) -> float | None:
    text = raw.get(key)
    if not text:
        return None
    try:
        return parse_duration_s(str(text))
    except ValueError as error:
        raise RuleError(f"{path}.{key}: {error}") from error
