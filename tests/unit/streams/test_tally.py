"""Counts by key: the same as a dictionary, whenever they are summed."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import tally
from streams.tally import Tally

keys = st.lists(st.integers(0, 20), max_size=8)
added = st.tuples(keys, st.one_of(st.none(), st.integers(0, 2**40)), st.booleans())


@given(st.lists(added, max_size=12))
def test_keys_and_weights_add_up(log: list[tuple[list[int], int | None, bool]]) -> None:
    counts, truth = Tally(), Counter[int]()
    for some, weight, is_asked in log:
        column = np.array(some, np.int64)
        counts.add(column, None if weight is None else np.full(len(some), weight))
        for key in some:
            truth[key] += 1 if weight is None else weight
        if is_asked:
            counts.summed()
    found, weights = counts.summed()
    assert dict(zip(found.tolist(), weights.tolist(), strict=True)) == truth
    assert found.tolist() == sorted(truth)


def test_keys_that_lie_far_apart_are_counted_as_well() -> None:
    counts = Tally()
    counts.add(np.array([2**60, 5, 2**60, 6]))
    counts.add(np.array([5]))
    assert [column.tolist() for column in counts.summed()] == [[5, 6, 2**60], [2, 1, 2]]


def test_what_waits_is_merged_before_it_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "_WAITING", 10)
    counts = Tally()
    for _ in range(1000):
        counts.add(np.array([3, 7]))
        assert counts._waiting <= 12
    assert [column.tolist() for column in counts.summed()] == [[3, 7], [1000, 1000]]


def test_what_was_summed_is_not_changed_by_what_comes() -> None:
    counts = Tally()
    counts.add(np.array([1]))
    _, before = counts.summed()
    counts.add(np.array([1]))
    assert (before.tolist(), counts.summed()[1].tolist()) == ([1], [2])


def test_nothing_sums_to_nothing() -> None:
    assert [len(column) for column in Tally().summed()] == [0, 0]
