"""Parsed JSON read as it stands."""

from typing import Any, Literal

import numpy as np
import pytest

from streams import strict
from streams.strict import UnusualError


@pytest.mark.parametrize("value", [None, "", "x" * 6, 5, ["a"]])
def test_a_text_is_a_string_that_is_neither_empty_nor_too_long(value: object) -> None:
    assert strict.text({"a": "xyzxy"}, "a", 5) == "xyzxy"
    with pytest.raises(UnusualError):
        strict.text({"a": value}, "a", 5)


@pytest.mark.parametrize("value", [None, True, 1.0, "1", -1, 9])
def test_a_whole_number_is_no_other_type_and_in_range(value: object) -> None:
    assert strict.whole({"a": 8}, "a", 9) == 8
    assert strict.whole({}, "a", 9, absent=0) == 0
    with pytest.raises(UnusualError):
        strict.whole({"a": value}, "a", 9)


@pytest.mark.parametrize("value", [None, "abc", {"a": 1}, ["a", 1], ["a", None], ["abcdef"], ["a"] * 4])
def test_texts_are_a_list_of_strings(value: object) -> None:
    assert strict.texts(["a", ""], 5, 3) == ["a", ""]
    with pytest.raises(UnusualError):
        strict.texts(value, 5, 3)


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        *(("q", column) for column in ([1.0], ["1"], [None], [[1]], [2**63], [-2], [9], "1", {}, {1: 1}, None, 1)),
        *(("d", column) for column in (["1"], [None], [10**400], [float("nan")], [float("inf")], [9.0], [-1.5], "")),
    ],
)
def test_numbers_are_of_their_kind_and_in_range(kind: Literal["q", "d"], column: Any) -> None:
    with pytest.raises(UnusualError):
        strict.numbers(column, kind, -1, 9)


def test_numbers_become_an_array() -> None:
    assert strict.numbers([-1, 8], "q", -1, 9).tolist() == [-1, 8]
    assert strict.numbers((-1, 8.5, -0.0), "d", -1, 9).tolist() == [-1.0, 8.5, 0.0]
    assert strict.numbers([], "q", -1, 9).dtype == np.int64
    with pytest.raises(UnusualError):
        strict.numbers([1], "q", -1, 9, n=2)


def test_columns_of_one_range_are_read_together_without_those_that_are_empty() -> None:
    found = strict.table({"a": [1, 2], "b": (), "d": (3, 4)}, ("a", "b", "c", "d"), "q", 0, 9, 2)
    assert {name: column.tolist() for name, column in found.items()} == {"a": [1, 2], "d": [3, 4]}


@pytest.mark.parametrize("column", [[1], [1, 2, 3], [1, 9], [1, 2.0], "ab", None])
def test_one_column_that_does_not_fit_refuses_all(column: object) -> None:
    with pytest.raises(UnusualError):
        strict.table({"a": [1, 2], "b": column}, ("a", "b"), "q", 0, 9, 2)


@pytest.mark.parametrize("column", [[1, 1], [2, 1], [-1], [5], [0, 1, 5]])
def test_positions_ascend_within_the_rows(column: list[int]) -> None:
    assert strict.positions([0, 2, 4], 5).tolist() == [0, 2, 4]
    with pytest.raises(UnusualError):
        strict.positions(column, 5)
