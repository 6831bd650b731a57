"""Requests as columns: chosen, looked up and joined as lists would be."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from davylamp_sdk._event import RequestEvent
from streams.columns import Coded, Columns, distinct, first_seen
from streams.singles import columns_of
from tests.rows import made_event, row, rows
from tests.telemetry import event

seeds = st.integers(0, 2**32)
some_events = st.lists(st.randoms(use_true_random=False), max_size=6).map(
    lambda dice: [made_event(i, die) for i, die in enumerate(dice)]
)
texts = st.lists(st.one_of(st.none(), st.sampled_from("abc")), max_size=9)


def columns(events: Sequence[RequestEvent]) -> Columns:
    return columns_of(events)


def plain(column: Coded) -> list[str | None]:
    return [None if code < 0 else column.values[code] for code in column.codes.tolist()]


@given(st.lists(st.integers(-1, 5), max_size=20))
def test_codes_are_seen_in_the_order_of_their_first_appearance(codes: list[int]) -> None:
    assert first_seen(np.array(codes, np.int64), 6) == list(dict.fromkeys(code for code in codes if code >= 0))


@given(st.lists(st.integers(0, 5), max_size=20), st.sampled_from([6, 10**12]))
def test_distinct_codes_are_numbered_as_they_first_appear_however_many_are_possible(
    codes: list[int], size: int
) -> None:
    scale = size // 6
    found, places = distinct(np.array(codes, np.int64) * scale, size)
    assert found == [code * scale for code in dict.fromkeys(codes)]
    assert [found[place] for place in places.tolist()] == [code * scale for code in codes]


@given(texts)
def test_a_coded_column_says_what_it_was_made_of(column: list[str | None]) -> None:
    coded = Coded.of(column)
    assert plain(coded) == column
    assert len(set(coded.values)) == len(coded.values)


@given(texts)
def test_a_value_is_looked_up_once(column: list[str | None]) -> None:
    asked = []

    def place(value: str) -> int:
        asked.append(value)
        return ord(value)

    assert Coded.of(column).looked_up(place, absent=7).tolist() == [7 if v is None else ord(v) for v in column]
    assert sorted(asked) == sorted({v for v in column if v is not None})


def test_a_value_that_stands_twice_is_looked_up_by_either_code() -> None:
    assert Coded(["a", "b", "a"], np.array([2, 0, -1])).looked_up(ord).tolist() == [97, 97, -1]


@given(st.lists(texts, min_size=1, max_size=4))
def test_joined_columns_follow_each_other(columns: list[list[str | None]]) -> None:
    assert plain(Coded.joined([Coded.of(column) for column in columns])) == [v for column in columns for v in column]


def test_a_lone_value_of_many_columns_stands_there_once() -> None:
    joined = Coded.joined([Coded.of(column) for column in (["a"], ["b", "b"], ["a", None], ["c", "d"], ["a"])])
    assert joined.values == ["a", "b", "c", "d"]


def test_values_that_many_columns_share_stand_there_once() -> None:
    whole = Coded.of(["a", "b", None, "b", "c"])
    parts = [whole.part(slice(i, i + 1)) for i in (4, 0, 2, 1)]
    joined = Coded.joined([Coded.of(["x", "y"]), *parts, Coded.of(["a", "z"])])
    assert (plain(joined), joined.values) == (["x", "y", "c", "a", None, "b", "a", "z"], [*"xyabcaz"])


@given(texts, st.integers(0, 9), st.integers(0, 9))
def test_rows_that_follow_each_other_stay_what_they_were_alone_too(column: list[str | None], a: int, b: int) -> None:
    start, end = sorted(min(i, len(column)) for i in (a, b))
    part = Coded.of(column).part(slice(start, end))
    assert plain(part) == plain(part.alone()) == plain(part.distinct()) == column[start:end]
    assert part.distinct().values == list(dict.fromkeys(part.values[i] for i in sorted({*part.codes.tolist()} - {-1})))


@given(some_events, st.integers(0, 6), st.integers(0, 6))
def test_a_part_of_a_table_is_as_if_the_others_had_not_been(events: list[RequestEvent], a: int, b: int) -> None:
    start, end = sorted(min(i, len(events)) for i in (a, b))
    part = columns(events).part(start, end)
    assert rows(part) == rows(part.alone()) == [row(e) for e in events[start:end]]
    assert sorted(part.metrics) == sorted({name for e in events[start:end] for name in e.metrics})


@given(some_events)
def test_single_events_become_rows(events: list[RequestEvent]) -> None:
    assert rows(columns(events)) == [row(e) for e in events]


@given(some_events, st.lists(st.booleans(), min_size=6, max_size=6))
def test_some_rows_are_as_if_the_others_had_not_been(events: list[RequestEvent], keep: list[bool]) -> None:
    kept = [e for e, is_kept in zip(events, keep, strict=False) if is_kept]
    some = columns(events).where(np.array(keep[: len(events)], np.bool_))
    assert rows(some) == [row(e) for e in kept]
    assert sorted(some.metrics) == sorted({name for e in kept for name in e.metrics})


@given(st.lists(some_events, min_size=1, max_size=4))
def test_joined_rows_are_those_of_all_events(chunks: Sequence[list[RequestEvent]]) -> None:
    joined = Columns.joined([columns(events) for events in chunks])
    assert rows(joined) == [row(e) for events in chunks for e in events]
    assert set(joined.metrics) == {name for events in chunks for e in events for name in e.metrics}


def test_no_events_are_no_rows() -> None:
    assert len(columns([])) == 0
    assert len(columns([event()])) == 1


def test_a_value_for_each_row_leaves_each_part_its_own() -> None:
    column = Coded(["b", "unused", "a"], np.array([2, -1, 0, 2])).by_row()
    assert (column.values, column.codes.tolist()) == (["a", "b", "a"], [0, -1, 1, 2])
    part = column.part(slice(1, 3)).alone()
    assert (part.values, part.codes.tolist()) == (["b"], [-1, 0])
