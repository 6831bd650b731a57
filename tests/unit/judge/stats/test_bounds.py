"""Bounds of the difference: nothing without data, the truth inside, and never at odds with the verdict."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.stats.bounds import lower_bounds, upper_bounds
from judge.stats.lines import Lines
from judge.stats.mixture import needed_log_e
from judge.stats.process import Layout, Processes
from judge.stats.restarts import Restart
from judge.stats.within import NEEDED_LOG_E

START = Restart(0, 0.60, opens_stage=True)
NEEDED = needed_log_e(0.05)
ONE = np.ones(1)

counted = st.integers(0, 5000)


def after(canary: tuple[int, float], baseline: tuple[int, float]) -> Processes:
    started = Processes.empty(Layout.of((1, 1.0, 1.0))).restart(START)
    return started.add(np.array([[canary]]), np.array([[baseline]]))


def interval(
    process: Processes, limit: float = 0.005, stage_limit: float = 0.05, needed: float = NEEDED
) -> tuple[float, float]:
    """NaN: nothing is ruled out."""
    low = lower_bounds(process.against(ONE), np.array([needed]), np.array([limit]), ONE)
    within = process.within(np.array([0]), ONE)
    high = upper_bounds(within, np.array([NEEDED_LOG_E]), np.array([stage_limit]), ONE)
    return float(low[0]), float(high[0])


EMPTY = Processes.empty(Layout.of((1, 1.0, 1.0)))


@pytest.mark.parametrize("process", [EMPTY, EMPTY.restart(START), after((0, 0), (900, 5)), after((900, 5), (0, 0))])
def test_without_data_nothing_is_known(process: Processes) -> None:
    assert all(math.isnan(end) for end in interval(process))


def test_few_data_rule_nothing_out() -> None:
    assert all(math.isnan(end) for end in interval(after((3, 1), (5, 1))))


@pytest.mark.parametrize("difference", [-0.05, 0.0, 0.02, 0.3])
def test_many_data_close_in_on_the_difference(difference: float) -> None:
    low, high = interval(after((100_000, round(100_000 * (0.1 + difference))), (900_000, 90_000)))
    assert difference - 0.02 < low < difference < high < difference + 0.02


def test_a_smaller_share_of_the_error_rate_gives_a_lower_bound() -> None:
    process = after((500, 100), (5000, 50))
    assert 0 < interval(process, needed=needed_log_e(0.05, 0.1))[0] < interval(process)[0]


@given(counted, counted, st.floats(0, 1), st.floats(0, 1), st.floats(-0.5, 0.5), st.floats(0, 0.9))
def test_the_picture_and_the_verdict_never_disagree(
    n: int, k: int, rate: float, other: float, limit: float, stage_limit: float
) -> None:
    process = after((n, round(n * rate)), (k, round(k * other)))
    low, high = interval(process, limit, stage_limit)
    breached = bool(process.against(ONE).at(np.array([limit]))[0] >= NEEDED)
    within = bool(process.within(np.array([0]), ONE).at(np.array([stage_limit]))[0] >= NEEDED_LOG_E)
    assert (low >= limit) is breached
    assert (high <= stage_limit) is within


@given(st.integers(1, 5000), st.integers(1, 5000), st.floats(0, 1))
def test_equal_rates_keep_zero_inside(n: int, k: int, rate: float) -> None:
    low, high = interval(after((n, n * rate), (k, k * rate)))
    assert math.isnan(low) or -1 <= low < 0
    assert math.isnan(high) or 0 < high <= 1


@given(counted, counted, st.floats(0, 1), st.floats(0, 1))
def test_at_the_bound_the_evidence_is_just_enough(n: int, k: int, rate: float, other: float) -> None:
    lines = after((n, round(n * rate)), (k, round(k * other))).against(ONE)
    low = lower_bounds(lines, np.array([NEEDED]), np.array([0.0]), ONE)
    if not math.isnan(low[0]) and -1 < low[0] < 1:
        assert lines.at(low)[0] == pytest.approx(NEEDED, abs=1e-6)


@given(st.floats(-0.999, 0.999), st.floats(-2, 2), st.floats(0.01, 1e6))
def test_the_crossing_of_a_line_is_found(crossing: float, limit: float, steepness: float) -> None:
    falling = Lines(np.array([crossing * steepness]), np.array([steepness]), np.array([0]))
    zero, at = np.zeros(1), np.array([limit])
    assert lower_bounds(falling, zero, at, ONE)[0] == pytest.approx(crossing, abs=5e-9)
    assert upper_bounds(falling.mirrored(), zero, at, ONE)[0] == pytest.approx(-crossing, abs=5e-9)


@given(st.floats(-0.9, 0.9), st.sampled_from([-1e-12, 0.0, 1e-12]))
def test_a_limit_next_to_the_crossing_falls_on_its_own_side(crossing: float, offset: float) -> None:
    limit = crossing + offset
    falling = Lines(np.array([crossing]), np.array([1.0]), np.array([0]))
    rejected = bool(falling.at(np.array([limit]))[0] >= 0)
    assert (lower_bounds(falling, np.zeros(1), np.array([limit]), ONE)[0] >= limit) == rejected


def test_evidence_at_every_margin_bounds_at_the_end_of_the_scale() -> None:
    everywhere = Lines(np.array([1e9]), np.array([1.0]), np.array([0]))
    assert lower_bounds(everywhere, ONE, np.zeros(1), ONE).tolist() == [1.0]
    assert upper_bounds(everywhere.mirrored(), ONE, np.zeros(1), ONE).tolist() == [-1.0]
