"""The job of those who bring no counting of their own: decode, validate, tumbling window, count and p99 per cohort.

It is written as a careful engineer would who wants to be fast: msgspec checks types and ranges while it parses, numpy the
columns of a batch, one `bincount` counts. What is asked of an event is what `schemas/json/request-event.v1.schema.json` asks.
"""

import json
import os
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Literal, get_args

import msgspec
import numpy as np
from msgspec import Meta

BOOTSTRAP, TOPIC, EVENTS = os.environ["BENCH_BOOTSTRAP"], os.environ["BENCH_TOPIC"], int(os.environ["BENCH_EVENTS"])
SINGLES = os.environ["BENCH_FORM"] == "singles"
GROUP = f"bench-{TOPIC}-{os.getpid()}"
WINDOW_MS = 5000
TELL_S = 0.05

Name = Annotated[str, Meta(min_length=1, max_length=120)]
Session = Annotated[str, Meta(max_length=64)]
Assignment = Annotated[str, Meta(max_length=100)]
Whole = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Duration = Annotated[float, Meta(ge=0, lt=1e9)]
Age = Annotated[float, Meta(ge=0, lt=1e12)]
Outcome = Literal[
    "ok", "tool_error", "rpc_error", "server_error", "timeout", "cancelled", "input_required", "rejected", "ended"
]
UNTIMED = frozenset({"cancelled", "rejected", "ended"})
"""Outcomes without a latency."""


class Event(msgspec.Struct, gc=False):
    """A single request."""

    producer: Name
    sequence: Whole
    service: Name
    version: Name
    instance: Name
    method: Name
    outcome: Outcome
    started_at: Whole
    duration_ms: Duration
    v: Literal[1] = 1
    session: Session | None = None
    assignment: Assignment | None = None
    tool: Name | None = None
    error_type: Name | None = None
    protocol_version: Name | None = None
    first_of_session: bool = False
    tells_ends: bool = False
    session_age_ms: Age | None = None
    session_gap_ms: Age | None = None
    metrics: Annotated[dict[Name, float], Meta(max_length=32)] = {}


class Batch(msgspec.Struct, gc=False):
    """Requests as columns."""

    producer: Name
    sequence: Whole
    service: Name
    version: Name
    instance: Name
    names: list[Annotated[str, Meta(max_length=120)]]
    method: list[int]
    outcome: list[int]
    started_at: list[int]
    duration_ms: list[float]
    v: Literal[1] = 1
    dropped: Whole = 0
    tells_ends: bool = False
    session: list[int] = []
    assignment: list[int] = []
    tool: list[int] = []
    error_type: list[int] = []
    protocol_version: list[int] = []
    first_of_session: list[int] = []
    session_age_ms: list[float] = []
    session_gap_ms: list[float] = []
    metrics: dict[Name, dict[str, list[float]]] = {}


read_event = msgspec.json.Decoder(Event).decode
read_batch = msgspec.json.Decoder(Batch).decode
_OUTCOMES = frozenset(get_args(Outcome))


class BadBatchError(ValueError):
    """A batch whose columns do not fit."""


def _column(values: list, n: int, low: float, end: float, kind: type) -> np.ndarray:
    read = np.array(values, kind)
    if len(read) != n or read.min() < low or not read.max() < end:
        raise BadBatchError
    return read


def cohort_of(assignment: str | None, version: str) -> str:
    """The version that the proxy assigned."""
    return assignment.rpartition(";")[2] if assignment else version


def columns_of(raw: bytes) -> tuple[list[str], np.ndarray, np.ndarray]:
    """A checked batch: names of cohorts, each request's, and latencies of those that count one (else -1)."""
    batch = read_batch(raw)
    n, names = len(batch.method), batch.names
    for places in (batch.method, batch.session, batch.tool, batch.error_type, batch.protocol_version):
        if places:
            _column(places, n, -1, len(names), np.int64)
    _column(batch.started_at, n, 0, 2**53, np.int64)
    for ages in (batch.session_age_ms, batch.session_gap_ms):
        if ages:
            _column(ages, n, -1, 1e12, np.float64)
    durations = _column(batch.duration_ms, n, 0, 1e9, np.float64)
    outcome = _column(batch.outcome, n, 0, len(names), np.int64)
    timed = np.zeros(len(names), np.bool_)
    for code in np.unique(outcome).tolist():
        if names[code] not in _OUTCOMES:
            raise BadBatchError
        timed[code] = names[code] not in UNTIMED
    durations = np.where(timed[outcome], durations, -1.0)
    if not batch.assignment:
        return [batch.version], np.zeros(n, np.int64), durations
    assigned = _column(batch.assignment, n, -1, len(names), np.int64)
    used, codes = np.unique(assigned, return_inverse=True)
    return [cohort_of(names[i] if i >= 0 else None, batch.version) for i in used.tolist()], codes, durations


BINS = 2048


def bins_of(durations_ms: np.ndarray) -> np.ndarray:
    """Log-linear bins, 64 an octave: the leading bits of the float32."""
    bits = durations_ms.astype(np.float32).view(np.int32) >> 17
    return np.clip(bits - (117 << 6), 0, BINS - 1).astype(np.int64)


_FLOAT, _BITS = struct.Struct("<f"), struct.Struct("<i")


def bin_of(duration_ms: float) -> int:
    """The bin of one."""
    (bits,) = _BITS.unpack(_FLOAT.pack(duration_ms))
    return min(max((bits >> 17) - (117 << 6), 0), BINS - 1)


def p99_of(histogram: np.ndarray) -> float:
    """The lower edge of the bin in which the 99th percentile lies, in milliseconds."""
    below = np.cumsum(histogram)
    at = int(np.searchsorted(below, 0.99 * below[-1]))
    return float(np.array([(at + (117 << 6)) << 17], np.int32).view(np.float32)[0])


class Cells:
    """Count and latencies by window and cohort."""

    def __init__(self) -> None:
        self._cohorts: dict[str, int] = {}
        self._cells: dict[tuple[int, int], tuple[list[int], np.ndarray]] = {}

    def code(self, cohort: str) -> int:
        """The number of a cohort."""
        return self._cohorts.setdefault(cohort, len(self._cohorts))

    def add(self, window: int, cohort: np.ndarray, durations_ms: np.ndarray) -> None:
        """Count rows of one window."""
        known = len(self._cohorts)
        counts = np.bincount(cohort, minlength=known)
        timed = durations_ms >= 0
        joint = np.bincount(cohort[timed] * BINS + bins_of(durations_ms[timed]), minlength=known * BINS)
        for code in np.flatnonzero(counts).tolist():
            n, histogram = self._cell(window, code)
            n[0] += int(counts[code])
            histogram += joint[code * BINS : (code + 1) * BINS]

    def add_one(self, window: int, cohort: str, duration_ms: float) -> None:
        """Count one request."""
        n, histogram = self._cell(window, self.code(cohort))
        n[0] += 1
        if duration_ms >= 0:
            histogram[bin_of(duration_ms)] += 1

    def _cell(self, window: int, code: int) -> tuple[list[int], np.ndarray]:
        cell = self._cells.get((window, code))
        return cell or self._cells.setdefault((window, code), ([0], np.zeros(BINS, np.int64)))

    def all(self) -> Iterator[tuple[str, int, np.ndarray]]:
        """Cohort, count and histogram of each cell."""
        names = list(self._cohorts)
        for (_, code), (n, histogram) in self._cells.items():
            yield names[code], n[0], histogram


def told_by(cells: Iterable[Cells]) -> dict[str, tuple[int, float]]:
    """Count and p99 of each cohort, over all windows."""
    return merged(cell for some in cells for cell in some.all())


def merged(cells: Iterable[tuple[str, int, np.ndarray]]) -> dict[str, tuple[int, float]]:
    """The same, of cells."""
    found: dict[str, tuple[int, np.ndarray]] = {}
    for cohort, n, histogram in cells:
        known, sums = found.get(cohort, (0, np.zeros(BINS, np.int64)))
        found[cohort] = known + n, sums + histogram
    return {cohort: (n, p99_of(histogram)) for cohort, (n, histogram) in found.items()}


class Progress:
    """Tells how many events are counted, on standard output; at the end what was counted."""

    def __init__(self) -> None:
        self._n, self._told = 0, 0.0

    def counted(self, n: int, told: Callable[[], dict[str, tuple[int, float]]]) -> None:
        """``told``: gives count and p99 by cohort, once all is counted."""
        self._n += n
        now = time.monotonic()
        if self._n >= EVENTS or now - self._told > TELL_S:
            self._told = now
            sys.stdout.write(json.dumps({"events": self._n}) + "\n")
            sys.stdout.flush()
        if self._n >= EVENTS:
            sys.stdout.write(json.dumps({"told": told()}) + "\n")
            sys.stdout.flush()


def latency_of(event: Event) -> float:
    """Negative where the outcome has none."""
    return -1.0 if event.outcome in UNTIMED else event.duration_ms


def add_messages(cells: Cells, messages: Iterable[tuple[int, bytes]]) -> int:
    """Count messages, each with its append time; how many events they were."""
    by_window: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    singles: dict[int, tuple[list[int], list[float]]] = {}
    n = 0
    for at_ms, raw in messages:
        window = at_ms // WINDOW_MS
        if SINGLES:
            event = read_event(raw)
            cohorts, durations = singles.setdefault(window, ([], []))
            cohorts.append(cells.code(cohort_of(event.assignment, event.version)))
            durations.append(latency_of(event))
            n += 1
        else:
            names, codes, latencies = columns_of(raw)
            table = np.array([cells.code(name) for name in names])
            by_window.setdefault(window, []).append((table[codes], latencies))
            n += len(codes)
    for window, (cohorts, durations) in singles.items():
        by_window.setdefault(window, []).append((np.array(cohorts), np.array(durations)))
    for window, parts in by_window.items():
        cells.add(window, np.concatenate([c for c, _ in parts]), np.concatenate([d for _, d in parts]))
    return n
