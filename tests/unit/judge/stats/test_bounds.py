"""Bounds of the difference: nothing without data, the truth inside, and never at odds with the verdict."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.stats.bounds import Bounds, bounds, lower_bound, upper_bound
from judge.stats.dispersion import Dispersion
from judge.stats.mixture import needed_log_e
from judge.stats.process import RateProcess
from judge.stats.restarts import Restart
from judge.stats.within import is_within

START = Restart(0, 0.60, opens_stage=True)
WIDE = Dispersion(pooled=1.0, canary=1.0, baseline=1.0, canary_buckets=64)
FEW = Dispersion(pooled=1.0, canary=1.0, baseline=1.0, canary_buckets=2)
NEEDED = needed_log_e(0.05)
UNKNOWN = Bounds(lower=None, upper=None)

counted = st.integers(0, 5000)


def after(canary: tuple[int, int], baseline: tuple[int, int]) -> RateProcess:
    return RateProcess.empty().restart(START).add(np.array([canary]), np.array([baseline]))


@pytest.mark.parametrize("process", [RateProcess.empty(), after((0, 0), (900, 5)), after((900, 5), (0, 0))])
def test_without_data_nothing_is_known(process: RateProcess) -> None:
    assert bounds(process, WIDE, NEEDED, 0.005, 0.05) == UNKNOWN


def test_few_data_rule_nothing_out() -> None:
    assert bounds(after((3, 1), (5, 1)), WIDE, NEEDED, 0.005, 0.05) == UNKNOWN


@pytest.mark.parametrize("difference", [-0.05, 0.0, 0.02, 0.3])
def test_many_data_close_in_on_the_difference(difference: float) -> None:
    canary = 100_000, round(100_000 * (0.1 + difference))
    found = bounds(after(canary, (900_000, 90_000)), WIDE, NEEDED, 0.005, 0.05)
    assert found.lower is not None
    assert found.upper is not None
    assert difference - 0.02 < found.lower < difference < found.upper < difference + 0.02


def test_two_clients_cannot_raise_the_lower_bound() -> None:
    assert bounds(after((500, 400), (500, 5)), FEW, NEEDED, 0.005, 0.05).lower is None


def test_a_smaller_share_of_the_error_rate_gives_a_lower_bound() -> None:
    process = after((500, 100), (5000, 50))
    alone = bounds(process, WIDE, NEEDED, 0.005, 0.05).lower
    shared = bounds(process, WIDE, needed_log_e(0.05, 0.1), 0.005, 0.05).lower
    assert alone is not None
    assert shared is not None
    assert 0 < shared < alone


@given(counted, counted, st.floats(0, 1), st.floats(0, 1), st.floats(-0.5, 0.5), st.floats(0, 0.9))
def test_the_picture_and_the_verdict_never_disagree(
    n: int, k: int, rate: float, other: float, limit: float, stage_limit: float
) -> None:
    process = after((n, round(n * rate)), (k, round(k * other)))
    found = bounds(process, WIDE, NEEDED, limit, stage_limit)
    breached = process.log_e_breach(limit, WIDE) >= NEEDED
    within = is_within(process.log_e_within(stage_limit, WIDE))
    assert (found.lower is not None and found.lower >= limit) is breached
    assert (found.upper is not None and found.upper <= stage_limit) is within


@given(st.integers(1, 5000), st.integers(1, 5000), st.floats(0, 1))
def test_equal_rates_keep_zero_inside(n: int, k: int, rate: float) -> None:
    process = RateProcess.empty().restart(START).add(np.array([[n, n * rate]]), np.array([[k, k * rate]]))
    found = bounds(process, WIDE, NEEDED, 0.005, 0.05)
    assert found.lower is None or -1 <= found.lower < 0
    assert found.upper is None or 0 < found.upper <= 1


@given(st.floats(-0.999, 0.999), st.floats(-2, 2))
def test_bisection_finds_the_crossing_to_nine_digits(crossing: float, limit: float) -> None:
    assert lower_bound(lambda m: crossing - m, 0.0, limit) == pytest.approx(crossing, abs=5e-9)
    assert upper_bound(lambda m: m - crossing, 0.0, limit) == pytest.approx(crossing, abs=5e-9)


@given(st.floats(-0.9, 0.9), st.sampled_from([-1e-12, 0.0, 1e-12]))
def test_a_limit_next_to_the_crossing_falls_on_its_own_side(crossing: float, offset: float) -> None:
    limit = crossing + offset
    lower = lower_bound(lambda m: crossing - m, 0.0, limit)
    upper = upper_bound(lambda m: m - crossing, 0.0, limit)
    assert lower is not None
    assert upper is not None
    assert (lower >= limit) is (limit <= crossing)
    assert (upper <= limit) is (limit >= crossing)


def test_evidence_at_every_margin_bounds_at_the_end_of_the_scale() -> None:
    assert lower_bound(lambda _: math.inf, 3.0, 0.0) == 1.0
    assert upper_bound(lambda _: math.inf, 3.0, 0.0) == -1.0
