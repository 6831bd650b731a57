"""The ruler that shares are measured with."""

import math

import pytest

from tests.binomial import interval


@pytest.mark.parametrize(("n", "share"), [(10, 0.5), (100, 0.01), (400, 0.2)])
@pytest.mark.parametrize("outside", [0.5, 0.01, 0.001])
def test_no_more_than_promised_lies_outside_and_a_narrower_interval_would_break_the_promise(
    n: int, share: float, outside: float
) -> None:
    low, high = interval(n, share, outside)
    mass = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    assert sum(mass[:low]) <= outside / 2 < sum(mass[: low + 1])
    assert sum(mass[high + 1 :]) <= outside / 2 < sum(mass[high:])
