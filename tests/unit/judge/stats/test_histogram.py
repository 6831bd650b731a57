"""Latency histograms: quantiles inside their bins, thresholds that test the factor that the plan says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.stats.histogram import BINS, RollingHistogram, dense, edges, quantile, quantile_bin, threshold

sparse = st.dictionaries(st.integers(0, BINS - 1), st.integers(1, 50), min_size=1, max_size=20)


def test_bins_are_a_64th_of_their_value_wide_at_most() -> None:
    assert len(edges()) == BINS + 1
    assert (edges()[0], edges()[64], edges()[-1]) == (2.0**-10, 2.0**-9, 2.0**22)
    assert (np.diff(edges()) / edges()[:-1]).max() <= 1 / 64


@given(sparse, st.floats(0.01, 0.999))
def test_no_more_than_the_tail_lies_above_the_threshold(histogram: dict[int, int], q: float) -> None:
    counted = dense([histogram])
    found = threshold(counted, q, 0.10)
    assert found is not None
    assert counted[found.baseline :].sum() <= (1 - q) * counted.sum() + 1e-9
    assert counted[found.baseline - 1 :].sum() > (1 - q) * counted.sum() - 1e-9


@given(st.integers(0, BINS - 200), st.sampled_from([0.1, 0.2, 0.5]))
def test_the_canarys_edge_is_the_next_one_above_the_raised_baselines(index: int, within: float) -> None:
    found = threshold(dense([{index: 10}]), 0.99, within)
    assert found is not None
    raised = edges()[found.canary] / edges()[found.baseline]
    assert 1 + within <= raised < (1 + within) * (1 + 1 / 64)
    assert found.values[0] == edges()[index + 1]


def test_beyond_the_last_bin_nothing_is_slow() -> None:
    found = threshold(dense([{BINS - 1: 10}]), 0.99, 0.5)
    assert found is not None
    assert (found.baseline, found.canary) == (BINS, BINS)


def test_without_counts_there_is_no_quantile() -> None:
    nothing = dense([])
    assert quantile_bin(nothing, 0.99) is None
    assert quantile(nothing, 0.99) is None
    assert threshold(nothing, 0.99, 0.1) is None


@given(st.lists(st.tuples(st.integers(1, 20), sparse), max_size=12), st.integers(0, 30))
def test_what_was_forgotten_leaves_no_trace(parts: list[tuple[int, dict[int, int]]], now: int) -> None:
    rolling, parts = RollingHistogram(over_ms=7), sorted(parts, key=lambda part: part[0])
    for end_ms, histogram in parts:
        rolling.add(end_ms, dense([histogram]))
    rolling.forget(now)
    assert rolling.total.tolist() == dense(h for end_ms, h in parts if end_ms > now - 7).tolist()


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99])
def test_a_quantile_is_within_a_64th_of_the_sorted_values(q: float) -> None:
    values = np.random.default_rng(1).lognormal(4, 1, 5000)
    bins = np.searchsorted(edges(), values, side="right") - 1
    found = quantile(np.bincount(bins, minlength=BINS), q)
    assert found == pytest.approx(float(np.quantile(values, q, method="inverted_cdf")), rel=1 / 64)
