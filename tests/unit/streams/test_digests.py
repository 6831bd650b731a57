"""The t-digest that people are shown: close to the exact quantiles, and always the same."""

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.windows import Cell, CohortWindow, Digest
from streams.digests import DELTA, MAX_DIGESTS, digest_of, with_digests
from streams.histogram import edges
from tests.histograms import histogram_of

histograms = st.dictionaries(st.integers(0, 2047), st.integers(1, 1000), min_size=1, max_size=80)


def read_quantile(digest: Digest, q: float) -> float:
    """As readers do: centroids stand at the middle of their weight, linear between."""
    means, weights = (np.array(column) for column in zip(*digest.centroids, strict=True))
    return float(np.interp(q * digest.n, np.cumsum(weights) - weights / 2, means))


@pytest.mark.parametrize("size", [500, 20_000])
@pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.99])
def test_quantiles_are_within_3_percent_of_the_exact_ones(size: int, q: float) -> None:
    durations = np.random.default_rng(7).lognormal(3, 1, size)
    digest = digest_of(histogram_of(durations))
    assert digest is not None
    assert read_quantile(digest, q) == pytest.approx(np.quantile(durations, q), rel=0.03)


def test_two_modes_stay_apart() -> None:
    digest = digest_of(histogram_of([10.0] * 900 + [1000.0] * 100))
    assert digest is not None
    assert read_quantile(digest, 0.5) == pytest.approx(10, rel=0.02)
    assert read_quantile(digest, 0.99) == pytest.approx(1000, rel=0.02)


@given(histograms)
def test_weight_is_kept_and_means_ascend(histogram: dict[int, int]) -> None:
    digest = digest_of(histogram)
    assert digest is not None
    assert (digest.n, digest.delta) == (sum(histogram.values()), DELTA)
    assert sum(weight for _, weight in digest.centroids) == pytest.approx(digest.n)
    assert all(a[0] <= b[0] for a, b in pairwise(digest.centroids))


@given(histograms, st.randoms(use_true_random=False))
def test_the_same_histogram_gives_the_same_digest_in_any_order_and_after_any_draw(
    histogram: dict[int, int], draws: random.Random
) -> None:
    shuffled = list(histogram.items())
    draws.shuffle(shuffled)
    first = digest_of(histogram)
    random.random()
    assert digest_of(dict(shuffled)) == first


def test_whoever_else_draws_at_random_notices_nothing() -> None:
    random.seed(1)
    expected = [random.random() for _ in range(3)]
    random.seed(1)
    drawn = []
    for _ in range(3):
        digest_of(dict.fromkeys(range(600, 700), 2))
        drawn.append(random.random())
    assert drawn == expected


def test_the_generator_comes_back_even_from_an_error() -> None:
    state = random.getstate()
    with pytest.raises(IndexError):
        digest_of({5000: 1})
    assert random.getstate() == state


def test_without_counts_there_is_no_digest() -> None:
    assert digest_of({}) is None
    assert digest_of({7: 0}) is None


@given(st.integers(0, 2047), st.integers(1, 10**9))
def test_a_single_bin_is_spread_over_that_bin(index: int, count: int) -> None:
    digest = digest_of({index: count})
    assert digest is not None
    low, high = edges()[index : index + 2]
    assert all(low * 0.99999 <= mean <= high * 1.00001 for mean, _ in digest.centroids)
    assert read_quantile(digest, 0.5) == pytest.approx((low + high) / 2, rel=1 / 64)


def test_a_digest_stays_small_enough_to_publish() -> None:
    digest = digest_of(dict.fromkeys(range(2048), 1000))
    assert digest is not None
    assert len(digest.centroids) <= 25 / DELTA


def test_the_busiest_cells_of_a_closed_window_get_a_digest() -> None:
    def window(service: str, sizes: range) -> CohortWindow:
        cells = [Cell(version=f"v{n}", label="-", histogram={700: n} if n else {}) for n in sizes]
        fields = {"source": "mcp-requests", "partition": 0, "partitions": 1, "window_start": 0, "window_ms": 1000}
        rest = {"first_offset": 0, "through": 1, "clock_ms": 1000, "final": True, "instance": "w1", "cells": cells}
        return CohortWindow.model_validate({"service": service} | fields | rest)

    found = with_digests([window("orders", range(30)), window("stock", range(40))])
    digested = {(w.service, c.version) for w in found for c in w.cells if c.digest is not None}
    busiest = {("stock", f"v{n}") for n in range(19, 40)} | {("orders", f"v{n}") for n in range(19, 30)}
    assert digested == busiest
    assert len(busiest) == MAX_DIGESTS
