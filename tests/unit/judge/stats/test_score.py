"""The number for people: by the formula, and zero when and only when the canary is out."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.stats.mixture import combine, needed_log_e
from judge.stats.score import CheckEvidence, check_score, score

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "golden" / "14-twin-score.json").read_text(encoding="utf-8")
)
ALPHA = 0.05
NEEDED = needed_log_e(ALPHA, 0.3)


def check(breach: float, within: float | None = 0.0, share: float = 0.3, weight: float = 30) -> CheckEvidence:
    return CheckEvidence(breach, within, share, weight)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_it_equals_forty_digit_arithmetic(case: dict[str, Any]) -> None:
    shares, weights, tolerance = GOLDEN["share"], GOLDEN["weights"], GOLDEN["rel_tol"]
    combined = combine(case["log_E_breach"], shares, GOLDEN["alpha"])
    assert combined.log_g == pytest.approx(case["G"], rel=tolerance, abs=1e-12)
    assert combined.breached is case["breach"]
    if case["breach"]:
        assert combined.worst == case["worst"]
    evidence = {
        name: CheckEvidence(log_e, case["log_E_within"].get(name), shares[name], weights[name])
        for name, log_e in case["log_E_breach"].items()
    }
    for name, expected in case["check_scores"].items():
        assert check_score(evidence[name], GOLDEN["alpha"]) == pytest.approx(expected, rel=tolerance)
    found = score(list(evidence.values()), GOLDEN["alpha"], breached=combined.breached)
    assert found == pytest.approx(case["score"], rel=tolerance)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (check(0.0), 75.0),
        (check(-6.0, 9.0), 100.0),
        (check(-6.0, math.log(20) / 2), 87.5),
        (check(NEEDED / 3), 50.0),
        (check(NEEDED), 0.0),
        (check(99.0, 99.0), 25.0),
        (check(99.0, -5.0), 0.0),
        (check(0.0, None), 100.0),
        (check(NEEDED / 4, None), 75.0),
        (check(99.0, None), 0.0),
    ],
)
def test_a_check_scores_by_the_formula(evidence: CheckEvidence, expected: float) -> None:
    assert check_score(evidence, ALPHA) == pytest.approx(expected)


def test_the_score_is_the_weighted_mean() -> None:
    checks = [check(0.0), check(-1.0, 9.0, weight=25), check(0.0, None, weight=5)]
    assert score(checks, ALPHA, breached=False) == pytest.approx((30 * 75 + 25 * 100 + 5 * 100) / 60)


def test_only_proportions_of_weights_matter() -> None:
    one, ten = ([check(0.0, 1.0, weight=3 * k), check(2.0, weight=2 * k)] for k in (1, 10))
    assert score(one, ALPHA, breached=False) == pytest.approx(score(ten, ALPHA, breached=False))


def test_a_breach_scores_zero_whatever_the_checks_say() -> None:
    assert score([check(-6.0, 9.0)], ALPHA, breached=True) == 0.0


def test_a_score_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one check"):
        score([], ALPHA, breached=False)


@given(st.floats(-1e6, 1e6), st.floats(-20, 0))
def test_the_only_check_scores_zero_exactly_when_it_breaches(log_e: float, within: float) -> None:
    breached = combine({"error_rate": log_e}, {"error_rate": 1.0}, ALPHA).breached
    shown = score([check(log_e, within, share=1.0)], ALPHA, breached=breached)
    assert (shown == 0) is breached
    assert 0 <= shown <= 100
