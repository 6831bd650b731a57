"""The forest plot's scale."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from status.page.scale import by_difference, by_ratio, folded, place


@pytest.mark.parametrize(("u", "percent"), [(0, 33.33), (1, 52.94), (2, 66.53), (5, 84.50), (10, 98.09), (-1, 13.73)])
def test_everything_has_one_place_for_ever(u: float, percent: float) -> None:
    assert place(u) == pytest.approx(percent, abs=0.005)


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_what_is_worse_lies_further_right(a: float, b: float) -> None:
    if a < b:
        assert folded(a) <= folded(b)
        assert place(a) <= place(b)


def test_it_is_smooth_where_it_turns_logarithmic() -> None:
    assert folded(1 + 1e-6) - folded(1) == pytest.approx(1e-6, rel=1e-3)
    assert folded(1) - folded(1 - 1e-6) == pytest.approx(1e-6, rel=1e-3)


def test_a_difference_is_measured_in_its_limit() -> None:
    assert by_difference(0.005)(0.0212) == pytest.approx(4.24)
    assert by_difference(0.005)(0.005) == 1


def test_twice_and_half_lie_equally_far() -> None:
    to_limits = by_ratio(1.1)
    assert to_limits(2) == pytest.approx(-to_limits(0.5))
    assert to_limits(1.1) == pytest.approx(1)
    assert to_limits(1) == 0


def test_a_limit_of_nothing_is_where_no_change_is_and_counts_from_the_limit_on() -> None:
    assert by_difference(0)(0) == 1
    assert by_difference(0)(0.01) == 2
    assert by_ratio(1)(1) == 1
    assert by_ratio(1)(1.1) == pytest.approx(2)


def test_a_ratio_of_nothing_lies_off_the_plot() -> None:
    assert by_ratio(1.5)(0) == -math.inf
    assert place(-math.inf) == -math.inf
    assert place(math.inf) == math.inf
