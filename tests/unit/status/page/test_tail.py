"""Shares of slow requests as ratios of latencies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from status.page.tail import Distribution, edge_ms, latency_ratio
from streams.histogram import edges, quantile
from tests.histograms import histogram_of

LATENCIES = np.random.default_rng(3).lognormal(5.0, 0.9, 200_000)
HISTOGRAM = histogram_of(LATENCIES)
LIES = Distribution.of(HISTOGRAM)


def test_the_bins_are_those_of_the_contract() -> None:
    for index in (0, 1, 63, 64, 1000, 2047):
        assert edge_ms(index) == edges()[index]


@pytest.mark.parametrize("part", [0.5, 0.1, 0.01, 0.001])
def test_what_a_share_exceeds_is_the_quantile(part: float) -> None:
    assert LIES.exceeded_by(part) == pytest.approx(quantile(HISTOGRAM, 1 - part))
    assert LIES.exceeded_by(part) == pytest.approx(float(np.quantile(LATENCIES, 1 - part)), rel=0.02)


@given(st.floats(0.9, 1.6))
def test_a_canary_that_is_slower_by_a_factor_is_shown_as_that_factor(factor: float) -> None:
    """Its share above 1.1 times the baseline's p99 is turned back into the factor that made it."""
    threshold = float(np.quantile(LATENCIES, 0.99))
    slow = float((factor * LATENCIES > 1.1 * threshold).mean())
    assert latency_ratio(LIES, slow, 0.01, 1.1) == pytest.approx(factor, rel=0.03)


@given(st.floats(0.0001, 0.3), st.floats(0.001, 0.2))
def test_equal_shares_are_exactly_the_limit_and_more_is_worse(part: float, baseline: float) -> None:
    found = latency_ratio(LIES, part, baseline, 1.1)
    assert found is not None
    assert latency_ratio(LIES, baseline, baseline, 1.1) == pytest.approx(1.1)
    assert (found >= 1.1 - 1e-9) if part >= baseline else (found <= 1.1 + 1e-9)


def test_without_a_distribution_nothing_is_known_and_a_share_of_nothing_is_off_the_scale() -> None:
    assert latency_ratio(Distribution(), 0.02, 0.01, 1.1) is None
    assert Distribution.of({5: 0}).exceeded_by(0.5) is None
    assert latency_ratio(LIES, 0.0, 0.01, 1.1) == 0.0
