"""The proof of a margin: bought with data, never with their absence."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.stats.dispersion import Dispersion
from judge.stats.evidence import BETS_BELOW, LogWealth, log_wealth
from judge.stats.within import NEEDED_LOG_E, is_within, log_e_within, whole_service_margin

EVEN = Dispersion(pooled=1.0, canary=1.0, baseline=1.0, canary_buckets=0)


def of(canary: tuple[int, int], baseline: tuple[int, int]) -> LogWealth:
    return log_wealth(np.array([canary]), np.array([baseline]), BETS_BELOW)


def test_the_formula() -> None:
    stage = of((2000, 10), (18000, 90))
    plain = math.log(float(np.exp(stage.at(0.05)).mean()))
    assert log_e_within(stage, 0.05, EVEN) == pytest.approx(plain)


@pytest.mark.parametrize(("calls", "within"), [(100, False), (2000, True)])
def test_a_healthy_canary_is_within_once_it_has_enough_calls(calls: int, *, within: bool) -> None:
    stage = of((calls, calls // 100), (10 * calls, calls // 10))
    assert is_within(log_e_within(stage, 0.05, EVEN)) is within


def test_a_canary_on_its_margin_is_not_within() -> None:
    assert not is_within(log_e_within(of((20_000, 1200), (180_000, 1800)), 0.05, EVEN))


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 0.9))
def test_an_empty_cohort_is_never_within(n: int, bad: int, margin: float) -> None:
    some = (n, min(n, bad))
    assert log_e_within(of((0, 0), some), margin, EVEN) == 0.0
    assert log_e_within(of(some, (0, 0)), margin, EVEN) == 0.0
    assert not is_within(0.0)


def test_a_proof_needs_odds_of_twenty() -> None:
    assert pytest.approx(20) == math.exp(NEEDED_LOG_E)
    assert is_within(NEEDED_LOG_E)
    assert not is_within(math.nextafter(NEEDED_LOG_E, 0))


def test_clumped_errors_make_a_proof_harder() -> None:
    stage = of((2000, 20), (20_000, 200))
    clumped = Dispersion(pooled=30.0, canary=1.0, baseline=30.0, canary_buckets=0)
    assert is_within(log_e_within(stage, 0.05, EVEN))
    assert not is_within(log_e_within(stage, 0.05, clumped))


def test_huge_evidence_does_not_overflow() -> None:
    assert 1e6 < log_e_within(of((10**9, 0), (10**9, 10**8)), 0.05, EVEN) < math.inf


@pytest.mark.parametrize(
    ("next_share", "margin"), [(0.01, 0.5), (0.05, 0.1), (0.1, 0.05), (0.25, 0.02), (0.5, 0.01), (1, 0.005)]
)
def test_one_margin_gives_the_whole_ladder(next_share: float, margin: float) -> None:
    assert whole_service_margin(0.005, next_share) == pytest.approx(margin)


@pytest.mark.parametrize("next_share", [0, -0.1, 1.01, math.nan])
def test_a_next_share_outside_0_to_1_is_refused(next_share: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        whole_service_margin(0.005, next_share)
