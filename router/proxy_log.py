"""A proxy's log of single requests (gRPC access log) as what it means for a version. Pure."""

from dataclasses import dataclass
from typing import Any

from envoy.data.accesslog.v3.accesslog_pb2 import AccessLogType

from router.envoy_routes import DRAWS
from router.envoy_words import ASSIGNMENT_HEADER
from schemas.control import FailureCause
from schemas.labels import split_assignment

_CAUSES: dict[str, FailureCause] = {
    "no_healthy_upstream": "no_server",
    "upstream_connection_failure": "refused",
    "upstream_connection_termination": "reset",
    "upstream_remote_reset": "reset",
    "upstream_protocol_error": "reset",
    "local_reset": "reset",
    "upstream_request_timeout": "timeout",
    "upstream_overflow": "overflow",
}
"""Envoy's response flags; the first that is set."""

_ERRORS_FROM = 500

Request = tuple[str, int]
"""Its id, which a client may choose, and when it began, nanoseconds."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One entry."""

    service: str
    version: str
    label: str
    draws: bool
    """The request was drawn for its version as a new session, or was given a cookie."""
    cause: FailureCause | None
    """Why it failed; None if it did not, or not yet."""
    request: Request
    """Names the request: a long one has several entries."""
    ended: bool
    answered: bool
    """Its answer has begun: what is open still is a stream, or slow."""


def logged(entry: Any) -> Logged | None:
    """What an `HTTPAccessLogEntry` says; None if it is about no version of a service."""
    common = entry.common_properties
    label, version = split_assignment(entry.request.request_headers.get(ASSIGNMENT_HEADER))
    if version is None or not common.route_name:
        return None
    ended = common.access_log_type != AccessLogType.DownstreamPeriodic
    return Logged(
        service=common.route_name.removesuffix(DRAWS),
        version=version,
        label=label,
        draws=common.route_name.endswith(DRAWS),
        cause=_cause(entry) if ended else "hung",
        request=(common.stream_id, common.start_time.ToNanoseconds()),
        ended=ended,
        answered=entry.response.response_code.value > 0,
    )


def _cause(entry: Any) -> FailureCause | None:
    flags = {flag.name for flag, _ in entry.common_properties.response_flags.ListFields()}
    by_flag = next((cause for flag, cause in _CAUSES.items() if flag in flags), None)
    code = entry.response.response_code.value
    if by_flag is not None or code:
        return by_flag or ("status_5xx" if code >= _ERRORS_FROM else None)
    return "abandoned"
