"""Judgements as JSON: what CI reads, and what Kayenta's RemoteJudge reads."""

import json
from typing import Any

import pytest

from judge.offline import POLICIES
from judge.policies.kayenta.settings import ConfigError
from judge.policies.kayenta.wire import judge_document, judge_remotely

CONFIG: dict[str, Any] = {
    "name": "c",
    "metrics": [
        {"name": "errors", "groups": ["g"], "analysisConfigurations": {"canary": {"direction": "increase"}}},
        {"name": "gone", "groups": ["g"]},
        {"name": "constant", "groups": ["g"]},
    ],
    "classifier": {"groupWeights": {"g": 100}},
}
THRESHOLDS = {"pass": 95, "marginal": 50}
SERIES: dict[str, tuple[list[Any], list[Any]]] = {
    "errors": ([0.0, 1.0, 0.0, 1.0, 0.5, 0.2], [5.0, 6.0, 7.0, 5.5, 6.5, 7.5]),
    "gone": (["NaN", "NaN"], [1.0, 1.0]),
    "constant": ([0.0], [50.0]),
}


def document(*names: str) -> dict[str, Any]:
    metrics = [{"name": n, "control": SERIES[n][0], "experiment": SERIES[n][1]} for n in names]
    return {"config": CONFIG, "scoreThresholds": THRESHOLDS, "metrics": metrics}


def request(*names: str) -> dict[str, Any]:
    """As Kayenta's `RemoteJudge` posts it."""
    pairs = [
        {
            "name": n,
            "id": f"id-{n}",
            "tags": {"zone": "a"},
            "values": {"control": SERIES[n][0], "experiment": SERIES[n][1]},
            "scopes": {"control": {"startTimeIso": "2026-01-01T00:00:00Z", "startTimeMillis": 0, "stepMillis": 60000}},
            "attributes": {"control": {}, "experiment": {}},
        }
        for n in names
    ]
    return {"canaryConfig": CONFIG, "scoreThresholds": THRESHOLDS, "metricSetPairList": pairs}


def test_the_report_says_what_was_decided_and_by_which_numbers() -> None:
    got = judge_document(document("errors"))
    assert got["score"] == {"score": 0.0, "classification": "Fail", "classificationReason": ""}
    assert got["groupScores"] == {"g": 0.0}
    (result,) = got["results"]
    assert result["classification"] == "High"
    assert result["comparison"]["lower"] > 0
    assert result["comparison"]["cles"] == 1
    assert result["controlStats"]["count"] == 6


def test_score_thresholds_of_the_config_count_where_the_request_has_none() -> None:
    doc = document("errors")
    doc["config"] = {**CONFIG, "classifier": {**CONFIG["classifier"], "scoreThresholds": {"pass": 0, "marginal": 0}}}
    assert judge_document(doc)["score"]["classification"] == "Fail"
    del doc["scoreThresholds"]
    assert judge_document(doc)["score"]["classification"] == "Pass"
    doc["config"] = CONFIG
    with pytest.raises(ConfigError, match="scoreThresholds: is missing"):
        judge_document(doc)


def test_metrics_of_which_nothing_was_measured_are_named_and_none_of_them_passes() -> None:
    doc = document("constant")
    doc["metrics"][0]["experiment"] = [0.0]
    got = POLICIES["kayenta"].of_document
    assert got is not None
    report = got(doc)
    assert (report.verdict, report.content["score"]["classification"]) == ("undecided", "Pass")
    assert report.content["unjudged"] == ["errors", "gone"]
    assert judge_document(document(*SERIES))["unjudged"] == ["gone"]
    assert "unjudged" not in judge_document(
        {**document("constant"), "config": {**CONFIG, "metrics": CONFIG["metrics"][2:]}}
    )


def test_of_two_metrics_with_one_name_none_is_passed_over() -> None:
    doc = document(*SERIES)
    doc["config"] = {**CONFIG, "metrics": [*CONFIG["metrics"], CONFIG["metrics"][0]]}
    with pytest.raises(ConfigError, match=r"config.metrics\[3\].name: 'errors' is the name of an earlier metric"):
        judge_document(doc)


def weighing(weight: float) -> dict[str, Any]:
    return {**CONFIG, "classifier": {"groupWeights": {"g": weight}}}


def measured(control: Any, experiment: Any) -> dict[str, Any]:
    return {"metrics": [{"name": "errors", "control": control, "experiment": experiment}]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config": weighing(250)}, "config.classifier.groupWeights: add up to 250, more than 100"),
        ({"config": weighing(1e26)}, "config.classifier.groupWeights: add up to 1e+26, more than 100"),
        ({"scoreThresholds": {"pass": 50, "marginal": 90}}, "scoreThresholds.marginal: 90 lies above pass (50)"),
        ({"metrics": []}, "metrics: is empty: nothing was measured"),
    ],
)
def test_what_nobody_can_have_meant_is_refused_with_its_place(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        judge_document({**document("errors"), **changes})
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"metrics": document("errors", "errors")["metrics"]},
            "metrics[1].name: 'errors' is the name of metrics[0] too",
        ),
        (measured([1.0] * 3, [1.0] * 5), "metrics[0]: control has 3 values, experiment 5"),
        (measured([1.0, "Infinity"], [1.0, 1.0]), "metrics[0].control[1]: is infinite"),
        (measured([1.0, 1.0], ["-Infinity", 1.0]), "metrics[0].experiment[0]: is infinite"),
    ],
)
def test_values_that_are_odd_are_judged_as_kayenta_does_and_told_with_their_place(
    changes: dict[str, Any], words: str
) -> None:
    found = judge_document({**document("errors"), **changes})
    assert [r["name"] for r in found["results"]] == ["errors"] * len(found["results"])
    assert any(remark.startswith(words) for remark in found["remarks"])


def test_kayenta_itself_is_answered_as_its_own_judge_would() -> None:
    odd = {**request("errors", "errors"), "canaryConfig": weighing(1e26), "scoreThresholds": {"pass": 5, "marginal": 9}}
    odd["metricSetPairList"][1]["values"] = {"control": [0.0] * 20, "experiment": ["Infinity"]}
    assert len(judge_remotely(odd)["results"]) == 2


def test_a_side_without_any_value_is_no_odd_length() -> None:
    doc = {**document("errors"), **measured([], [1.0, 2.0])}
    assert judge_document(doc)["unjudged"] == ["errors", "gone", "constant"]


def test_what_kayenta_reads_otherwise_than_it_was_written_is_told_with_its_place() -> None:
    doc = document("errors")
    typo = {"name": "errors", "groups": ["g"], "analysisConfigurations": {"canary": {"direction": "up"}}}
    doc["config"] = {**CONFIG, "metrics": [typo]}
    inside = "config.metrics[0].analysisConfigurations.canary"
    assert (
        f"{inside}.direction: 'up' is none of increase, decrease, either: Kayenta takes it for either"
        in (judge_document(doc)["remarks"])
    )


@pytest.mark.parametrize("judge", [judge_document, judge_remotely])
def test_a_config_of_wrong_types_is_not_judged(judge: Any) -> None:
    effect = {"name": "errors", "analysisConfigurations": {"canary": {"effectSize": 1.1}}}
    wrong = {"metrics": [effect, {"groups": "g"}], "classifier": {"groupWeights": []}}
    with pytest.raises(ConfigError) as refused:
        judge({**document("errors"), **request("errors"), "config": wrong, "canaryConfig": wrong})
    for place in (
        "config.metrics[0].analysisConfigurations.canary.effectSize: 1.1 is not an object",
        "config.metrics[1].groups: 'g' is not a list of texts",
        "config.metrics[1].name: is missing",
        "config.classifier.groupWeights: [] is not an object",
    ):
        assert place in str(refused.value)


def test_sums_beyond_what_64_bits_hold_are_a_word() -> None:
    doc = document("errors")
    doc["metrics"][0]["control"] = [1e300, -1e300, 1e300] * 2
    assert judge_document(doc)["results"][0]["controlStats"]["std"] == "Infinity"


def test_whatever_is_judged_is_valid_json() -> None:
    for got in (judge_document(document(*SERIES)), judge_remotely(request(*SERIES))):
        assert json.loads(json.dumps(got, allow_nan=False)) == got


def test_a_ratio_to_nothing_is_a_word() -> None:
    doc = document("errors")
    doc["metrics"][0]["control"] = [0.0] * 6
    assert judge_document(doc)["results"][0]["ratio"] == "NaN"


def test_the_remote_answer_has_the_fields_that_kayenta_reads() -> None:
    got = judge_remotely(request("errors"))
    assert got.keys() == {"judgeName", "results", "groupScores", "score"}
    assert got["groupScores"] == [{"name": "g", "score": 0.0, "classification": "", "classificationReason": ""}]
    assert got["score"] == {"score": 0.0, "classification": "Fail", "classificationReason": ""}
    (result,) = got["results"]
    assert result["id"] == "id-errors"
    assert result["tags"] == {"zone": "a"}
    assert result["groups"] == ["g"]
    assert result["classification"] == "High"
    assert result["classificationReason"] == "errors was classified as High"
    assert result["experimentMetadata"]["stats"]["count"] == 6
    assert result["controlMetadata"]["stats"]["max"] == 1.0
    assert result["resultMetadata"]["ratio"] > 1
    assert (result["critical"], result["muted"]) == (False, False)


def test_absent_fields_are_left_out_as_kayenta_leaves_them_out() -> None:
    missing, failed = judge_remotely(request("gone", "constant"))["results"]
    assert missing["resultMetadata"] == {"ratio": 1.0}
    assert failed["classification"] == "Error"
    assert "resultMetadata" not in failed
    same = {
        **request("errors"),
        "metricSetPairList": [{"name": "errors", "values": {"control": [1], "experiment": [1, 1]}}],
    }
    assert "classificationReason" not in judge_remotely(same)["results"][0]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], "the input"),
        ({"config": CONFIG, "scoreThresholds": THRESHOLDS}, "metrics"),
        ({"scoreThresholds": THRESHOLDS, "metrics": []}, "config"),
        ({"config": CONFIG, "metrics": []}, "scoreThresholds"),
        (document("errors") | {"metrics": [{"name": "x", "control": [], "experiment": []}]}, "config.metrics"),
    ],
)
def test_a_document_that_cannot_be_judged_is_refused_with_the_place(document: Any, path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        judge_document(document)
    assert refused.value.path == path


def test_a_remote_request_is_refused_in_its_own_words() -> None:
    with pytest.raises(ConfigError, match="metricSetPairList"):
        judge_remotely({"canaryConfig": CONFIG, "scoreThresholds": THRESHOLDS})
