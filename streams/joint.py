"""The batches of a poll as one table: parsed and checked together. Pure.

A call of numpy costs the same for a hundred requests as for a thousand, and a message holds a hundred. What is wrong
here, or only unusual, is told apart batch by batch: :func:`streams.batches.read_batch` reads it alone, and gives the
reason. So whatever is accepted here must be accepted there, and say the same.
"""

from array import array
from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta

from davylamp_sdk._event import MAX_BATCH
from streams.batches import LIMITS, NEVER_EMPTY, OPTIONAL, Batch, metrics_of
from streams.columns import ABSENT, OUTCOME_INDEX, TOOL_CALL, Bools, Coded, Columns, Floats, Ints, Values
from streams.counts import TOOL_FAILURES
from streams.strict import UnusualError

_Name = Annotated[str, Meta(min_length=1, max_length=120)]
_Names = Annotated[list[Annotated[str, Meta(max_length=120)]], Meta(max_length=3 * MAX_BATCH)]
_END = 2**53
_PLACES = ("method", "outcome", *OPTIONAL)
_AGES = ("session_age_ms", "session_gap_ms")
_DEEPEST = 150
"""Brackets of a message: the model reads no JSON that is nested deeper than 200."""


class Sent(msgspec.Struct, gc=False):
    """A batch as it was sent, its columns not looked at yet."""

    producer: _Name
    sequence: Annotated[int, Meta(ge=0, lt=_END)]
    service: _Name
    version: _Name
    instance: _Name
    names: _Names
    method: list[int]
    outcome: list[int]
    started_at: list[int]
    duration_ms: list[float]
    v: Literal[1] = 1
    dropped: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    tells_ends: bool = False
    session: list[int] = []
    assignment: list[int] = []
    tool: list[int] = []
    error_type: list[int] = []
    protocol_version: list[int] = []
    first_of_session: list[int] = []
    session_age_ms: list[float] = []
    session_gap_ms: list[float] = []
    metrics: dict[_Name, dict[str, Any]] = {}

    def fits(self) -> bool:
        """Whether its columns are of one length."""
        n = len(self.method)
        must = self.outcome, self.started_at, self.duration_ms
        may = (
            *(self.session, self.assignment, self.tool, self.error_type, self.protocol_version),
            *(self.session_age_ms, self.session_gap_ms),
        )
        return (
            0 < n <= MAX_BATCH
            and self.sequence + n <= _END
            and all(len(column) == n for column in must)
            and all(not column or len(column) == n for column in may)
        )


_decode = msgspec.json.Decoder(Sent).decode


def is_readable(raw: bytes) -> bool:
    """Whether what msgspec passes over, keys that it does not know, is JSON that the models read."""
    if raw.count(b"[") + raw.count(b"{") > _DEEPEST:
        return False
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError:
            return False
    return True


def parse(raw: bytes) -> Sent | None:
    """The batch in ``raw``; None if it is none, or not as the SDK writes it."""
    try:
        sent = _decode(raw)
    except (ValueError, RecursionError):
        return None
    # JSON may name a metric twice: the model looks at both, and what is parsed only holds the last.
    doubled = sent.metrics and (b"\\" in raw or raw.count(b'"values"') != len(sent.metrics))
    return sent if sent.fits() and not doubled and is_readable(raw) else None


def read_joint(sent: Sequence[Sent]) -> list[Batch | None]:
    """The batches, all in one table if they are of one service; None for each that has to be read alone."""
    if not sent:
        return []
    try:
        table, bad = _Joint(sent).read()
    except OverflowError:  # of one of them a number exceeds 64 bits
        half = len(sent) // 2
        return [*read_joint(sent[:half]), *read_joint(sent[half:])] if half else [None]
    is_shared = any(one.service != sent[0].service for one in sent)
    ends = np.cumsum([len(one.method) for one in sent]).tolist()
    starts = [0, *ends[:-1]]
    fails = np.logical_or.reduceat(TOOL_FAILURES[table.outcome], starts).tolist()
    return [
        None if is_bad else _batch(one, table, start, end, fails=fail, is_shared=is_shared)
        for one, start, end, fail, is_bad in zip(sent, starts, ends, fails, bad.tolist(), strict=True)
    ]


def _batch(one: Sent, table: Columns, start: int, end: int, *, fails: bool, is_shared: bool) -> Batch:
    """Services wait apart, each for as long as it likes: one that says little must not keep what all said."""
    if is_shared:
        table, start, end = table.part(start, end).alone(), 0, end - start
    return Batch(one.producer, one.sequence, one.service, one.instance, one.dropped, table, start, end, fails)


class _Joint:
    """Batches whose columns are of one length each."""

    def __init__(self, sent: Sequence[Sent]) -> None:
        self._sent = sent
        self._lengths = np.array([len(one.method) for one in sent])
        self._names = [name for one in sent for name in one.names]
        self._of = np.repeat(np.arange(len(sent)), self._lengths)
        """The batch of each row."""
        self._starts = np.cumsum(self._lengths) - self._lengths
        self._rows = len(self._of)
        self._bad = np.zeros(len(sent), np.bool_)

    def read(self) -> tuple[Columns, Bools]:
        """The table, and which batches must not be read from it."""
        places = self._places()
        method, outcome = (Coded(self._names, places[name]).distinct() for name in ("method", "outcome"))
        outcomes = outcome.looked_up(lambda name: OUTCOME_INDEX.get(name, ABSENT))
        age_ms, gap_ms = (self._numbers(name, ABSENT, 1e12) for name in _AGES)
        for ages in (age_ms, gap_ms):
            self._refuse((ages < 0) & (ages != ABSENT))
        self._refuse((outcomes == ABSENT) | (method.codes == ABSENT))
        table = Columns(
            version=self._versions(),
            assignment=Coded(self._names, places["assignment"]).distinct(),
            session=Coded(self._names, places["session"]),
            tool=Coded(self._names, places["tool"]).distinct(),
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
        present = [name for name in _PLACES if any(getattr(one, name) for one in self._sent)]
        flat: list[int] = []
        for name in present:
            for one in self._sent:
                flat += getattr(one, name) or [ABSENT] * len(one.method)
        codes = _whole(flat).reshape(len(present), self._rows)
        counts = np.array([len(one.names) for one in self._sent])
        out_of_range = (codes < ABSENT) | (codes >= counts[self._of])
        self._refuse(np.logical_or.reduce(out_of_range))
        ahead = (np.cumsum(counts) - counts)[self._of]
        codes = np.where((codes < 0) | out_of_range, ABSENT, codes + ahead)
        found = dict(zip(present, codes, strict=True))
        self._refuse_names(found)
        return dict.fromkeys(_PLACES, np.full(self._rows, ABSENT)) | found

    def _refuse_names(self, places: dict[str, Ints]) -> None:
        """Names that are too long for their column, or empty where they may not be."""
        longest = max(map(len, self._names), default=0)
        if longest <= min(LIMITS.values()) and "" not in self._names:
            return
        lengths = np.array([*map(len, self._names), 1])  # that of an absent one is in order
        for name, codes in places.items():
            self._refuse(lengths[codes] > LIMITS.get(name, longest))
            if name in NEVER_EMPTY:
                self._refuse(lengths[codes] == 0)

    def _versions(self) -> Coded:
        version = Coded.of([one.version for one in self._sent])
        return Coded(version.values, version.codes[self._of])

    def _started_at(self) -> Ints:
        found = _whole([at for one in self._sent for at in one.started_at])
        self._refuse((found < 0) | (found >= _END))
        return found

    def _numbers(self, name: str, low: float, end: float) -> Floats:
        if not any(getattr(one, name) for one in self._sent):
            return np.full(self._rows, float(ABSENT))
        flat: list[float] = []
        for one in self._sent:
            flat += getattr(one, name) or [float(ABSENT)] * len(one.method)
        found = np.frombuffer(array("d", flat), np.float64)
        self._refuse(~((found >= low) & (found < end)))
        return found

    def _first_of_session(self) -> Bools:
        at = _whole(list(chain.from_iterable(one.first_of_session for one in self._sent)))
        of = np.repeat(np.arange(len(self._sent)), [len(one.first_of_session) for one in self._sent])
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
                    metrics = metrics_of(one.metrics, len(one.method))
                except UnusualError:
                    self._bad[i] = True
                    continue
                for name, values in metrics.items():
                    found.setdefault(name, []).append(Values(values.at + self._starts[i], values.values))
        return {name: Values.joined(parts) for name, parts in found.items()}


def _whole(flat: list[int]) -> Ints:
    """Raises ``OverflowError``."""
    return np.frombuffer(array("q", flat), np.int64) if flat else np.zeros(0, np.int64)
