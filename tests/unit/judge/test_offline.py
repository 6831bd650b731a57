"""Every policy by name, over documents and over recorded windows."""

import json
from typing import Any

import pytest

from judge.offline import POLICIES
from judge.recorded import Recorded, RecordingError
from schemas.windows import CohortWindow
from tests.builders import plan
from tests.unit.judge.policies.made_windows import constant
from tests.unit.judge.policies.test_threshold_documents import CANARY, TEMPLATE

PLAN = plan(checks={"error_rate": {"within": "5pp"}})
OUTAGE = Recorded(constant(240, (99, 1), (5, 5)), PLAN)
HEALTHY = Recorded(constant(240, (380, 4), (380, 4)), PLAN)
STATIC = {"rule": "flagger", "analysis": {"stepWeight": 50, "threshold": 2, "metrics": []}}


def flagger(*metrics: dict[str, Any], threshold: int = 2) -> dict[str, Any]:
    return {"rule": "flagger", "analysis": {"stepWeight": 50, "threshold": threshold, "metrics": list(metrics)}}


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_sees_an_outage_in_windows_and_says_so_in_json(name: str) -> None:
    report = POLICIES[name].of_windows(OUTAGE, None)
    assert report.verdict == "fail"
    assert json.loads(json.dumps(report.content, allow_nan=False)) == report.content


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_lets_a_canary_pass_that_is_as_good_as_the_baseline(name: str) -> None:
    assert POLICIES[name].of_windows(HEALTHY, None).verdict == "pass"


@pytest.mark.parametrize("name", ["kayenta", "threshold"])
def test_a_plan_of_which_a_policy_compares_nothing_is_refused_and_no_pass(name: str) -> None:
    off = dict.fromkeys(("error_rate", "tool_success", "latency_p99", "latency_p90", "tools", "availability"), "off")
    deaf = plan(checks={**off, "session_loss": "on"})
    with pytest.raises(ValueError, match=rf"^{name} compares cancel_rate, .* all of them off: add --rule"):
        POLICIES[name].of_windows(Recorded(HEALTHY.windows, deaf), None)


@pytest.mark.parametrize("name", POLICIES)
def test_windows_further_apart_than_a_rollout_lasts_are_refused(name: str) -> None:
    far = [each.model_copy(update={"window_start": 5 * 10**15}) for each in HEALTHY.windows[-1:]]
    with pytest.raises(RecordingError, match="more than a rollout lasts"):
        POLICIES[name].of_windows(Recorded([*HEALTHY.windows, *far], PLAN), None)


def test_davylamps_own_policy_is_the_last_and_judges_windows_alone() -> None:
    assert [*POLICIES][-1] == "sequential"
    assert POLICIES["sequential"].of_document is None
    with pytest.raises(ValueError, match="no configuration beside the plan"):
        POLICIES["sequential"].of_windows(HEALTHY, {})


def test_sequential_says_what_the_ledger_would_say_of_its_check() -> None:
    content = POLICIES["sequential"].of_windows(OUTAGE, None).content
    assert content["breachedBy"] == "error_rate"
    assert content["score"] == 0
    check = next(c for c in content["checks"] if c["check"] == "error_rate")
    assert (check["verdict"], check["canary"]["n"]) == ("breached", 2400)


def test_too_little_data_is_undecided() -> None:
    few: list[CohortWindow] = constant(2, (9, 1), (1, 0))
    assert POLICIES["sequential"].of_windows(Recorded(few, PLAN), None).verdict == "undecided"
    assert POLICIES["threshold"].of_windows(Recorded(few, PLAN), None).verdict == "undecided"


def test_a_canary_config_of_the_users_own_judges_windows_too() -> None:
    config = {"metrics": [{"name": "error_rate", "groups": ["g"]}], "classifier": {"groupWeights": {"g": 100}}}
    judged = POLICIES["kayenta"].of_windows
    assert judged(OUTAGE, config).content["score"] == 0
    assert (
        judged(OUTAGE, {"config": config, "scoreThresholds": {"pass": 0, "marginal": 0}}).content["breachedBy"] is None
    )
    with pytest.raises(ValueError, match="'errors' is none of what windows give"):
        judged(OUTAGE, {"metrics": [{"name": "errors"}], "classifier": {}})


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        (flagger({"name": "request-success-rate", "thresholdRange": {"min": 99}}), "fail"),
        (flagger({"name": "request-success-rate", "thresholdRange": {"min": 10}}), "pass"),
        (flagger({"name": "error_rate.ratio", "thresholdRange": {"max": 2}}, threshold=999), "undecided"),
        (
            {
                "rule": "argo",
                "metrics": [{"name": "error_rate", "interval": "30s", "successCondition": "result < 0.05"}],
            },
            "fail",
        ),
        (
            {"rule": "argo", "metrics": [{"name": "error_rate", "interval": "30s", "successCondition": "result < 1"}]},
            "undecided",
        ),
    ],
)
def test_a_rule_of_the_users_own_judges_windows_too(rule: dict[str, Any], verdict: str) -> None:
    assert POLICIES["threshold"].of_windows(OUTAGE, rule).verdict == verdict


def test_a_rule_over_windows_that_cannot_give_its_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="these windows give"):
        POLICIES["threshold"].of_windows(OUTAGE, TEMPLATE)


def test_flaggers_document_brings_its_own_measurements() -> None:
    bad = {"request-success-rate": [99.5, 50, 50, 50, 50, 50], "request-duration": [20] * 6, "tokens": [2] * 6}
    document = {**CANARY, "measurements": bad}
    judged = POLICIES["threshold"].of_document
    assert judged is not None
    report = judged(document)
    assert report.verdict == "fail"
    assert (report.content["outcome"], report.content["failedChecks"]) == ("rolled_back", 5)
    assert [(t["at_s"], t["weight"]) for t in report.content["ticks"]][:3] == [(0, 10), (60, 20), (120, 20)]
    assert report.content["ticks"][-1]["at_s"] == 420
    assert report.content["reason"] == "request-success-rate 50 < 99"
    assert report.content["ignored"] == ["analysis.webhooks"]


def test_a_value_that_is_null_is_one_that_the_metric_lacks() -> None:
    document = {
        **flagger({"name": "a", "thresholdRange": {}}, {"name": "b", "thresholdRange": {}}),
        "measurements": {"b": [1, None], "a": [1, 1]},
    }
    judged = POLICIES["threshold"].of_document
    assert judged is not None
    assert [tick["reason"] for tick in judged(document).content["ticks"]] == [None, None, "no values found for b"]


def test_argos_document_brings_its_own_measurements() -> None:
    judged = POLICIES["threshold"].of_document
    assert judged is not None
    report = judged({**TEMPLATE, "measurements": {"errors": [0.0, 0.1, 0.1, 0.1, 0.1], "latency": [900]}})
    assert (report.verdict, report.content["phase"]) == ("fail", "Failed")
    assert report.content["message"] == 'Metric "errors" assessed Failed due to failed (4) > failureLimit (3)'
    errors, latency = report.content["metricResults"]
    assert (errors["count"], errors["failed"], errors["successful"]) == (5, 4, 1)
    assert (latency["phase"], latency["dryRun"]) == ("Failed", True)


def test_a_rule_without_measurements_is_refused() -> None:
    judged = POLICIES["threshold"].of_document
    assert judged is not None
    with pytest.raises(ValueError, match="measurements: is missing"):
        judged(CANARY)
