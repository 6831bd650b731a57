"""Makers of telemetry, and the brute-force truth about it, written apart from the code that counts."""

import hashlib
import json
import math
import re
import struct
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from davylamp_sdk._event import EventBatch, RequestEvent
from schemas.windows import SESSION_AGES_S, Cell, CohortWindow, Metric
from transport.log import Record

TOPIC = "mcp-requests"
WINDOW_MS = 100

LABEL = "7.1.session.786db6f38e0cd8b7"
BASELINE = f"{LABEL};v1"
CANARY = "7.1.session.0123456789abcdef;v2"

Key = tuple[int, str, str, str]
"""(window start, service, version, label)."""
Counts = dict[str, int]
"""Everything a cell counts, flat: only what is not zero."""


def event(sequence: int = 0, **changes: Any) -> RequestEvent:
    """A successful tool call of a session that the proxy assigned to the baseline."""
    fields: dict[str, Any] = {
        "producer": "orders-1/1",
        "sequence": sequence,
        "service": "orders",
        "version": "v1",
        "instance": "orders-1",
        "session": "9f86d081",
        "assignment": BASELINE,
        "method": "tools/call",
        "tool": "create_invoice",
        "outcome": "ok",
        "started_at": 1_700_000_000_000,
        "duration_ms": 12.5,
    }
    return RequestEvent.model_validate(fields | changes)


COLUMNS = ("method", "outcome", "session", "assignment", "tool", "error_type", "protocol_version")
"""Columns of a batch that hold places in its names."""


def batch(events: Sequence[RequestEvent], *, dropped: int = 0) -> EventBatch:
    """Events of one producer, whose sequences follow each other, as one message."""
    names: dict[str, int] = {}
    first = events[0]
    fields: dict[str, Any] = {
        name: getattr(first, name) for name in ("producer", "sequence", "service", "version", "instance", "tells_ends")
    }
    for name in COLUMNS:
        column = [getattr(e, name) for e in events]
        fields[name] = [-1 if value is None else names.setdefault(value, len(names)) for value in column]
    for name in ("session_age_ms", "session_gap_ms"):
        fields[name] = [-1 if getattr(e, name) is None else getattr(e, name) for e in events]
    metrics: dict[str, dict[str, list[float]]] = {}
    for i, e in enumerate(events):
        for name, value in e.metrics.items():
            metric = metrics.setdefault(name, {"at": [], "values": []})
            metric["at"].append(i)
            metric["values"].append(value)
    fields |= {name: [getattr(e, name) for e in events] for name in ("started_at", "duration_ms")}
    first_of_session = [i for i, e in enumerate(events) if e.first_of_session]
    fields |= {"names": list(names), "dropped": dropped, "first_of_session": first_of_session, "metrics": metrics}
    return EventBatch.model_validate(fields)


def events_in(sent: EventBatch, which: Iterable[int] | None = None) -> list[RequestEvent]:
    """A batch's events, all or some, one by one. Raises ``ValueError`` if one of them is none."""
    positions = range(len(sent)) if which is None else which
    return [RequestEvent.model_validate(dict(_fields(sent, i))) for i in positions]


def _fields(sent: EventBatch, i: int) -> Iterator[tuple[str, Any]]:
    for name in ("producer", "service", "version", "instance", "tells_ends"):
        yield name, getattr(sent, name)
    yield "sequence", sent.sequence + i
    yield "started_at", sent.started_at[i]
    yield "duration_ms", sent.duration_ms[i]
    yield "first_of_session", i in sent.first_of_session
    for name in COLUMNS:
        column = getattr(sent, name)
        if column and column[i] != -1:
            yield name, sent.names[column[i]]
    for name in ("session_age_ms", "session_gap_ms"):
        column = getattr(sent, name)
        if column and column[i] != -1:
            yield name, column[i]
    yield "metrics", {name: m.values[m.at.index(i)] for name, m in sent.metrics.items() if i in m.at}


def record(
    offset: int,
    at_ms: int,
    value: RequestEvent | EventBatch | bytes | None,
    *,
    partition: int = 0,
    topic: str = TOPIC,
    headers: Mapping[str, bytes] | None = None,
) -> Record:
    """A record of the telemetry."""
    raw = value if value is None or isinstance(value, bytes) else value.dump()
    return Record(topic, partition, offset, at_ms, b"orders-1/1", raw, headers or {})


def tick(offset: int, at_ms: int, partition: int = 0) -> Record:
    """A record that only tells the time."""
    headers = {"content-type": b"application/vnd.davylamp.tick"}
    return record(offset, at_ms, b"", partition=partition, headers=headers)


@dataclass
class _Letters:
    """How many dead letters may be kept: so many at once, and some more a window."""

    most: int
    more: int
    taken: int = 0
    newest: int | None = None

    def enter(self, window: int) -> None:
        passed = window - (window if self.newest is None else self.newest)
        self.newest, self.taken = window, max(0, self.taken - self.more * passed)

    def refuse(self, words: Counts, messages: int) -> None:
        words["malformed"] += messages
        words["unkept"] += max(0, self.taken + messages - self.most)
        self.taken = min(self.most, self.taken + messages)


@dataclass
class Said:
    """What a partition's windows say, cell by cell and of themselves."""

    cells: dict[Key, Counts]
    windows: dict[tuple[int, str], Counts]
    """(window start, service; nobody's name: of the partition) → what is not in a cell."""


def truth(
    records: Iterable[Record],
    window_ms: int = WINDOW_MS,
    holes: Mapping[int, int] | None = None,
    letters: tuple[int, int] = (200, 20),
) -> Said:
    """What the windows of one partition's log must say: one scalar pass that remembers everything.

    ``holes``: offset before which retention took records unread → end of the newest window that was closed by then.
    What comes behind lies in a later window, and nobody knows what was sent in the one before. ``letters``: dead letters
    that may be kept at once, and how many more a window.
    """
    kept = _Letters(*letters)
    cells: dict[Key, Counts] = defaultdict(lambda: defaultdict(int))
    words: dict[tuple[int, str], Counts] = defaultdict(lambda: defaultdict(int))
    sent: dict[int, set[tuple[str, int]]] = defaultdict(set)
    clock = 0
    for message in records:
        if holes and message.offset in holes:
            clock = max(clock, holes[message.offset])
            sent.clear()
            kept = _Letters(*letters)
        clock = max(clock, message.timestamp_ms)
        window = clock // window_ms
        kept.enter(window)
        events, dropped = read(message)
        if not events:
            kept.refuse(words[window * window_ms, ""], 1 - is_tick(message))
            continue
        for i, said in enumerate(events):
            of_window = words[window * window_ms, said.service]
            identity = said.producer, said.sequence
            is_new = identity not in sent[window] and identity not in sent[window - 1]
            sent[window].add(identity)
            if not is_new:
                of_window["duplicates"] += 1
                continue
            if i == 0:
                of_window[f"dropped {said.instance}"] += dropped
            version, label = _cohort(said)
            of_window["folded"] += _folded(said, version, label)
            counts = cells[window * window_ms, said.service, version, label]
            for name, n in _counted(said, version, label, message.timestamp_ms):
                counts[name] += n
            if label != "-":
                for name in _lifetime(said, clock, window, window_ms):
                    counts[name] += 1
    return Said(_plain(cells), _plain(words))


def summed(said: Iterable[Said]) -> Said:
    """What several partitions say, as one."""
    cells: dict[Key, Counts] = {}
    windows: dict[tuple[int, str], Counts] = {}
    for one in said:
        for key, row in one.cells.items():
            cells[key] = dict(Counter(cells.get(key, {})) + Counter(row))
        for at, row in one.windows.items():
            windows[at] = dict(Counter(windows.get(at, {})) + Counter(row))
    return Said(cells, windows)


def true_counts(records: Iterable[Record], window_ms: int = WINDOW_MS) -> dict[Key, Counts]:
    """The cells of :func:`truth`."""
    return truth(records, window_ms).cells


def told_counts(windows: Iterable[CohortWindow]) -> dict[Key, Counts]:
    """What windows say, in the form of :func:`true_counts`; the same cell of several partitions adds up."""
    found: dict[Key, Counts] = defaultdict(lambda: defaultdict(int))
    for window in windows:
        for cell in window.cells:
            counts = found[window.window_start, window.service, cell.version, cell.label]
            for name, n in _flat(cell):
                counts[name] += n
    plain: dict[Key, Counts] = _plain(found)
    return plain


def told(windows: Sequence[CohortWindow]) -> Said:
    """What the windows of several services and partitions say, in the form of :func:`truth`."""
    words: dict[tuple[int, str], Counts] = defaultdict(lambda: defaultdict(int))
    bad: dict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
    for window in windows:
        of_window = words[window.window_start, window.service]
        of_window["duplicates"] += window.duplicates
        of_window["folded"] += window.folded
        for instance, n in window.dropped.items():
            of_window[f"dropped {instance}"] += n
        bad[window.window_start, window.partition].add((window.malformed, window.unkept))
    for (start, _), said in bad.items():
        ((malformed, unkept),) = said  # of the partition: every service's window says the same
        words[start, ""]["malformed"] += malformed
        words[start, ""]["unkept"] += unkept
    return Said(told_counts(windows), _plain(words))


def total_counts(counts: Mapping[Key, Counts]) -> dict[tuple[str, str, str], Counts]:
    """Summed over windows."""
    found: dict[tuple[str, str, str], Counts] = defaultdict(lambda: defaultdict(int))
    for (_, *cell), row in counts.items():
        for name, n in row.items():
            found[cell[0], cell[1], cell[2]][name] += n
    return {cell: dict(row) for cell, row in found.items()}


def _plain(found: Mapping[Any, Counts]) -> Any:
    rows = {key: {name: n for name, n in row.items() if n} for key, row in found.items()}
    return {key: row for key, row in rows.items() if row}


def read(message: Record) -> tuple[list[RequestEvent], int]:
    """The events of a message, and how many its producer dropped before; none if nobody can read it."""
    return read_value(message.value or b"")


@lru_cache(maxsize=4096)
def read_value(raw: bytes) -> tuple[list[RequestEvent], int]:
    """The same of a value, which models send again and again."""
    try:
        fields = json.loads(raw)
        if isinstance(fields, dict) and "names" in fields:
            sent = EventBatch.read(raw)
            events, dropped = events_in(sent), sent.dropped
        else:
            events, dropped = [RequestEvent.read(raw)], 0
    except (ValueError, RecursionError):
        return [], 0
    is_named = re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", events[0].service)
    return (events, dropped) if is_named else ([], 0)


def is_tick(message: Record) -> bool:
    """Whether a message only tells the time."""
    return not message.value and "content-type" in message.headers


def _cohort(said: RequestEvent) -> tuple[str, str]:
    label, _, version = (said.assignment or "").partition(";")
    if not label or not version:
        return said.version, "-"
    genuine = re.fullmatch(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(session|cookie|principal)\.[0-9a-f]{16}", label)
    return version, label if genuine and said.session is not None else "-"


def _counted(said: RequestEvent, version: str, label: str, appended_ms: int) -> Iterator[tuple[str, int]]:
    """The name of every count that one event raises, and by how much."""
    yield f"outcome {said.outcome}", 1
    yield "new_sessions", said.first_of_session
    yield "told_sessions", said.first_of_session and said.tells_ends
    yield "mismatches", said.version != version
    yield "stale", abs(said.started_at - appended_ms) >= 3_600_000
    is_tool_call = said.method == "tools/call" and said.outcome not in {
        "cancelled",
        "rejected",
        "input_required",
        "ended",
    }
    failed = is_tool_call and said.outcome != "ok"
    timed = said.outcome in {"ok", "tool_error", "rpc_error", "server_error", "timeout"}
    if is_tool_call:
        yield "tool_calls", 1
        yield f"tool {said.tool or '_unknown'} n", 1
        yield f"tool {said.tool or '_unknown'} bad", failed
    if timed:
        yield f"bin {_bin(said.duration_ms)}", 1
    bucket = None if label == "-" or said.session is None else _bucket(said.session, label)
    yield from _metrics(said, bucket)
    if bucket is None or said.outcome in {"cancelled", "rejected", "ended"}:
        return
    yield f"bucket {bucket} n", 1
    yield f"bucket {bucket} err", said.outcome in {"rpc_error", "server_error", "timeout"}
    yield f"bucket {bucket} tools", is_tool_call
    yield f"bucket {bucket} tf", failed
    yield f"bucket {bucket} lat", timed


def _folded(said: RequestEvent, version: str, label: str) -> int:
    """How often it is counted with others or left out, where no cap is reached: `_other` is nobody's own name."""
    is_tool_call = said.method == "tools/call" and said.outcome not in {
        "cancelled",
        "rejected",
        "input_required",
        "ended",
    }
    left_out = sum(name == "_other" or not 0 <= value <= 1e9 for name, value in said.metrics.items())
    return left_out + (is_tool_call and said.tool == "_other") + (label == "-" and version == "_other")


def _bucket(session: str, label: str) -> int:
    rollout = int(label.partition(".")[0]).to_bytes(16, "big")
    hashed = hashlib.blake2b(session.encode(), digest_size=8, salt=rollout).digest()
    return int.from_bytes(hashed, "big") % 64


def _metrics(said: RequestEvent, bucket: int | None) -> Iterator[tuple[str, int]]:
    for name, value in said.metrics.items():
        if 0 <= value <= 1e9 and name != "_other":
            of_all = [f"metric {name}"] + ([] if bucket is None else [f"metric {name} bucket {bucket}"])
            for place in of_all:
                yield f"{place} n", 1
                yield f"{place} micro", round(value * 1_000_000)
            yield f"metric {name} bin {_bin(value)}", 1


def _lifetime(said: RequestEvent, clock: int, window: int, window_ms: int) -> Iterator[str]:
    """What the event says of its session's life."""
    yield from (f"life {since} {age}" for since, age in _lived(said, clock, window, window_ms))
    yield from (f"end {since} {age}" for since, age in _ended(said, clock, window, window_ms))


def _lived(said: RequestEvent, clock: int, window: int, window_ms: int) -> Iterator[tuple[int, int]]:
    """(windows since the birth, which age) of each age that the session reached with this request."""
    if said.session_age_ms is None:
        return
    heard = -1.0 if said.session_gap_ms is None else max(0.0, said.session_age_ms - said.session_gap_ms)
    since = window - math.floor((clock - said.session_age_ms) / window_ms)
    for i, age_s in enumerate(SESSION_AGES_S):
        if heard < age_s * 1000 <= said.session_age_ms:
            yield min(since, math.ceil(3_600_000 / window_ms)), i


def _ended(said: RequestEvent, clock: int, window: int, window_ms: int) -> Iterator[tuple[int, int]]:
    """(windows since the birth, the last age it had reached) of a session that ended."""
    if said.outcome != "ended" or said.session_age_ms is None:
        return
    since = window - math.floor((clock - said.session_age_ms) / window_ms)
    last = max(i for i, age_s in enumerate(SESSION_AGES_S) if age_s * 1000 <= said.session_age_ms)
    yield min(since, math.ceil(3_600_000 / window_ms)), last


def _bin(duration_ms: float) -> int:
    """By the logarithm's integer part and the fraction within its octave, on the float32."""
    single = struct.unpack("f", struct.pack("f", duration_ms))[0]
    if single < 2.0**-10:
        return 0
    mantissa, exponent = math.frexp(single)
    return min((exponent + 9) * 64 + int((2 * mantissa - 1) * 64), 2047)


def _flat(cell: Cell) -> Iterator[tuple[str, int]]:
    for outcome, n in cell.outcomes.items():
        yield f"outcome {outcome}", n
    for name in ("tool_calls", "new_sessions", "told_sessions", "mismatches", "stale"):
        yield name, getattr(cell, name)
    for tool, count in cell.tools.items():
        yield f"tool {tool} n", count.n
        yield f"tool {tool} bad", count.bad
    for i, n in cell.histogram.items():
        yield f"bin {i}", n
    for i, bucket in cell.buckets.items():
        for name in ("n", "err", "tools", "tf", "lat"):
            yield f"bucket {i} {name}", getattr(bucket, name)
    for since, ages in cell.lives.items():
        yield from ((f"life {since} {age}", n) for age, n in ages.items())
    for since, ages in cell.ends.items():
        yield from ((f"end {since} {age}", n) for age, n in ages.items())
    for name, metric in cell.metrics.items():
        yield from _flat_metric(f"metric {name}", metric)


def _flat_metric(name: str, metric: Metric) -> Iterator[tuple[str, int]]:
    yield f"{name} n", metric.n
    yield f"{name} micro", metric.micro
    for i, bucket in metric.buckets.items():
        yield f"{name} bucket {i} n", bucket.n
        yield f"{name} bucket {i} micro", bucket.micro
    for i, n in metric.histogram.items():
        yield f"{name} bin {i}", n
