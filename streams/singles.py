"""Single events as batches: so there is one way to count. Pure."""

import struct
from collections.abc import Iterator, Sequence

import numpy as np

from davylamp_sdk._event import RequestEvent
from streams.batches import Batch
from streams.columns import ABSENT, OUTCOME_INDEX, TOOL_CALL, Bools, Coded, Columns, Floats, Ints, Values
from streams.counts import TOOL_FAILURES
from streams.parsing import Event


def columns_of(events: Sequence[Event | RequestEvent]) -> Columns:
    """Single events, in order, as columns."""
    return Columns(
        version=Coded.of([event.version for event in events]),
        assignment=Coded.of([event.assignment for event in events]),
        session=Coded.of([event.session for event in events]),
        tool=Coded.of([event.tool for event in events]),
        tool_call=_flags([event.method == TOOL_CALL for event in events]),
        outcome=_whole([OUTCOME_INDEX[event.outcome] for event in events]),
        started_at=_whole([event.started_at for event in events]),
        duration_ms=_real([event.duration_ms for event in events]),
        age_ms=_real([event.session_age_ms for event in events]),
        gap_ms=_real([event.session_gap_ms for event in events]),
        first_of_session=_flags([event.first_of_session for event in events]),
        tells_ends=_flags([event.tells_ends for event in events]),
        metrics=_metrics([event.metrics for event in events]),
    )


def batch_of(event: RequestEvent) -> Batch:
    """One event as a batch of one."""
    return Batch.alone(event.producer, event.sequence, event.service, event.instance, 0, columns_of([event]))


def in_stretches(events: Sequence[Event | RequestEvent], at: Sequence[int]) -> Iterator[tuple[int, Batch]]:
    """Events as batches of a producer whose sequences count up, in messages that follow each other.

    ``at``: the number of each event's message, ascending. Yields each batch with that of its first.
    """
    if not events:
        return
    table = columns_of(events)
    producer, service = Coded.of([event.producer for event in events]), Coded.of([event.service for event in events])
    starts = _starts(np.array(at), _whole([event.sequence for event in events]), producer.codes, service.codes)
    fails = np.logical_or.reduceat(TOOL_FAILURES[table.outcome], starts).tolist()
    for start, end, fail in zip(starts, [*starts[1:], len(events)], fails, strict=True):
        said, of, first, last = events[start], table, start, end
        if len(service.values) > 1:  # as with batches: see `streams.joint`
            of, first, last = table.part(start, end).alone(), 0, end - start
        yield at[start], Batch(said.producer, said.sequence, said.service, said.instance, 0, of, first, last, fail)


def _starts(at: Ints, sequence: Ints, *who: Ints) -> list[int]:
    begins = (np.diff(at) != 1) | (np.diff(sequence) != 1)
    for codes in who:
        begins |= np.diff(codes) != 0
    return [0, *(np.flatnonzero(begins) + 1).tolist()]


def _whole(column: Sequence[int]) -> Ints:
    return np.frombuffer(struct.pack(f"{len(column)}q", *column), np.int64)


def _real(column: Sequence[float | None]) -> Floats:
    try:
        return np.frombuffer(struct.pack(f"{len(column)}d", *column), np.float64)
    except struct.error:  # somebody says none
        return _real([ABSENT if value is None else value for value in column])


def _flags(column: Sequence[bool]) -> Bools:
    return np.frombuffer(bytes(column), np.bool_)


def _metrics(column: Sequence[dict[str, float]]) -> dict[str, Values]:
    found: dict[str, tuple[list[int], list[float]]] = {}
    for row, metrics in enumerate(column) if any(column) else ():
        for name, value in metrics.items():
            at, values = found.setdefault(name, ([], []))
            at.append(row)
            values.append(value)
    return {name: Values(np.array(at, np.int64), np.array(values, np.float64)) for name, (at, values) in found.items()}
