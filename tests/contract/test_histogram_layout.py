"""Streams count in bins that the judge reads: both know one layout, written down twice."""

import numpy as np
import pytest

from judge.stats import histogram as judged
from schemas import windows
from streams import histogram as counted
from tests.histograms import histogram_of


def test_both_have_the_same_edges() -> None:
    assert judged.BINS == counted.BINS == windows.BINS
    assert np.array_equal(judged.edges(), counted.edges())


@pytest.mark.parametrize("q", [0.01, 0.5, 0.9, 0.99, 1.0])
def test_both_find_the_same_quantile(q: float) -> None:
    values = np.random.default_rng(7).lognormal(5, 1, 2000)
    sparse = histogram_of(values)
    assert judged.quantile(judged.dense([sparse]), q) == pytest.approx(counted.quantile(sparse, q), rel=1e-12)
