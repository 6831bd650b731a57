"""Single events as batches: so there is one way to count. Pure."""

import struct
from collections.abc import Iterator, Sequence

import numpy as np

from davylamp_sdk._event import RequestEvent
from streams.batches import Batch
from streams.columns import ABSENT, OUTCOME_INDEX, TOOL_CALL, Bools, Coded, Columns, Floats, Ints, Values
from streams.counts import TOOL_FAILURES
from streams.parsing import FIELDS, Row

_PRODUCER, _SEQUENCE, _SERVICE, _INSTANCE = map(FIELDS.index, ("producer", "sequence", "service", "instance"))


def row_of(said: RequestEvent) -> Row:
    """An event that the model has read."""
    return tuple(getattr(said, name) for name in FIELDS)


def columns_of(rows: Sequence[Row]) -> Columns:
    """Single events, in order, as columns."""
    said = dict(zip(FIELDS, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(FIELDS, ())
    return Columns(
        version=Coded.of(said["version"]),
        assignment=Coded.of(said["assignment"]),
        session=Coded.of(said["session"]),
        tool=Coded.of(said["tool"]),
        tool_call=np.fromiter(map(TOOL_CALL.__eq__, said["method"]), np.bool_, len(rows)),
        outcome=np.fromiter(map(OUTCOME_INDEX.__getitem__, said["outcome"]), np.int64, len(rows)),
        started_at=_whole(said["started_at"]),
        duration_ms=_real(said["duration_ms"]),
        age_ms=_real(said["session_age_ms"]),
        gap_ms=_real(said["session_gap_ms"]),
        first_of_session=_flags(said["first_of_session"]),
        tells_ends=_flags(said["tells_ends"]),
        metrics=_metrics(said["metrics"]),
    )


def batch_of(event: RequestEvent) -> Batch:
    """One event as a batch of one."""
    who = event.producer, event.sequence, event.service, event.instance
    return Batch.alone(*who, 0, columns_of([row_of(event)]))


def in_stretches(rows: Sequence[Row], at: Sequence[int]) -> Iterator[tuple[int, Batch]]:
    """Events as batches of a producer whose sequences count up, in messages that follow each other.

    ``at``: the number of each event's message, ascending. Yields each batch with that of its first.
    """
    if not rows:
        return
    table = columns_of(rows)
    producer, service = (Coded.of([row[field] for row in rows]) for field in (_PRODUCER, _SERVICE))
    starts = _starts(np.array(at), _whole([row[_SEQUENCE] for row in rows]), producer.codes, service.codes)
    fails = np.logical_or.reduceat(TOOL_FAILURES[table.outcome], starts).tolist()
    for start, end, fail in zip(starts, [*starts[1:], len(rows)], fails, strict=True):
        said, of, first, last = rows[start], table, start, end
        if len(service.values) > 1:  # as with batches: see `streams.joint`
            of, first, last = table.part(start, end).alone(), 0, end - start
        who = said[_PRODUCER], said[_SEQUENCE], said[_SERVICE], said[_INSTANCE]
        yield at[start], Batch(*who, 0, of, first, last, fail)


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
