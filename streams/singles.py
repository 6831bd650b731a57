"""Single events: parsed one by one, and counted as columns like those of batches. Pure.

As with batches, :class:`RequestEvent` says what an event is. What is parsed here it accepts as well, and reads the same;
whatever else comes goes by way of the model.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from davylamp_sdk._event import Outcome, RequestEvent
from streams.batches import Batch
from streams.columns import ABSENT, OUTCOME_INDEX, TOOL_CALL, Coded, Columns, Floats, Ints, Values
from streams.counts import TOOL_FAILURES
from streams.joint import is_readable

_Name = Annotated[str, Meta(min_length=1, max_length=120)]
_Whole = Annotated[int, Meta(ge=0, lt=2**53)]
_Age = Annotated[float, Meta(ge=0, lt=1e12)]
_MOST_METRICS = 32


class Event(msgspec.Struct, gc=False):
    """A `RequestEvent`, without the weight of a model."""

    producer: _Name
    sequence: _Whole
    service: _Name
    version: _Name
    instance: _Name
    method: _Name
    outcome: Outcome
    started_at: _Whole
    duration_ms: Annotated[float, Meta(ge=0, lt=1e9)]
    v: Literal[1] = 1
    session: Annotated[str, Meta(max_length=64)] | None = None
    assignment: Annotated[str, Meta(max_length=100)] | None = None
    tool: _Name | None = None
    error_type: _Name | None = None
    protocol_version: _Name | None = None
    first_of_session: bool = False
    tells_ends: bool = False
    session_age_ms: _Age | None = None
    session_gap_ms: _Age | None = None
    metrics: dict[_Name, float] = {}


_decode = msgspec.json.Decoder(Event).decode
_FIELDS = Event.__struct_fields__


def parse_single(raw: bytes) -> Event | None:
    """The event in ``raw``; None if it is none, or one that only the model knows to read."""
    try:
        event = _decode(raw)
    except (ValueError, RecursionError):
        return None
    # A metric that is named twice counts twice for the model's limit: each has a colon.
    many = event.metrics and raw.count(b":") > _MOST_METRICS
    return None if many or not is_readable(raw) else event


def event_of(said: RequestEvent) -> Event:
    """An event that the model has read."""
    return Event(**{name: getattr(said, name) for name in _FIELDS})


def columns_of(events: Sequence[Event | RequestEvent]) -> Columns:
    """Single events, in order, as columns."""
    return Columns(
        version=Coded.of([e.version for e in events]),
        assignment=Coded.of([e.assignment for e in events]),
        session=Coded.of([e.session for e in events]),
        tool=Coded.of([e.tool for e in events]),
        tool_call=np.array([e.method == TOOL_CALL for e in events], np.bool_),
        outcome=np.array([OUTCOME_INDEX[e.outcome] for e in events], np.int64),
        started_at=np.array([e.started_at for e in events], np.int64),
        duration_ms=np.array([e.duration_ms for e in events], np.float64),
        age_ms=_optional([e.session_age_ms for e in events]),
        gap_ms=_optional([e.session_gap_ms for e in events]),
        first_of_session=np.array([e.first_of_session for e in events], np.bool_),
        tells_ends=np.array([e.tells_ends for e in events], np.bool_),
        metrics=_metrics([e.metrics for e in events]),
    )


def batch_of(event: Event | RequestEvent) -> Batch:
    """One event as a batch of one."""
    return Batch.alone(event.producer, event.sequence, event.service, event.instance, 0, columns_of([event]))


def in_stretches(events: Sequence[Event], at: Sequence[int]) -> Iterator[tuple[int, Batch]]:
    """Events as batches of a producer whose sequences count up, in messages that follow each other.

    ``at``: the number of each event's message, ascending. Yields each batch with that of its first.
    """
    if not events:
        return
    table = columns_of(events)
    service = Coded.of([e.service for e in events])
    starts = _starts(
        np.array(at),
        np.array([e.sequence for e in events]),
        Coded.of([e.producer for e in events]).codes,
        service.codes,
    )
    fails = np.logical_or.reduceat(TOOL_FAILURES[table.outcome], starts).tolist()
    for start, end, fail in zip(starts, [*starts[1:], len(events)], fails, strict=True):
        said, rows, first, last = events[start], table, start, end
        if len(service.values) > 1:  # as with batches: see `streams.joint`
            rows, first, last = table.part(start, end).alone(), 0, end - start
        yield at[start], Batch(said.producer, said.sequence, said.service, said.instance, 0, rows, first, last, fail)


def _starts(at: Ints, sequence: Ints, *who: Ints) -> list[int]:
    begins = (np.diff(at) != 1) | (np.diff(sequence) != 1)
    for codes in who:
        begins |= np.diff(codes) != 0
    return [0, *(np.flatnonzero(begins) + 1).tolist()]


def _optional(column: Sequence[float | None]) -> Floats:
    return np.array([ABSENT if value is None else value for value in column], np.float64)


def _metrics(column: Sequence[dict[str, float]]) -> dict[str, Values]:
    found: dict[str, tuple[list[int], list[float]]] = {}
    for row, metrics in enumerate(column):
        for name, value in metrics.items():
            at, values = found.setdefault(name, ([], []))
            at.append(row)
            values.append(value)
    return {name: Values(np.array(at, np.int64), np.array(values, np.float64)) for name, (at, values) in found.items()}
