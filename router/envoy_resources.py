"""A snapshot in Envoy's words (proto3 JSON): one Cluster a version, one RouteConfiguration for everything.

All routing state travels in the session id, ``<service>.<version>~<label>~<enveloped id>``; nothing is stored in the
proxy. Weights, labels and live pairs are one resource, so they change together and are acknowledged together.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from router.rollouts import Pair
from router.snapshot import ServiceRoute, Snapshot, Weight
from schemas.labels import UNJUDGED
from schemas.service import Version

Json = dict[str, Any]

ROUTES_NAME = "davylamp"
"""Name of the one RouteConfiguration."""

PROTOCOL_HEADER = "mcp-protocol-version"
SESSION_HEADER = "mcp-session-id"
ASSIGNMENT_HEADER = "x-davylamp-assignment"

METADATA = "davylamp"
"""Namespace of the dynamic metadata in which the proxy keeps a request's session id while it changes the header."""
WHOLE_ID = "whole_id"
"""The id as the client sent it."""
INNER_ID = "inner_id"
"""The id without version and label: what the envelope filter reads."""

HEADER_MUTATION = "envoy.filters.http.header_mutation"
STATEFUL_SESSION = "envoy.filters.http.stateful_session"
"""Filters are named as Envoy names the extension: per-route configuration is found by this name."""

TYPES = "type.googleapis.com/"


def clusters(places: Mapping[str, Version]) -> list[Json]:
    """One Cluster a version, sorted by name."""
    return [_cluster(name, version) for name, version in sorted(places.items())]


def route_configuration(snapshot: Snapshot) -> Json:
    """The RouteConfiguration: one virtual host a host name, the more specific paths first."""
    routes = snapshot.routes.values()
    hosts = sorted({host.lower() for route in routes for host in route.hosts})
    return {
        "name": ROUTES_NAME,
        "ignore_port_in_host_matching": True,
        "virtual_hosts": [_virtual_host(host, [r for r in routes if _covers(r, host)]) for host in hosts],
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
    return {"name": host, "domains": [host], "routes": [route for s in ordered for route in _routes(s)]}


def _routes(service: ServiceRoute) -> list[Json]:
    """The first that matches wins: living pairs, the re-homed, baselines, strangers, requests without a session."""
    return [
        *(_session_route(service, p.version, f"{p.label}~", p.label) for p in service.pairs),
        *(_rehomed_route(service, p) for p in service.rehomed),
        *(_session_route(service, version, "", UNJUDGED) for version in service.unlabelled),
        _unknown_session(service),
        _unkeyed(service),
        _new_session(service),
    ]


def _session_route(service: ServiceRoute, version: str, rest_of_prefix: str, label: str) -> Json:
    """Its own server, which the envelope in the id names."""
    return _known_session(service, f"{service.cluster(version)}~{rest_of_prefix}", version, label)


def _rehomed_route(service: ServiceRoute, pair: Pair) -> Json:
    """Any server of another version: the envelope filter opens the id and, without strictness, lets the server go.

    The client keeps the id that it has, so that a later change finds the session by it again.
    """
    route = _known_session(service, f"{service.cluster(pair.version)}~{pair.label}~", service.home, UNJUDGED)
    kind = f"{TYPES}envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute"
    route["typed_per_filter_config"][STATEFUL_SESSION] = {"@type": kind, "stateful_session": envelope(strict=False)}
    return route


def _known_session(service: ServiceRoute, prefix: str, version: str, label: str) -> Json:
    return {
        "match": _match(service, {"string_match": {"prefix": prefix}}),
        "route": {"cluster": service.cluster(version), "timeout": "0s"},
        **_mutate(
            request=[
                _set(SESSION_HEADER, f"%DYNAMIC_METADATA({METADATA}:{INNER_ID})%", add=False),
                _set(ASSIGNMENT_HEADER, f"{label};{version}", add=True),
            ],
            response=[_set(SESSION_HEADER, f"%DYNAMIC_METADATA({METADATA}:{WHOLE_ID})%", add=False)],
        ),
    }


def envelope(*, strict: bool) -> Json:
    """The envelope filter: a session id that carries its server's address. Strict: that server or none."""
    kind = f"{TYPES}envoy.extensions.http.stateful_session.envelope.v3.EnvelopeSessionState"
    state = {"@type": kind, "header": {"name": SESSION_HEADER}}
    return {
        "strict": strict,
        "session_state": {"name": "envoy.http.stateful_session.envelope", "typed_config": state},
    }


def _unknown_session(service: ServiceRoute) -> Json:
    """404 tells an MCP client to initialize again (MCP 2025-06-18, Streamable HTTP, session management)."""
    body = {"inline_string": "Session not found: initialize again.\n"}
    return {"match": _match(service, {"present_match": True}), "direct_response": {"status": 404, "body": body}}


def _unkeyed(service: ServiceRoute) -> Json:
    """A request that names its protocol and no session begins none (only `initialize` does, and it does not name it):
    revision 2026-07-28, or a stateless server. Drawn anew each time, its client would meet both versions."""
    version = service.home
    by_protocol = {"headers": [{"name": PROTOCOL_HEADER, "present_match": True}]}
    return {
        "match": {**_match(service), **by_protocol},
        "route": {"cluster": service.cluster(version), "timeout": "0s"},
        **_mutate(request=[_set(ASSIGNMENT_HEADER, f"{UNJUDGED};{version}", add=True)], response=[]),
    }


def _new_session(service: ServiceRoute) -> Json:
    weighted = [_cluster_weight(service, weight) for weight in service.weights]
    return {
        "match": _match(service),
        "route": {"timeout": "0s", "weighted_clusters": {"clusters": weighted}},
    }


def _cluster_weight(service: ServiceRoute, weight: Weight) -> Json:
    cluster = service.cluster(weight.version)
    born_as = f"{cluster}~{weight.label}~%RESP({SESSION_HEADER})%"
    return {
        "name": cluster,
        "weight": weight.weight,
        **_mutate(
            request=[_set(ASSIGNMENT_HEADER, f"{weight.label};{weight.version}", add=True)],
            response=[_set(SESSION_HEADER, born_as, add=False)],
        ),
    }


def _match(service: ServiceRoute, session: Json | None = None) -> Json:
    path = service.path
    by_path = {"prefix": path} if path.endswith("/") else {"path_separated_prefix": path}
    return {**by_path, "headers": [{"name": SESSION_HEADER, **session}]} if session else by_path


def _set(header: str, value: str, *, add: bool) -> Json:
    action = "OVERWRITE_IF_EXISTS_OR_ADD" if add else "OVERWRITE_IF_EXISTS"
    return {"append": {"header": {"key": header, "value": value}, "append_action": action}}


def _mutate(request: list[Json], response: list[Json]) -> Json:
    config = {
        "@type": f"{TYPES}envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
        "mutations": {"request_mutations": request, "response_mutations": response},
    }
    return {"typed_per_filter_config": {HEADER_MUTATION: config}}
