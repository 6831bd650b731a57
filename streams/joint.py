"""The batches of a poll as one table: checked together. Pure.

A call of numpy costs the same for a hundred requests as for a thousand, and a message holds a hundred. What is wrong
here, or only unusual, is told apart batch by batch: :func:`streams.batches.read_batch` reads it alone, and gives the
reason. So whatever is accepted here must be accepted there, and say the same.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

import numpy as np

from streams.batches import LIMITS, NEVER_EMPTY, Batch, metrics_of
from streams.columns import ABSENT, OUTCOME_INDEX, TOOL_CALL, Bools, Coded, Columns, Floats, Ints, Values
from streams.counts import TOOL_FAILURES
from streams.parsing import AGES, OPTIONAL_PLACES, Packed
from streams.strict import UnusualError

_END = 2**53
_FEW = ("method", "outcome", "tool")
"""Columns of few values, which are looked up together."""
_PLACES = ("method", "outcome", *OPTIONAL_PLACES)
_NOWHERE, _NO_AGE = struct.pack("h", ABSENT), struct.pack("d", ABSENT)


def read_joint(sent: Sequence[Packed]) -> list[Batch | None]:
    """The batches, those of a service in one table; None for each that has to be read alone."""
    services: dict[str, list[int]] = {}
    for i, one in enumerate(sent):
        services.setdefault(one.service, []).append(i)
    order = [i for some in services.values() for i in some]
    found: list[Batch | None] = [None] * len(sent)
    for i, batch in zip(order, _read([sent[i] for i in order]) if order else (), strict=True):
        found[i] = batch
    return found


def _read(sent: Sequence[Packed]) -> Iterator[Batch | None]:
    """All are read as one table, whatever services they are of: those of a service follow each other."""
    whole, bad = _Joint(sent).read()
    ends = np.cumsum([one.n for one in sent]).tolist()
    starts = [0, *ends[:-1]]
    fails = np.logical_or.reduceat(TOOL_FAILURES[whole.outcome], starts).tolist()
    at = 0
    for service, group in groupby(sent, key=attrgetter("service")):
        some = list(group)
        first, end = starts[at], ends[at + len(some) - 1]
        table = whole if len(some) == len(sent) else whole.part(first, end).alone()
        for i, one in enumerate(some, at):
            who = one.producer, one.sequence, service, one.instance, one.dropped
            yield None if bad[i] else Batch(*who, table, starts[i] - first, ends[i] - first, fails[i])
        at += len(some)


class _Joint:
    """Batches whose columns are of one length each."""

    def __init__(self, sent: Sequence[Packed]) -> None:
        self._sent = sent
        self._lengths = np.array([one.n for one in sent])
        self._names = [name for one in sent for name in one.names]
        self._of = np.repeat(np.arange(len(sent)), self._lengths)
        """The batch of each row."""
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._rows = len(self._of)
        self._bad = np.zeros(len(sent), np.bool_)

    def read(self) -> tuple[Columns, Bools]:
        """The table, and which batches must not be read from it."""
        places = self._places()
        few = Coded(self._names, np.stack([places[name] for name in _FEW])).distinct()
        method, outcome, tool = (Coded(few.values, codes) for codes in few.codes)
        outcomes = outcome.looked_up(lambda name: OUTCOME_INDEX.get(name, ABSENT))
        age_ms, gap_ms = (self._numbers(name, ABSENT, 1e12) for name in AGES)
        for ages in (age_ms, gap_ms):
            self._refuse((ages < 0) & (ages != ABSENT))
        self._refuse((outcomes == ABSENT) | (method.codes == ABSENT))
        table = Columns(
            version=self._versions(),
            assignment=Coded(self._names, places["assignment"]).distinct(),
            session=Coded(self._names, places["session"]),
            tool=tool,
            tool_call=method.looked_up(lambda name: name == TOOL_CALL) == 1,
            outcome=outcomes,
            started_at=self._started_at(),
            duration_ms=self._numbers("duration_ms", 0, 1e9),
            age_ms=age_ms,
            gap_ms=gap_ms,
            first_of_session=self._first_of_session(),
            tells_ends=np.array([one.tells_ends for one in self._sent])[self._of],
            metrics=self._metrics(),
        )
        return table, self._bad

    def _refuse(self, rows: Bools) -> None:
        if rows.any():
            self._bad[self._of[rows]] = True

    def _places(self) -> dict[str, Ints]:
        """For each column the name of each row, counted through the names of all."""
        present = [name for name in _PLACES if any(name in one.columns for one in self._sent)]
        codes = np.stack([np.frombuffer(self._column(name, _NOWHERE), np.int16) for name in present])
        counts = np.array([len(one.names) for one in self._sent], np.int16)
        out_of_range = codes >= counts[self._of]
        if codes.min() < ABSENT or out_of_range.any():
            out_of_range |= codes < ABSENT
            self._refuse(np.logical_or.reduce(out_of_range))
            codes[out_of_range] = ABSENT
        through_all = codes + (np.cumsum(counts, dtype=np.int64) - counts)[self._of]
        np.copyto(through_all, ABSENT, where=codes < 0)  # `numpy.where` takes ten times as long
        found = dict(zip(present, through_all, strict=True))
        self._refuse_names(found)
        return dict.fromkeys(_PLACES, np.full(self._rows, ABSENT)) | found

    def _column(self, name: str, absent: bytes) -> bytes:
        """Of all; ``absent`` is a value of those who do not have it."""
        return b"".join([one.columns.get(name) or absent * one.n for one in self._sent])

    def _refuse_names(self, places: dict[str, Ints]) -> None:
        """Names that are too long for their column, or empty where they may not be."""
        if all(one.usual_names for one in self._sent):
            return
        longest = max(map(len, self._names), default=0)
        lengths = np.array([*map(len, self._names), 1])  # that of an absent one is in order
        for name, codes in places.items():
            self._refuse(lengths[codes] > LIMITS.get(name, longest))
            if name in NEVER_EMPTY:
                self._refuse(lengths[codes] == 0)

    def _versions(self) -> Coded:
        version = Coded.of([one.version for one in self._sent])
        return Coded(version.values, version.codes[self._of])

    def _started_at(self) -> Ints:
        found = np.frombuffer(self._column("started_at", b""), np.int64)
        if found.min() < 0 or found.max() >= _END:
            self._refuse((found < 0) | (found >= _END))
        return found

    def _numbers(self, name: str, low: float, end: float) -> Floats:
        found = np.frombuffer(self._column(name, _NO_AGE), np.float64)
        if found.min() < low or found.max() >= end:
            self._refuse((found < low) | (found >= end))
        return found

    def _first_of_session(self) -> Bools:
        at = np.frombuffer(self._column("first_of_session", b""), np.int64)
        of = np.repeat(
            np.arange(len(self._sent)), [len(one.columns["first_of_session"]) // at.itemsize for one in self._sent]
        )
        out_of_range = (at < 0) | (at >= self._lengths[of])
        self._bad[of[out_of_range]] = True
        follows = np.flatnonzero((of[1:] == of[:-1]) & (at[1:] <= at[:-1])) + 1
        self._bad[of[follows]] = True
        first = np.zeros(self._rows, np.bool_)
        first[(at + self._starts[of])[~out_of_range]] = True
        return first

    def _metrics(self) -> dict[str, Values]:
        found: dict[str, list[Values]] = {}
        for i, one in enumerate(self._sent):
            if one.metrics:
                try:
                    metrics = metrics_of(one.metrics, one.n)
                except UnusualError:
                    self._bad[i] = True
                    continue
                for name, values in metrics.items():
                    found.setdefault(name, []).append(Values(values.at + self._starts[i], values.values))
        return {name: Values.joined(parts) for name, parts in found.items()}
