"""The measurement of claims against Kayenta: the same windows for both, and a page with every row."""

import numpy as np

from bench.judge.claims import CALLS, FACTORS, measure, page, windows


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


def test_the_page_has_a_row_for_every_factor() -> None:
    text = page(1)
    assert all(f"| ×{factor:g} |" in text for factor in FACTORS)
