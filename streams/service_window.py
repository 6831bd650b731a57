"""One service in one window of one partition while it fills: caps, and what is counted beside the cells. Pure.

What comes waits until there is enough of it, or somebody asks, and is then counted at once, as columns. What is admitted
under a cap is decided in the order of the log, so when it is counted makes no difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.windows import MAX_TALLY, OTHER
from streams.admission import Admission
from streams.assignments import read_assignment
from streams.batches import Batch
from streams.columns import ABSENT, Bools, Columns, Ints, Values, distinct, first_seen
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
from streams.singles import Loose

MAX_INSTANCES = 64
UNKNOWN_TOOL = "_unknown"
"""A tool call that names no tool; the SDK says so as well of a name that no server registered."""

_WAITING = 4096

Pair = tuple[str, str]
"""(assigned version, label)."""


@dataclass(frozen=True, slots=True)
class Appended:
    """Where requests stand in the log: the one message that holds them all, or a message each."""

    offset: Ints
    at_ms: Ints
    clock_ms: Ints
    """The partition's clock at each."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Requests that are not counted yet: rows of a table that follow each other."""

    table: Columns
    start: int
    end: int
    again: Bools | None
    """Which of them came before; None: none."""
    appended: Appended

    def __len__(self) -> int:
        return self.end - self.start

    def follows(self, other: "Waiting") -> bool:
        """Whether it stands directly behind another one."""
        return self.table is other.table and self.start == other.end

    def through(self, last: "Waiting") -> Columns:
        """Its requests and all behind, to those of another one in the same table."""
        whole = self.start == 0 and last.end == len(self.table)
        return self.table if whole else self.table.part(self.start, last.end)


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
    _waiting: list[Waiting] = field(default_factory=list)
    _rows: int = 0

    def count(self, said: Batch | Loose, again: Bools | None, appended: Appended) -> None:
        """Count requests but those that came before, a flag each, or None if none did.

        What is counted later may stand before them in the log, until :meth:`pause`. A batch whose first request came
        before is one sent again: what it says was dropped is known.
        """
        self.duplicates += 0 if again is None else int(again.sum())
        if isinstance(said, Batch) and said.dropped and (again is None or not again[0]):
            self._drop(said.instance, said.dropped)
        self._waiting.append(Waiting(said.table, said.start, said.end, again, appended))
        self._rows += len(said)

    def pause(self) -> None:
        """Whatever is counted later stands behind all this in the log: so much may be settled."""
        if self._rows >= _WAITING:
            self.settle()

    def settle(self) -> None:
        """Count what waits, in the order of the log."""
        waiting, self._waiting, self._rows = self._waiting, [], 0
        if not waiting:
            return
        rows = Columns.joined(list(_chunks(waiting)))
        if len(rows):
            offset, appended_ms, clock_ms = _appended(waiting)
            if (offset[1:] < offset[:-1]).any():
                order = np.argsort(offset, kind="stable")
                rows, appended_ms, clock_ms = rows.ordered(order), appended_ms[order], clock_ms[order]
            self._count(rows, Moment(self.index, self.window_ms, appended_ms, clock_ms))

    def _drop(self, instance: str, n: int) -> None:
        place = self.instances.place(instance)
        name = OTHER if place == MAX_INSTANCES else instance
        self.dropped[name] = min(self.dropped.get(name, 0) + n, MAX_TALLY)

    def _count(self, rows: Columns, moment: Moment) -> None:
        placed = self._placed(rows)
        bucket = self.counts.add(rows, placed, self._tools(rows), moment)
        for name, values in sorted(rows.metrics.items(), key=_first_appearance):
            place = self.metrics.place(name)
            if place == MAX_METRICS:
                self.folded += len(values.at)
            else:
                self.folded += self.counts.add_metric(place, values, placed.cell, bucket)

    def _placed(self, rows: Columns) -> Placed:
        versions = len(rows.version.values)
        code = ((rows.assignment.codes + 1) * versions + rows.version.codes) * 2 + (rows.session.codes != ABSENT)
        kinds, kind = distinct(code, (len(rows.assignment.values) + 1) * versions * 2)
        table = np.zeros((4, len(kinds)), np.int64)
        for place, one in enumerate(kinds):
            (header, version), has_session = divmod(one // 2, versions), one % 2 == 1
            assignment = rows.assignment.values[header - 1] if header else None
            table[:, place] = self._place(assignment, rows.version.values[version], has_session=has_session)
        cell, rollout, mismatch, folded = table[:, kind]
        self.folded += int(folded.sum())
        return Placed(cell, rollout, mismatch == 1, set(table[1].tolist()))

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


def _chunks(waiting: Sequence[Waiting]) -> Iterator[Columns]:
    """What is new; what follows each other in a table stays together."""
    at = 0
    while at < len(waiting):
        first = last = waiting[at]
        at += 1
        if first.again is not None:
            yield first.through(first).where(~first.again)
            continue
        while at < len(waiting) and waiting[at].again is None and waiting[at].follows(last):
            last = waiting[at]
            at += 1
        yield first.through(last)


def _appended(waiting: Sequence[Waiting]) -> tuple[Ints, Ints, Ints]:
    """Offset, append time and clock of each row of :func:`_chunks`."""
    repeats: list[int] = []
    for some in waiting:
        n = len(some.appended.offset)
        repeats += [len(some)] if n == 1 else [1] * n
    offset, at_ms, clock_ms = (
        np.repeat(np.concatenate([getattr(some.appended, name) for some in waiting]), repeats)
        for name in ("offset", "at_ms", "clock_ms")
    )
    if all(some.again is None for some in waiting):
        return offset, at_ms, clock_ms
    none = np.zeros(max(map(len, waiting)), np.bool_)
    new = ~np.concatenate([none[: len(some)] if some.again is None else some.again for some in waiting])
    return offset[new], at_ms[new], clock_ms[new]


def _first_appearance(metric: tuple[str, Values]) -> tuple[int, str]:
    """In the order of the log, whatever was counted at once."""
    name, values = metric
    return int(values.at[0]), name
