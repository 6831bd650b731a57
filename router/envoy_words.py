"""The words that routes and listener share: headers, filters, and how a header is changed. Pure."""

from typing import Any

Json = dict[str, Any]
"""A message in proto3 JSON."""

TYPES = "type.googleapis.com/"

PROTOCOL_HEADER = "mcp-protocol-version"
SESSION_HEADER = "mcp-session-id"
PRINCIPAL_HEADER = "authorization"
ASSIGNMENT_HEADER = "x-davylamp-assignment"

COOKIE = "mcp_canary"

ROUTERS_CLUSTER = "davylamp-routers"
"""What a proxy calls its routers."""

METADATA = "davylamp"
"""Namespace of the dynamic metadata in which the proxy keeps a request's session id while it changes the header."""
WHOLE_ID = "whole_id"
"""The id as the client sent it."""
INNER_ID = "inner_id"
"""The id without version and label: what the envelope filter reads."""

HEADER_MUTATION = "envoy.filters.http.header_mutation"
STATEFUL_SESSION = "envoy.filters.http.stateful_session"
"""Filters are named as Envoy names the extension: per-route configuration is found by this name."""


def envelope(*, strict: bool) -> Json:
    """The envelope filter: a session id that carries its server's address. Strict: that server or none."""
    kind = f"{TYPES}envoy.extensions.http.stateful_session.envelope.v3.EnvelopeSessionState"
    state = {"@type": kind, "header": {"name": SESSION_HEADER}}
    return {
        "strict": strict,
        "session_state": {"name": "envoy.http.stateful_session.envelope", "typed_config": state},
    }


def overwritten(header: str, value: str) -> Json:
    """Whatever was sent, and also if nothing was."""
    return _set(header, value, "OVERWRITE_IF_EXISTS_OR_ADD")


def replaced(header: str, value: str) -> Json:
    """Only if there is one."""
    return _set(header, value, "OVERWRITE_IF_EXISTS")


def added(header: str, value: str) -> Json:
    """Beside others of the name."""
    return _set(header, value, "APPEND_IF_EXISTS_OR_ADD")


def mutations(request: list[Json], response: list[Json]) -> Json:
    """What a route, or a cluster of a weighted route, does to the headers that pass it."""
    config = {
        "@type": f"{TYPES}envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
        "mutations": {"request_mutations": request, "response_mutations": response},
    }
    return {"typed_per_filter_config": {HEADER_MUTATION: config}}


def _set(header: str, value: str, action: str) -> Json:
    return {"append": {"header": {"key": header, "value": value}, "append_action": action}}
