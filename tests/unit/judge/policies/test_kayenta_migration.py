"""From a canary config to a plan: everything is taken over, or said."""

import copy
from typing import Any

import pytest

from judge.policies.kayenta.migration import Migration, migrate
from judge.policies.kayenta.remarks import remarks
from judge.policies.kayenta.settings import ConfigError
from judge.policies.kayenta.stage import stage_remarks
from judge.policies.kayenta.wire import judge_document
from schemas.checks import CustomCheck
from schemas.plan import Plan
from tests.unit.judge.policies.kayenta_golden import carried

CASES = {case.id: case.values[0] for case in carried("09-import.json", "judge")}
A, B = CASES["import-a-good"]["config"], CASES["import-b"]["config"]
MAP_A = {"tool call errors": "error_rate", "tool call p95": "latency_p99"}


def config(canary: Any, name: str = "m", **rest: Any) -> dict[str, Any]:
    metric = {"name": name, "groups": ["g"], "query": {"type": "datadog", "metricName": "m.total"}}
    return {
        "metrics": [{**metric, "analysisConfigurations": {"canary": canary}, **rest}],
        "classifier": {"groupWeights": {"g": 100}},
    }


def taken(raw: Any, **mapping: str) -> Migration:
    return migrate(raw, "orders", "v2", mapping)


def unmapped(migration: Migration) -> list[str]:
    return [fate.metric for fate in migration.fates if fate.check is None]


def details(raw: Any, target: str) -> str:
    (fate,) = taken(raw, m=target).fates
    return "; ".join(fate.details)


def said(raw: dict[str, Any]) -> list[str]:
    return [str(remark) for remark in remarks(raw)]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_config_that_was_taken_over_still_judges_as_the_real_judge_does(case: dict[str, Any]) -> None:
    before = copy.deepcopy(case)
    migrate(case["config"], "orders", "v2", {})
    assert case == before
    assert judge_document(case)["score"]["classification"] == case["expected"]["score"]["classification"]


def test_each_metric_is_a_check_or_is_named_as_none() -> None:
    got = migrate(A, "weather-mcp", "v2", MAP_A)
    assert [(fate.metric, fate.check) for fate in got.fates] == [
        ("tool call errors", "error_rate"),
        ("tool call p95", "latency_p99"),
        ("sessions opened", None),
    ]
    assert unmapped(got) == ["sessions opened"]
    assert got.content == {
        "service": "weather-mcp",
        "canary": "v2",
        "checks": {"error_rate": {"within": "0.5pp"}, "latency_p99": {"within": "20%"}},
    }
    assert got.plan.checks.latency_p99.within == pytest.approx(0.2)


def test_a_metric_may_be_named_by_its_query_inline_by_template_or_by_name() -> None:
    inline = A["metrics"][0]["query"]["customInlineTemplate"]
    by_template, by_name = A["templates"]["p95"], "mcp_sessions_opened_total"
    got = migrate(A, "s", "v2", {inline: "error_rate", by_template: "latency_p90", by_name: "mean:opened"})
    assert [fate.check for fate in got.fates] == ["error_rate", "latency_p90", "opened"]


def test_the_name_of_a_metric_says_more_than_its_query() -> None:
    got = migrate(config({"direction": "increase"}), "s", "v2", {"m.total": "error_rate", "m": "tool_success"})
    assert got.fates[0].check == "tool_success"


def test_nothing_is_guessed_but_a_metric_that_is_called_like_a_check() -> None:
    assert unmapped(taken(config({}, name="errors"))) == ["errors"]
    assert taken(config({}, name="error_rate")).fates[0].check == "error_rate"


def test_a_plan_of_nothing_but_unmapped_metrics_has_every_default() -> None:
    assert taken(config({})).plan == Plan(service="orders", canary="v2")


@pytest.mark.parametrize(
    ("canary", "target", "expected"),
    [
        ({"direction": "increase", "effectSize": {"allowedIncrease": 1.25}}, "mean:x", ("mean", "higher", 0.25)),
        ({"direction": "decrease", "effectSize": {"allowedDecrease": 0.9}}, "rate:x", ("rate", "lower", 0.1)),
        ({"direction": "increase"}, "mean:x", ("mean", "higher", 0.1)),
        (
            {"direction": "increase", "effectSize": {"measure": "cles", "allowedIncrease": 0.7}},
            "mean:x",
            ("mean", "higher", 0.1),
        ),
    ],
)
def test_a_metric_of_the_users_own_keeps_its_direction_and_its_relative_limit(
    canary: Any, target: str, expected: tuple[Any, ...]
) -> None:
    check = taken(config(canary), m=target).plan.checks.custom["x"]
    assert isinstance(check, CustomCheck)
    assert (check.kind, check.worse) == expected[:2]
    assert check.within.ratio == pytest.approx(expected[2])


def test_a_metric_that_fails_when_it_falls_is_no_built_in_check() -> None:
    (fate,) = taken(config({"direction": "decrease"}), m="error_rate").fates
    assert fate.check is None
    assert fate.details == ("it fails when it falls, and error_rate is worse when it rises",)


def test_a_muted_metric_is_off() -> None:
    got = taken(config({"direction": "increase", "muted": True}), m="latency_p90")
    assert not got.plan.checks.latency_p90.enabled
    assert "latency_p90" not in got.plan.checks.enabled


@pytest.mark.parametrize(
    ("canary", "target", "words"),
    [
        ({"direction": "either"}, "error_rate", "a fall is no fault here"),
        ({}, "error_rate", "one vote of its group"),
        ({"effectSize": {"allowedIncrease": 1.1}}, "error_rate", "a factor (1.1) says nothing"),
        ({"effectSize": {"allowedIncrease": 1.1}}, "latency_p99", "limit 10%, the allowed effect"),
        ({}, "latency_p99", "limit 10%, the default: Kayenta failed on any shift"),
        ({"effectSize": {"measure": "cles"}}, "latency_p99", "the measure cles has no counterpart"),
        (
            {"critical": True, "effectSize": {"criticalIncrease": 2}},
            "error_rate",
            "critical effect size has no counterpart",
        ),
        ({"mustHaveData": True}, "error_rate", "data that stays away holds every rollout"),
        ({"nanStrategy": "replace"}, "error_rate", "nothing to replace"),
        ({"outliers": {"strategy": "remove"}}, "latency_p99", "nothing is removed"),
        ({}, "mean:x", "the servers must send it"),
        ({}, "availability", "percentage points"),
        ({"effectSize": {"allowedIncrease": 2}}, "session_loss", "limit 100%"),
    ],
)
def test_what_changes_its_meaning_is_said(canary: Any, target: str, words: str) -> None:
    assert words in details(config(canary), target)


@pytest.mark.parametrize(
    ("canary", "words"),
    [
        (
            {"direction": "Increase"},
            "canary.direction: 'Increase' is none of increase, decrease, either: Kayenta takes it for either",
        ),
        ({"nanStrategy": "zero"}, "canary.nanStrategy: 'zero'"),
        ({"outliers": {"strategy": "drop"}}, "canary.outliers.strategy: 'drop'"),
        ({"effectSize": {"measure": "cohenD"}}, "canary.effectSize.measure: 'cohenD'"),
        ({"critical": True}, "without data on one side it fails the whole canary"),
        ({"critical": True, "nanStrategy": "replace"}, "a side without any series passes"),
        ({"direction": "increase"}, "effectSize.allowedIncrease: is 1: any rise that the test can prove fails"),
        ({"direction": "decrease"}, "effectSize.allowedDecrease: is 1: any fall"),
        ({"direction": "increase", "effectSize": {"measure": "cles", "allowedIncrease": 0.4}}, "0.4 is below 0.5"),
        ({"direction": "decrease", "effectSize": {"allowedDecrease": 1.2}}, "1.2 is above 1"),
        ({"sensitivity": 1}, "canary.sensitivity: is unknown to Kayenta"),
        ({"effectSize": {"allowed": 1}}, "effectSize.allowed: is unknown"),
        ({"outliers": {"factor": 1}}, "outliers.factor: is unknown"),
    ],
)
def test_what_is_weak_or_misread_is_said_with_its_place(canary: Any, words: str) -> None:
    assert any(words in line for line in said(config(canary)))


def test_a_careful_metric_gives_rise_to_no_remark() -> None:
    canary = {"direction": "increase", "critical": True, "mustHaveData": True, "effectSize": {"allowedIncrease": 1.1}}
    assert said(config(canary)) == []


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (config({}, groups=[]), "config.metrics[0].groups: without a group the metric is never scored"),
        (config({}, extra=1), "config.metrics[0].extra: is unknown"),
        (config({}) | {"owner": "x"}, "config.owner: is unknown"),
        (config({}) | {"judge": {"name": "dredd-v1.0"}}, "config.judge.name: 'dredd-v1.0'"),
        (config({}) | {"judge": {"judgeConfigurations": {"tolerance": 1}}}, "judgeConfigurations.tolerance"),
        (
            config({}) | {"classifier": {"scoreThresholds": {}}},
            "config.classifier.scoreThresholds: Kayenta never reads these",
        ),
        (config({}) | {"classifier": {"groupWeights": {"g": 60}}}, "the weights add up to 60, not to 100"),
        (
            config({}) | {"classifier": {"groupWeights": {"g": 60, "old": 40}}},
            "groupWeights.old: no metric is in this group: its 40",
        ),
        (config({}) | {"classifier": {"groupWeights": {"x": 60}}}, "g has no weight and gets 40 points"),
        (config({}, query={"type": "splunk"}), "query.type: 'splunk' is no metric source"),
        (config({}, query={"type": "atlas", "metricName": "x"}), "query.metricName: is unknown"),
        (config({}, query={"type": "prometheus", "customFilter": "x"}), "customFilter: Kayenta refuses it"),
        (
            config({}, query={"type": "prometheus", "customFilterTemplate": "p"}),
            "'p' is none of the config's templates",
        ),
    ],
)
def test_what_is_odd_about_the_whole_is_said(raw: dict[str, Any], words: str) -> None:
    assert any(words in line for line in said(raw))


def test_the_two_samples_of_the_research_are_told_what_they_lose() -> None:
    assert any(line.startswith("config.metrics[0]: critical with nanStrategy replace") for line in said(A))
    assert any("system has no weight and gets 20 points" in line for line in said(B))
    assert not any("unknown" in line for line in said(A) + said(B))


def test_every_wrong_type_is_refused_at_once_with_its_place() -> None:
    raw = config({"critical": "yes"}) | {"applications": [], "templates": {"t": 1}}
    raw["metrics"] += [{"name": "m", "groups": 1}, {}]
    with pytest.raises(ConfigError) as refused:
        taken(raw)
    for place in (
        "config.applications",
        "config.templates",
        "config.metrics[0].analysisConfigurations.canary.critical",
        "config.metrics[1].name: 'm' is the name of an earlier metric",
        "config.metrics[1].groups",
        "config.metrics[2].name: is missing",
    ):
        assert place in str(refused.value)


@pytest.mark.parametrize("raw", [None, [], {"metrics": 1}, {"metrics": []}])
def test_what_is_no_canary_config_is_refused(raw: Any) -> None:
    with pytest.raises(ConfigError, match="cannot be taken over"):
        taken(raw)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"x": "error_rate"}, "--map 'x': is no metric or query of the config: m"),
        ({"m": "errors"}, "'errors' is no check; known are error_rate, .*mean:NAME"),
        ({"m": "sum:x"}, "'sum:x' is no check"),
        ({"m": "mean:"}, "'mean:' is no check"),
    ],
)
def test_a_mapping_that_names_nothing_is_refused(mapping: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        migrate(config({}), "orders", "v2", mapping)


def test_two_metrics_cannot_be_one_check() -> None:
    both = {"tool call errors": "error_rate", "tool call p95": "error_rate"}
    with pytest.raises(ConfigError, match="'tool call errors' is error_rate already"):
        migrate(A, "s", "v2", both)


STANDALONE = {
    "scopes": [{"controlOffsetInMinutes": 60, "step": 60}],
    "thresholds": {"pass": 95, "marginal": 75},
    "lifetimeDurationMins": 180,
    "analysisIntervalMins": 30,
    "lookbackMins": 60,
    "beginAfterMins": 5,
}
SPINNAKER = {
    "type": "kayentaCanary",
    "canaryConfig": {
        "canaryConfigId": "x",
        "scopes": [{"scopeName": "default"}],
        "scoreThresholds": {"pass": "95", "marginal": "75"},
        "lifetimeDuration": "PT3H0M",
        "canaryAnalysisIntervalMins": "30",
        "lookbackMins": 60,
        "beginCanaryAnalysisAfterMins": "5",
    },
}


@pytest.mark.parametrize("stage", [STANDALONE, SPINNAKER, {"executionRequest": STANDALONE}])
def test_a_stage_or_a_request_is_read_with_what_stands_for_it_here(stage: dict[str, Any]) -> None:
    found = "\n".join(map(str, stage_remarks(stage, Plan(service="orders", canary="v2"))))
    assert "pass 95 and marginal 75 decide nothing here" in found
    assert "it watched for 180 minutes at one share; the plan's stages take 100m" in found
    for words in ("looks may be as many as one likes", "the whole stage counts", "begun in the same stage", "no scope"):
        assert words in found
    assert ("controlOffsetInMinutes: the baseline runs at the same time" in found) == (stage is not SPINNAKER)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (None, "stage: is not an object"),
        ({"type": "deploy"}, "neither a kayentaCanary stage"),
        ({"thresholds": 5}, "stage.thresholds: 5 is not an object"),
        ({"thresholds": {"pass": "high", "marginal": 1}}, "stage.thresholds.pass: 'high' is not a number"),
        ({"scopes": [], "lookbackMins": "soon"}, "stage.lookbackMins: 'soon'"),
        ({"scopes": ["x"]}, r"stage.scopes\[0\]: 'x' is not an object"),
    ],
)
def test_a_stage_that_is_none_is_refused(stage: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        stage_remarks(stage, Plan(service="orders", canary="v2"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": 5}, "config.name: 5 is not a text: write it in quotes"),
        ({"name": "odd/name!"}, "config.name: 'odd/name!' is not made of"),
        ({"description": []}, r"config.description: \[\] is not a text"),
        ({"configVersion": [1]}, r"config.configVersion: \[1\] is not a text or a number"),
        ({"configVersion": True}, "config.configVersion: True is not"),
        ({"judge": "x"}, "config.judge: 'x' is not an object"),
        ({"judge": {"name": []}}, r"config.judge.name: \[\] is not a text"),
        ({"applications": "orders"}, "config.applications: 'orders' is not a list of texts: write"),
        ({"applications": [5]}, r"config.applications\[0\]: 5 is not a text"),
        ({"classifier": {"groupWeights": []}}, r"config.classifier.groupWeights: \[\] is not an object"),
    ],
)
def test_a_field_of_a_wrong_type_is_refused_with_its_path(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        taken({**config({}), **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"query": 5}, "query: 5 is not an object"),
        ({"scopeName": 7}, "scopeName: 7 is not a text"),
        ({"analysisConfigurations": []}, r"analysisConfigurations: \[\] is not an object"),
        ({"groups": [5, None]}, r"groups\[0\]: 5 is not a text: .*groups\[1\]: is null"),
        ({"groups": None}, "groups: null is not a list of texts: .* or leave it out"),
        ({"query": {"type": 5}}, "query.type: 5 is not a text"),
        ({"analysisConfigurations": {"canary": "x"}}, "analysisConfigurations.canary: 'x' is not an object"),
        ({"analysisConfigurations": {"canary": {"effectSize": 1.1}}}, "canary.effectSize: 1.1 is not an object"),
        ({"analysisConfigurations": {"canary": {"direction": 5}}}, "canary.direction: 5 is not a text"),
        (
            {"query": {"type": "prometheus", "customFilterTemplate": ["a"]}},
            "query.customFilterTemplate: .* is not a text",
        ),
    ],
)
def test_a_metrics_field_of_a_wrong_type_is_refused_with_its_path(changes: dict[str, Any], words: str) -> None:
    raw = config({})
    raw["metrics"][0].update(changes)
    with pytest.raises(ConfigError, match=rf"config.metrics\[0\].*{words}"):
        taken(raw)


def test_nan_is_no_effect_size() -> None:
    with pytest.raises(ConfigError, match=r"effectSize.allowedIncrease: nan is not a number"):
        taken(config({"effectSize": {"allowedIncrease": float("nan")}}), m="error_rate")


@pytest.mark.parametrize("decrease", [-3, 0])
def test_a_fall_by_all_there_is_becomes_no_limit(decrease: float) -> None:
    raw = config({"direction": "decrease", "effectSize": {"allowedDecrease": decrease}})
    assert taken(raw, m="mean:x").plan.checks.custom["x"].within.ratio == pytest.approx(0.1)
    assert "nothing falls by all there is" in details(raw, "mean:x")


def test_a_rise_too_small_to_be_written_is_any_rise() -> None:
    raw = config({"direction": "increase", "effectSize": {"allowedIncrease": 1.0000001}})
    assert "limit 10%, the default: Kayenta failed on any shift" in details(raw, "latency_p99")


def test_a_metric_without_a_query_says_so_in_whole_words() -> None:
    raw = config({})
    del raw["metrics"][0]["query"]
    assert taken(raw).fates[0].details == ("its query is not read here: say which check it is with --map",)


@pytest.mark.parametrize(
    ("written", "minutes"), [("PT2H", "120"), ("P1D", "1440"), ("P1DT30M", "1470"), ("PT90S", "1.5")]
)
def test_a_lifetime_is_read_as_java_reads_it(written: str, minutes: str) -> None:
    (said,) = stage_remarks({"scopes": [], "lifetimeDuration": written}, Plan(service="s", canary="v2"))
    assert f"it watched for {minutes} minutes" in said.text


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ({"scopes": 5}, "stage.scopes: is not a list"),
        ({"scopes": [], "lookbackMins": "NaN"}, "stage.lookbackMins: 'NaN' is not a number of minutes"),
        ({"scopes": [], "lookbackMins": -1}, "stage.lookbackMins: -1 is not a number of minutes"),
        ({"scopes": [], "lifetimeDuration": "1 day"}, "stage.lifetimeDuration: '1 day' is no duration"),
        ({"scopes": [], "lifetimeDuration": "P"}, "stage.lifetimeDuration: 'P' is no duration"),
    ],
)
def test_a_stage_of_wrong_types_is_refused_with_its_path(stage: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        stage_remarks(stage, Plan(service="s", canary="v2"))
