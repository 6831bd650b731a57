"""Properties of the stages of Kayenta's judge, and the rules that its users trip over."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.policies.kayenta.classifiers import Classification, Label, classify, with_noise
from judge.policies.kayenta.judge import judge
from judge.policies.kayenta.mann_whitney import AllTiedError, shift, standardized
from judge.policies.kayenta.pairs import Floats, MetricPair
from judge.policies.kayenta.preprocessing import clean, without_nans, without_outliers
from judge.policies.kayenta.root_search import TOLERANCE, find_zero
from judge.policies.kayenta.scorers import GroupScore, MetricResult, classify_score, score, weighted_sum
from judge.policies.kayenta.settings import CanaryConfig, EffectLimits, MetricSettings, Thresholds
from judge.policies.kayenta.statistics import cles, percentile, ranks, summary

THRESHOLDS = Thresholds(95, 75)

values = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=40).map(np.array)
"""Whole numbers: ties are common, and shifting one does not round it."""


def metric(label: Label, *groups: str, critical: bool = False, muted: bool = False) -> MetricResult:
    return MetricResult("m", Classification(label, f"it was {label}", critical=critical), groups or ("g",), muted)


def series(*items: float) -> Floats:
    return np.array(items, np.float64)


def test_a_missing_value_is_dropped_or_made_zero() -> None:
    gappy = series(1, math.nan, 3)
    assert without_nans(gappy, "remove").tolist() == [1, 3]
    assert without_nans(gappy, "replace").tolist() == [1, 0, 3]


def test_missing_values_are_replaced_before_outliers_are_sought() -> None:
    settings = MetricSettings("m", outliers="remove", nan_strategy="replace")
    assert clean(series(math.nan, 100, 101, 102, 103, 104, 105), settings).tolist() == [100, 101, 102, 103, 104, 105]


@given(st.integers(1, 101), st.integers(0, 50))
def test_up_to_101_values_at_most_one_a_side_is_an_outlier(calm: int, wild: int) -> None:
    many = np.concatenate((np.linspace(0, 1, calm), 1e6 + np.arange(wild)))[:101]
    assert len(without_outliers(many, 3.0)) >= len(many) - 2


def test_without_values_none_is_an_outlier() -> None:
    assert len(without_outliers(series(), 1.0)) == 0


@given(values, st.floats(0, 100))
def test_the_percentile_is_numpys_linear_one(drawn: Floats, p: float) -> None:
    assert percentile(drawn, p) == pytest.approx(np.percentile(drawn, p), abs=1e-9)


@given(values)
def test_ranks_count_what_is_below_and_half_of_what_is_equal(drawn: Floats) -> None:
    found, sizes = ranks(drawn)
    assert found.tolist() == [(drawn < v).sum() + ((drawn == v).sum() + 1) / 2 for v in drawn]
    assert sizes.sum() == len(drawn)


def test_what_is_no_number_ranks_highest_with_infinity() -> None:
    assert ranks(series(math.nan, 1, math.inf))[0].tolist() == [2.5, 1, 2.5]


@given(values, values)
def test_cles_counts_pairs(control: Floats, experiment: Floats) -> None:
    pairs = [(x > y) + (x == y) / 2 for x in experiment for y in control]
    assert cles(control, experiment) == pytest.approx(sum(pairs) / len(pairs))
    assert cles(control, experiment) + cles(experiment, control) == pytest.approx(1)


def test_nothing_is_described_by_zeros_and_one_value_has_no_spread() -> None:
    assert (summary(series()).count, summary(series()).max) == (0, 0)
    assert summary(series(4)).std == 0


@given(values, values, st.integers(-60, 60), st.integers(1, 60))
def test_the_rank_sum_falls_as_the_shift_grows(x: Floats, y: Floats, mu: int, more: int) -> None:
    try:
        here, there = standardized(x, y, mu), standardized(x, y, mu + more)
    except AllTiedError:
        return
    assert math.copysign(1, here) >= math.copysign(1, there) or here == 0


@given(st.floats(-100, 100), st.floats(0.1, 5))
def test_a_zero_of_a_smooth_function_is_found_to_the_tolerance(zero: float, slope: float) -> None:
    found = find_zero(lambda x: slope * (zero - x) ** 3 + (zero - x), -200, 200)
    assert found == pytest.approx(zero, abs=TOLERANCE)


def test_an_end_that_is_the_zero_is_given_back() -> None:
    assert find_zero(lambda x: x - 1, 1, 9) == 1
    assert find_zero(lambda x: x - 9, 1, 9) == 9


def test_the_interval_holds_a_shift_that_is_there() -> None:
    control = np.linspace(90, 110, 60)
    found = shift(control + 5, control, 0.98)
    assert found.lower < 5 < found.upper
    assert found.estimate == pytest.approx(5, abs=0.5)


def test_two_points_a_side_give_the_range_of_differences() -> None:
    found = shift(series(100, 110), series(1, 2), 0.98)
    assert (found.lower, found.upper) == (98, 109)


def test_when_all_is_tied_there_is_no_interval_and_the_metric_is_an_error() -> None:
    with pytest.raises(AllTiedError):
        shift(series(50), series(0), 0.98)
    verdict = classify(series(0), series(50), MetricSettings("m", critical=True))
    assert (verdict.label, verdict.critical, verdict.ratio) == ("Error", False, None)


@given(values)
def test_noise_is_small_the_same_every_time_and_leaves_the_mean(drawn: Floats) -> None:
    constant = np.full(len(drawn), drawn[0])
    noisy = with_noise(constant)
    assert noisy.tolist() == with_noise(constant).tolist()
    assert noisy.mean() == pytest.approx(drawn[0])
    assert np.abs(noisy - constant).max() <= 3e-5 * abs(drawn[0])


@given(st.integers(5, 40), st.integers(5, 40), st.floats(1, 1000))
def test_what_is_high_one_way_round_is_low_the_other(m: int, n: int, apart: float) -> None:
    low, high = np.linspace(100, 101, m), np.linspace(101 + apart, 102 + apart, n)
    settings = MetricSettings("m")
    assert (classify(low, high, settings).label, classify(high, low, settings).label) == ("High", "Low")


def test_a_critical_metric_short_of_the_critical_size_fails_as_any_other() -> None:
    control = np.linspace(95, 105, 30)
    settings = MetricSettings("m", critical=True, criticals=EffectLimits(0.5, 1.5))
    little, much = classify(control, control * 1.2, settings), classify(control, control * 1.8, settings)
    assert (little.label, little.critical, little.reason) == ("High", False, "m was classified as High")
    assert (much.label, much.critical) == ("High", True)
    assert much.reason == "The metric m was classified as High (Critical)"


@pytest.mark.parametrize(
    ("settings", "label", "critical"),
    [
        ({}, "Nodata", False),
        ({"critical": True}, "Nodata", True),
        ({"must_have_data": True}, "NodataFailMetric", False),
        ({"must_have_data": True, "critical": True}, "Nodata", True),
        ({"nan_strategy": "replace", "critical": True}, "Pass", False),
    ],
)
def test_what_a_missing_side_costs(settings: dict[str, Any], label: str, *, critical: bool) -> None:
    verdict = classify(series(1, 2), series(), MetricSettings("m", **settings))
    assert (verdict.label, verdict.critical, verdict.ratio) == (label, critical, 1.0)


def test_muted_metrics_take_no_part_at_all() -> None:
    got = score([metric("Pass"), metric("High", critical=True, muted=True)], {}, THRESHOLDS)
    assert (got.score, got.label, got.reason) == (100, "Pass", None)


def test_the_first_critical_failure_names_the_reason() -> None:
    got = score([metric("Pass"), metric("Low", critical=True), metric("High", critical=True)], {}, THRESHOLDS)
    assert (got.score, got.reason) == (0, "Canary Failed: it was Low")


def test_half_of_the_metrics_without_data_fail_the_canary() -> None:
    assert score([metric("Pass"), metric("Nodata")], {}, THRESHOLDS).label == "Fail"
    assert score([metric("Pass"), metric("Pass"), metric("Nodata")], {}, THRESHOLDS).label == "Pass"


def test_errors_count_for_nothing_so_that_a_group_of_errors_is_perfect() -> None:
    assert score([metric("Error"), metric("Error")], {}, THRESHOLDS).score == 100


def test_a_metric_without_groups_is_not_scored() -> None:
    assert score([MetricResult("m", Classification("High"))], {}, THRESHOLDS).score == 0


def test_weights_are_taken_as_they_are() -> None:
    full, half = GroupScore("a", 100, has_data=True), GroupScore("b", 50, has_data=True)
    assert weighted_sum([full, half], {"a": 80, "b": 80}) == 120
    assert weighted_sum([full], {"a": 60, "gone": 40}) == 60
    assert weighted_sum([full, half], {"a": 60}) == 80
    assert weighted_sum([GroupScore("c", 0, has_data=False)], {}) == 100


def test_a_score_is_rounded_half_up() -> None:
    assert weighted_sum([GroupScore("a", 12.5, has_data=True)], {"a": 1}) == 0.13


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (1e26, 1e26),
        (1e300, 1e300),
        (2.0**53 + 2, 2.0**53 + 2),
        (123456789012.345, 123456789012.35),
        (1e-300, 0.0),
        (-1e26, -1e26),
        (-12.345, -12.35),
        (math.inf, math.inf),
    ],
)
def test_a_score_of_any_size_is_rounded_as_java_rounds_it(weight: float, expected: float) -> None:
    assert weighted_sum([GroupScore("a", 100, has_data=True)], {"a": weight}) == expected


def test_a_weight_that_is_no_number_makes_a_score_that_is_none_and_fails() -> None:
    found = weighted_sum([GroupScore("a", 100, has_data=True)], {"a": math.nan})
    assert math.isnan(found)
    assert classify_score(found, THRESHOLDS) == "Fail"


def test_a_threshold_is_reached_by_its_own_value() -> None:
    assert [classify_score(s, THRESHOLDS) for s in (95, 94.99, 75, 74.99)] == ["Pass", "Marginal", "Marginal", "Fail"]


def test_metrics_without_a_pair_are_left_out_without_a_word() -> None:
    config = CanaryConfig.read({"metrics": [{"name": "a", "groups": ["g"]}, {"name": "b"}], "classifier": {}})
    got = judge(config, THRESHOLDS, [MetricPair("a", series(1, 2, 3), series(1, 2, 3))])
    assert [result.name for result in got.results] == ["a"]
    assert got.score.label == "Pass"
