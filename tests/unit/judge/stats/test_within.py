"""The proof of a margin: bought with data, never with their absence."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.stats.evidence import BETS_BELOW, log_wealth
from judge.stats.process import Layout, Processes
from judge.stats.restarts import Restart
from judge.stats.within import NEEDED_LOG_E, exceedance_margin, is_within, whole_service_margin

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "15-twin-stage-margins.json").read_text())
START = Restart(0, 0.60, opens_stage=True)


def log_e(canary: tuple[int, int], baseline: tuple[int, int], margin: float = 0.05, pooled: float = 1.0) -> float:
    stage = Processes.empty(Layout.of((1, 1.0, 1.0))).restart(START).add(np.array([[canary]]), np.array([[baseline]]))
    return float(stage.within(np.array([0]), np.array([pooled])).at(np.array([margin]))[0])


def test_the_formula() -> None:
    won = log_wealth(np.array([(2000, 10)]), np.array([(18000, 90)]), BETS_BELOW)
    assert log_e((2000, 10), (18000, 90)) == pytest.approx(math.log(float(np.exp(won.at(0.05)).mean())))


@pytest.mark.parametrize(("calls", "within"), [(100, False), (2000, True)])
def test_a_healthy_canary_is_within_once_it_has_enough_calls(calls: int, *, within: bool) -> None:
    assert is_within(log_e((calls, calls // 100), (10 * calls, calls // 10))) is within


def test_a_canary_on_its_margin_is_not_within() -> None:
    assert not is_within(log_e((20_000, 1200), (180_000, 1800)))


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 0.9))
def test_an_empty_cohort_is_never_within(n: int, bad: int, margin: float) -> None:
    some = (n, min(n, bad))
    assert log_e((0, 0), some, margin) == pytest.approx(0.0, abs=1e-12)
    assert log_e(some, (0, 0), margin) == pytest.approx(0.0, abs=1e-12)
    assert not is_within(0.0)


def test_a_proof_needs_odds_of_twenty() -> None:
    assert pytest.approx(20) == math.exp(NEEDED_LOG_E)
    assert is_within(NEEDED_LOG_E)
    assert not is_within(math.nextafter(NEEDED_LOG_E, 0))


def test_clumped_errors_make_a_proof_harder() -> None:
    assert is_within(log_e((2000, 20), (20_000, 200)))
    assert not is_within(log_e((2000, 20), (20_000, 200), pooled=30.0))


def test_huge_evidence_does_not_overflow() -> None:
    assert 1e6 < log_e((10**9, 0), (10**9, 10**8)) < math.inf


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_the_ladder_equals_the_published_one(case: dict[str, float]) -> None:
    assert whole_service_margin(0.005, case["w_next"]) == pytest.approx(case["err"])
    assert whole_service_margin(0.01, case["w_next"]) == pytest.approx(case["tool"])
    assert exceedance_margin(0.01, case["w_next"]) == pytest.approx(case["p99_exceedance"])


@pytest.mark.parametrize(
    ("next_share", "margin"), [(0.01, 0.5), (0.05, 0.1), (0.1, 0.05), (0.25, 0.02), (0.5, 0.01), (1, 0.005)]
)
def test_one_margin_gives_the_whole_ladder(next_share: float, margin: float) -> None:
    assert whole_service_margin(0.005, next_share) == pytest.approx(margin)


@pytest.mark.parametrize("next_share", [0, -0.1, 1.01, math.nan])
def test_a_next_share_outside_0_to_1_is_refused(next_share: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        whole_service_margin(0.005, next_share)
