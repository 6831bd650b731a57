"""A proxy's push of totals (OpenTelemetry metrics) as counts of each cluster. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from schemas.control import VersionTotals

_PREFIX = "cluster."

_ACTIVE = "upstream_rq_active"
_COMPLETED = "upstream_rq_completed"
_5XX = "upstream_rq_5xx"
_BROKEN = "upstream_cx_destroy_remote_with_active_rq"
STATS = (_ACTIVE, _COMPLETED, _5XX, _BROKEN)
"""What is asked for of each cluster. Not `upstream_rq_total`: it misses refused connections and clusters without hosts."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What one proxy has counted since it began."""

    started: int
    """Unix milliseconds."""
    clusters: Mapping[str, VersionTotals]
    """By cluster. One that is absent was never sent a request."""


def totals(push: Any) -> Totals | None:
    """The counts in an `ExportMetricsServiceRequest`; None if no counter says since when it counts.

    An absent stat is 0: the proxy leaves out what it has not used.
    """
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    started = 0
    for metric in _metrics(push):
        cluster, _, stat = metric.name.removeprefix(_PREFIX).rpartition(".")
        if stat not in STATS or not metric.name.startswith(_PREFIX):
            continue
        for point in chain(metric.sum.data_points, metric.gauge.data_points):
            found[cluster][stat] = point.as_int
            started = max(started, point.start_time_unix_nano)
    if not started:
        return None
    return Totals(started // 1_000_000, {cluster: _counts(stats) for cluster, stats in found.items()})


def _metrics(push: Any) -> Iterator[Any]:
    for resource in push.resource_metrics:
        # Renamed to `scope_metrics` in later revisions of the protocol; on the wire it is the same field.
        for scope in resource.instrumentation_library_metrics:
            yield from scope.metrics


def _counts(stats: Mapping[str, int]) -> VersionTotals:
    """A reset before an answer is a 5xx, too; after one it is only a broken connection. So the larger one is no less
    than what failed of either kind, and never counts a request twice."""
    active = max(0, stats.get(_ACTIVE, 0))
    failed = max(stats.get(_5XX, 0), stats.get(_BROKEN, 0))
    return VersionTotals(sent=stats.get(_COMPLETED, 0) + active, failed=failed, active=active)
