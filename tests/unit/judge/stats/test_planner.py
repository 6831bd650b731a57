"""What a canary request is worth: by the published numbers, and as it comes true."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judge.stats.evidence import BETS_ABOVE, BETS_BELOW, log_wealth
from judge.stats.planner import (
    OVERHEAD,
    Arrivals,
    Step,
    chance_of_a_breach_believed,
    growth,
    requests_until,
    sessions_to_believe,
    smallest,
    step,
)

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "golden" / "16-twin-planner.json").read_text(encoding="utf-8")
)
EVERY_BET = np.exp(np.geomspace(1e-4, 9, 20_001))


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_the_best_bets_growth_equals_the_published_one(case: dict[str, Any]) -> None:
    bets = 1 / EVERY_BET if case["below"] else EVERY_BET
    found = growth((case["p1"], case["pb"]), case["m"], case["canary_share"], bets)
    assert found == pytest.approx(case["growth_per_canary_call"], rel=GOLDEN["rel_tol"])


def test_the_growth_is_what_counts_at_these_rates_win() -> None:
    won = log_wealth(np.array([[1000, 10]]), np.array([[9000, 90]]), BETS_BELOW).at(0.05)
    assert growth((0.01, 0.01), 0.05, 0.1, BETS_BELOW) == pytest.approx(won.max() / 1000)


def test_what_is_proven_needs_nothing_more_and_what_wins_nothing_is_never_proven() -> None:
    assert requests_until(3.0, 3.0 + OVERHEAD, 0.01, 1.0) == 0
    assert requests_until(3.0, 0.0, 0.0, 1.0) == math.inf
    assert growth((0.2, 0.1), 0.05, 0.5, BETS_BELOW) <= 0


def test_clumped_errors_need_so_many_times_more() -> None:
    assert requests_until(3.0, 1.0, 0.01, 4.0) == pytest.approx(4 * requests_until(3.0, 1.0, 0.01, 1.0))
    assert requests_until(3.0, -5.0, 0.01, 1.0) == requests_until(3.0, 0.0, 0.01, 1.0)


def test_half_of_the_verdicts_are_there_after_the_expected_requests_and_more_take_longer() -> None:
    won = step((0.055, 0.005), 0.005, 0.01, BETS_ABOVE)
    half = won.requests_until(6.3 - OVERHEAD, dispersion=3.0)
    assert half == pytest.approx(3 * 6.3 / won.mean)
    assert won.requests_until(6.3 - OVERHEAD, 3.0, z=1.28) > half > won.requests_until(6.3 - OVERHEAD, 3.0, z=-1.28)
    assert Step(0.0, 1.0).requests_until(1.0) == math.inf


def test_the_evidence_is_there_as_often_as_is_said() -> None:
    """Independent errors: the random walk of the best bet. All bets together are there a little more often."""
    random = np.random.default_rng(3)
    best = max(BETS_ABOVE, key=lambda bet: growth((0.05, 0.005), 0.005, 0.1, np.array([bet])))
    bets = np.array([best])
    won = step((0.05, 0.005), 0.005, 0.1, BETS_ABOVE)
    n = round(won.requests_until(6.0 - OVERHEAD, z=1.2816))
    canary, baseline = random.binomial(n, 0.05, 4000), random.binomial(9 * n, 0.005, 4000)
    walks = [
        log_wealth(np.array([[n, c]]), np.array([[9 * n, b]]), bets).at(0.005).max()
        for c, b in zip(canary.tolist(), baseline.tolist(), strict=True)
    ]
    assert np.mean(np.array(walks) >= 6.0) == pytest.approx(0.9, abs=0.04)


def test_young_sessions_have_most_of_their_requests_before_them() -> None:
    arrivals = Arrivals(sessions_per_s=1.0, requests_per_session=12.0, session_s=150.0)
    assert arrivals.sessions(0.01, 600) == 6
    assert arrivals.requests(0.01, 600) == pytest.approx(54.3, abs=0.1)
    assert arrivals.requests(0.01, 1e7) == pytest.approx(1.2e6, rel=1e-3)
    assert arrivals.seconds_until(0.01, arrivals.requests(0.01, 600)) == pytest.approx(600)
    assert arrivals.seconds_until(0.01, 1e6) == pytest.approx(1e6 / 0.12 + 150)


def test_no_sessions_never_ask_anything() -> None:
    assert Arrivals(0.0, 12.0, 150.0).seconds_until(0.01, 1.0) == math.inf
    assert Arrivals(1.0, 12.0, 150.0).seconds_until(0.01, math.inf) == math.inf


def test_three_sessions_must_be_hit_before_anything_is_believed() -> None:
    for probability in (0.5, 0.9):
        assert chance_of_a_breach_believed(sessions_to_believe(probability)) == pytest.approx(probability)
    assert sessions_to_believe(0.5) == pytest.approx(2.674, abs=0.001)
    assert chance_of_a_breach_believed(0.0) == 0


def test_the_smallest_number_is_found_or_there_is_none() -> None:
    assert smallest(lambda x: x >= 2, 0, 8) == pytest.approx(2)
    assert smallest(lambda x: x >= 9, 0, 8) == math.inf
