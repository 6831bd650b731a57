"""The bets' wealth: equal to independent arithmetic, fair at the margin, and blind to how windows were cut."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.stats.evidence import BETS_ABOVE, BETS_BELOW, Floats, LogWealth, log_wealth

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[3] / "golden" / "11-twin-evalue.json").read_text())

counted = st.integers(0, 400)
bets = st.sampled_from([*BETS_ABOVE, *BETS_BELOW])
rows = st.lists(st.tuples(counted, counted, st.floats(0, 1), st.floats(0, 1)), max_size=8)


def table(*counts: tuple[float, float]) -> Floats:
    return np.array(counts, np.float64).reshape(-1, 2)


def cohorts(drawn: list[tuple[int, int, float, float]]) -> tuple[Floats, Floats]:
    canary = [(n, round(n * rate)) for n, _, rate, _ in drawn]
    baseline = [(n, round(n * rate)) for _, n, _, rate in drawn]
    return table(*canary), table(*baseline)


def close(expected: float) -> Any:
    return pytest.approx(expected, rel=GOLDEN["rel_tol"], abs=GOLDEN["abs_tol"])


def assert_same(one: LogWealth, other: LogWealth) -> None:
    np.testing.assert_allclose(one.at_zero, other.at_zero, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(one.slope, other.slope, rtol=1e-9, atol=1e-9)


def binomial(n: int, p: float) -> list[float]:
    return [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


def expected_wealth(case: dict[str, Any]) -> float:
    """The mean of e over every outcome of both cohorts, one after another."""
    rho, total = np.array([case["rho"]]), 0.0
    for (y_canary, p), (y_baseline, q) in itertools.product(
        enumerate(binomial(case["NC"], case["pC"])), enumerate(binomial(case["NB"], case["pB"]))
    ):
        won = log_wealth(table((case["NC"], y_canary)), table((case["NB"], y_baseline)), rho, case["r"])
        total += p * q * math.exp(won.at(case["m"])[0])
    return total


def test_the_bets_are_the_published_ones() -> None:
    assert pytest.approx(GOLDEN["bets_above"], rel=1e-12) == list(BETS_ABOVE)
    assert pytest.approx(GOLDEN["bets_below"], rel=1e-12) == list(BETS_BELOW)


def test_nobody_can_change_the_bets() -> None:
    with pytest.raises(ValueError, match="read-only"):
        BETS_ABOVE[0] = 1000


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_one_stratum_equals_forty_digit_arithmetic(case: dict[str, Any]) -> None:
    won = log_wealth(
        table((case["NC"], case["YC"])), table((case["NB"], case["YB"])), np.array([case["rho"]]), case["r"]
    )
    assert won.at_zero[0] == close(case["A"])
    assert won.slope[0] == close(case["C"])
    assert won.at(case["m"])[0] == close(case["log_e"])


@pytest.mark.parametrize("case", GOLDEN["expectation_at_the_null_boundary"])
def test_nobody_wins_on_average_at_the_margin(case: dict[str, Any]) -> None:
    expectation = expected_wealth(case)
    assert expectation == close(case["expectation"])
    assert expectation <= 1


@given(st.integers(1, 4), st.integers(1, 4), st.floats(0, 1), st.sampled_from([0.0, 0.05, 0.3]), bets)
def test_nobody_wins_on_average_at_any_margin_or_baseline_rate(n: int, k: int, p: float, m: float, rho: float) -> None:
    at_the_margin = {"NC": n, "NB": k, "pB": p, "pC": min(1.0, p + m), "m": m if p + m <= 1 else 1 - p}
    assert expected_wealth({**at_the_margin, "r": 1, "rho": rho}) <= 1 + 1e-12


@given(bets, st.integers(0, 500), st.integers(0, 500))
def test_a_window_in_which_one_cohort_is_empty_changes_nothing(rho: float, n: int, bad: int) -> None:
    none, some = table((0, 0)), table((n, min(n, bad)))
    for canary, baseline in ((none, some), (some, none), (none, none)):
        won = log_wealth(canary, baseline, np.array([rho]))
        assert won.at_zero.tolist() == [0.0]
        assert won.slope.tolist() == [0.0]


def test_no_windows_win_exactly_nothing() -> None:
    won = log_wealth(table(), table(), BETS_ABOVE)
    assert won.at_zero.tolist() == won.slope.tolist() == [0.0] * len(BETS_ABOVE)


@given(rows, st.randoms())
def test_the_order_of_strata_does_not_matter(drawn: list[tuple[int, int, float, float]], order: Any) -> None:
    shuffled = list(drawn)
    order.shuffle(shuffled)
    assert_same(log_wealth(*cohorts(drawn), BETS_ABOVE), log_wealth(*cohorts(shuffled), BETS_ABOVE))


@given(rows, st.integers(0, 8))
def test_folding_in_parts_equals_folding_at_once(drawn: list[tuple[int, int, float, float]], cut: int) -> None:
    canary, baseline = cohorts(drawn)
    parts = log_wealth(canary[:cut], baseline[:cut], BETS_BELOW) + log_wealth(canary[cut:], baseline[cut:], BETS_BELOW)
    whole = log_wealth(canary, baseline, BETS_BELOW)
    assert_same(parts, whole)
    assert_same(parts - whole, LogWealth.none(len(BETS_BELOW)))


@given(st.integers(1, 40), st.integers(1, 400), st.integers(1, 5), st.integers(1, 5), st.floats(0, 1), st.floats(0, 1))
def test_splitting_a_stratum_at_the_same_mix_of_cohorts_changes_nothing(
    n: int, k: int, one: int, other: int, y: float, x: float
) -> None:
    whole = log_wealth(table(((one + other) * n, y * n)), table(((one + other) * k, x * k)), BETS_ABOVE)
    parts = log_wealth(table((one * n, y * n), (other * n, 0)), table((one * k, 0), (other * k, x * k)), BETS_ABOVE)
    assert_same(whole, parts)


def test_an_incident_that_both_cohorts_share_is_not_held_against_a_canary_that_just_filled_up() -> None:
    quiet, incident = ((10, 0), (990, 2)), ((500, 100), (500, 100))
    strata = log_wealth(table(quiet[0], incident[0]), table(quiet[1], incident[1]), BETS_ABOVE)
    pooled = log_wealth(table((510, 100)), table((1490, 102)), BETS_ABOVE)
    assert strata.at(0.005).max() < 0
    assert pooled.at(0.005).max() > math.log(1e6)


@given(rows)
def test_a_wider_margin_is_harder_to_reject_from_above_and_easier_from_below(
    drawn: list[tuple[int, int, float, float]],
) -> None:
    assert (log_wealth(*cohorts(drawn), BETS_ABOVE).slope >= 0).all()
    assert (log_wealth(*cohorts(drawn), BETS_BELOW).slope <= 0).all()


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_one_more_error_speaks_against_its_own_cohort(n: int, k: int, data: st.DataObject) -> None:
    bad, other = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, k - 1))
    now = log_wealth(table((n, bad)), table((k, other)), BETS_ABOVE).at(0.005)
    assert (log_wealth(table((n, bad + 1)), table((k, other)), BETS_ABOVE).at(0.005) >= now).all()
    assert (log_wealth(table((n, bad)), table((k, other + 1)), BETS_ABOVE).at(0.005) <= now).all()
