"""What the counts of a cell must add up to, for they are of the same requests. Pure.

Streams count each request once, and in one bucket where it is of a session that is judged (`streams.counts`), so most sums are
equal. They only bound each other where a request need not be in both: an event may tell nothing of its session's life,
and bucket histograms hold only what is slow. Of a cell too large for one part, its metrics and bucket histograms come alone
(`streams.encoding`): these are compared with themselves. Windows that people make of their own numbers may hold no latencies,
or no tools, at all: then nothing is judged by these.
"""

from collections.abc import Iterable, Iterator, Mapping

from schemas.labels import UNJUDGED
from schemas.outcomes import ERROR_BAD, ERROR_COUNTED, LATENCY_COUNTED, total
from schemas.windows import Bucket, Cell, Metric

_NOTHING = Bucket()


def contradiction(cell: Cell, *, piece: bool = False) -> str | None:
    """Where a cell contradicts itself, and the numbers; None if it does not. `piece`: it may stand in several parts."""
    return next(_contradictions(cell, piece=piece), None)


def _contradictions(cell: Cell, *, piece: bool) -> Iterator[str]:
    yield from _of_parts(cell)
    for name, metric in cell.metrics.items():
        yield from (f"metrics.{name}.{wrong}" for wrong in _of_metric(metric, is_judged=cell.label != UNJUDGED))
    if piece and not cell.outcomes:
        return
    yield from _of_sums(cell)
    yield from _of_bounds(cell)
    yield from _of_bucket_histograms(cell)


def _of_parts(cell: Cell) -> Iterator[str]:
    for index, bucket in cell.buckets.items():
        if bucket.err > bucket.n:
            yield f"buckets.{index}: {bucket.err} errors of {bucket.n} requests"
        if bucket.tf > bucket.tools:
            yield f"buckets.{index}: {bucket.tf} failed tool calls of {bucket.tools}"
        if max(bucket.tools, bucket.lat) > bucket.n:
            yield f"buckets.{index}: {bucket.tools} tool calls and {bucket.lat} latencies of {bucket.n} requests"
    for name, tool in cell.tools.items():
        if tool.bad > tool.n:
            yield f"tools.{name}: {tool.bad} failed calls of {tool.n}"


def _of_sums(cell: Cell) -> Iterator[str]:
    """What is equal. Nobody who is never judged has a bucket."""
    latencies, timed = total(cell.outcomes, LATENCY_COUNTED), sum(cell.histogram.values())
    if cell.histogram:
        yield from _unequal("histogram", "latencies", timed, latencies, "outcomes")
    if cell.tools:
        yield from _unequal(
            "tools", "calls", sum(tool.n for tool in cell.tools.values()), cell.tool_calls, "tool_calls"
        )
    if cell.label == UNJUDGED:
        return
    n, err, tools, failed, lat = _summed(cell.buckets.values())
    yield from _unequal("buckets", "requests", n, total(cell.outcomes, ERROR_COUNTED), "outcomes")
    yield from _unequal("buckets", "errors", err, total(cell.outcomes, ERROR_BAD), "outcomes")
    yield from _unequal("buckets", "tool calls", tools, cell.tool_calls, "tool_calls")
    if cell.tools:
        yield from _unequal("buckets", "failed tool calls", failed, sum(t.bad for t in cell.tools.values()), "tools")
    if cell.histogram or lat:
        yield from _unequal("buckets", "latencies", lat, timed, "histogram")


def _summed(buckets: Iterable[Bucket]) -> tuple[int, int, int, int, int]:
    n = err = tools = failed = lat = 0
    for bucket in buckets:
        n, err, tools = n + bucket.n, err + bucket.err, tools + bucket.tools
        failed, lat = failed + bucket.tf, lat + bucket.lat
    return n, err, tools, failed, lat


def _unequal(place: str, what: str, found: int, told: int, where: str) -> Iterator[str]:
    if found != told:
        yield f"{place}: {found} {what}, and {told} by {where}"


def _of_bounds(cell: Cell) -> Iterator[str]:
    """What is counted once a request at most."""
    requests, ended = sum(cell.outcomes.values()), cell.outcomes.get("ended", 0)
    for place, n, most, of in (
        ("tool_calls", cell.tool_calls, total(cell.outcomes, LATENCY_COUNTED), "requests that count"),
        ("new_sessions", cell.new_sessions, requests, "requests"),
        ("told_sessions", cell.told_sessions, cell.new_sessions, "new sessions"),
        ("mismatches", cell.mismatches, requests, "requests"),
        ("stale", cell.stale, requests, "requests"),
        ("ends", sum(sum(ages.values()) for ages in cell.ends.values()), ended, "ended sessions"),
        ("lives", _most_at_one_age(cell.lives), requests, "requests"),
        *((f"metrics.{name}", metric.n, requests, "requests") for name, metric in cell.metrics.items()),
    ):
        if n > most:
            yield f"{place}: {n} of {most} {of}"


def _most_at_one_age(lives: Mapping[int, Mapping[int, int]]) -> int:
    """A request may reach several ages, each of them once."""
    reached: dict[int, int] = {}
    for ages in lives.values():
        for age, n in ages.items():
            reached[age] = reached.get(age, 0) + n
    return max(reached.values(), default=0)


def _of_bucket_histograms(cell: Cell) -> Iterator[str]:
    for index, bins in cell.bucket_histograms.items():
        found, most = sum(bins.values()), cell.buckets.get(index, _NOTHING).lat
        if found > most:
            yield f"bucket_histograms.{index}: {found} of {most} latencies"


def _of_metric(metric: Metric, *, is_judged: bool) -> Iterator[str]:
    if metric.histogram:
        yield from _unequal("histogram", "values", sum(metric.histogram.values()), metric.n, "n")
    if is_judged:
        yield from _unequal("buckets", "values", sum(b.n for b in metric.buckets.values()), metric.n, "n")
        yield from _unequal(
            "buckets", "millionths", sum(b.micro for b in metric.buckets.values()), metric.micro, "micro"
        )
    for index, bins in metric.bucket_histograms.items():
        told = metric.buckets[index].n if index in metric.buckets else 0
        yield from _unequal(f"bucket_histograms.{index}", "values", sum(bins.values()), told, "buckets")
