"""What an Envoy is started with: where it listens, which routers it asks and reports to, and how it reads session ids."""

from collections.abc import Sequence

from router.bootstrap_reports import HUNG_AFTER_S, TOTALS_EVERY, access_log, stats_sink
from router.bootstrap_tls import ProxyTls, transport_socket
from router.envoy_resources import ROUTES_NAME
from router.envoy_words import (
    HEADER_MUTATION,
    INNER_ID,
    METADATA,
    ROUTERS_CLUSTER,
    SESSION_HEADER,
    STATEFUL_SESSION,
    TYPES,
    WHOLE_ID,
    Json,
    envelope,
)

_FILTERS = "envoy.extensions.filters.http."


def bootstrap(
    node: str,
    listener_port: int,
    admin_port: int,
    routers: Sequence[str] = ("127.0.0.1:18000",),
    listener_host: str = "127.0.0.1",
    *,
    tls: ProxyTls | None = None,
) -> Json:
    """Envoy's bootstrap as proto3 JSON.

    `node` names the proxy for ever: its acknowledgements are known by it. `routers` are ``host:port`` of the routers'
    xDS ports; the first that answers is asked, by mTLS where `tls` says how. The admin port can stop the proxy, so it is bound to loopback.
    """
    return {
        "node": {"id": node, "cluster": "davylamp"},
        "admin": {"address": _address("127.0.0.1", admin_port)},
        "dynamic_resources": {"ads_config": _ads(), "cds_config": _source()},
        "static_resources": {
            "listeners": [_listener(listener_host, listener_port)],
            "clusters": [_routers(routers) | ({"transport_socket": transport_socket(tls, routers)} if tls else {})],
        },
        "stats_sinks": [stats_sink(node)],
        "stats_flush_interval": TOTALS_EVERY,
    }


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def _ads() -> Json:
    """State of the world over one stream; Envoy's own back-off would leave a proxy deaf for up to 30 s."""
    back_off = {"base_interval": "0.1s", "max_interval": "1s"}
    grpc = {"cluster_name": ROUTERS_CLUSTER, "retry_policy": {"retry_back_off": back_off}}
    return {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": grpc}]}


def _source() -> Json:
    """A new proxy waits for its routes however long it takes: without any it would answer 404 and end sessions."""
    return {"resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s"}


def _routers(routers: Sequence[str]) -> Json:
    """The routers, each with a priority of its own: the first that is known to be healthy is asked.

    One that is frozen fails two health checks within 4 s, then its streams are closed; HTTP/2 pings notice a link that
    is cut. While none is healthy, the first is asked all the same.
    """
    times = {"timeout": "1s", "interval": "1s", "no_traffic_interval": "1s"}
    check = {**times, "unhealthy_threshold": 2, "healthy_threshold": 1, "grpc_health_check": {}}
    pings = {"connection_keepalive": {"interval": "1s", "timeout": "2s"}}
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    endpoints = [_endpoint_with_priority(router, i) for i, router in enumerate(routers)]
    return {
        "name": ROUTERS_CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": "1s",
        "health_checks": [check],
        "close_connections_on_host_health_failure": True,
        "typed_extension_protocol_options": {
            options: {"@type": TYPES + options, "explicit_http_config": {"http2_protocol_options": pings}}
        },
        "load_assignment": {"cluster_name": ROUTERS_CLUSTER, "endpoints": endpoints},
    }


def _endpoint_with_priority(router: str, priority: int) -> Json:
    host, _, port = router.rpartition(":")
    return {"priority": priority, "lb_endpoints": [{"endpoint": {"address": _address(host, int(port))}}]}


def _listener(host: str, port: int) -> Json:
    connections = {
        "stat_prefix": "mcp",
        "stream_idle_timeout": "0s",  # a GET stream may be silent for hours
        "rds": {"route_config_name": ROUTES_NAME, "config_source": _source()},
        "http_filters": _http_filters(),
        "access_log": [access_log()],
        "access_log_options": {"access_log_flush_interval": f"{HUNG_AFTER_S}s"},
    }
    name = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    chain = {"filters": [_typed("envoy.filters.network.http_connection_manager", name, connections)]}
    return {"name": "mcp", "address": _address(host, port), "filter_chains": [chain]}


def _http_filters() -> list[Json]:
    """In the order of a request; responses pass them backwards, so the envelope is closed before it is addressed."""
    return [
        _typed(
            "envoy.filters.http.header_to_metadata",
            f"{_FILTERS}header_to_metadata.v3.Config",
            {"request_rules": [_keep(WHOLE_ID), _keep(INNER_ID, without="^.*~")]},
        ),
        _typed(HEADER_MUTATION, f"{_FILTERS}header_mutation.v3.HeaderMutation", {}),
        _typed(STATEFUL_SESSION, f"{_FILTERS}stateful_session.v3.StatefulSession", _pinned()),
        _typed("envoy.filters.http.router", f"{_FILTERS}router.v3.Router", {}),
    ]


def _keep(key: str, without: str | None = None) -> Json:
    """Keep the session id in the request's metadata, without what a regular expression (RE2) matches."""
    rewrite = {"regex_value_rewrite": {"pattern": {"regex": without}, "substitution": ""}} if without else {}
    value = {"metadata_namespace": METADATA, "key": key, "type": "STRING", **rewrite}
    return {"header": SESSION_HEADER, "on_header_present": value}


def _pinned() -> Json:
    """Strict: a session whose server is gone gets 404, never another server that does not know it."""
    return {**envelope(strict=True), "status_on_strict_destination_not_found": 404}


def _typed(name: str, kind: str, config: Json) -> Json:
    return {"name": name, "typed_config": {"@type": TYPES + kind, **config}}
