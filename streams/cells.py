"""From the counts of a service to the cells that are published. Pure.

They are told as the JSON of a model. A partial is said many times a second, and to make the models of its buckets, only
to write them, took half of the time of saying it.
"""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from schemas.labels import UNJUDGED
from schemas.outcomes import ERROR_BAD, ERROR_COUNTED, LATENCY_COUNTED, TOOL_BAD, TOOL_COUNTED
from schemas.windows import BUCKETS, COARSE_PER_FINE, MICRO, OTHER
from streams.columns import OUTCOMES, Ints
from streams.counts import (
    BUCKET_LATENCY,
    COARSE_BINS,
    LATENCY,
    MARKS,
    MAX_LABELS,
    MAX_TOOLS,
    METRICS,
    REQUESTS,
    SUMS,
    TOOL_CALLS,
    TOOLS,
    counted_in,
    lives_shape,
)
from streams.histogram import BINS
from streams.service_window import ServiceWindow
from streams.tables import Entries, Requests, by_cell, from_floor, nested, sparse

Told = dict[str, Any]
"""A message as its JSON says it: every field but those that are None, keys in no order."""


def _bucket_columns() -> Ints:
    """A row for (no tool call, tool call) × outcome: whether it counts in each field of a bucket."""
    every = [np.tile(counted_in(kinds), 2) for kinds in (ERROR_COUNTED, ERROR_BAD, LATENCY_COUNTED)]
    nothing = np.zeros(len(OUTCOMES), np.bool_)
    calls = [np.concatenate((nothing, counted_in(kinds))) for kinds in (TOOL_COUNTED, TOOL_BAD)]
    return np.stack((*every[:2], *calls, every[2]), axis=1).astype(np.int64)


_BUCKET_COLUMNS = _bucket_columns()


def told_cells(service: ServiceWindow, *, final: bool) -> list[Told]:
    """The cells so far, by version and label; in final ones with the histograms of the session buckets."""
    service.settle()
    counts = service.counts
    latency = by_cell(counts.latency, LATENCY)
    requests = {
        cell: Requests.of(entries, latency.get(cell)) for cell, entries in by_cell(counts.requests, REQUESTS).items()
    }
    bucket_latency = by_cell(counts.bucket_latency, BUCKET_LATENCY) if final else {}
    floor = bucket_floor(r for cell, r in requests.items() if cell < MAX_LABELS) if final else None
    tools, marks = by_cell(counts.tools, TOOLS), by_cell(counts.marks, MARKS)
    lives, ends = (by_cell(tally, lives_shape(service.window_ms)) for tally in (counts.lives, counts.ends))
    metrics, sums = by_cell(counts.metrics, METRICS), by_cell(counts.sums, SUMS)
    cells = []
    for cell, counted in requests.items():
        version, label = _pair(service, cell)
        new_sessions, mismatches, stale, told_sessions = _marks(marks.get(cell))
        is_judged = label != UNJUDGED
        told = {
            "version": version,
            "label": label,
            "outcomes": _outcomes(counted),
            "tool_calls": int(counted.joint[:, 1, TOOL_CALLS].sum()),
            "new_sessions": new_sessions,
            "mismatches": mismatches,
            "stale": stale,
            "buckets": _buckets(counted),
            "histogram": sparse(counted.latency),
            "bucket_histograms": {} if floor is None or not is_judged else from_floor(bucket_latency.get(cell), floor),
            "tools": _tools(tools.get(cell), service.tools.names()),
            "lives": _lives(lives.get(cell)),
            "told_sessions": told_sessions,
            "ends": _lives(ends.get(cell)),
            "metrics": _metrics(metrics.get(cell), sums.get(cell), service.metrics.names(), final=final),
        }
        cells.append(told | ({"bucket_floor": floor} if is_judged and floor is not None else {}))
    return sorted(cells, key=itemgetter("version", "label"))


def bucket_floor(judged: Iterable[Requests]) -> int | None:
    """The coarse bin of the smallest 75th percentile of the latency over cells; None without any latency."""
    found = [p75 for requests in judged if (p75 := requests.p75_bin()) is not None]
    return min(found) // COARSE_PER_FINE if found else None


def _pair(service: ServiceWindow, cell: int) -> tuple[str, str]:
    if cell < MAX_LABELS:
        return service.labelled.names()[cell]
    versions = [*service.unjudged.names(), OTHER]
    return versions[min(cell - MAX_LABELS, len(versions) - 1)], UNJUDGED


def _outcomes(counted: Requests) -> Told:
    return {outcome: n for outcome, n in zip(OUTCOMES, counted.joint.sum(axis=(0, 1)).tolist(), strict=True) if n}


def _buckets(counted: Requests) -> Told:
    table = counted.joint[1:].reshape(BUCKETS, -1) @ _BUCKET_COLUMNS
    return {
        str(i): {"n": n, "err": err, "tools": tools, "tf": tf, "lat": lat}
        for i, (n, err, tools, tf, lat) in enumerate(table.tolist())
        if n
    }


def _marks(entries: Entries | None) -> list[int]:
    return [0] * MARKS[1] if entries is None else entries.dense(MARKS[1:], *entries.at).tolist()


def _tools(entries: Entries | None, names: Sequence[str]) -> Told:
    if entries is None:
        return {}
    counts = entries.dense(TOOLS[1:], *entries.at)
    return {
        OTHER if tool == MAX_TOOLS else names[tool]: {"n": fine + bad, "bad": bad}
        for tool, (fine, bad) in enumerate(counts.tolist())
        if fine or bad
    }


def _lives(entries: Entries | None) -> Told:
    found: Told = {}
    if entries is not None:
        for since, age, n in zip(*(axis.tolist() for axis in (*entries.at, entries.weights)), strict=True):
            found.setdefault(str(since), {})[str(age)] = n
    return found


def _metrics(entries: Entries | None, sums: Entries | None, names: Sequence[str], *, final: bool) -> Told:
    if entries is None or sums is None:
        return {}
    parts = sums.dense(SUMS[1:], *sums.at)
    return {
        names[place]: _metric(entries.where(entries.at[0] == place), parts[place], final=final)
        for place in np.unique(entries.at[0]).tolist()
    }


def _metric(entries: Entries, parts: Ints, *, final: bool) -> Told:
    """``parts``: bucket → (whole part, millionths)."""
    _, bucket, bins = entries.at
    n = entries.dense((BUCKETS + 1,), bucket)
    coarse = entries.dense((BUCKETS + 1, COARSE_BINS), bucket, bins // COARSE_PER_FINE) if final else None
    return {
        "n": int(n.sum()),
        "micro": _micro(*parts.sum(axis=0).tolist()),
        "buckets": {
            i: {"n": count, "micro": _micro(*parts[int(i) + 1].tolist())} for i, count in sparse(n[1:]).items()
        },
        "histogram": sparse(entries.dense((BINS,), bins)),
        "bucket_histograms": {} if coarse is None else nested(coarse[1:]),
    }


def _micro(whole: int, millionths: int) -> int:
    """The sum in millionths: within 64 bits, or more values would have been left out."""
    return whole * MICRO + millionths
