"""Every answer of the real Kayenta judge, from our own code: labels and scores exactly, numbers to nine digits."""

from typing import Any

import pytest

from judge.policies.kayenta.classifiers import Classification, Sensitivity, classify
from judge.policies.kayenta.mann_whitney import shift, standardized
from judge.policies.kayenta.preprocessing import fences, without_outliers
from judge.policies.kayenta.scorers import MetricResult, score
from judge.policies.kayenta.settings import ConfigError, EffectLimits, MetricSettings, Thresholds
from judge.policies.kayenta.statistics import cles, mean_ratio, percentile, summary
from judge.policies.kayenta.wire import judge_document
from tests.unit.judge.policies.kayenta_golden import carried, close, number, series, upstream

JUDGED = [
    case for file in ("05-metric-edge.json", "07-issues.json", "09-import.json") for case in carried(file, "judge")
]
CLASSIFIED = carried("07-issues.json", "classifier") + upstream("01-unit-classifier.json", "classifier")


@pytest.mark.parametrize("case", JUDGED)
def test_a_whole_judgement_is_the_real_judges(case: dict[str, Any]) -> None:
    if "exception" in case["expected"]:
        with pytest.raises(ConfigError):
            judge_document(case)
        return
    got, expected = judge_document(case), case["expected"]
    assert got["score"] == {**expected["score"], "score": close(expected["score"]["score"])}
    assert got["groupScores"] == {name: close(value) for name, value in expected["groupScores"].items()}
    assert len(got["results"]) == len(expected["results"])
    for ours, theirs in zip(got["results"], expected["results"], strict=True):
        assert_same_result(ours, theirs, 1e-3 if case.get("nondeterministic") else 1e-9)
    if "intermediate" in expected:
        assert_same_numbers(got["results"][0], expected["intermediate"])


def assert_same_result(ours: dict[str, Any], theirs: dict[str, Any], tolerance: float) -> None:
    for field in ("name", "classification", "classificationReason", "critical", "muted", "groups"):
        assert ours[field] == theirs[field]
    if theirs["ratio"] is None:
        assert ours["ratio"] is None
    else:
        assert number(ours["ratio"]) == close(theirs["ratio"], tolerance)
    for side in ("controlStats", "experimentStats"):
        assert {k: number(v) for k, v in ours[side].items()} == {k: close(v) for k, v in theirs[side].items()}


def assert_same_numbers(result: dict[str, Any], theirs: dict[str, Any]) -> None:
    """The numbers behind a verdict, where the real judge came so far."""
    assert result["controlStats"]["count"] == theirs["nControl"]
    assert result["experimentStats"]["count"] == theirs["nExperiment"]
    comparison = result["comparison"]
    assert comparison is not None or "lower" not in theirs
    if comparison is not None:
        assert comparison["noiseAdded"] == theirs["noiseAdded"]
        for field in {"lower", "upper", "estimate", "cles"} & theirs.keys():
            assert number(comparison[field]) == close(theirs[field])


def settings_of(case: dict[str, Any]) -> MetricSettings:
    return MetricSettings(
        name=case["name"],
        direction=case["direction"],
        nan_strategy=case.get("nanStrategy", "remove"),
        critical=case.get("critical", False),
        measure=case.get("measure", "meanRatio"),
        allowed=EffectLimits(*case.get("effectSizeThresholds", (1, 1))),
        criticals=EffectLimits(*case.get("criticalThresholds", (1, 1))),
    )


@pytest.mark.parametrize("case", CLASSIFIED)
def test_a_metrics_verdict_is_the_real_classifiers(case: dict[str, Any]) -> None:
    sensitivity = Sensitivity(case.get("tolerance", 0.25), case.get("confLevel", 0.95))
    expected = case["expected"]
    got = classify(series(case["control"]), series(case["experiment"]), settings_of(case), sensitivity)
    assert got.label == expected["classification"]
    assert case.get("upstreamAssert") in {None, got.label}
    # The judge's own labels of the sides have capitals, those of upstream's unit tests do not.
    assert (got.reason or "").lower() == (expected["classificationReason"] or "").lower()
    assert got.critical == expected["critical"]
    assert got.ratio == close(expected["ratio"], 1e-3 if case.get("nondeterministic") else 1e-9)


@pytest.mark.parametrize("case", upstream("02-unit-mannwhitney.json", "mannwhitney"))
def test_the_interval_is_rs(case: dict[str, Any]) -> None:
    got = shift(series(case["experiment"]), series(case["control"]), case["confLevel"])
    assert (got.lower, got.upper, got.estimate) == tuple(
        close(case["expected"][k]) for k in ("lower", "upper", "estimate")
    )


@pytest.mark.parametrize("case", upstream("02-unit-mannwhitney.json", "wilcoxonDiff"))
def test_the_standardized_rank_sum_is_rs(case: dict[str, Any]) -> None:
    got = standardized(series(case["experiment"]), series(case["control"]), case["mu"])
    assert got - case["quantile"] == close(case["expected"]["value"])


@pytest.mark.parametrize("case", upstream("03-unit-score.json", "score"))
def test_scores_add_up_as_the_real_scorers(case: dict[str, Any]) -> None:
    results = [
        MetricResult(r["name"], Classification(r["classification"], "null", critical=r["critical"]), tuple(r["groups"]))
        for r in case["results"]
    ]
    got, expected = score(results, case["groupWeights"], Thresholds(95, 75)), case["expected"]
    assert got.score == close(expected["score"])
    assert got.reason == expected["reason"]
    assert {g.name: (g.score, not g.has_data) for g in got.groups} == {
        name: (close(group["score"]), group["noData"]) for name, group in expected["groups"].items()
    }


@pytest.mark.parametrize("case", upstream("04-unit-stats.json", "stats"))
def test_a_series_is_described_as_by_the_real_judge(case: dict[str, Any]) -> None:
    values, expected = series(case["values"]), case["expected"]
    got = summary(values)
    assert {k: getattr(got, k) for k in expected["summary"]} == {k: close(v) for k, v in expected["summary"].items()}
    for p, value in expected["percentiles"].items():
        assert percentile(values, float(p)) == close(value)
    if "iqrOutliers" in expected:
        low, high = fences(values, case["iqrFactor"])
        assert [bool(v < low or v > high) for v in values] == expected["iqrOutliers"]
        kept = [v for v, out in zip(values, expected["iqrReducedOutliers"], strict=True) if not out]
        assert without_outliers(values, case["iqrFactor"]).tolist() == kept


@pytest.mark.parametrize("case", upstream("04-unit-stats.json", "effect"))
def test_effects_are_as_large_as_for_the_real_judge(case: dict[str, Any]) -> None:
    control, experiment = series(case["control"]), series(case["experiment"])
    assert mean_ratio(control, experiment) == close(case["expected"]["meanRatio"])
    assert cles(control, experiment) == close(case["expected"]["cles"])


def test_a_judgement_is_the_same_every_time() -> None:
    constant = next(case.values[0] for case in JUDGED if case.id == "edge-21-const-close")
    assert judge_document(constant) == judge_document(constant)
