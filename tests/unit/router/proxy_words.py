"""What a proxy says of itself, as protobuf messages: shaped like what Envoy 1.40 was seen to send."""

from typing import Any

from envoy.data.accesslog.v3.accesslog_pb2 import AccessLogType, HTTPAccessLogEntry, ResponseFlags
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

STARTED_NS = 1_795_733_395_834_300_000
STARTED_MS = STARTED_NS // 1_000_000


def push(stats: dict[str, int], started_ns: int = STARTED_NS) -> Any:
    """Totals by full stat name. What ends in `active` is a gauge, which does not say since when it counts."""
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().instrumentation_library_metrics.add().metrics
    for name, value in stats.items():
        metric = metrics.add(name=name)
        if name.endswith("active"):
            metric.gauge.data_points.add(as_int=value)
        else:
            metric.sum.data_points.add(as_int=value, start_time_unix_nano=started_ns)
    return request


def of_cluster(cluster: str, **stats: int) -> dict[str, int]:
    """``completed=3`` → ``cluster.<cluster>.upstream_rq_completed``."""
    short = {"broken": "cx_destroy_remote_with_active_rq", "_5xx": "rq_5xx"}
    return {f"cluster.{cluster}.upstream_{short.get(name, f'rq_{name}')}": value for name, value in stats.items()}


def entry(
    assignment: str,
    *,
    code: int = 0,
    flags: tuple[str, ...] = (),
    route: str = "orders",
    ended: bool = True,
    request: str = "r1",
    began: int = 1,
) -> Any:
    """An entry of the log of single requests."""
    made = HTTPAccessLogEntry()
    common = made.common_properties
    common.route_name, common.stream_id = route, request
    common.start_time.FromNanoseconds(began)
    common.access_log_type = AccessLogType.DownstreamEnd if ended else AccessLogType.DownstreamPeriodic
    common.response_flags.CopyFrom(ResponseFlags(**dict.fromkeys(flags, True)))
    if code:
        made.response.response_code.value = code
    if assignment:
        made.request.request_headers["x-davylamp-assignment"] = assignment
    return made
