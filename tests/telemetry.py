"""Makers of telemetry, and the brute-force truth about it, written apart from the code that counts."""

import hashlib
import math
import re
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from davylamp_sdk._event import RequestEvent
from schemas.windows import Cell, CohortWindow
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


def record(
    offset: int,
    at_ms: int,
    value: RequestEvent | bytes | None,
    *,
    partition: int = 0,
    topic: str = TOPIC,
    headers: Mapping[str, bytes] | None = None,
) -> Record:
    """A record of the telemetry."""
    raw = value.dump() if isinstance(value, RequestEvent) else value
    return Record(topic, partition, offset, at_ms, b"orders-1/1", raw, headers or {})


def tick(offset: int, at_ms: int, partition: int = 0) -> Record:
    """A record that only tells the time."""
    headers = {"content-type": b"application/vnd.davylamp.tick"}
    return record(offset, at_ms, b"", partition=partition, headers=headers)


def true_counts(records: Iterable[Record], window_ms: int = WINDOW_MS) -> dict[Key, Counts]:
    """What the windows of one partition's log must say: one scalar pass that remembers everything."""
    found: dict[Key, Counts] = defaultdict(lambda: defaultdict(int))
    sent: dict[int, set[tuple[str, int]]] = defaultdict(set)
    clock = 0
    for message in records:
        clock = max(clock, message.timestamp_ms)
        window = clock // window_ms
        said = _event_in(message)
        if said is None:
            continue
        identity = said.producer, said.sequence
        is_new = identity not in sent[window] and identity not in sent[window - 1]
        sent[window].add(identity)
        if is_new:
            version, label = _cohort(said)
            counts = found[window * window_ms, said.service, version, label]
            for name in _names(said, version, label):
                counts[name] += 1
    return {key: dict(counts) for key, counts in found.items()}


def told_counts(windows: Iterable[CohortWindow]) -> dict[Key, Counts]:
    """What windows say, in the form of :func:`true_counts`; the same cell of several partitions adds up."""
    found: dict[Key, Counts] = defaultdict(lambda: defaultdict(int))
    for window in windows:
        for cell in window.cells:
            counts = found[window.window_start, window.service, cell.version, cell.label]
            for name, n in _flat(cell).items():
                counts[name] += n
    return {key: dict(counts) for key, counts in found.items()}


def total_counts(counts: Mapping[Key, Counts]) -> dict[tuple[str, str, str], Counts]:
    """Summed over windows."""
    found: dict[tuple[str, str, str], Counts] = defaultdict(lambda: defaultdict(int))
    for (_, *cell), row in counts.items():
        for name, n in row.items():
            found[cell[0], cell[1], cell[2]][name] += n
    return {cell: dict(row) for cell, row in found.items()}


def _event_in(message: Record) -> RequestEvent | None:
    try:
        return RequestEvent.read(message.value or b"")
    except ValueError:
        return None


def _cohort(said: RequestEvent) -> tuple[str, str]:
    label, _, version = (said.assignment or "").partition(";")
    if not label or not version:
        return said.version, "-"
    genuine = re.fullmatch(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(session|cookie|principal)\.[0-9a-f]{16}", label)
    return version, label if genuine and said.session is not None else "-"


def _names(said: RequestEvent, version: str, label: str) -> Iterable[str]:
    """The name of every count that one event raises by one."""
    yield f"outcome {said.outcome}"
    if said.first_of_session:
        yield "new_sessions"
    if said.version != version:
        yield "mismatches"
    is_tool_call = said.method == "tools/call" and said.outcome not in {"cancelled", "rejected", "input_required"}
    if is_tool_call:
        yield "tool_calls"
    if said.outcome in {"ok", "tool_error", "rpc_error", "server_error", "timeout"}:
        yield f"bin {_bin(said.duration_ms)}"
    if label == "-" or said.session is None or said.outcome in {"cancelled", "rejected"}:
        return
    rollout = int(label.partition(".")[0]).to_bytes(16, "big")
    hashed = hashlib.blake2b(said.session.encode(), digest_size=8, salt=rollout).digest()
    bucket = int.from_bytes(hashed, "big") % 64
    yield f"bucket {bucket} n"
    if said.outcome in {"rpc_error", "server_error", "timeout"}:
        yield f"bucket {bucket} err"
    if is_tool_call:
        yield f"bucket {bucket} tools"
        if said.outcome != "ok":
            yield f"bucket {bucket} tf"


def _bin(duration_ms: float) -> int:
    """By the logarithm's integer part and the fraction within its octave, on the float32."""
    single = struct.unpack("f", struct.pack("f", duration_ms))[0]
    if single < 2.0**-10:
        return 0
    mantissa, exponent = math.frexp(single)
    return min((exponent + 9) * 64 + int((2 * mantissa - 1) * 64), 2047)


def _flat(cell: Cell) -> Counts:
    counts = {f"outcome {outcome}": n for outcome, n in cell.outcomes.items()}
    counts |= {name: getattr(cell, name) for name in ("tool_calls", "new_sessions", "mismatches")}
    counts |= {f"bin {i}": n for i, n in cell.histogram.items()}
    for i, bucket in cell.buckets.items():
        counts |= {f"bucket {i} {name}": getattr(bucket, name) for name in ("n", "err", "tools", "tf")}
    return {name: n for name, n in counts.items() if n}
