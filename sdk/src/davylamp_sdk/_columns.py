"""The columns of a batch, written without a model per event: what `EventBatch` reads, by test of both."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from davylamp_sdk._finished import MAX_METRICS, Row

MAX_BYTES: Final = 512 * 1024
"""Of one message: half of what Kafka takes unless told otherwise."""

_OPTIONAL: Final[dict[str, Callable[[Row], str | None]]] = {
    "session": lambda row: row.session,
    "assignment": lambda row: row.assignment,
    "tool": lambda row: row.tool,
    "error_type": lambda row: row.error_type,
    "protocol_version": lambda row: row.protocol_version,
}
"""Columns of names that a request may lack."""

ABSENT: Final = -1


class TooLargeError(ValueError):
    """More than one message holds."""


class _Names:
    """Every string of a batch once, by its place."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def place(self, name: str | None) -> int:
        return ABSENT if name is None else self._places.setdefault(name, len(self._places))

    def all(self) -> list[str]:
        return list(self._places)


def encode(identity: Mapping[str, Any], sequence: int, dropped: int, rows: Sequence[Row]) -> bytes:
    """The JSON of an ``EventBatch`` whose first request is number `sequence`. `identity`: its constant fields.

    Raises :class:`TooLargeError`, never for a single row.
    """
    names = _Names()
    batch = {
        **identity,
        "v": 1,
        "sequence": sequence,
        "dropped": dropped,
        "method": [names.place(row.method) for row in rows],
        "outcome": [names.place(row.outcome) for row in rows],
        "started_at": [row.started_at for row in rows],
        "duration_ms": [row.duration_ms for row in rows],
        **_named(rows, names),
        **_ages(rows),
    }
    if first := [at for at, row in enumerate(rows) if row.first]:
        batch["first_of_session"] = first
    if metrics := _metrics(rows):
        batch["metrics"] = metrics
    batch["names"] = names.all()
    value = json.dumps(batch, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    if len(value) > MAX_BYTES and len(rows) > 1:
        raise TooLargeError(f"{len(rows)} requests make {len(value)} bytes")
    return value


def _named(rows: Sequence[Row], names: _Names) -> dict[str, list[int]]:
    columns = {name: [names.place(of(row)) for row in rows] for name, of in _OPTIONAL.items()}
    return {name: column for name, column in columns.items() if max(column) > ABSENT}


def _ages(rows: Sequence[Row]) -> dict[str, list[float]]:
    columns = {
        "session_age_ms": [ABSENT if row.age_ms is None else row.age_ms for row in rows],
        "session_gap_ms": [ABSENT if row.gap_ms is None else row.gap_ms for row in rows],
    }
    return {name: column for name, column in columns.items() if max(column) > ABSENT}


def _metrics(rows: Iterable[Row]) -> dict[str, dict[str, list[float]]]:
    columns: dict[str, dict[str, list[float]]] = {}
    for at, row in enumerate(rows):
        for name, value in row.metrics.items():
            column = columns.setdefault(name, {"at": [], "values": []})
            column["at"].append(at)
            column["values"].append(value)
    if len(columns) > MAX_METRICS:
        raise TooLargeError(f"{len(columns)} metrics, a batch holds {MAX_METRICS}")
    return columns
