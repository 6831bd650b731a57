"""The latency histogram: exact edges, clamped ends, integers that merge."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.histogram import BINS, BINS_PER_OCTAVE, HIGHEST_MS, bin_index, edges, merge, quantile
from tests.histograms import LOWEST_MS, bin_of, histogram_of, midpoint

durations = st.floats(min_value=0, max_value=1e9, exclude_max=True)
inside = st.floats(min_value=LOWEST_MS, max_value=HIGHEST_MS, exclude_max=True, width=32)


def test_edges_double_each_octave_and_span_a_microsecond_to_70_minutes() -> None:
    assert len(edges()) == BINS + 1
    assert edges()[0] == LOWEST_MS
    assert edges()[-1] == HIGHEST_MS
    assert np.array_equal(edges()[BINS_PER_OCTAVE:], 2 * edges()[:-BINS_PER_OCTAVE])


def test_an_octave_is_cut_into_64_equal_bins() -> None:
    octave = edges()[10 * BINS_PER_OCTAVE : 11 * BINS_PER_OCTAVE + 1]
    assert octave.tolist() == [1 + i / 64 for i in range(65)]


def test_edges_cannot_be_changed_by_a_caller() -> None:
    with pytest.raises(ValueError, match="read-only"):
        edges()[0] = 0


@given(inside)
def test_a_value_lies_between_the_edges_of_its_bin(value: float) -> None:
    index = bin_of(value)
    assert edges()[index] <= value < edges()[index + 1]


def test_an_edge_belongs_to_the_bin_above_it() -> None:
    assert bin_index(edges()).tolist() == [*range(BINS), BINS - 1]


@given(inside)
def test_a_bin_is_at_most_one_64th_of_its_values_wide(value: float) -> None:
    index = bin_of(value)
    assert edges()[index + 1] - edges()[index] <= value / 64
    assert abs(midpoint(index) - value) <= value / 128


@given(st.lists(durations, max_size=50))
def test_the_array_and_the_scalar_way_agree(values: list[float]) -> None:
    assert bin_index(values).tolist() == [bin_of(v) for v in values]


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-320, LOWEST_MS / 2, -5.0])
def test_what_is_too_small_is_in_the_first_bin(value: float) -> None:
    assert bin_of(value) == bin_index([value])[0] == 0


@pytest.mark.parametrize("value", [HIGHEST_MS, 1e9, 1e300, math.inf])
def test_what_is_too_large_is_in_the_last_bin(value: float) -> None:
    assert bin_of(value) == bin_index([value])[0] == BINS - 1


def test_the_index_keeps_the_shape_of_its_argument() -> None:
    assert bin_index(np.ones((2, 3))).shape == (2, 3)
    assert bin_index([]).shape == (0,)


@given(st.lists(durations), st.lists(durations))
def test_merging_is_counting_together(first: list[float], second: list[float]) -> None:
    merged = merge([histogram_of(first), histogram_of(second)])
    assert merged == histogram_of(first + second)
    assert list(merged) == sorted(merged)


@given(st.lists(durations))
def test_the_sparse_form_has_no_empty_bins_and_loses_nothing(values: list[float]) -> None:
    histogram = histogram_of(values)
    assert all(histogram.values())
    assert sum(histogram.values()) == len(values)


def test_without_data_there_is_no_quantile() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({3: 0}, 0.5) is None


@pytest.mark.parametrize("q", [-0.01, 1.01, math.nan])
def test_a_share_outside_0_and_1_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        quantile({3: 1}, q)


@given(st.lists(inside, min_size=1), st.floats(min_value=0, max_value=1))
def test_a_quantile_is_within_a_64th_of_the_exact_one(values: list[float], q: float) -> None:
    found = quantile(histogram_of(values), q)
    exact = sorted(values)[max(0, math.ceil(q * len(values)) - 1)]
    assert found is not None
    assert abs(found - exact) <= exact / 64 * (1 + 1e-9)


@given(st.lists(inside, min_size=1))
def test_quantiles_ascend(values: list[float]) -> None:
    histogram = histogram_of(values)
    found = [quantile(histogram, q / 20) or 0.0 for q in range(21)]
    assert found == sorted(found)


def test_a_quantile_is_linear_within_its_bin() -> None:
    low, high = edges()[700:702].tolist()
    assert [quantile({700: 4}, q) for q in (0, 0.25, 1)] == [low, low + (high - low) / 4, high]
