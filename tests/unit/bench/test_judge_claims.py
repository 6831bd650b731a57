"""The measurement of claims against Kayenta: the same windows for both, and a page with every row."""

import math

import numpy as np
import pytest

from bench.judge.bounds import at_least, at_most, lower, together, upper
from bench.judge.few import few_values, without_data
from bench.judge.rare import CALLS, Caught, by_ours, measure, windows
from bench.judge.shapes import SHAPES, WIDTHS_S, caught, false_alarms, trial, verdicts_by_width


def test_an_hour_of_windows_holds_what_the_page_says() -> None:
    told = windows(np.random.default_rng(1), 30, 60)
    canary = sum(sum(cell.outcomes.values()) for window in told for cell in window.cells("canary"))
    failed = sum(cell.outcomes["server_error"] for window in told for cell in window.cells("canary"))
    assert canary == 60 * CALLS
    assert abs(failed / canary - 0.15) < 0.04


def test_what_is_plain_is_caught_and_nothing_is_not() -> None:
    (ours, _), (none, _) = measure(30, 40, 2), measure(1, 5, 2)
    assert ours.share == 1.0
    assert none.share == 0.0


def test_calls_of_a_session_fail_together_when_they_come_in_clumps() -> None:
    told = windows(np.random.default_rng(1), 30, 30, clump=5)
    assert {cell.outcomes["server_error"] % 5 for window in told for cell in window.cells("canary")} == {0}


def test_a_slow_tail_is_caught_by_a_quantile_and_the_usual_shape_is_not() -> None:
    assert caught(SHAPES["10 % of calls ×20"], 1).culprits in {("latency_p99",), ("latency_p90",)}
    assert caught(SHAPES["nothing"], 1).share == 0


def test_the_same_requests_are_judged_in_windows_of_every_width() -> None:
    assert verdicts_by_width(10.0, 6.0, 0, seconds=240) == dict.fromkeys(WIDTHS_S, True)


def test_windows_are_joined_until_both_cohorts_have_calls() -> None:
    alone, joined = (verdicts_by_width(1 / 3, 30.0, 0, seconds=600, joined=joined) for joined in (False, True))
    assert joined == dict.fromkeys(WIDTHS_S, True)
    assert alone[60] == joined[60]


def test_a_tail_that_gets_better_is_shown_by_an_entry_and_is_no_breach() -> None:
    ((baseline_ms, canary_ms),) = caught(SHAPES["variance / 5 (kayenta#780, case 1)"], 1).p99_ms
    assert canary_ms < 0.7 * baseline_ms


def test_metrics_with_nothing_wrong_are_seldom_a_false_alarm() -> None:
    assert false_alarms(10, 5, 0.05) == 0


def test_bounds_are_exact_at_the_ends_and_between() -> None:
    assert upper(0, 100) == pytest.approx(1 - 0.05**0.01)
    assert lower(100, 100) == pytest.approx(0.05**0.01)
    assert (lower(0, 10), upper(10, 10)) == (0.0, 1.0)
    few = sum(math.comb(40, k) * upper(12, 40) ** k * (1 - upper(12, 40)) ** (40 - k) for k in range(13))
    many = sum(math.comb(40, k) * lower(12, 40) ** k * (1 - lower(12, 40)) ** (40 - k) for k in range(12, 41))
    assert (few, many) == pytest.approx((0.05, 0.05))  # Clopper & Pearson (1934)


def test_a_claim_is_won_only_where_its_bound_carries_it() -> None:
    assert [at_least(n, n, 0.99) for n in (40, 299)] == ["not shown (40)", "won"]
    assert at_least(12, 40, 0.25) == "not shown (40)"
    assert at_least(12, 40, 0.5) == "lost"
    assert [at_most(0, n, 0.01) for n in (40, 299)] == ["not shown (40)", "won"]
    assert at_most(9, 40, 0.01) == "lost"
    assert together(["won", "not shown (3)", "won"]) == "not shown (3)"
    assert together(["not shown (3)", "lost"]) == "lost"


def test_a_quantile_is_of_all_runs_not_of_those_that_were_rolled_back() -> None:
    found = Caught(10, (9, 1, 5, 3, 7))
    assert [found.by(q) for q in (0.1, 0.5, 0.6)] == [1, 9, None]


def test_a_stricter_alpha_takes_longer() -> None:
    usual, strict = (by_ours(30, 2, trial("error_rate", margin="0pp", alpha=alpha)) for alpha in (0.05, 0.002))
    assert min(strict.minutes) > min(usual.minutes)


def test_without_data_nothing_is_proved_and_with_enough_it_is() -> None:
    ours, theirs = without_data()
    assert list(ours.values()) == [False] * 5 + [True]
    assert theirs["a canary that falls silent"]


def test_of_a_few_minutes_it_is_told_what_was_said() -> None:
    few = few_values(2)
    assert {one.checks for one in few.values()} == {4}
    assert all(one.sessions <= one.why <= one.undecided <= one.checks for one in few.values())
    assert few[1].explained == 0
