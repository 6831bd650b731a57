"""The histogram against exact order statistics, however the data was shuffled and split before merging."""

import json
import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from streams.histogram import Histogram, edges, merge, quantile
from tests.histograms import bin_of, histogram_of

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "golden" / "07-quantiles.json").read_text(encoding="utf-8")
)


def sample(n: int) -> NDArray[np.float64]:
    """The golden file's grid: lognormal, median 200 ms, sigma 0.7, at the middles of n equal parts of probability."""
    normal = NormalDist()
    return np.array([200 * math.exp(0.7 * normal.inv_cdf((i + 0.5) / n)) for i in range(n)])


def sketched(values: NDArray[np.float64], windows: int) -> Histogram:
    shuffled = np.random.default_rng(5).permutation(values)
    return merge(histogram_of(part) for part in np.array_split(shuffled, windows))


@pytest.mark.parametrize("windows", [1, 10, 100])
@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["n"])
def test_quantiles_are_within_a_64th_of_the_exact_ones(case: dict[str, Any], windows: int) -> None:
    values = sample(case["n"])
    found = sketched(values, windows)
    for q, exact in case["quantiles"].items():
        assert float(np.quantile(values, float(q), method="inverted_cdf")) == pytest.approx(exact, rel=1e-9)
        assert quantile(found, float(q)) == pytest.approx(exact, rel=1 / 64)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["n"])
def test_exceedances_are_exact_at_the_edges_of_bins(case: dict[str, Any]) -> None:
    values = sample(case["n"])
    found = sketched(values, 10)
    for limit, exact in case["exceed_counts"].items():
        assert int((values > float(limit)).sum()) == exact
        edge = bin_of(float(limit)) + 1
        above = sum(count for index, count in found.items() if index >= edge)
        assert above == int((values >= edges()[edge]).sum())


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["n"])
def test_the_rank_of_a_quantile_is_off_by_less_than_a_bin_holds(case: dict[str, Any]) -> None:
    """A histogram has no bound on ranks like a t-digest's: its bound is on values, and a bin holds what it holds."""
    values = sample(case["n"])
    found = sketched(values, 10)
    for q in map(float, case["quantiles"]):
        value = quantile(found, q)
        assert value is not None
        rank = float((values <= value).mean())
        in_bin = found.get(bin_of(value), 0) / case["n"]
        assert abs(rank - q) <= in_bin + 1 / case["n"]
