"""A snapshot in Envoy's words (proto3 JSON): one Cluster a version, one RouteConfiguration for everything.

Weights, labels, salts and live pairs are one resource, so they change together and are acknowledged together.
"""

from collections.abc import Mapping
from ipaddress import ip_address

from router.envoy_routes import routes
from router.envoy_words import Json
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


def _cluster(name: str, version: Version) -> Json:
    endpoints = [_endpoint(e) for e in version.endpoints or (version.dns or "",)]
    return {
        "name": name,
        **_discovery(version),
        "connect_timeout": "1s",
        "common_lb_config": {"update_merge_window": "0s"},  # else a change of endpoints takes a second
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }


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
