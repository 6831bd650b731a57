"""What is weak, silently misread or unknown in a canary config, and odd about what was measured: said, and judged all the same. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from judge.policies.kayenta.pairs import Floats, MetricPair
from judge.policies.kayenta.settings import (
    DIRECTIONS,
    MEASURES,
    NAN_STRATEGIES,
    OUTLIER_STRATEGIES,
    CanaryConfig,
    MetricSettings,
    read_settings,
)

_TEMPLATES = ("customInlineTemplate", "customFilterTemplate")
_QUERIES: Mapping[str, tuple[str, ...]] = {
    "atlas": ("q",),
    "datadog": ("metricName", *_TEMPLATES),
    "graphite": ("metricName",),
    "influxdb": ("metricName", "fields", "customInlineTemplate"),
    "newrelic": ("q", "select", *_TEMPLATES),
    "prometheus": ("metricName", "labelBindings", "groupByFields", "resourceType", "customFilter", *_TEMPLATES),
    "signalfx": ("metricName", "queryPairs", "aggregationMethod", *_TEMPLATES),
    "stackdriver": (
        *("metricType", "resourceType", "crossSeriesReducer", "perSeriesAligner", "groupByFields", "customFilter"),
        *_TEMPLATES,
    ),
    "wavefront": ("metricName", "summarization", "aggregate"),
}
"""Metric source → what a query of it may hold, beside `type` and `serviceType`."""

_CONFIG = (
    *("name", "id", "description", "configVersion", "applications", "judge", "metrics", "templates", "classifier"),
    *("createdTimestamp", "updatedTimestamp", "createdTimestampIso", "updatedTimestampIso"),
)
_METRIC = ("name", "query", "groups", "analysisConfigurations", "scopeName")
_CANARY = ("direction", "nanStrategy", "outliers", "critical", "mustHaveData", "muted", "effectSize")
_EFFECT = ("measure", "allowedIncrease", "allowedDecrease", "criticalIncrease", "criticalDecrease")
FULL_SCORE = 100
"""What group weights add up to."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something a person should know of one place."""

    path: str
    text: str

    def __str__(self) -> str:
        """`path: text`."""
        return f"{self.path}: {self.text}"


def remarks(raw: Mapping[str, Any]) -> tuple[Remark, ...]:
    """Of a config whose types are right."""
    config = CanaryConfig.read(raw)
    settings = [read_settings(metric, f"config.metrics[{i}]") for i, metric in enumerate(config.metrics)]
    found = [*_unknown(raw, "config", _CONFIG), *_of_the_whole(raw)]
    for index, (metric, one) in enumerate(zip(config.metrics, settings, strict=True)):
        path = f"config.metrics[{index}]"
        found += [
            *_unknown_in(metric, path),
            *_of_words(metric, path),
            *_of_query(metric, path, raw),
            *_of_metric(one, path),
        ]
    return (*found, *_of_weights(config, settings))


def odd_pairs(pairs: Sequence[MetricPair]) -> Iterator[Remark]:
    """What Kayenta judges all the same, and somebody should know: a metric twice, sides of different lengths, infinite values."""
    first: dict[str, int] = {}
    for i, pair in enumerate(pairs):
        if pair.name in first:
            yield Remark(f"metrics[{i}].name", f"{pair.name!r} is the name of metrics[{first[pair.name]}] too")
        first.setdefault(pair.name, i)
        many, others = len(pair.control), len(pair.experiment)
        if many and others and many != others:
            yield Remark(
                f"metrics[{i}]", f"control has {many} values, experiment {others}: write NaN for a slot that has none"
            )
        yield from _endless(pair.control, f"metrics[{i}].control")
        yield from _endless(pair.experiment, f"metrics[{i}].experiment")


def canary_of(metric: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a metric's configuration says, empty if it says nothing."""
    return _mapping(_mapping(metric.get("analysisConfigurations")).get("canary"))


def _of_the_whole(raw: Mapping[str, Any]) -> Iterator[Remark]:
    if "scoreThresholds" in _mapping(raw.get("classifier")):
        yield Remark(
            "config.classifier.scoreThresholds",
            "Kayenta never reads these: the ones of the request count (`davylamp judge` takes these where it has none)",
        )
    judge = _mapping(raw.get("judge")).get("name")
    if judge not in {None, "NetflixACAJudge-v1.0"}:
        yield Remark("config.judge.name", f"{judge!r} is not the judge that is known here, NetflixACAJudge-v1.0")
    for key in _mapping(_mapping(raw.get("judge")).get("judgeConfigurations")):
        yield Remark(f"config.judge.judgeConfigurations.{key}", "Kayenta's judge reads no configuration of its own")


def _unknown_in(metric: Mapping[str, Any], path: str) -> Iterator[Remark]:
    yield from _unknown(metric, path, _METRIC)
    inside = f"{path}.analysisConfigurations"
    yield from _unknown(_mapping(metric.get("analysisConfigurations")), inside, ("canary",))
    canary = canary_of(metric)
    yield from _unknown(canary, f"{inside}.canary", _CANARY)
    yield from _unknown(_mapping(canary.get("effectSize")), f"{inside}.canary.effectSize", _EFFECT)
    yield from _unknown(_mapping(canary.get("outliers")), f"{inside}.canary.outliers", ("strategy", "outlierFactor"))


def _of_words(metric: Mapping[str, Any], path: str) -> Iterator[Remark]:
    canary, inside = canary_of(metric), f"{path}.analysisConfigurations.canary"
    words: Sequence[tuple[str, Any, tuple[str, ...], str]] = (
        ("direction", canary, DIRECTIONS, "either"),
        ("nanStrategy", canary, NAN_STRATEGIES, "remove"),
        ("outliers.strategy", _mapping(canary.get("outliers")), OUTLIER_STRATEGIES, "keep"),
        ("effectSize.measure", _mapping(canary.get("effectSize")), MEASURES, "meanRatio"),
    )
    for place, holder, known, taken_for in words:
        key = place.rpartition(".")[2]
        if key in holder and holder[key] not in known:
            yield Remark(
                f"{inside}.{place}", f"{holder[key]!r} is none of {', '.join(known)}: Kayenta takes it for {taken_for}"
            )


def _of_query(metric: Mapping[str, Any], path: str, raw: Mapping[str, Any]) -> Iterator[Remark]:
    query = _mapping(metric.get("query"))
    source = str(query.get("type"))
    if query and source not in _QUERIES:
        yield Remark(f"{path}.query.type", f"{source!r} is no metric source of Kayenta: {', '.join(_QUERIES)}")
    elif query:
        yield from _unknown(query, f"{path}.query", ("type", "serviceType", *_QUERIES[source]))
    if "customFilter" in query:
        yield Remark(f"{path}.query.customFilter", "Kayenta refuses it: write customInlineTemplate")
    template = query.get("customFilterTemplate")
    if isinstance(template, str) and template not in _mapping(raw.get("templates")):
        yield Remark(f"{path}.query.customFilterTemplate", f"{template!r} is none of the config's templates")


def _of_metric(settings: MetricSettings, path: str) -> Iterator[Remark]:
    if not settings.groups and not settings.muted:
        yield Remark(f"{path}.groups", "without a group the metric is never scored")
    if settings.critical and not settings.must_have_data and settings.nan_strategy == "remove":
        yield Remark(
            path, "critical: without data on one side it fails the whole canary; mustHaveData alone fails the metric"
        )
    if settings.critical and settings.nan_strategy == "replace":
        yield Remark(path, "critical with nanStrategy replace: a side without any series passes")
    yield from _of_effect(settings, f"{path}.analysisConfigurations.canary.effectSize")


def _of_effect(settings: MetricSettings, path: str) -> Iterator[Remark]:
    neutral = 0.5 if settings.measure == "cles" else 1.0
    increase, decrease = settings.allowed.increase, settings.allowed.decrease
    if settings.direction != "decrease" and increase == neutral:
        yield Remark(
            f"{path}.allowedIncrease", f"is {neutral:g}: any rise that the test can prove fails, however small"
        )
    if settings.direction != "decrease" and increase < neutral:
        yield Remark(f"{path}.allowedIncrease", f"{increase:g} is below {neutral:g}, no change: it limits nothing")
    if settings.direction != "increase" and decrease == neutral:
        yield Remark(
            f"{path}.allowedDecrease", f"is {neutral:g}: any fall that the test can prove fails, however small"
        )
    if settings.direction != "increase" and decrease > neutral:
        yield Remark(f"{path}.allowedDecrease", f"{decrease:g} is above {neutral:g}, no change: it limits nothing")


def _of_weights(config: CanaryConfig, settings: Sequence[MetricSettings]) -> Iterator[Remark]:
    path, weights = "config.classifier.groupWeights", config.group_weights
    scored = list(dict.fromkeys(group for one in settings if not one.muted for group in one.groups))
    for group in weights:
        if group not in scored:
            yield Remark(f"{path}.{group}", f"no metric is in this group: its {weights[group]:g} points are lost")
    unlisted = [group for group in scored if group not in weights]
    total = sum(weights.values())
    if unlisted and weights:
        rest = f"{FULL_SCORE - total:g} points" if len(unlisted) == 1 else f"{FULL_SCORE - total:g} points between them"
        yield Remark(path, f"{', '.join(unlisted)} has no weight and gets {rest}")
    elif weights and total != FULL_SCORE:
        yield Remark(path, f"the weights add up to {total:g}, not to 100, and Kayenta does not normalise them")


def _unknown(raw: Mapping[str, Any], path: str, known: Sequence[str]) -> Iterator[Remark]:
    for key in raw:
        if key not in known:
            yield Remark(f"{path}.{key}", "is unknown to Kayenta, and nothing here reads it")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _endless(values: Floats, path: str) -> Iterator[Remark]:
    endless = np.flatnonzero(np.isinf(values))
    if len(endless):
        yield Remark(f"{path}[{endless[0]}]", "is infinite, which nothing measures: write NaN where there is no value")
