"""A snapshot in Envoy's words (proto3 JSON): one Cluster a version, one RouteConfiguration for everything.

Weights, labels, salts and live pairs are one resource, so they change together and are acknowledged together.
"""

from collections.abc import Mapping
from ipaddress import ip_address

from router.envoy_routes import routes
from router.envoy_words import TYPES, Json
from router.snapshot import ServiceRoute, Snapshot
from schemas.service import Version

ROUTES_NAME = "davylamp"
"""Name of the one RouteConfiguration."""


def clusters(places: Mapping[str, Version]) -> list[Json]:
    """One Cluster a version, sorted by name."""
    return [_cluster(name, version) for name, version in sorted(places.items())]


def route_configuration(snapshot: Snapshot) -> Json:
    """The RouteConfiguration: one virtual host a host name, the more specific paths first."""
    services = snapshot.routes.values()
    hosts = sorted({host.lower() for service in services for host in service.hosts})
    return {
        "name": ROUTES_NAME,
        "ignore_port_in_host_matching": True,
        "virtual_hosts": [_virtual_host(host, [s for s in services if _covers(s, host)]) for host in hosts],
    }


_UPSTREAM_IDLE = "4s"
"""An unused connection to a server is closed after so long: before the server does. Uvicorn and Node close theirs after
five seconds, and a request that crosses such a close is answered 503, which no client of MCP sends again."""
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_NO_LIMIT = 2**32 - 1


def _cluster(name: str, version: Version) -> Json:
    endpoints = [_endpoint(e) for e in version.endpoints or (version.dns or "",)]
    return {
        "name": name,
        **_discovery(version),
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {_HTTP_OPTIONS: _http_options()},
        "circuit_breakers": {"thresholds": [_thresholds()]},
        "common_lb_config": {"update_merge_window": "0s"},  # else a change of endpoints takes a second
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }


def _http_options() -> Json:
    return {
        "@type": TYPES + _HTTP_OPTIONS,
        "common_http_protocol_options": {"idle_timeout": _UPSTREAM_IDLE},
        "explicit_http_config": {"http_protocol_options": {}},
    }


def _thresholds() -> Json:
    """None: Envoy's own limit of 1024 would refuse the thousandth session, for each keeps a GET stream open."""
    return dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), _NO_LIMIT)


def _discovery(version: Version) -> Json:
    if version.dns is None and all(_is_ip(e.rpartition(":")[0]) for e in version.endpoints):
        return {"type": "STATIC"}
    return {"type": "STRICT_DNS", "dns_lookup_family": "V4_PREFERRED"}


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _endpoint(endpoint: str) -> Json:
    host, _, port = endpoint.rpartition(":")
    return {"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}}


def _covers(route: ServiceRoute, host: str) -> bool:
    """Whether a service answers on a virtual host: Envoy asks only the most specific one that matches."""
    return any(_matches(pattern.lower(), host) for pattern in route.hosts)


def _matches(pattern: str, host: str) -> bool:
    if pattern.startswith("*"):
        return host.endswith(pattern[1:])
    return host.startswith(pattern[:-1]) if pattern.endswith("*") else host == pattern


def _virtual_host(host: str, services: list[ServiceRoute]) -> Json:
    named = {s.service for s in services if host in {h.lower() for h in s.hosts}}
    ordered = sorted(services, key=lambda s: (-len(s.path), s.service not in named, s.service))
    return {"name": host, "domains": [host], "routes": [route for s in ordered for route in routes(s)]}
