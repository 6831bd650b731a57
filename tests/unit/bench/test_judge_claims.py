"""The measurement of claims against Kayenta: the same windows for both, and a page with every row."""

import numpy as np

from bench.judge.claims import CALLS, measure, windows
from bench.judge.shapes import SHAPES, WIDTHS_S, caught, false_alarms, verdicts_by_width


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
