"""Single events as tables: so there is one way to count. Pure."""

import struct
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from davylamp_sdk._event import RequestEvent
from streams.batches import Batch
from streams.columns import ABSENT, OUTCOME_INDEX, TOOL_CALL, Bools, Coded, Codes, Columns, Floats, Ints, Values
from streams.counts import TOOL_FAILURES
from streams.parsing import Event
from streams.sequences import Sequences, flags

Run = tuple[str, int, Ints]
"""Events of a producer whose sequences count up: the producer, the first sequence, and their rows in a table."""


@dataclass(frozen=True, slots=True)
class Loose:
    """Single events of one service, whoever sent them, in the order of the log."""

    service: str
    table: Columns
    at: Ints
    """The number of each one's message, ascending."""
    runs: Sequence[Run]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def start(self) -> int:
        """Its rows are all of the table."""
        return 0

    @property
    def end(self) -> int:
        """As of a batch."""
        return len(self.table)

    @property
    def fails(self) -> bool:
        """Whether one may speak against a release."""
        return bool(TOOL_FAILURES[self.table.outcome].any())

    def came_again(self, sent: Sequences, before: Sequences) -> Bools | None:
        """As :meth:`streams.batches.Batch.came_again`."""
        found = None
        for producer, sequence, rows in self.runs:
            again = sent.add(producer, sequence, len(rows), before)
            if again:
                found = np.zeros(len(self), np.bool_) if found is None else found
                found[rows] = flags(again, len(rows))
        return found


class _Column:
    """A column of names that grows: what is kept is a code each, and each name once."""

    def __init__(self) -> None:
        self._known = Codes()
        self._codes: list[int] = []

    def add(self, names: Iterable[str | None]) -> None:
        """Those of later events."""
        self._codes += map(self._known.__getitem__, names)

    def coded(self) -> Coded:
        """All that were added."""
        return Coded(self._known.names(), _whole(self._codes))


class Singles:
    """Single events in the order of the log, a column each field: what they were read into is not kept.

    What is added becomes numbers at once, while the processor's cache holds it.
    """

    def __init__(self) -> None:
        self.at: list[int] = []
        """The number of each one's message, ascending."""
        self._producer, self._service = _Column(), _Column()
        self._version, self._assignment, self._tool = _Column(), _Column(), _Column()
        self._instance: list[str] = []
        self._session: list[str | None] = []
        self._sequence: list[int] = []
        self._outcome: list[int] = []
        self._started_at: list[int] = []
        self._duration_ms: list[float] = []
        self._age_ms: list[float | None] = []
        self._gap_ms: list[float | None] = []
        self._tool_call: list[bool] = []
        self._first_of_session: list[bool] = []
        self._tells_ends: list[bool] = []
        self._metrics: list[dict[str, float]] = []

    def add(self, at: Iterable[int], events: Sequence[Event | RequestEvent]) -> None:
        """Those of later messages."""
        self.at += at
        self._producer.add([event.producer for event in events])
        self._service.add([event.service for event in events])
        self._instance += [event.instance for event in events]
        self._version.add([event.version for event in events])
        self._assignment.add([event.assignment for event in events])
        self._tool.add([event.tool for event in events])
        self._session += [event.session for event in events]
        self._sequence += [event.sequence for event in events]
        self._outcome += [OUTCOME_INDEX[event.outcome] for event in events]
        self._started_at += [event.started_at for event in events]
        self._duration_ms += [event.duration_ms for event in events]
        self._age_ms += [event.session_age_ms for event in events]
        self._gap_ms += [event.session_gap_ms for event in events]
        self._tool_call += [event.method == TOOL_CALL for event in events]
        self._first_of_session += [event.first_of_session for event in events]
        self._tells_ends += [event.tells_ends for event in events]
        self._metrics += [event.metrics for event in events]

    def table(self) -> Columns:
        """All that were added."""
        return Columns(
            version=self._version.coded(),
            assignment=self._assignment.coded(),
            session=_sessions(self._session),
            tool=self._tool.coded(),
            tool_call=_flags(self._tool_call),
            outcome=_whole(self._outcome),
            started_at=_whole(self._started_at),
            duration_ms=_real(self._duration_ms),
            age_ms=_real(self._age_ms),
            gap_ms=_real(self._gap_ms),
            first_of_session=_flags(self._first_of_session),
            tells_ends=_flags(self._tells_ends),
            metrics=_metrics(self._metrics),
        )

    def by_service(self, apart: Collection[str]) -> Iterator[tuple[int, Batch | Loose]]:
        """Those of each service in one table, with the number of the first one's message.

        Of an event that is sent twice the one counts that comes first in the log. So what producers say who write in
        another way as well (``apart``), or of two services, is told event by event.
        """
        if not self.at:
            return
        table, at, sequence = self.table(), _whole(self.at), _whole(self._sequence)
        service, producer = self._service.coded(), self._producer.coded()
        alone = _of_several(producer, service) | (producer.looked_up(lambda name: name in apart) == 1)
        order = np.argsort(service.codes, kind="stable")
        if len(service.values) > 1:
            table = table.ordered(order)
            table = replace(table, session=table.session.by_row())
        end = 0
        for name, n in zip(service.values, np.bincount(service.codes).tolist(), strict=True):
            start, end = end, end + n
            rows, mine = order[start:end], table if n == len(order) else table.part(start, end).alone()
            for i in np.flatnonzero(alone[rows]).tolist():
                who = producer.values[producer.codes[rows[i]]], int(sequence[rows[i]]), name, self._instance[rows[i]]
                fails = bool(TOOL_FAILURES[mine.outcome[i]])
                yield self.at[rows[i]], Batch(*who, 0, mine, i, i + 1, fails)
            if alone[rows].any():
                rows, mine = rows[~alone[rows]], mine.where(~alone[rows])
            if len(rows):
                runs = _runs(Coded(producer.values, producer.codes[rows]), sequence[rows])
                yield self.at[rows[0]], Loose(name, mine, at[rows], runs)


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


def _of_several(producer: Coded, service: Coded) -> Bools:
    """Which are of producers that write of more than one service."""
    if len(service.values) == 1:
        return np.zeros(len(service.codes), np.bool_)
    of = np.unique(producer.codes * len(service.values) + service.codes) // len(service.values)
    several: Bools = np.bincount(of)[producer.codes] > 1
    return several


def _runs(producer: Coded, sequence: Ints) -> list[Run]:
    """Each producer's in the order of the log."""
    order = np.argsort(producer.codes, kind="stable")
    codes, numbers = producer.codes[order], sequence[order]
    starts = [0, *(np.flatnonzero((np.diff(codes) != 0) | (np.diff(numbers) != 1)) + 1).tolist()]
    firsts = zip(codes[starts].tolist(), numbers[starts].tolist(), starts, [*starts[1:], len(order)], strict=True)
    return [(producer.values[code], number, order[start:end]) for code, number, start, end in firsts]


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
