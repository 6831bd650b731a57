"""From the counts of a service to the cells that are published. Pure."""

from collections.abc import Iterable, Sequence

import numpy as np

from davylamp_sdk._event import Outcome
from schemas.labels import UNJUDGED
from schemas.outcomes import ERROR_BAD, ERROR_COUNTED, LATENCY_COUNTED, TOOL_BAD, TOOL_COUNTED
from schemas.windows import (
    BUCKETS,
    COARSE_PER_FINE,
    MICRO,
    OTHER,
    Bucket,
    Cell,
    Metric,
    MetricBucket,
    ToolCount,
)
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


def _bucket_columns() -> Ints:
    """A row for (no tool call, tool call) × outcome: whether it counts in each field of a bucket."""
    every = [np.tile(counted_in(kinds), 2) for kinds in (ERROR_COUNTED, ERROR_BAD, LATENCY_COUNTED)]
    nothing = np.zeros(len(OUTCOMES), np.bool_)
    calls = [np.concatenate((nothing, counted_in(kinds))) for kinds in (TOOL_COUNTED, TOOL_BAD)]
    return np.stack((*every[:2], *calls, every[2]), axis=1).astype(np.int64)


_BUCKET_COLUMNS = _bucket_columns()


def cells_of(service: ServiceWindow, *, final: bool) -> tuple[Cell, ...]:
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
        cells.append(
            Cell(
                version=version,
                label=label,
                outcomes=_outcomes(counted),
                tool_calls=int(counted.joint[:, 1, TOOL_CALLS].sum()),
                new_sessions=new_sessions,
                mismatches=mismatches,
                stale=stale,
                buckets=_buckets(counted),
                histogram=sparse(counted.latency),
                bucket_histograms={}
                if floor is None or label == UNJUDGED
                else from_floor(bucket_latency.get(cell), floor),
                bucket_floor=None if label == UNJUDGED else floor,
                tools=_tools(tools.get(cell), service.tools.names()),
                lives=_lives(lives.get(cell)),
                told_sessions=told_sessions,
                ends=_lives(ends.get(cell)),
                metrics=_metrics(metrics.get(cell), sums.get(cell), service.metrics.names(), final=final),
            )
        )
    return tuple(sorted(cells, key=lambda cell: (cell.version, cell.label)))


def bucket_floor(judged: Iterable[Requests]) -> int | None:
    """The coarse bin of the smallest 75th percentile of the latency over cells; None without any latency."""
    found = [p75 for requests in judged if (p75 := requests.p75_bin()) is not None]
    return min(found) // COARSE_PER_FINE if found else None


def _pair(service: ServiceWindow, cell: int) -> tuple[str, str]:
    if cell < MAX_LABELS:
        return service.labelled.names()[cell]
    versions = [*service.unjudged.names(), OTHER]
    return versions[min(cell - MAX_LABELS, len(versions) - 1)], UNJUDGED


def _outcomes(counted: Requests) -> dict[Outcome, int]:
    return {OUTCOMES[i]: n for i, n in sparse(counted.joint.sum(axis=(0, 1))).items()}


def _buckets(counted: Requests) -> dict[int, Bucket]:
    table = counted.joint[1:].reshape(BUCKETS, -1) @ _BUCKET_COLUMNS
    return {
        i: Bucket(n=n, err=err, tools=tools, tf=tf, lat=lat)
        for i, (n, err, tools, tf, lat) in enumerate(table.tolist())
        if n
    }


def _marks(entries: Entries | None) -> list[int]:
    return [0] * MARKS[1] if entries is None else entries.dense(MARKS[1:], *entries.at).tolist()


def _tools(entries: Entries | None, names: Sequence[str]) -> dict[str, ToolCount]:
    if entries is None:
        return {}
    table = entries.dense(TOOLS[1:], *entries.at)
    return {
        OTHER if tool == MAX_TOOLS else names[tool]: ToolCount(n=int(table[tool].sum()), bad=int(table[tool, 1]))
        for tool in np.flatnonzero(table.sum(axis=1)).tolist()
    }


def _lives(entries: Entries | None) -> dict[int, dict[int, int]]:
    found: dict[int, dict[int, int]] = {}
    if entries is not None:
        for since, age, n in zip(*(axis.tolist() for axis in (*entries.at, entries.weights)), strict=True):
            found.setdefault(since, {})[age] = n
    return found


def _metrics(entries: Entries | None, sums: Entries | None, names: Sequence[str], *, final: bool) -> dict[str, Metric]:
    if entries is None or sums is None:
        return {}
    parts = sums.dense(SUMS[1:], *sums.at)
    return {
        names[place]: _metric(entries.where(entries.at[0] == place), parts[place], final=final)
        for place in np.unique(entries.at[0]).tolist()
    }


def _metric(entries: Entries, parts: Ints, *, final: bool) -> Metric:
    """``parts``: bucket → (whole part, millionths)."""
    _, bucket, bins = entries.at
    n = entries.dense((BUCKETS + 1,), bucket)
    coarse = entries.dense((BUCKETS + 1, COARSE_BINS), bucket, bins // COARSE_PER_FINE) if final else None
    return Metric(
        n=int(n.sum()),
        micro=_micro(*parts.sum(axis=0).tolist()),
        buckets={i: MetricBucket(n=count, micro=_micro(*parts[i + 1].tolist())) for i, count in sparse(n[1:]).items()},
        histogram=sparse(entries.dense((BINS,), bins)),
        bucket_histograms={} if coarse is None else nested(coarse[1:]),
    )


def _micro(whole: int, millionths: int) -> int:
    """The sum in millionths: within 64 bits, or more values would have been left out."""
    return whole * MICRO + millionths
