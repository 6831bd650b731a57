"""Both cohorts over time."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from status.page.chart import Frame, Mark, nice, placed
from status.recent import Recent, Tally
from status.series import POINTS, p99, series, wilson
from tests.page_pictures import snapshot
from tests.page_states import SERVICE


@pytest.mark.parametrize(
    ("bad", "n", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 50, 0.0435, 0.2136), (50, 100, 0.4038, 0.5962)]
)
def test_intervals_are_wilsons(bad: int, n: int, low: float, high: float) -> None:
    found = wilson(bad, n)
    assert found is not None
    assert found == pytest.approx((bad / n, low, high), abs=2e-4)


def test_clustered_requests_widen_it_as_fewer_ones_would() -> None:
    assert wilson(20, 200, 2.0) == pytest.approx(wilson(10, 100))
    assert wilson(0, 0) is None


def test_a_p99_of_too_few_is_none() -> None:
    assert p99(Tally(latency={160: 99})) is None
    found = p99(Tally(latency={160: 1000}))
    assert found is not None
    value, low, high = found
    assert low <= value <= high


def test_the_series_has_a_value_a_span_and_a_limit_that_follows_the_baseline() -> None:
    found = snapshot("rolled_back").series
    assert found is not None
    assert [chart.name for chart in found.charts] == ["error_rate", "tool_failures", "latency_p99"]
    assert 0 < len(found.starts) <= POINTS
    assert list(found.starts) == sorted(found.starts)
    for chart in found.charts:
        for line in (chart.baseline, chart.canary):
            assert len(line.value) == len(line.low) == len(line.high) == len(found.starts)
            assert all(low <= value <= high for value, low, high in zip(line.value, line.low, line.high, strict=True) if value is not None and low is not None and high is not None)  # fmt: skip
    errors = found.charts[0]
    assert errors.limit == pytest.approx([(value or 0) + 0.005 for value in errors.baseline.value])


def test_without_any_window_there_is_an_empty_series() -> None:
    found = series(SERVICE, Recent(), None, None)
    assert (found.starts, found.step_ms) == ((), 0)


@given(st.floats(1e-4, 1e6))
def test_an_axis_ends_at_a_round_number_not_far_above(value: float) -> None:
    assert value <= nice(value) * (1 + 1e-9) <= 2 * value + 1e-12


@given(st.lists(st.integers(0, 1000), max_size=12))
def test_the_words_of_marks_never_cover_each_other(times: list[int]) -> None:
    marks = [Mark(at, "10 %") for at in times]
    found = placed(marks, Frame(0, 1000, 1.0))
    assert sorted(mark.at_ms for mark, _, _ in found) == sorted(times)
    spoken = [(at - mark.width, at) if left else (at, at + mark.width) for mark, at, left in found if mark.text]
    for (_, end), (begin, _) in pairwise(spoken):
        assert end <= begin + 1e-9


def test_marks_outside_the_frame_are_left_out() -> None:
    assert placed([Mark(-500, "x"), Mark(500, "y"), Mark(1_500, "z")], Frame(0, 1000, 1.0)) == [
        (Mark(500, "y"), 0.5, False)
    ]
