"""Requests as columns: the one form in which events are counted, whether they came singly or in batches. Pure."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import NDArray

from davylamp_sdk._event import Outcome

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ABSENT = -1
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
OUTCOME_INDEX: Mapping[str, int] = {outcome: i for i, outcome in enumerate(OUTCOMES)}
TOOL_CALL = "tools/call"
_CODED = ("version", "assignment", "session", "tool")
_PLAIN = (
    "tool_call",
    "outcome",
    "started_at",
    "duration_ms",
    "age_ms",
    "gap_ms",
    "first_of_session",
    "tells_ends",
)


def first_seen(codes: Ints, size: int) -> list[int]:
    """The distinct codes in the order in which they first appear; codes lie in [-1, size), -1 is passed over."""
    first = np.full(size + 1, len(codes))
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # of several writes the last holds: the first appearance
    found = np.flatnonzero(first[:-1] < len(codes))
    return found[np.argsort(first[found])].tolist()  # type: ignore[no-any-return]


_SPARSE = 8
"""Times as many codes may be possible as there are rows, or a place for each takes more than sorting the rows."""


def distinct(codes: Ints, size: int) -> tuple[list[int], Ints]:
    """The distinct codes in the order in which they first appear, and the number of each row's among them.

    Codes lie in [0, size). Clients choose what is multiplied into a size: so what this takes is bounded by the rows.
    """
    if size <= _SPARSE * len(codes):
        found = first_seen(codes, size)
        numbers = np.zeros(size, np.int64)
        numbers[found] = np.arange(len(found))
        return found, numbers[codes]
    values, first, at = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return values[order].tolist(), np.argsort(order)[at]


class Codes(defaultdict[str | None, int]):
    """Value → its code; asked for another value it gives that the next. None has -1."""

    def __init__(self) -> None:
        super().__init__(count().__next__, {None: ABSENT})

    def names(self) -> list[str]:
        """By code."""
        _, *names = self  # None comes first
        return names  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of strings: a code a row into ``values``, -1 where there is none. A value may stand there twice."""

    values: Sequence[str]
    codes: Ints

    @classmethod
    def of(cls, column: Sequence[str | None]) -> Self:
        """Code a column."""
        known = Codes()
        codes = np.fromiter(map(known.__getitem__, column), np.int64, len(column))
        return cls(known.names(), codes)

    def looked_up(self, of: Callable[[str], int], absent: int = ABSENT) -> Ints:
        """``of`` the value of each row; it is asked once for each code that occurs."""
        return self.looked_up_all(lambda values: list(map(of, values)), absent)

    def looked_up_all(self, of: Callable[[Sequence[str]], Sequence[int] | Ints], absent: int = ABSENT) -> Ints:
        """The same, asked for all values at once."""
        occurs = np.zeros(len(self.values) + 1, np.bool_)
        occurs[self.codes] = True
        used = np.flatnonzero(occurs[:-1])
        table = np.full(len(occurs), absent)  # code -1 finds its last entry
        table[used] = np.asarray(of([self.values[code] for code in used.tolist()]), np.int64)
        return table[self.codes]

    def where(self, keep: Bools) -> "Coded":
        """Some of the rows."""
        return Coded(self.values, self.codes[keep])

    def part(self, rows: slice) -> "Coded":
        """Rows that follow each other; they share what they are made of."""
        return Coded(self.values, self.codes[rows])

    def alone(self) -> "Coded":
        """The same, without values before the first and behind the last that occur."""
        low = int(self.codes.min(where=self.codes >= 0, initial=len(self.values)))
        high = int(self.codes.max(initial=ABSENT)) + 1
        return Coded(self.values[low:high], np.where(self.codes < 0, ABSENT, self.codes - low))

    def by_row(self) -> "Coded":
        """The same, with a value for each row that has one, in their order: so :meth:`alone` leaves each part its own."""
        has = self.codes >= 0
        return Coded([self.values[code] for code in self.codes[has].tolist()], (np.cumsum(has) * has) - 1)

    def distinct(self) -> "Coded":
        """The same, without values that do not occur, and each once."""
        known = defaultdict[str, int](count().__next__)
        codes = self.looked_up(known.__getitem__)
        return Coded(list(known), codes)

    @classmethod
    def joined(cls, columns: Sequence["Coded"]) -> Self:
        """One after the other. What many are made of stands there once: a table, or a lone value as a batch's version."""
        values: list[str] = []
        known: dict[str | int, int] = {}
        codes = []
        for column in columns:
            ahead = len(values)
            ahead = known.setdefault(column.values[0] if len(column.values) == 1 else id(column.values), ahead)
            if ahead == len(values):
                values += column.values
            codes.append(column.codes + ahead)
            np.copyto(codes[-1], ABSENT, where=column.codes < 0)
        return cls(values, np.concatenate(codes))


@dataclass(frozen=True, slots=True)
class Values:
    """A custom metric: positions of the rows that have one, ascending, and what it is there."""

    at: Ints
    values: Floats

    def part(self, rows: slice) -> "Values":
        """As it is among rows that follow each other."""
        first, end = np.searchsorted(self.at, (rows.start, rows.stop)).tolist()
        return Values(self.at[first:end] - rows.start, self.values[first:end])

    def where(self, keep: Bools) -> "Values":
        """As it is among some of the rows."""
        kept = keep[self.at]
        return Values((np.cumsum(keep) - 1)[self.at[kept]], self.values[kept])

    def placed(self, place: Ints) -> "Values":
        """As it is where each row has another place."""
        at = place[self.at]
        order = np.argsort(at)
        return Values(at[order], self.values[order])

    @classmethod
    def joined(cls, parts: Sequence["Values"]) -> Self:
        """Of rows that follow each other, their positions counted through."""
        return cls(np.concatenate([part.at for part in parts]), np.concatenate([part.values for part in parts]))


@dataclass(frozen=True, slots=True)
class Columns:
    """Requests of one service, in the order of the log: one a row."""

    version: Coded
    assignment: Coded
    session: Coded
    tool: Coded
    tool_call: Bools
    outcome: Ints
    """Index into :data:`OUTCOMES`."""
    started_at: Ints
    duration_ms: Floats
    age_ms: Floats
    """-1: absent."""
    gap_ms: Floats
    """-1: absent."""
    first_of_session: Bools
    tells_ends: Bools
    metrics: Mapping[str, Values]
    """None empty, in the order in which the names first appear."""

    def __len__(self) -> int:
        return len(self.outcome)

    def where(self, keep: Bools) -> "Columns":
        """Some of the rows."""
        return Columns(
            version=self.version.where(keep),
            assignment=self.assignment.where(keep),
            session=self.session.where(keep),
            tool=self.tool.where(keep),
            tool_call=self.tool_call[keep],
            outcome=self.outcome[keep],
            started_at=self.started_at[keep],
            duration_ms=self.duration_ms[keep],
            age_ms=self.age_ms[keep],
            gap_ms=self.gap_ms[keep],
            first_of_session=self.first_of_session[keep],
            tells_ends=self.tells_ends[keep],
            metrics={name: some for name, every in self.metrics.items() if len((some := every.where(keep)).at)},
        )

    def ordered(self, order: Ints) -> "Columns":
        """The same rows in another order."""
        place = np.argsort(order)
        fields: dict[str, Any] = {}
        for name in _CODED:
            column = getattr(self, name)
            fields[name] = Coded(column.values, column.codes[order])
        for name in _PLAIN:
            fields[name] = getattr(self, name)[order]
        return Columns(**fields, metrics={name: every.placed(place) for name, every in self.metrics.items()})

    def part(self, start: int, end: int) -> "Columns":
        """Rows that follow each other; they share what they are made of."""
        rows = slice(start, end)
        coded = {name: getattr(self, name).part(rows) for name in _CODED}
        plain = {name: getattr(self, name)[rows] for name in _PLAIN}
        metrics = {name: some for name, every in self.metrics.items() if len((some := every.part(rows)).at)}
        return Columns(**coded, **plain, metrics=metrics)

    def alone(self) -> "Columns":
        """The same, without the sessions of others."""
        return replace(self, session=self.session.alone())

    @classmethod
    def joined(cls, chunks: Sequence[Self]) -> Self:
        """One after the other."""
        if len(chunks) == 1:
            return chunks[0]
        ahead = np.cumsum([0, *map(len, chunks)]).tolist()
        metrics: dict[str, list[Values]] = {}
        for chunk, n in zip(chunks, ahead, strict=False):
            for name, metric in chunk.metrics.items():
                metrics.setdefault(name, []).append(Values(metric.at + n, metric.values))
        fields: dict[str, Any] = {}
        for name in _CODED:
            fields[name] = Coded.joined([getattr(chunk, name) for chunk in chunks])
        for name in _PLAIN:
            fields[name] = np.concatenate([getattr(chunk, name) for chunk in chunks])
        return cls(**fields, metrics={name: Values.joined(found) for name, found in metrics.items()})
