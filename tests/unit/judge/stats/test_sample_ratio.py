"""Sessions that do not fall as the share says."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judge.stats.sample_ratio import THRESHOLD, sample_ratio_log_e

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[3] / "golden" / "06-srm.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_it_equals_the_published_implementation(case: dict[str, Any]) -> None:
    found = sample_ratio_log_e(case["canary_sessions"], case["total_sessions"], case["weight"], case["k"])
    assert found == pytest.approx(case["log_e"], rel=GOLDEN["rel_tol"])
    assert (found >= math.log(THRESHOLD)) is case["srm_at_0_001"]


def test_nobody_wins_on_average_when_the_share_is_kept() -> None:
    n, share = 12, 0.3
    chances = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    assert sum(p * math.exp(sample_ratio_log_e(k, n, share)) for k, p in enumerate(chances)) == pytest.approx(1)


def test_a_share_that_is_kept_survives_a_look_after_every_session() -> None:
    rng, worst = np.random.default_rng(8), []
    for _ in range(50):
        canary = np.cumsum(rng.random(2000) < 0.1)
        worst.append(max(sample_ratio_log_e(int(c), i, 0.1) for i, c in enumerate(canary, start=1)))
    assert max(worst) < math.log(THRESHOLD)


def test_no_session_says_nothing() -> None:
    assert sample_ratio_log_e(0, 0, 0.01) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_without_a_share_between_there_is_nothing_to_fit(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        sample_ratio_log_e(1, 2, share)
