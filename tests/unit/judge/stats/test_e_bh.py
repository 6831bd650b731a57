"""Whom to name: no more innocents than promised, whatever depends on what."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.stats.e_bh import e_bh


@pytest.mark.parametrize(
    ("e", "named"),
    [
        ([], ()),
        ([1.0, 1.0], ()),
        ([19.9, 1.0], ()),
        ([20.0, 1.0], (0,)),
        ([1.0, 10.0, 10.0], ()),
        ([1.0, 15.0, 15.0], (1, 2)),
        ([1.0, 15.0, 16.0, 14.0], (2, 1, 3)),
        ([1e9, 1.0, 0.0001], (0,)),
    ],
)
def test_the_largest_number_is_named_that_has_enough_evidence_together(e: list[float], named: tuple[int, ...]) -> None:
    assert e_bh([math.log(value) for value in e]) == named


@given(st.lists(st.floats(-50, 50), max_size=12))
def test_more_evidence_never_clears_anybody(log_e: list[float]) -> None:
    before = set(e_bh(log_e))
    for i in range(len(log_e)):
        raised = [value + (3 if j == i else 0) for j, value in enumerate(log_e)]
        assert before <= set(e_bh(raised))


def test_of_innocents_one_in_ten_runs_names_somebody_at_most() -> None:
    rng = np.random.default_rng(3)
    named = [bool(e_bh(rng.normal(-2, 2, 20).tolist())) for _ in range(2000)]  # log-normal with mean 1
    assert np.mean(named) <= 0.10
