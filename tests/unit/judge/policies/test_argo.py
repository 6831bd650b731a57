"""Argo's rule: what a measurement is, and after how many of which kind a run ends."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.policies.threshold.argo import AnalysisRun, Measurement, Metric, MetricRun, listed, run
from judge.policies.threshold.conditions import NoValueError, parse_condition

OK = parse_condition("result < 0.05")
BAD = parse_condition("result[0] > 0.2")


def metric(**changes: Any) -> Metric:
    return Metric(**{"name": "errors", "success": OK, "interval_s": 30.0, **changes})


def ran(values: list[float | None], **changes: Any) -> AnalysisRun:
    return run([metric(**changes)], listed({"errors": values}))


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("result < 0.05", 0.04, True),
        ("result[0] >= 0.95", 0.95, True),
        ("result >= 1 && result <= 2", 1.5, True),
        ("result < 1 || result > 2", 1.5, False),
        ("result < 1 or result > 2 and result < 3", 0.5, True),
        ("not (result < 1)", 2.0, True),
        ("!(result < 1)", 0.5, False),
        ("isNaN(result[0])", float("nan"), True),
        ("result < 1", float("nan"), False),
        ("len(result) == 0 || result[0] < 1", None, True),
        ("result == -1.5e-3", -0.0015, True),
        ("0.95 <= result", 1.0, True),
        (".95 <= result", 0.96, True),
        ("isInf(result) or result > 5", float("-inf"), True),
        ("default(result, 0) < 0.05", None, True),
        ("default(result, 1) < 0.05", None, False),
        ("default(result, 0) < 0.05", 0.1, False),
        ("len(result) > 0 && result[0] < 1", None, False),
    ],
)
def test_conditions_are_read_as_argo_reads_them(text: str, value: float | None, *, holds: bool) -> None:
    assert parse_condition(text).holds(value) is holds


@pytest.mark.parametrize(
    "text",
    [
        "result.success > 1",
        "result <",
        "(result < 1",
        "all(result, {# < 1})",
        "result < 1 2",
        "isNaN result",
        ")",
        "1 < result < 2",
        "(result < 1)orresult > 2",
        "result > 0.05and result < 1",
        "results < 1",
        "result < \u0663",
        "default(result) < 1",
        "default(result[0], 1) < 2",
        "default < 2",
    ],
)
def test_a_condition_that_is_not_understood_is_refused_and_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="condition") as refused:
        parse_condition(text)
    assert text in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "result",
        "1",
        "!result < 1",
        "result < 1 && result",
        "-(result < 1) > 2",
        "isNaN(result < 1)",
        "(result < 1) < 2",
    ],
)
def test_a_condition_that_argo_answers_with_an_error_is_refused(text: str) -> None:
    """Taken for true, it would let every value pass."""
    with pytest.raises(ValueError, match=r"gives a (number where a truth|truth where a number) belongs"):
        parse_condition(text)


@pytest.mark.parametrize(
    "text", ["(" * 5000 + "result < 1" + ")" * 5000, "!" * 5000 + "(result < 1)", "result < 1 &&" * 5000]
)
def test_a_condition_that_nobody_writes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="more than 200 words and signs"):
        parse_condition(text)


def test_a_condition_of_the_most_words_is_read() -> None:
    assert parse_condition("(" * 98 + "result < 1" + ")" * 98).holds(0.5)


def test_a_condition_cannot_look_at_what_is_not_there() -> None:
    with pytest.raises(NoValueError):
        OK.holds(None)


@pytest.mark.parametrize(
    ("conditions", "value", "expected"),
    [
        ({}, 0.5, "Successful"),
        ({}, None, "Successful"),
        ({}, float("nan"), "Successful"),
        ({"success": OK}, 0.01, "Successful"),
        ({"success": OK}, 0.1, "Failed"),
        ({"success": OK}, float("nan"), "Failed"),
        ({"success": OK}, None, "Error"),
        ({"failure": BAD}, 0.1, "Successful"),
        ({"failure": BAD}, 0.3, "Failed"),
        ({"failure": BAD}, float("nan"), "Successful"),
        ({"failure": BAD}, None, "Error"),
        ({"success": parse_condition("default(result, 0) < 0.05")}, None, "Successful"),
        ({"success": parse_condition("len(result) == 0 || result[0] < 0.05")}, None, "Successful"),
        ({"success": OK, "failure": BAD}, float("nan"), "Inconclusive"),
        ({"success": OK, "failure": BAD}, 0.01, "Successful"),
        ({"success": OK, "failure": BAD}, 0.1, "Inconclusive"),
        ({"success": OK, "failure": BAD}, 0.3, "Failed"),
    ],
)
def test_a_measurement_is_what_argo_takes_it_for(
    conditions: dict[str, Any], value: float | None, expected: str
) -> None:
    assert Metric("errors", **conditions).measure(value) == expected


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_failure_limit_of_n_fails_at_n_plus_1(limit: int) -> None:
    assert ran([0.1] * limit, failure_limit=limit).phase == "Running"
    got = ran([0.1] * (limit + 1), failure_limit=limit)
    assert got.phase == "Failed"
    assert got.message == f'Metric "errors" assessed Failed due to failed ({limit + 1}) > failureLimit ({limit})'
    assert got.at_s == 30.0 * limit


def test_failures_are_counted_over_the_whole_run() -> None:
    assert ran([0.1, 0.0, 0.0, 0.1], failure_limit=1).phase == "Failed"


def test_a_failure_that_ends_the_count_is_assessed_by_the_limit_first() -> None:
    """`assessMetricStatus` asks the limits before `consecutiveSuccessLimit` and before the count."""
    assert ran([0.0, 0.1], count=2).phase == "Failed"
    assert ran([0.0, 0.1], count=2, failure_limit=1).phase == "Successful"
    assert ran([0.1, 0.0, 0.0], count=3, failure_limit=0, consecutive_success_limit=2).phase == "Failed"


def test_a_switched_off_failure_limit_never_fails() -> None:
    assert ran([0.1] * 50, failure_limit=-1, consecutive_success_limit=1).phase == "Running"


def test_errors_count_in_a_row_and_the_fifth_ends_the_run_after_forty_seconds() -> None:
    assert ran([None] * 4).phase == "Running"
    assert ran([None] * 4 + [0.0] + [None] * 4).phase == "Running"
    got = ran([None] * 5)
    assert (got.phase, got.at_s) == ("Error", 40.0)
    assert "consecutiveErrors (5) > consecutiveErrorLimit (4)" in got.message


def test_a_measurement_that_is_no_error_ends_the_row_of_errors_and_a_failed_one_that_of_successes() -> None:
    """`runMeasurements`: each sort but Error sets consecutiveError to 0, each but Successful sets consecutiveSuccess to 0."""
    for other in (0.0, 0.1):
        assert ran([None] * 4 + [other] + [None] * 4, failure_limit=9).metrics[0].consecutive_error == 4
    for no_success in (0.1, None):
        state = ran([0.0, 0.0, no_success, 0.0], failure_limit=9).metrics[0]
        assert state.consecutive_success == 1


def test_an_error_counts_neither_towards_the_count_nor_the_failures() -> None:
    got = ran([None, None, 0.0, None, 0.0], count=2).metrics[0]
    assert (got.phase, got.count, got.error, got.failed) == ("Successful", 2, 3, 0)


def test_inconclusive_ends_the_run_for_a_person() -> None:
    got = ran([0.1], failure=BAD)
    assert (got.phase, got.message) == (
        "Inconclusive",
        'Metric "errors" assessed Inconclusive due to inconclusive (1) > inconclusiveLimit (0)',
    )
    assert ran([0.1], failure=BAD, inconclusive_limit=1).phase == "Running"


def test_a_count_that_is_reached_within_the_limits_is_a_success() -> None:
    assert ran([0.0, 0.1, 0.0], count=3, failure_limit=1).phase == "Successful"
    assert ran([0.0, None, 0.0], count=3).phase == "Running"


def test_without_an_interval_it_is_measured_once() -> None:
    assert ran([0.0], interval_s=None).phase == "Successful"
    assert ran([0.1], interval_s=None).phase == "Failed"


def test_enough_successes_in_a_row_end_it_early() -> None:
    got = ran([0.0, 0.1, 0.0, 0.0, 0.1], count=9, failure_limit=5, consecutive_success_limit=2)
    assert (got.phase, got.metrics[0].count) == ("Successful", 4)


@pytest.mark.parametrize(("failure_limit", "phase"), [(2, "Inconclusive"), (-1, "Failed")])
def test_a_count_without_the_successes_in_a_row_is_no_success(failure_limit: int, phase: str) -> None:
    got = ran([0.0, 0.1, 0.0, 0.1], count=4, failure_limit=failure_limit, consecutive_success_limit=2)
    assert got.phase == phase


def test_no_measurement_at_all_is_still_running() -> None:
    assert ran([]).phase == "Running"


def test_the_first_metric_to_fail_ends_the_run_and_the_others_are_successful() -> None:
    slow = metric(name="slow", interval_s=60.0)
    got = run([slow, metric()], listed({"slow": [0.0, 0.1], "errors": [0.0, 0.1]}))
    assert (got.phase, got.at_s) == ("Failed", 30.0)
    assert [(m.metric.name, m.phase) for m in got.metrics] == [("slow", "Successful"), ("errors", "Failed")]


def test_what_is_due_at_the_same_moment_is_measured_and_the_worst_counts() -> None:
    erring = metric(name="erring", consecutive_error_limit=0)
    got = run([erring, metric()], listed({"erring": [None], "errors": [0.1]}))
    assert [m.phase for m in got.metrics] == ["Error", "Failed"]
    assert got.phase == "Failed"


def test_an_initial_delay_postpones_the_first_measurement() -> None:
    late = metric(name="late", initial_delay_s=45.0)
    got = run([late, metric()], listed({"late": [0.1], "errors": [0.0, 0.1]}))
    assert got.at_s == 30.0
    assert got.metrics[0].count == 0


def test_a_dry_run_is_told_and_does_not_count() -> None:
    got = run([metric(dry_run=True, count=1), metric(name="real", count=1)], listed({"errors": [0.1], "real": [0.0]}))
    assert got.phase == "Successful"
    assert got.metrics[0].phase == "Failed"
    assert run([metric(dry_run=True, count=1)], listed({"errors": [0.1]})).phase == "Successful"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"failure_limit": -2}, "limits are 0 or more"),
        ({"inconclusive_limit": -1}, "limits are 0 or more"),
        ({"consecutive_success_limit": -1}, "consecutiveSuccessLimit must be"),
        ({"failure_limit": -1}, "cannot both be disabled"),
        ({"count": 2, "interval_s": None}, "interval must be specified"),
        ({"count": 2, "failure_limit": 3}, "count must be at least failureLimit"),
        ({"count": 2, "inconclusive_limit": 3}, "count must be at least inconclusiveLimit"),
    ],
)
def test_what_argo_refuses_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        metric(**changes)


@given(st.lists(st.sampled_from(["Successful", "Failed", "Inconclusive", "Error"]), max_size=30))
def test_counts_are_of_measurements_and_the_limit_decides_alone(measured: list[Measurement]) -> None:
    state = MetricRun(metric(failure_limit=3, inconclusive_limit=100, consecutive_error_limit=100))
    for one in measured:
        state = state.after(one)
    assert state.successful + state.failed + state.inconclusive + state.error == len(measured)
    assert (state.phase == "Failed") == (measured.count("Failed") > 3)
