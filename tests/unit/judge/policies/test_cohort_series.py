"""Windows as time series: whose requests are in them, what adds up, and what was never counted."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.policies.cohort_series import VALUES, CohortSeries, Slot, Tally, cohort_series
from schemas.windows import Metric, MetricBucket
from tests.unit.judge.policies.made_windows import T0, WINDOW_MS, cell, constant, window

tallies = st.builds(
    lambda ok, bad, bin_: Tally.of(cell("v1", ok, bad, bin_=bin_, metrics={"tokens": Metric(n=ok, micro=bad)})),
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(0, 2047),
)


def series_of(*windows: object) -> CohortSeries:
    return cohort_series(windows, "v1", "v2")  # type: ignore[arg-type]


def test_each_cohort_has_its_own_requests_window_by_window() -> None:
    got = series_of(window(0, cell("v1", 9, 1), cell("v2", 4)), window(1, cell("v1", 20)))
    assert [slot.end_ms for slot in got.slots] == [T0 + WINDOW_MS, T0 + 2 * WINDOW_MS]
    assert [slot.baseline.value("error_rate") for slot in got.slots] == [0.1, 0.0]
    assert got.slots[0].canary.value("requests") == 4
    assert math.isnan(got.slots[1].canary.value("error_rate"))


def test_partitions_and_stages_of_a_window_add_up_and_nothing_counts_twice() -> None:
    first = window(0, cell("v1", 5), cell("v1", 3, stage=2), partition=0, partitions=2)
    got = series_of(first, first, window(0, cell("v1", 2), cell("v3", 9), partition=1, partitions=2))
    assert len(got.slots) == 1
    assert got.slots[0].baseline.value("requests") == 10


def test_only_final_windows_count() -> None:
    assert (
        series_of(window(0, cell("v1", 5)), window(1, cell("v1", 5), final=False)).total.baseline.value("requests") == 5
    )


def test_the_newest_rollout_counts_unless_another_is_named() -> None:
    windows = [window(0, cell("v1", 5, rollout=1), cell("v1", 7, rollout=2)), window(1)]
    assert cohort_series(windows, "v1", "v2").total.baseline.value("requests") == 7
    assert cohort_series(windows, "v1", "v2", rollout=1).total.baseline.value("requests") == 5


def test_unlabelled_sessions_are_not_in_it() -> None:
    stray = cell("v1", 5).model_copy(update={"label": "-"})
    assert series_of(window(0, stray)).slots == ()


def test_the_series_begins_with_the_first_request_and_keeps_later_gaps() -> None:
    got = series_of(window(0), window(1, cell("v1", 5)), window(2), window(3, cell("v2", 5)))
    assert got.start_ms == T0 + WINDOW_MS
    assert [slot.baseline.value("requests") for slot in got.slots] == [5, 0, 0]


def test_without_windows_there_is_nothing() -> None:
    got = series_of()
    assert (got.slots, got.start_ms, got.total.baseline.value("requests")) == ((), 0, 0)
    assert got.coarser(60_000).slots == ()


def test_coarser_slots_hold_the_same_and_leave_no_gap() -> None:
    windows = [window(i, cell("v1", 5), cell("v2", 1, 1)) for i in (0, 1, 2, 6)]
    fine = series_of(*windows)
    coarse = fine.coarser(10_000)
    assert [slot.end_ms - T0 for slot in coarse.slots] == [10_000, 20_000, 30_000, 40_000]
    assert [slot.canary.value("requests") for slot in coarse.slots] == [4, 2, 0, 2]
    assert coarse.total.canary == fine.total.canary


def test_a_stretch_of_time_holds_what_ends_in_it() -> None:
    got = series_of(*constant(4, (10, 0), (1, 1)))
    assert got.over(T0 + WINDOW_MS, T0 + 3 * WINDOW_MS).baseline.value("requests") == 20
    assert got.over(T0 - 60_000, T0).baseline.value("requests") == 0


@given(tallies, tallies, tallies)
def test_tallies_add_up_in_any_order(a: Tally, b: Tally, c: Tally) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert (a + b).value("requests") == a.value("requests") + b.value("requests")


@pytest.mark.parametrize(
    ("outcome", "name", "value"),
    [
        ("timeout", "error_rate", 0.2),
        ("tool_error", "error_rate", 0.0),
        ("cancelled", "cancel_rate", 0.2),
        ("rejected", "rejected_rate", 0.2),
        ("cancelled", "error_rate", 0.0),
    ],
)
def test_rates_count_the_outcomes_that_their_checks_count(outcome: object, name: str, value: float) -> None:
    assert Tally.of(cell("v1", 8, 2, outcome=outcome)).value(name) == pytest.approx(value)  # type: ignore[arg-type]


def test_tool_success_is_of_tool_calls_alone() -> None:
    count = Tally.of(cell("v1", 8, 2, tool_failures=3)).count("tool_success")
    assert (count.n, count.bad, count.value) == (10, 3, 0.3)


def test_a_custom_metric_is_the_mean_of_its_values() -> None:
    tokens = Metric(n=4, micro=10_000_000, buckets={0: MetricBucket(n=4, micro=10_000_000)})
    tally = Tally.of(cell("v1", 8, metrics={"tokens": tokens}))
    assert tally.value("tokens") == 2.5
    assert math.isnan(tally.value("cost"))


def test_nothing_counted_is_no_value_but_no_request_is_zero_requests() -> None:
    empty = Slot(0).canary
    for name in VALUES:
        assert empty.value(name) == 0 if name in {"requests", "new_sessions"} else math.isnan(empty.value(name))
