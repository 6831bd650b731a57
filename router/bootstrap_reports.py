"""What an Envoy is started with so that it tells its routers what it saw: its totals, and a log of single requests.

Totals are cumulative and pushed, so a router that is away loses none. Log entries that nobody takes are lost: they are
evidence, never a denominator.
"""

from router.envoy_words import ASSIGNMENT_HEADER, COOKIE, ROUTERS_CLUSTER, SESSION_HEADER, TYPES, Json
from router.proxy_totals import STATS

PROXY_HEADER = "x-davylamp-proxy"
"""Of a push of totals: which proxy it comes from."""

TOTALS_EVERY = "0.5s"
HUNG_AFTER_S = 5
"""A request that is open so long is told, and again after as long."""

BROKEN = ["UH", "UF", "UC", "UR", "UT", "UO", "LR", "UPE"]
"""Response flags of requests that a version did not answer (Envoy, "access log, response flags")."""


def stats_sink(node: str) -> Json:
    """Push the totals of all clusters, under their full names: a version's name may have dots."""
    return {
        "name": "envoy.stat_sinks.open_telemetry",
        "typed_config": {
            "@type": f"{TYPES}envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig",
            "grpc_service": {**_routers(), "initial_metadata": [{"key": PROXY_HEADER, "value": node}]},
            "use_tag_extracted_name": False,
            "emit_tags_as_attributes": False,
            "custom_metric_conversions": _only(rf"cluster\..+\.({'|'.join(STATS)})"),
        },
    }


def access_log() -> Json:
    """Sessions and cookies as they are assigned, and requests that a version did not answer well or at all."""
    kind = "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig"
    common = {
        "log_name": "davylamp",
        "transport_api_version": "V3",
        "grpc_service": _routers(),
        "buffer_flush_interval": "0.1s",
    }
    return {
        "name": "envoy.access_loggers.http_grpc",
        "filter": _any([_assigned(), _failed(), {"response_flag_filter": {"flags": BROKEN}}, _unanswered()]),
        "typed_config": {
            "@type": TYPES + kind,
            "common_config": common,
            "additional_request_headers_to_log": [ASSIGNMENT_HEADER],
        },
    }


def _routers() -> Json:
    return {"envoy_grpc": {"cluster_name": ROUTERS_CLUSTER}}


def _only(names: str) -> Json:
    """Drop the other stats of the proxy, which its owner may use as before."""
    kind = f"{TYPES}envoy.extensions.matching.common_inputs.stats.v3.StatFullNameMatchInput"
    named = {
        "input": {"name": "stat_full_name", "typed_config": {"@type": kind}},
        "value_match": {"safe_regex": {"google_re2": {}, "regex": names}},
    }
    drop = {"@type": f"{TYPES}envoy.extensions.stat_sinks.open_telemetry.v3.SinkConfig.DropAction"}
    other = {"not_matcher": {"single_predicate": named}}
    matcher = {"predicate": other, "on_match": {"action": {"name": "drop", "typed_config": drop}}}
    return {"matcher_list": {"matchers": [matcher]}}


def _assigned() -> Json:
    """A request that is known by neither session nor cookie, and was given the label of one."""
    drawn = [_header(SESSION_HEADER, {"present_match": True}, inverted=True), _labelled("session")]
    baked = {"string_match": {"contains": f"{COOKIE}="}}
    cookie = [*drawn[:1], _header("cookie", baked, inverted=True), _labelled("cookie")]
    return _any([_all(drawn), _all(cookie)])


def _labelled(kind: str) -> Json:
    return _header(ASSIGNMENT_HEADER, {"string_match": {"contains": f".{kind}."}})


def _failed() -> Json:
    return _status("GE", 500)


def _unanswered() -> Json:
    """Open for long, or given up by its client; a GET is a stream, which may be open for hours."""
    get = {"string_match": {"exact": "GET"}}
    hung = {"log_type_filter": {"types": ["DownstreamPeriodic"]}}
    return _all([_any([hung, _status("EQ", 0)]), _header(":method", get, inverted=True)])


def _status(op: str, code: int) -> Json:
    value = {"default_value": code, "runtime_key": f"davylamp.access_log.{op.lower()}"}
    return {"status_code_filter": {"comparison": {"op": op, "value": value}}}


def _header(name: str, match: Json, *, inverted: bool = False) -> Json:
    return {"header_filter": {"header": {"name": name, **match, "invert_match": inverted}}}


def _all(filters: list[Json]) -> Json:
    return {"and_filter": {"filters": filters}}


def _any(filters: list[Json]) -> Json:
    return {"or_filter": {"filters": filters}}
