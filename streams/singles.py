"""Single events as batches: so there is one way to count. Pure."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from operator import ne

import numpy as np

from davylamp_sdk._event import Outcome, RequestEvent
from streams.batches import Batch
from streams.columns import ABSENT, OUTCOME_INDEX, TOOL_CALL, Bools, Coded, Columns, Floats, Ints, Values
from streams.counts import TOOL_FAILURES
from streams.parsing import Event


class Singles:
    """Single events in the order of the log, a column each field: what they were read into is not kept."""

    def __init__(self) -> None:
        self.at: list[int] = []
        """The number of each one's message, ascending."""
        self._producer: list[str] = []
        self._sequence: list[int] = []
        self._service: list[str] = []
        self._instance: list[str] = []
        self._version: list[str] = []
        self._assignment: list[str | None] = []
        self._session: list[str | None] = []
        self._tool: list[str | None] = []
        self._method: list[str] = []
        self._outcome: list[Outcome] = []
        self._started_at: list[int] = []
        self._duration_ms: list[float] = []
        self._age_ms: list[float | None] = []
        self._gap_ms: list[float | None] = []
        self._first_of_session: list[bool] = []
        self._tells_ends: list[bool] = []
        self._metrics: list[dict[str, float]] = []

    def add(self, at: Iterable[int], events: Sequence[Event | RequestEvent]) -> None:
        """Those of later messages."""
        self.at += at
        self._producer += [event.producer for event in events]
        self._sequence += [event.sequence for event in events]
        self._service += [event.service for event in events]
        self._instance += [event.instance for event in events]
        self._version += [event.version for event in events]
        self._assignment += [event.assignment for event in events]
        self._session += [event.session for event in events]
        self._tool += [event.tool for event in events]
        self._method += [event.method for event in events]
        self._outcome += [event.outcome for event in events]
        self._started_at += [event.started_at for event in events]
        self._duration_ms += [event.duration_ms for event in events]
        self._age_ms += [event.session_age_ms for event in events]
        self._gap_ms += [event.session_gap_ms for event in events]
        self._first_of_session += [event.first_of_session for event in events]
        self._tells_ends += [event.tells_ends for event in events]
        self._metrics += [event.metrics for event in events]

    def table(self) -> Columns:
        """All that were added."""
        return Columns(
            version=Coded.of(self._version),
            assignment=Coded.of(self._assignment),
            session=_sessions(self._session),
            tool=Coded.of(self._tool),
            tool_call=_flags([method == TOOL_CALL for method in self._method]),
            outcome=_whole([OUTCOME_INDEX[outcome] for outcome in self._outcome]),
            started_at=_whole(self._started_at),
            duration_ms=_real(self._duration_ms),
            age_ms=_real(self._age_ms),
            gap_ms=_real(self._gap_ms),
            first_of_session=_flags(self._first_of_session),
            tells_ends=_flags(self._tells_ends),
            metrics=_metrics(self._metrics),
        )

    def in_stretches(self) -> Iterator[tuple[int, Batch]]:
        """As batches of a producer whose sequences count up, in messages that follow each other.

        Yields each batch with the number of its first message.
        """
        if not self.at:
            return
        table, others = self.table(), _changes(self._service)
        begins = (np.diff(self.at) != 1) | (np.diff(_whole(self._sequence)) != 1) | _changes(self._producer) | others
        starts = [0, *(np.flatnonzero(begins) + 1).tolist()]
        is_shared = bool(others.any())
        fails = np.logical_or.reduceat(TOOL_FAILURES[table.outcome], starts).tolist()
        for start, end, fail in zip(starts, [*starts[1:], len(table)], fails, strict=True):
            of, first, last = table, start, end
            if is_shared:  # as with batches: see `streams.joint`
                of, first, last = table.part(start, end).alone(), 0, end - start
            who = self._producer[start], self._sequence[start], self._service[start], self._instance[start]
            yield self.at[start], Batch(*who, 0, of, first, last, fail)


def columns_of(events: Sequence[Event | RequestEvent]) -> Columns:
    """Single events, in order, as columns."""
    singles = Singles()
    singles.add(range(len(events)), events)
    return singles.table()


def batch_of(event: RequestEvent) -> Batch:
    """One event as a batch of one."""
    return Batch.alone(event.producer, event.sequence, event.service, event.instance, 0, columns_of([event]))


def _sessions(column: list[str | None]) -> Coded:
    """A value a row, where each has one: whoever wants their buckets looks each up, whether it stands there twice or not."""
    return Coded(column, np.arange(len(column))) if all(column) else Coded.of(column)  # type: ignore[arg-type]


def _changes(column: Sequence[str]) -> Bools:
    """Where the next value is another one."""
    return np.fromiter(map(ne, column, column[1:]), np.bool_, len(column) - 1)


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
