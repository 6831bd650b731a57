"""Rules as people keep them in git, and measurements beside them."""

import math
from typing import Any

import pytest
import yaml

from judge.policies.threshold import argo, flagger
from judge.policies.threshold.document import read_document
from judge.policies.threshold.durations import parse_duration_s
from judge.policies.threshold.fields import RuleError

CANARY = yaml.safe_load("""
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: orders}
spec:
  analysis:
    interval: 1m
    threshold: 5
    maxWeight: 50
    stepWeight: 10
    metrics:
    - name: request-success-rate
      thresholdRange: {min: 99}
      interval: 2m
    - name: request-duration
      thresholdRange: {max: 500.7}
    - name: tokens
      templateRef: {name: tokens}
      thresholdRange: {min: 1, max: 9}
    webhooks:
    - name: load
""")
TEMPLATE = yaml.safe_load("""
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors}
spec:
  dryRun: [{metricName: latency}]
  metrics:
  - name: errors
    interval: 1m30s
    initialDelay: 30s
    count: "10"
    successCondition: result[0] < 0.05
    failureLimit: 3
    consecutiveErrorLimit: 2
    provider: {prometheus: {query: up}}
  - name: latency
    failureCondition: result > 500
""")


def analysis(**changes: Any) -> dict[str, Any]:
    return {"rule": "flagger", "analysis": {"stepWeight": 10, "metrics": [{"name": "x"}], **changes}}


def flagger_range(**limits: float) -> dict[str, Any]:
    return analysis(metrics=[{"name": "x", "thresholdRange": limits}])


def argo_with(changes: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    return {"rule": "argo", "metrics": [{"name": "x", **changes}, *others]}


def the_analysis(document: Any) -> flagger.Analysis:
    rule = read_document(document).rule
    assert isinstance(rule, flagger.Analysis)
    return rule


def the_metrics(document: Any) -> tuple[argo.Metric, ...]:
    rule = read_document(document).rule
    assert isinstance(rule, tuple)
    return rule


def test_a_canary_is_read_as_it_lies_in_git() -> None:
    measured = {"tokens": [1, None, "NaN", 2.5], "request-success-rate": [99] * 4, "request-duration": [20] * 4}
    found = read_document({**CANARY, "measurements": measured})
    assert found.rule == flagger.Analysis(
        metrics=(
            flagger.Metric("request-success-rate", minimum=99, interval_s=120),
            flagger.Metric("request-duration", maximum=500, whole=True),
            flagger.Metric("tokens", minimum=1, maximum=9),
        ),
        steps=(10, 20, 30, 40, 50),
        threshold=5,
        interval_s=60,
    )
    assert found.measured is not None
    assert found.measured["tokens"] == [1.0, None, None, 2.5]
    assert found.ignored == ("analysis.webhooks",)


def test_an_analysis_template_is_read_as_it_lies_in_git() -> None:
    errors, latency = the_metrics(TEMPLATE)
    assert (errors.interval_s, errors.initial_delay_s, errors.count) == (90, 30, 10)
    assert (errors.failure_limit, errors.consecutive_error_limit, errors.inconclusive_limit) == (3, 2, 0)
    assert errors.success is not None
    assert errors.success.text == "result[0] < 0.05"
    assert (errors.dry_run, latency.dry_run) == (False, True)
    assert latency.interval_s is None


def test_dry_runs_are_named_by_regular_expressions_that_match_anywhere() -> None:
    def dry(*rules: str) -> list[bool]:
        document = {**TEMPLATE["spec"], "rule": "argo", "dryRun": [{"metricName": rule} for rule in rules]}
        return [metric.dry_run for metric in the_metrics(document)]

    assert dry() == [False, False]
    assert dry("err") == dry("^e.*s$") == [True, False]
    assert dry("err", "late") == dry(".*") == [True, True]


def test_what_of_an_object_decides_there_and_not_here_is_listed() -> None:
    canary = {**CANARY, "spec": {**CANARY["spec"], "skipAnalysis": True, "progressDeadlineSeconds": 60, "service": {}}}
    assert read_document(canary).ignored == ("skipAnalysis", "progressDeadlineSeconds", "analysis.webhooks")
    template = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "args": [{"name": "a"}]}}
    assert read_document(template).ignored == ("args", "metrics[0].provider")


def test_nan_is_a_value_to_argo_and_none_to_flagger() -> None:
    measurements = {"x": ["NaN", None, math.nan]}
    flaggers = read_document(analysis() | {"measurements": measurements}).measured
    argos = read_document(argo_with({}) | {"measurements": measurements}).measured
    assert flaggers is not None
    assert flaggers["x"][:2] == [None, None]
    assert argos is not None
    assert argos["x"][1] is None
    assert [value is not None and math.isnan(value) for value in argos["x"]] == [True, False, True]


def test_the_short_form_needs_no_object() -> None:
    assert the_analysis({"rule": "flagger", "analysis": CANARY["spec"]["analysis"]}) == the_analysis(CANARY)
    assert the_metrics({"rule": "argo", **TEMPLATE["spec"]}) == the_metrics(TEMPLATE)


def test_what_is_not_said_has_flaggers_default() -> None:
    found = the_analysis(analysis())
    assert (found.threshold, found.interval_s) == (1, 60)
    assert found.steps == (10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
    assert the_analysis(analysis(threshold=-3)).threshold == 1


def test_flagger_looks_every_ten_seconds_at_most() -> None:
    assert the_analysis(analysis(interval="2s")).interval_s == 10
    assert the_analysis(analysis(interval="0s")).interval_s == 10


def test_iterations_are_so_many_steps_at_full_weight_of_what_is_matched_and_a_step_more_without_a_match() -> None:
    assert the_analysis(analysis(iterations=3, match=[{"headers": {}}])).steps == (100, 100, 100)
    assert the_analysis(analysis(iterations=3)).steps == the_analysis(analysis(iterations=3, match=[])).steps
    assert the_analysis(analysis(iterations=3)).steps == (0, 0, 0, 100)


@pytest.mark.parametrize(("match", "ends"), [([], "rolled_back"), ([{"headers": {}}], "promoting")])
def test_blue_green_is_analysed_once_more_when_all_traffic_is_its(match: list[Any], ends: str) -> None:
    rule = the_analysis(analysis(iterations=3, match=match, metrics=[{"name": "x", "thresholdRange": {"max": 1}}]))
    assert flagger.run(rule, [{"x": 0}, {"x": 0}, {"x": 0}, {"x": 2}])[-1].action == ends


def test_without_a_mesh_everything_is_blue_green() -> None:
    def steps(**changes: Any) -> tuple[int, ...]:
        return the_analysis({"kind": "Canary", "spec": {"provider": "kubernetes", **analysis(**changes)}}).steps

    assert steps(iterations=2, match=[{"headers": {}}]) == (0, 0, 100)
    assert steps() == (0,) * 10 + (100,)


def test_what_the_analysis_was_called_before_is_read_too() -> None:
    """`GetAnalysis` in `pkg/apis/flagger/v1beta1/canary.go`."""
    assert the_analysis({"kind": "Canary", "spec": {"canaryAnalysis": CANARY["spec"]["analysis"]}}) == the_analysis(
        CANARY
    )


def test_metrics_of_templates_are_asked_after_the_built_in_ones() -> None:
    """`runAnalysis`: `runBuiltinMetricChecks` before `runMetricChecks`."""
    metrics = [{"name": "x", "templateRef": {"name": "x"}}, {"name": "request-duration"}, {"name": "y", "query": "up"}]
    assert [m.name for m in the_analysis(analysis(metrics=metrics)).metrics] == ["request-duration", "y", "x"]


def test_a_limit_of_argos_that_is_null_is_not_written() -> None:
    nothing = dict.fromkeys(("consecutiveErrorLimit", "failureLimit", "count", "interval", "successCondition"))
    assert the_metrics(argo_with(nothing)) == the_metrics(argo_with({}))
    assert the_metrics(argo_with(nothing))[0].consecutive_error_limit == 4
    assert the_metrics(argo_with({"consecutiveErrorLimit": 0}))[0].consecutive_error_limit == 0


def test_mirrored_traffic_is_a_step_before_the_first_weight() -> None:
    assert the_analysis(analysis(mirror=True, maxWeight=20)).steps == (0, 10, 20)
    assert the_analysis(analysis(mirror=True, iterations=1)).steps == (0, 100)


def test_the_deprecated_threshold_is_a_minimum_of_a_success_rate_and_a_maximum_of_all_else() -> None:
    metrics = [{"name": "request-success-rate", "threshold": 99}, {"name": "request-duration", "threshold": 500}]
    success, duration = the_analysis(analysis(metrics=metrics)).metrics
    assert (success.minimum, success.maximum) == (99, None)
    assert (duration.minimum, duration.maximum) == (None, 500)


def test_a_flagger_metric_without_any_limit_passes_only_what_is_not_above_zero() -> None:
    """The deprecated `threshold` is 0 where nobody wrote it; an empty range passes everything."""
    limits = [
        m.maximum for m in the_analysis(analysis(metrics=[{"name": "x"}, {"name": "y", "thresholdRange": {}}])).metrics
    ]
    assert limits == [0.0, None]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "not an object"),
        ({}, "known are flagger and argo"),
        ({"kind": "Deployment"}, "'Deployment'"),
        ({"rule": "flagger"}, "analysis: is missing"),
        (analysis(metrics=[]), "analysis.metrics"),
        (analysis(metrics=["x"]), r"analysis.metrics\[0\]: 'x' is not an object"),
        (analysis(metrics=[{"name": 5}]), r"analysis.metrics\[0\].name: 5 is not a text"),
        (analysis(metrics=[{"name": ""}]), r"analysis.metrics\[0\].name: is missing"),
        (
            analysis(metrics=[{"name": "x"}, {"name": "x"}]),
            r"metrics\[1\].name: 'x' is the name of analysis.metrics\[0\]",
        ),
        (analysis(metrics=[{"name": "x", "thresholdRange": 5}]), r"metrics\[0\].thresholdRange: 5 is not an object"),
        (flagger_range(maximum=5), r"thresholdRange.maximum: is not known; did you mean max"),
        (analysis(metrics=[{"name": "x", "treshold": 5}]), r"\[0\].treshold: is not known; did you mean threshold"),
        (analysis(treshold=5), "analysis.treshold: is not known; did you mean threshold"),
        (analysis() | {"measurments": {}}, "measurments: is not known; did you mean measurements"),
        (analysis() | {"spec": 5}, "spec: 5 is not an object"),
        ({"rule": ["argo"]}, r"`rule` is \['argo'\]"),
        (analysis(threshold="--5"), "analysis.threshold: '--5' is not a whole number"),
        (analysis(threshold="\u00b2"), "analysis.threshold: '\u00b2' is not a whole number"),
        (analysis(threshold="9" * 5000), "analysis.threshold: '9+' is not a whole number"),
        (analysis(interval=0), "analysis.interval: '0' is not a duration"),
        (analysis(interval=[]), r"analysis.interval: '\[\]' is not a duration"),
        (analysis(interval="9" * 400 + "h"), "analysis.interval: '9+' is longer than Go holds, 292 years"),
        (analysis(match=0), "analysis.match: is not a list"),
        (analysis(mirror=0), "analysis.mirror: is neither true nor false"),
        (argo_with({"count": -1}), r"metrics\[0\].count: -1 is below 0"),
        (argo_with({"successCondition": False}), r"metrics\[0\].successCondition: False is not a text"),
        (argo_with({"failureCondition": 5}), r"metrics\[0\].failureCondition: 5 is not a text"),
        (argo_with({"initialDelay": "9" * 400 + "h"}), r"metrics\[0\].initialDelay: '9+' is longer"),
        (analysis(metrics=[{"name": "x", "thresholdRange": {"min": "9"}}]), r"\[0\].thresholdRange.min: '9'"),
        (analysis(metrics=[{"name": "x", "interval": "soon"}]), r"\[0\].interval: 'soon'"),
        (analysis(stepWeight=0), "never moves"),
        (analysis(stepWeight="ten"), "analysis.stepWeight: 'ten'"),
        (analysis(stepWeights=10), "analysis.stepWeights"),
        ({"rule": "argo"}, "metrics: is not a list"),
        ({"rule": "argo", "metrics": [{"name": "x", "successCondition": "result ~ 1"}]}, r"\[0\].successCondition"),
        ({"rule": "argo", "metrics": [{"name": "x", "count": 2}]}, r"metrics\[0\]: x: interval must be"),
        ({"rule": "argo", "metrics": [{"name": "x", "failureLimit": 1.5}]}, r"\[0\].failureLimit: 1.5"),
        (argo_with({"succesCondition": "result < 1"}), "succesCondition: is not known; did you mean successCondition"),
        (argo_with({"interval": "0s"}), r"metrics\[0\].interval: is 0"),
        (argo_with({"interval": "1m", "count": 10**20}), r"metrics\[0\].count: is beyond 2147483647"),
        (argo_with({}, {"name": "x"}), r"metrics\[1\].name: 'x' is the name of metrics\[0\] too"),
        (argo_with({}) | {"dryRun": [{"metricName": "y.*"}]}, r"dryRun\[0\].metricName: 'y.\*' matches no metric"),
        (argo_with({}) | {"dryRun": [{"metricName": "*"}]}, r"dryRun\[0\].metricName: is no regular expression"),
        (argo_with({}) | {"dryRun": [{}]}, r"dryRun\[0\].metricName: is missing"),
        (argo_with({}) | {"dryRun": "x"}, "dryRun: is not a list"),
        (analysis(iterations=10**9), "analysis.iterations: 1000000000 is more than 100000"),
        (analysis(stepWeights=[True]), "analysis.stepWeights: is not a list of whole numbers"),
        (analysis(stepWeight=0, stepWeights=[-5, 50]), "analysis: stepWeights: -5 is below 0"),
        (analysis(stepWeight=0, stepWeights=[10, 10]), "stepWeights: from 10 the next is 10: Flagger stays"),
        (analysis(stepWeight=0, stepWeights=[10, 50, 30]), "stepWeights: from 50 the next is 30: Flagger stays"),
        (analysis(stepWeights=[10, 0]), "stepWeights: ends with 0: Flagger promotes at its first tick"),
        (analysis(match="x"), "analysis.match: is not a list"),
        (analysis(mirror="yes"), "analysis.mirror: is neither true nor false"),
        (analysis(maxWeight=101), "analysis: maxWeight: 101 is never reached"),
        (flagger_range(min=math.nan), r"thresholdRange.min: nan is no limit"),
        (flagger_range(max=10**400), r"thresholdRange.max: is beyond what a number"),
        (flagger_range(min=99, max=1), r"thresholdRange: no value is above 99 and below 1"),
        (analysis() | {"measurements": {"x": [10**400]}}, r"measurements.x\[0\]: is beyond what a number"),
        (analysis() | {"measurements": [1]}, "measurements: is not an object of lists"),
        (analysis() | {"measurements": {"x": 1}}, "measurements.x: is not a list of values"),
        (analysis() | {"measurements": {}}, r"measurements.x: is missing; write \[\] where nothing was measured"),
        (argo_with({}) | {"measurements": {}}, "measurements.x: is missing"),
        (argo_with({}) | {"measurements": {"x": [], "X": [1]}}, "measurements.X: is not known; known are x"),
        (
            analysis(metrics=[{"name": "x"}, {"name": "y"}]) | {"measurements": {"x": [1, 2], "y": [1]}},
            "measurements.y: has 1 values, x has 2; write null where it had none",
        ),
        (analysis() | {"measurements": {"x": [1, "2"]}}, r"measurements.x\[1\]: '2'"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(document: Any, words: str) -> None:
    with pytest.raises(RuleError, match=words):
        read_document(document)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1m30s", 90), ("1h", 3600), ("1.5m", 90), ("500ms", 0.5)])
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "1 m", "-1s", "1d", "\u0663s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration_s(text)
