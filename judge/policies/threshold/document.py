"""Rules and measurements as people write them: Flagger's Canary, Argo's AnalysisTemplate, and what was measured. Pure.

A document is the object as it lies in git, with ``measurements`` beside it: metric → list of values in order, ``null``
where the provider had none. Without the rest of an object, ``rule: flagger`` with ``analysis``, or ``rule: argo`` with
``metrics`` (and ``dryRun``) is enough.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from judge.policies.threshold import argo, flagger
from judge.policies.threshold.conditions import Condition, parse_condition
from judge.policies.threshold.durations import parse_duration_s

Rule = flagger.Analysis | tuple[argo.Metric, ...]
Measured = dict[str, list[float | None]]

_DECIDES_IN_FLAGGER = frozenset(
    {"interval", "threshold", "maxWeight", "stepWeight", "stepWeights", "iterations", "metrics"}
)
_ARGO_LIMITS = {
    "failureLimit": "failure_limit",
    "inconclusiveLimit": "inconclusive_limit",
    "consecutiveErrorLimit": "consecutive_error_limit",
    "consecutiveSuccessLimit": "consecutive_success_limit",
    "count": "count",
}


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
    spec = raw.get("spec") if isinstance(raw.get("spec"), Mapping) else {}
    measured = _measured(raw["measurements"]) if "measurements" in raw else None
    named = raw.get("rule") or {"Canary": "flagger"}.get(str(raw.get("kind")), raw.get("kind"))
    if named == "flagger":
        analysis = raw.get("analysis") or (spec or {}).get("analysis")
        return Document(_flagger(analysis), measured, tuple(_ignored_by_flagger(analysis)))
    if named in {"argo", "AnalysisTemplate", "ClusterAnalysisTemplate"}:
        metrics, dry_run = (raw.get(key) or (spec or {}).get(key) for key in ("metrics", "dryRun"))
        return Document(_argo(metrics, dry_run), measured)
    raise RuleError(f"`rule` is {named!r}; known are flagger and argo")


def _flagger(analysis: Any) -> flagger.Analysis:
    if not isinstance(analysis, Mapping):
        raise RuleError("analysis: is missing (a Canary's spec.analysis)")
    metrics = analysis.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        raise RuleError("analysis.metrics: is not a list with at least one metric")
    threshold = _whole(analysis, "threshold", "analysis")
    return flagger.Analysis(
        metrics=tuple(_flagger_metric(m, f"analysis.metrics[{i}]") for i, m in enumerate(metrics)),
        steps=_steps(analysis),
        threshold=threshold if threshold > 0 else 1,
        interval_s=max(
            flagger.MIN_INTERVAL_S, _duration_s(analysis, "interval", "analysis") or flagger.DEFAULT_INTERVAL_S
        ),
    )


def _steps(analysis: Mapping[str, Any]) -> tuple[int, ...]:
    """``iterations`` (A/B, blue-green) are so many steps at full weight."""
    iterations = _whole(analysis, "iterations", "analysis")
    if iterations > 0:
        return (flagger.FULL_WEIGHT,) * iterations
    weights = analysis.get("stepWeights") or []
    if not isinstance(weights, list) or not all(isinstance(w, int) for w in weights):
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
    else:
        limit = _number(metric, "threshold", path) or 0.0
        low, high = (limit, None) if name == "request-success-rate" else (None, limit)
    if name == "request-duration":
        low, high = (None if v is None else float(int(v)) for v in (low, high))
    return flagger.Metric(name, low, high, _duration_s(metric, "interval", path) or 60.0, name == "request-duration")


def _ignored_by_flagger(analysis: Any) -> Iterable[str]:
    return (f"analysis.{key}" for key in analysis if key not in _DECIDES_IN_FLAGGER)


def _argo(metrics: Any, dry_run: Any) -> tuple[argo.Metric, ...]:
    if not isinstance(metrics, list) or not metrics:
        raise RuleError("metrics: is not a list with at least one metric (an AnalysisTemplate's spec.metrics)")
    dry = {str(item.get("metricName")) for item in dry_run or () if isinstance(item, Mapping)}
    return tuple(_argo_metric(m, f"metrics[{i}]", dry) for i, m in enumerate(metrics))


def _argo_metric(metric: Any, path: str, dry: set[str]) -> argo.Metric:
    name = _name(metric, path)
    limits = {ours: _whole(metric, theirs, path) for theirs, ours in _ARGO_LIMITS.items() if theirs in metric}
    try:
        return argo.Metric(
            name=name,
            success=_condition(metric, "successCondition", path),
            failure=_condition(metric, "failureCondition", path),
            interval_s=_duration_s(metric, "interval", path),
            initial_delay_s=_duration_s(metric, "initialDelay", path) or 0.0,
            dry_run=bool(dry & {name, "*", ".*"}),
            **limits,
        )
    except RuleError:
        raise
    except ValueError as error:
        raise RuleError(f"{path}: {error}") from error


def _condition(metric: Mapping[str, Any], key: str, path: str) -> Condition | None:
    text = metric.get(key)
    if not text:
        return None
    try:
        return parse_condition(str(text))
    except ValueError as error:
        raise RuleError(f"{path}.{key}: {error}") from error


def _measured(raw: Any) -> Measured:
    if not isinstance(raw, Mapping) or not all(isinstance(values, list) for values in raw.values()):
        raise RuleError("measurements: is not an object of lists")
    return {str(name): [_reading(v, f"measurements.{name}[{i}]") for i, v in enumerate(vs)] for name, vs in raw.items()}


def _reading(value: Any, path: str) -> float | None:
    """A null, or the word NaN that JSON writers use, is no value."""
    if value is None or value == "NaN":
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise RuleError(f"{path}: {value!r} is neither a number nor null")
    return float(value)


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
    return value or 0


def _number(raw: Mapping[str, Any], key: str, path: str) -> float | None:
    value = raw.get(key)
    if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
        raise RuleError(f"{path}.{key}: {value!r} is not a number")
    return None if value is None else float(value)


def _duration_s(raw: Mapping[str, Any], key: str, path: str) -> float | None:
    text = raw.get(key)
    if not text:
        return None
    try:
        return parse_duration_s(str(text))
    except ValueError as error:
        raise RuleError(f"{path}.{key}: {error}") from error
