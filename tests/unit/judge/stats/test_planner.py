"""What a canary request is worth: by the published numbers, and as it comes true."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judge.stats.evidence import BETS_BELOW, log_wealth
from judge.stats.planner import OVERHEAD, growth, requests_until

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
