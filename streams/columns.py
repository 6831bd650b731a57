"""Requests as columns: the one form in which events are counted, whether they came singly or in batches. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import NDArray

from davylamp_sdk._event import Outcome, RequestEvent

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ABSENT = -1
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
OUTCOME_INDEX: Mapping[str, int] = {outcome: i for i, outcome in enumerate(OUTCOMES)}
TOOL_CALL = "tools/call"
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


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of strings: a code a row into ``values``, -1 where there is none. A value may stand there twice."""

    values: Sequence[str]
    codes: Ints

    @classmethod
    def of(cls, column: Iterable[str | None]) -> Self:
        """Code a column."""
        known: dict[str, int] = {}
        codes = [ABSENT if value is None else known.setdefault(value, len(known)) for value in column]
        return cls(list(known), np.array(codes, np.int64))

    def looked_up(self, of: Callable[[str], int], absent: int = ABSENT) -> Ints:
        """``of`` the value of each row; it is asked once for each code that occurs."""
        occurs = np.zeros(len(self.values) + 1, np.bool_)
        occurs[self.codes] = True
        used = np.flatnonzero(occurs[:-1])
        table = np.full(len(occurs), absent)  # code -1 finds its last entry
        table[used] = [of(self.values[code]) for code in used.tolist()]
        return table[self.codes]

    def where(self, keep: Bools) -> "Coded":
        """Some of the rows."""
        return Coded(self.values, self.codes[keep])

    @classmethod
    def joined(cls, columns: Sequence["Coded"]) -> Self:
        """One after the other. A lone value, such as the version of a batch, stands there once for many columns."""
        values: list[str] = []
        lone: dict[str, int] = {}
        codes = []
        for column in columns:
            ahead = len(values)
            if len(column.values) == 1:
                ahead = lone.setdefault(column.values[0], ahead)
            if ahead == len(values):
                values += column.values
            codes.append(np.where(column.codes < 0, ABSENT, column.codes + ahead))
        return cls(values, np.concatenate(codes))


@dataclass(frozen=True, slots=True)
class Values:
    """A custom metric: positions of the rows that have one, ascending, and what it is there."""

    at: Ints
    values: Floats

    def where(self, keep: Bools) -> "Values":
        """As it is among some of the rows."""
        kept = keep[self.at]
        return Values((np.cumsum(keep) - 1)[self.at[kept]], self.values[kept])

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
        for name in ("version", "assignment", "session", "tool"):
            fields[name] = Coded.joined([getattr(chunk, name) for chunk in chunks])
        for name in _PLAIN:
            fields[name] = np.concatenate([getattr(chunk, name) for chunk in chunks])
        return cls(**fields, metrics={name: Values.joined(found) for name, found in metrics.items()})


def columns_of(events: Sequence[RequestEvent]) -> Columns:
    """Single events of one service, in order, as columns."""
    return Columns(
        version=Coded.of(e.version for e in events),
        assignment=Coded.of(e.assignment for e in events),
        session=Coded.of(e.session for e in events),
        tool=Coded.of(e.tool for e in events),
        tool_call=np.array([e.method == TOOL_CALL for e in events], np.bool_),
        outcome=np.array([OUTCOME_INDEX[e.outcome] for e in events], np.int64),
        started_at=np.array([e.started_at for e in events], np.int64),
        duration_ms=np.array([e.duration_ms for e in events], np.float64),
        age_ms=_optional(e.session_age_ms for e in events),
        gap_ms=_optional(e.session_gap_ms for e in events),
        first_of_session=np.array([e.first_of_session for e in events], np.bool_),
        tells_ends=np.array([e.tells_ends for e in events], np.bool_),
        metrics=_metrics(events),
    )


def _optional(column: Iterable[float | None]) -> Floats:
    return np.array([ABSENT if value is None else value for value in column], np.float64)


def _metrics(events: Sequence[RequestEvent]) -> dict[str, Values]:
    found: dict[str, tuple[list[int], list[float]]] = {}
    for row, event in enumerate(events):
        for name, value in event.metrics.items():
            at, values = found.setdefault(name, ([], []))
            at.append(row)
            values.append(value)
    return {name: Values(np.array(at, np.int64), np.array(values, np.float64)) for name, (at, values) in found.items()}
