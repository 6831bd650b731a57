"""One service in one window of one partition while it fills: caps, and what is counted beside the cells. Pure.

What comes waits until there is enough of it, or somebody asks, and is then counted at once, as columns. What is admitted
under a cap is decided in the order of the log, so when it is counted makes no difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from davylamp_sdk._event import RequestEvent
from schemas.windows import MAX_TALLY, OTHER
from streams.admission import Admission
from streams.assignments import read_assignment
from streams.batches import Batch
from streams.columns import ABSENT, Columns, Ints, columns_of, first_seen
from streams.counts import (
    MAX_LABELS,
    MAX_METRICS,
    MAX_TOOLS,
    MAX_VERSIONS,
    Counts,
    Moment,
    Placed,
    is_counted_call,
)

MAX_INSTANCES = 64
UNKNOWN_TOOL = "_unknown"
"""A tool call that names no tool; the SDK says so as well of a name that no server registered."""

_WAITING = 4096

Pair = tuple[str, str]
"""(assigned version, label)."""


@dataclass(slots=True)
class ServiceWindow:
    """Counts as the messages come."""

    index: int
    """Of the window."""
    window_ms: int
    counts: Counts = field(default_factory=Counts)
    labelled: Admission[Pair] = field(default_factory=lambda: Admission(MAX_LABELS))
    unjudged: Admission[str] = field(default_factory=lambda: Admission(MAX_VERSIONS))
    tools: Admission[str] = field(default_factory=lambda: Admission(MAX_TOOLS))
    metrics: Admission[str] = field(default_factory=lambda: Admission(MAX_METRICS))
    instances: Admission[str] = field(default_factory=lambda: Admission(MAX_INSTANCES))
    duplicates: int = 0
    folded: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    _events: list[tuple[RequestEvent, int, int]] = field(default_factory=list)
    """Single ones that are no columns yet; each with its append time and the partition's clock."""
    _waiting: list[tuple[Columns, int | Ints, int | Ints]] = field(default_factory=list)
    """Older than the single ones, not counted yet."""
    _rows: int = 0

    def count(self, said: RequestEvent | Batch, again: int, appended_ms: int, clock_ms: int) -> None:
        """Count events but those that came before: bit i of ``again`` stands for the i-th."""
        self.duplicates += again.bit_count()
        if isinstance(said, Batch):
            self._add_batch(said, again, appended_ms, clock_ms)
        elif not again:
            self._events.append((said, appended_ms, clock_ms))
        if self._rows + len(self._events) >= _WAITING:
            self.settle()

    def settle(self) -> None:
        """Count what waits."""
        self._gather()
        if not self._waiting:
            return
        chunks, appended, clock = zip(*self._waiting, strict=True)
        self._waiting, self._rows = [], 0
        lengths = list(map(len, chunks))
        moment = Moment(self.index, self.window_ms, _each(appended, lengths), _each(clock, lengths))
        self._count(Columns.joined(chunks), moment)

    def _gather(self) -> None:
        if self._events:
            events, appended, clock = zip(*self._events, strict=True)
            self._events = []
            self._wait(columns_of(events), np.array(appended), np.array(clock))

    def _wait(self, rows: Columns, appended_ms: int | Ints, clock_ms: int | Ints) -> None:
        if len(rows):
            self._waiting.append((rows, appended_ms, clock_ms))
            self._rows += len(rows)

    def _add_batch(self, batch: Batch, again: int, appended_ms: int, clock_ms: int) -> None:
        """A batch whose first request came before is one sent again: what it says was dropped is known."""
        self._gather()
        rows = batch.columns.where(~_bits(again, len(batch.columns))) if again else batch.columns
        self._wait(rows, appended_ms, clock_ms)
        if batch.dropped and not again & 1:
            self._drop(batch.instance, batch.dropped)

    def _drop(self, instance: str, n: int) -> None:
        place = self.instances.place(instance)
        name = OTHER if place == MAX_INSTANCES else instance
        self.dropped[name] = min(self.dropped.get(name, 0) + n, MAX_TALLY)

    def _count(self, rows: Columns, moment: Moment) -> None:
        placed = self._placed(rows)
        bucket = self.counts.add(rows, placed, self._tools(rows), moment)
        for name, values in rows.metrics.items():
            place = self.metrics.place(name)
            if place == MAX_METRICS:
                self.folded += len(values.at)
            else:
                self.folded += self.counts.add_metric(place, values, placed.cell, bucket)

    def _placed(self, rows: Columns) -> Placed:
        versions = len(rows.version.values)
        kind = ((rows.assignment.codes + 1) * versions + rows.version.codes) * 2 + (rows.session.codes != ABSENT)
        kinds = (len(rows.assignment.values) + 1) * versions * 2
        table = np.zeros((4, kinds), np.int64)
        for code in first_seen(kind, kinds):
            (header, version), has_session = divmod(code // 2, versions), code % 2 == 1
            assignment = rows.assignment.values[header - 1] if header else None
            table[:, code] = self._place(assignment, rows.version.values[version], has_session=has_session)
        cell, rollout, mismatch, folded = table[:, kind]
        self.folded += int(folded.sum())
        return Placed(cell, rollout, mismatch == 1)

    def _place(self, header: str | None, said: str, *, has_session: bool) -> tuple[int, int, bool, bool]:
        """Cell, rollout, mismatch, folded of a kind of row: the cell of the version that the proxy assigned."""
        assignment = read_assignment(header)
        version = said if assignment.version is None else assignment.version
        is_judged = assignment.rollout is not None and has_session  # without a session there is no cluster to judge by
        place = self.labelled.place((version, assignment.label)) if is_judged else MAX_LABELS
        if place < MAX_LABELS:
            return place, assignment.rollout or 0, version != said, False
        other = self.unjudged.place(version)
        return MAX_LABELS + other, ABSENT, version != said, is_judged or other == MAX_VERSIONS

    def _tools(self, rows: Columns) -> Ints:
        """The place of each row's tool, whatever where no call counts."""
        tool, values = rows.tool.codes, rows.tool.values
        calls = np.flatnonzero(is_counted_call(rows))
        table = np.full(len(values) + 1, MAX_TOOLS)
        # -1, no tool at all, is a code as well: it finds the table's last entry
        for code in first_seen(tool[calls] + 1, len(values) + 1):
            table[code - 1] = self.tools.place(values[code - 1] if code else UNKNOWN_TOOL)
        places = table[tool]
        self.folded += int((places[calls] == MAX_TOOLS).sum())
        return places


def _each(moments: Sequence[int | Ints], lengths: Sequence[int]) -> Ints:
    """A value each of so many rows."""
    if all(isinstance(at, int) for at in moments):
        return np.repeat(np.array(moments), lengths)
    return np.concatenate([np.broadcast_to(at, n) for at, n in zip(moments, lengths, strict=True)])


def _bits(number: int, n: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Bit i of ``number`` at position i."""
    octets = np.frombuffer(number.to_bytes((n + 7) // 8, "little"), np.uint8)
    return np.unpackbits(octets, count=n, bitorder="little").astype(np.bool_)
