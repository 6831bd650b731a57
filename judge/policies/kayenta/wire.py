"""A judgement as JSON: our own form for CI, and Kayenta's ``CanaryJudgeResult`` for its users. Pure.

What JSON has no numbers for is a word, as Jackson writes and reads it: "NaN", "Infinity", "-Infinity".
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from judge.policies.kayenta.classifiers import Classification
from judge.policies.kayenta.contradictions import refuse_contradictions, refuse_nothing
from judge.policies.kayenta.judge import NAME, Judgement, judge
from judge.policies.kayenta.pairs import read_metric_set_pair, read_pair
from judge.policies.kayenta.remarks import odd_pairs, remarks
from judge.policies.kayenta.scorers import MetricResult
from judge.policies.kayenta.settings import CanaryConfig, ConfigError, Thresholds, score_thresholds
from judge.policies.kayenta.shapes import refuse_wrong_types
from judge.policies.kayenta.statistics import Summary


def judge_document(document: Any) -> dict[str, Any]:
    """Judge ``{"config", "scoreThresholds", "metrics": [{"name", "control", "experiment"}]}``. Raises :class:`ConfigError`.

    Where there are no ``scoreThresholds``, those of the config's classifier count, which Kayenta never reads. Metrics of the
    config of which nothing was measured are named as ``unjudged``: they have no part in the score. What the config says and
    Kayenta reads otherwise, or not at all, and what is odd about the values, is told in ``remarks``.
    """
    config, thresholds, metrics = _request(document, ("config", "scoreThresholds", "metrics"))
    pairs = [read_pair(raw, f"metrics[{i}]") for i, raw in enumerate(metrics)]
    read = _config(config)
    wanted = Thresholds.read(score_thresholds(config, thresholds))
    refuse_contradictions(config, wanted)
    refuse_nothing(pairs)
    judgement = judge(read, wanted, pairs)
    unjudged, told = _unjudged(read, judgement), [str(remark) for remark in (*remarks(config), *odd_pairs(pairs))]
    return report(judgement) | ({"unjudged": unjudged} if unjudged else {}) | ({"remarks": told} if told else {})


def judge_remotely(document: Any) -> dict[str, Any]:
    """Judge the body that Kayenta's ``RemoteJudge-v1.0`` posts, and answer what it reads. Raises :class:`ConfigError`."""
    config, thresholds, metrics = _request(document, ("canaryConfig", "scoreThresholds", "metricSetPairList"))
    pairs = [read_metric_set_pair(raw, f"metricSetPairList[{i}]") for i, raw in enumerate(metrics)]
    return canary_judge_result(judge(_config(config), Thresholds.read(thresholds), pairs))


def report(judgement: Judgement) -> dict[str, Any]:
    """For CI: what the score is made of, with the numbers behind each verdict, which Kayenta does not tell."""
    return {
        "judgeName": NAME,
        "score": _score(judgement),
        "groupScores": {group.name: group.score for group in judgement.score.groups},
        "results": [_result(result) for result in judgement.results],
    }


def canary_judge_result(judgement: Judgement) -> dict[str, Any]:
    """Kayenta's own form (``CanaryJudgeResult``): the real judge leaves the groups' labels empty, and so does this."""
    groups = [
        {"name": group.name, "score": group.score, "classification": "", "classificationReason": ""}
        for group in judgement.score.groups
    ]
    results = [_analysis_result(result) for result in judgement.results]
    return {"judgeName": NAME, "results": results, "groupScores": groups, "score": _score(judgement)}


def _config(raw: Any) -> CanaryConfig:
    if raw is None:
        raise ConfigError("config", "is missing")
    refuse_wrong_types(raw)
    return CanaryConfig.read(raw)


def _unjudged(config: CanaryConfig, judgement: Judgement) -> list[str]:
    """Nothing was measured of them, or on one side nothing."""
    measured = {result.name for result in judgement.results if result.verdict.label != "Nodata"}
    names = [str(metric["name"]) for metric in config.metrics]
    return [name for name in names if name not in measured and not config.settings(name).muted]


def _request(document: Any, keys: tuple[str, str, str]) -> tuple[Any, Any, list[Any]]:
    if not isinstance(document, Mapping):
        raise ConfigError("the input", f"is not an object with {', '.join(keys)}")
    config, thresholds, metrics = (document.get(key) for key in keys)
    if not isinstance(metrics, list):
        raise ConfigError(keys[2], "is not a list")
    return config, thresholds, metrics


def _score(judgement: Judgement) -> dict[str, Any]:
    score = judgement.score
    return {"score": _number(score.score), "classification": score.label, "classificationReason": score.reason or ""}


def _result(result: MetricResult) -> dict[str, Any]:
    verdict = result.verdict
    return {
        "name": result.name,
        "classification": verdict.label,
        "classificationReason": verdict.reason,
        "critical": verdict.critical,
        "muted": result.muted,
        "groups": list(result.groups),
        "ratio": _number(verdict.ratio),
        "controlStats": _stats(result.control),
        "experimentStats": _stats(result.experiment),
        "comparison": _comparison(verdict),
    }


def _analysis_result(result: MetricResult) -> dict[str, Any]:
    verdict = result.verdict
    fields: dict[str, Any] = {
        "name": result.name,
        "tags": dict(result.tags or {}),
        "id": result.id,
        "classification": verdict.label,
        "classificationReason": verdict.reason,
        "groups": list(result.groups),
        "experimentMetadata": {"stats": _stats(result.experiment)},
        "controlMetadata": {"stats": _stats(result.control)},
        "resultMetadata": None if verdict.label == "Error" else _result_metadata(verdict),
        "critical": verdict.critical,
        "muted": result.muted,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _result_metadata(verdict: Classification) -> dict[str, Any]:
    """Kayenta's own has the ratio alone; it keeps and shows whatever else is in here."""
    return {"ratio": _number(verdict.ratio), **(_comparison(verdict) or {})}


def _comparison(verdict: Classification) -> dict[str, Any] | None:
    if verdict.comparison is None:
        return None
    found = verdict.comparison
    return {
        "lower": _number(found.shift.lower),
        "upper": _number(found.shift.upper),
        "estimate": _number(found.shift.estimate),
        "cles": _number(found.cles),
        "noiseAdded": found.noise_added,
    }


def _stats(summary: Summary) -> dict[str, Any]:
    return {name: _number(value) for name, value in dataclasses.asdict(summary).items()}


def _number(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
