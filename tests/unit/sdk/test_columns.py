"""Batches: whatever is recorded, what is sent is a valid EventBatch that says just that."""

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from davylamp_sdk._columns import MAX_BYTES, TooLargeError, encode
from davylamp_sdk._event import EventBatch, RequestEvent, events_in
from davylamp_sdk._finished import FinishedRequest, Heard, Row, row_of
from streams import singles
from streams.batches import read_batch
from streams.columns import Columns
from tests.unit.sdk.fakes import DONE, IDENTITY

WHO = {**IDENTITY, "producer": "p"}

names = st.one_of(st.none(), st.text(max_size=130), st.text("ab\ud800\u0000", max_size=3))
numbers = st.one_of(st.floats(), st.integers(-5, 2**70))
metrics = st.dictionaries(st.text(max_size=122), numbers, max_size=40)
likely = st.builds(
    FinishedRequest,
    method=st.sampled_from(["tools/call", "initialize", "é" * 121]),
    outcome=st.sampled_from(["ok", "tool_error", "timeout", "rejected", "ended"]),
    started_at=st.integers(0, 2**53 - 1),
    duration_ms=st.floats(0, 999_999_999),
    session=names,
    assignment=names,
    tool=names,
    error_type=names,
    protocol_version=names,
    metrics=metrics,
)
anything = st.builds(
    FinishedRequest,
    method=st.one_of(names, st.integers()),
    outcome=st.one_of(st.sampled_from(["ok", "fine"]), st.lists(st.integers())),
    started_at=numbers,
    duration_ms=numbers,
    session=st.one_of(names, st.integers()),
    assignment=names,
    tool=names,
    error_type=names,
    protocol_version=names,
    metrics=metrics,
)
ages = st.one_of(st.none(), st.floats())
heard = st.builds(Heard, first=st.booleans(), age_ms=ages, gap_ms=ages)


def rows_of(*requests: FinishedRequest) -> list[Row]:
    return [row_of(request, Heard()) for request in requests]


def sent(*requests: FinishedRequest, sequence: int = 0, dropped: int = 0) -> EventBatch:
    """As a reader has it."""
    return EventBatch.read(encode(WHO, sequence, dropped, rows_of(*requests)))


@given(said=st.lists(st.tuples(likely, heard), min_size=1, max_size=8), sequence=st.integers(0, 10**9))
def test_what_fits_an_event_is_a_valid_batch_that_says_the_same(
    said: list[tuple[FinishedRequest, Heard]], sequence: int
) -> None:
    rows = [row_of(request, remembered) for request, remembered in said]
    try:
        value = encode(WHO, sequence, 3, rows)
    except TooLargeError:
        assert len({name for row in rows for name in row.metrics}) > 32
        return
    batch = EventBatch.model_validate_json(value)
    assert (batch.sequence, batch.dropped, len(batch)) == (sequence, 3, len(rows))
    assert [as_row(event) for event in events_in(value)] == [plain(row) for row in rows]


@given(said=st.lists(st.tuples(likely, heard), min_size=1, max_size=4))
def test_streams_count_what_was_recorded_and_need_no_second_look_at_it(
    said: list[tuple[FinishedRequest, Heard]],
) -> None:
    rows = [row_of(request, remembered) for request, remembered in said]
    if len({name for row in rows for name in row.metrics}) > 32:
        return
    value = encode(WHO, 7, 2, rows)
    batch = read_batch(value, json.loads(value))
    assert (batch.sequence, batch.dropped, batch.service, batch.instance) == (7, 2, "orders", "i-1")
    assert counted(batch.columns) == counted(singles.columns_of(events_in(value)))


def counted(columns: Columns) -> list[list[Any]]:
    """The columns as lists, whatever they are coded by."""
    named = [columns.assignment, columns.session, columns.tool]
    names = [[None if code < 0 else column.values[code] for code in column.codes] for column in named]
    plain = [columns.outcome, columns.started_at, columns.duration_ms, columns.age_ms, columns.gap_ms]
    flags = [columns.tool_call, columns.first_of_session, columns.tells_ends]
    metrics = [[name, column.at.tolist(), column.values.tolist()] for name, column in sorted(columns.metrics.items())]
    return [*names, *(array.tolist() for array in (*plain, *flags)), metrics]


@given(request=anything, remembered=heard)
def test_what_does_not_fit_is_refused_and_nothing_else_ever_happens(
    request: FinishedRequest, remembered: Heard
) -> None:
    try:
        row = row_of(request, remembered)
    except (ValueError, TypeError, OverflowError):
        return
    EventBatch.model_validate_json(encode(WHO, 0, 0, [row]))


def as_row(event: RequestEvent) -> dict[str, Any]:
    return event.model_dump(exclude={"v", "producer", "sequence", "service", "version", "instance", "tells_ends"})


def plain(row: Row) -> dict[str, Any]:
    fields = {"first": "first_of_session", "age_ms": "session_age_ms", "gap_ms": "session_gap_ms"}
    return {fields.get(name, name): value for name, value in row._asdict().items()}


def test_a_name_stands_once_whatever_column_speaks_of_it() -> None:
    batch = sent(DONE, DONE._replace(tool="ok", session="ok"), DONE)
    assert sorted(batch.names) == ["ok", "search", "tools/call"]


def test_columns_that_are_absent_for_all_are_not_sent() -> None:
    keys = set(json.loads(encode(WHO, 0, 0, rows_of(DONE))))
    assert keys & {"session", "assignment", "error_type", "session_age_ms", "first_of_session", "metrics"} == set()


def test_a_metric_stands_with_the_positions_of_those_that_have_it() -> None:
    batch = sent(DONE, DONE._replace(metrics={"tokens": 7}), DONE._replace(metrics={"tokens": 8.5, "hit": True}))
    assert {name: (column.at, column.values) for name, column in batch.metrics.items()} == {
        "tokens": ((1, 2), (7.0, 8.5)),
        "hit": ((2,), (1.0,)),
    }


def test_what_no_message_holds_is_told_apart_from_what_no_event_holds() -> None:
    many_names = rows_of(*(DONE._replace(metrics={f"m{n}": n}) for n in range(33)))
    with pytest.raises(TooLargeError, match="33 metrics"):
        encode(WHO, 0, 0, many_names)
    long_names = rows_of(*(DONE._replace(error_type=f"{n}" + "\u0001" * 119) for n in range(1_000)))
    with pytest.raises(TooLargeError, match="1000 requests make"):
        encode(WHO, 0, 0, long_names)


@settings(max_examples=20)
@given(request=likely)
def test_a_single_request_always_fits_a_message(request: FinishedRequest) -> None:
    assert len(encode(WHO, 0, 0, rows_of(request))) < MAX_BYTES


def test_long_names_are_cut_and_a_tool_that_fits_no_event_is_unknown() -> None:
    row = row_of(DONE._replace(method="m" * 130, tool="t" * 121, error_type="e" * 130), Heard())
    assert (row.method, row.tool, row.error_type) == ("m" * 120, "_unknown", "e" * 120)


def test_a_hash_or_a_stamp_that_does_not_fit_is_absent_rather_than_another() -> None:
    row = row_of(DONE._replace(session="x" * 65, assignment="x" * 101), Heard())
    assert (row.session, row.assignment) == (None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": ""},
        {"method": None},
        {"outcome": "fine"},
        {"duration_ms": math.nan},
        {"duration_ms": math.inf},
        {"duration_ms": -1},
        {"duration_ms": 1e9},
        {"duration_ms": 1e9 - 1e-9},
        {"duration_ms": "long"},
        {"started_at": -1},
        {"started_at": 2**53},
    ],
)
def test_what_no_event_could_say_is_refused(changes: Mapping[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        row_of(DONE._replace(**changes), Heard())


@pytest.mark.parametrize(
    "metrics", [{"x": math.nan}, {"x": math.inf}, {"x": "many"}, {"": 1}, {"x" * 121: 1}, {"x": None}, {7: 1}]
)
def test_a_metric_that_fits_no_event_is_left_out_and_its_request_is_told(metrics: Any) -> None:
    assert row_of(DONE._replace(metrics=metrics), Heard()).metrics == {}


@pytest.mark.parametrize("age", [math.nan, math.inf, -0.1, 1e12])
def test_an_impossible_age_is_no_age(age: float) -> None:
    row = row_of(DONE, Heard(age_ms=age, gap_ms=age))
    assert (row.age_ms, row.gap_ms) == (None, None)
