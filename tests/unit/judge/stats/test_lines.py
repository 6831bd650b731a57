"""Evidence as a function of the margin: sums of exponentials, and their slope."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.stats.lines import Lines

numbers = st.floats(-50, 50)
terms = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6)


def of(*checks: list[tuple[float, float]], cash: float = 0.0) -> Lines:
    flat = np.array([term for check in checks for term in check])
    first = np.cumsum([0, *(len(check) for check in checks)])[:-1]
    return Lines(flat[:, 0], flat[:, 1], first, cash)


@given(st.lists(terms, min_size=1, max_size=4), st.lists(st.floats(-1, 1), min_size=4, max_size=4), st.floats(0, 1))
def test_each_check_is_the_log_of_the_sum_of_its_own_terms(
    checks: list[list[tuple[float, float]]], drawn: list[float], cash: float
) -> None:
    margins = np.array(drawn[: len(checks)])
    found = of(*checks, cash=cash).at(margins)
    for value, check, margin in zip(found, checks, margins, strict=True):
        assert value == pytest.approx(math.log(cash + math.fsum(math.exp(a - margin * c) for a, c in check)), abs=1e-9)


@given(terms, st.floats(-1, 1), st.floats(0, 1))
def test_the_slope_is_the_derivative(check: list[tuple[float, float]], margin: float, cash: float) -> None:
    lines, step = of(check, cash=cash), 1e-5
    _, slope = lines.with_slope(np.array([margin]))
    apart = lines.at(np.array([margin + step])) - lines.at(np.array([margin - step]))
    assert slope[0] == pytest.approx(apart[0] / (2 * step), rel=1e-3, abs=1e-3)


def test_it_never_overflows() -> None:
    assert of([(1e12, 0.0), (-1e12, 0.0)]).at(np.zeros(1)).tolist() == [1e12]
    assert of([(-1e12, 0.0)], cash=0.4).at(np.zeros(1))[0] == pytest.approx(math.log(0.4))


def test_without_terms_only_the_cash_is_left() -> None:
    nothing = Lines(np.zeros(0), np.zeros(0), np.zeros(3, np.intp), 1.0)
    assert nothing.at(np.zeros(3)).tolist() == [0.0, 0.0, 0.0]


@given(terms, st.floats(-1, 1))
def test_its_mirror_image_is_the_same_at_the_negative_margin(check: list[tuple[float, float]], margin: float) -> None:
    lines = of(check)
    assert lines.mirrored().at(np.array([-margin]))[0] == lines.at(np.array([margin]))[0]
