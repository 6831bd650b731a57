"""A server's span of an MCP request → the event of it. Pure.

Attributes are those of OpenTelemetry's conventions for MCP, as the python MCP SDK sets them. What a span does not say
(whether the client gave up, how old its session is) no event made of one can say either.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from pydantic import ValidationError

from davylamp_sdk._event import Outcome, RequestEvent
from davylamp_sdk._names import known_method
from davylamp_sdk._units import session_hash
from streams.otel_tools import AnsweredTools
from streams.otlp import SERVER, Span

METHOD = "mcp.method.name"
ASSIGNMENT = "davylamp.assignment", "http.request.header.x-davylamp-assignment"
"""Where the proxy's stamp may stand: on the span or its parent; the second is what HTTP instrumentation captures."""
SESSION = "mcp.session.id", "http.request.header.mcp-session-id", "http.response.header.mcp-session-id"
_NANOS_A_MS = 1_000_000
_CODE = re.compile(r"-?\d+")
_FASTMCP = "fastmcp.server.name"
_REFUSED = frozenset(
    {"NotFoundError", "DisabledError", "ValidationError", "AuthorizationError", "InsufficientScopeError"}
)
"""Why FastMCP refuses a call of a tool: the client is answered `isError: true`, and the span is named after the exception."""


class UnfitError(Exception):
    """A span of an MCP request says too little to be counted: who answered, of which version, when, for how long."""


def is_request(span: Span) -> bool:
    """Whether it is a server's, of a request and no notification."""
    method = span.attributes.get(METHOD, "")
    return span.kind == SERVER and bool(method) and not method.startswith("notifications/")


def event_of(span: Span, others: Mapping[str, Span], tools: AnsweredTools) -> RequestEvent:
    """The event. ``others``: spans by id, among which its parent may be; ``tools`` learns from it. Raises :class:`UnfitError`.

    Its identity is the span's: a span that the Collector sends again is a duplicate, as long as streams know one: for two
    windows. One that is sent again later counts twice.
    """
    if span.start_ns == 0 or span.end_ns < span.start_ns:  # 0 is what a span says that does not say it
        raise UnfitError(f"its times are none: from {span.start_ns} to {span.end_ns}")
    said, resource = span.attributes, span.resource
    outcome = _outcome(span)
    instance = resource.get("service.instance.id") or resource.get("host.name") or "otel"
    places = [span, *(parent for parent in [others.get(span.parent or "")] if parent)]
    session = _first(places, SESSION)
    try:
        return RequestEvent(
            producer=f"otel/{instance}"[:120],
            sequence=int.from_bytes(blake2b(span.id.encode(), digest_size=8).digest(), "big") >> 11,
            service=resource.get("service.name", ""),
            version=resource.get("service.version", ""),
            instance=instance[:120],
            session=session_hash(session),
            assignment=_first(places, ASSIGNMENT),
            method=known_method(said[METHOD]),
            tool=_tool(span, outcome, tools),
            outcome=outcome,
            error_type=said.get("error.type", "")[:120] or None,
            protocol_version=said.get("mcp.protocol.version", "")[:120] or None,
            started_at=span.start_ns // _NANOS_A_MS,
            duration_ms=(span.end_ns - span.start_ns) / _NANOS_A_MS,
            first_of_session=said[METHOD] == "initialize" and session is not None,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise UnfitError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except UnicodeError as error:  # JSON can say half a character, which has no bytes
        raise UnfitError(f"a name that is no text: {error}") from error


def _first(places: Sequence[Span], names: Sequence[str]) -> str | None:
    return next((p.attributes[name] for p in places for name in names if p.attributes.get(name)), None)


def _outcome(span: Span) -> Outcome:
    error = span.attributes.get("error.type")
    if error is None:
        return "server_error" if span.is_error else "ok"
    if error == "tool_error" or (error in _REFUSED and _is_fastmcps_call(span)):
        return "tool_error"
    if "rpc.response.status_code" in span.attributes or _CODE.fullmatch(error):
        return "rpc_error"
    return "server_error"


def _is_fastmcps_call(span: Span) -> bool:
    return span.attributes[METHOD] == "tools/call" and _FASTMCP in span.attributes


def _tool(span: Span, outcome: Outcome, tools: AnsweredTools) -> str | None:
    name, service = span.attributes.get("gen_ai.tool.name"), span.resource.get("service.name", "")
    if name is None:
        return None
    if outcome == "ok":
        tools.learn(service, name)
    return tools.spoken(service, name)
