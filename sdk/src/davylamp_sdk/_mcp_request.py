"""What one MCP request says about itself: pure readings of mcp's context, result and exceptions.

mcp calls its middleware provisional, so everything that depends on its shapes is here and in ``_mcp``.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import anyio
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, ErrorData
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from davylamp_sdk._names import MAX_NAME
from davylamp_sdk._request import Verdict
from davylamp_sdk._units import SESSION_HEADER

METHOD_HEADER: Final = "mcp-method"

Context = ServerRequestContext[Any, Any]


def verdict_of_result(result: object) -> Verdict:
    """How a request ended that was answered; ``tool_error`` is OpenTelemetry's word for ``isError: true``."""
    if isinstance(result, ErrorData):  # mcp sends it as an error, too
        return "rpc_error", str(result.code)[:MAX_NAME]
    if _field(result, "isError", "is_error") is True:
        return "tool_error", "tool_error"
    if _field(result, "resultType", "result_type") == "input_required" or _asks_for_input(result):
        return "input_required", None
    return "ok", None


def verdict_of_error(error: BaseException) -> Verdict:
    """How a request ended that raised.

    mcp answers ``MCPError`` with its code and a ``ValidationError`` with -32602; anything else is a crash of the
    handler. A cancellation is taken for the client's: mcp cancels a handler on ``notifications/cancelled`` or a
    closed stream, and at shutdown.
    """
    if isinstance(error, MCPError):
        return "rpc_error", str(error.error.code)[:MAX_NAME]
    if isinstance(error, ValidationError):
        return "rpc_error", str(INVALID_PARAMS)
    if not isinstance(error, Exception) and isinstance(error, anyio.get_cancelled_exc_class()):
        return "cancelled", "cancelled"
    return "server_error", type(error).__qualname__[:MAX_NAME]


def protocol_version(ctx: Context, result: object) -> str | None:
    """The revision in force; for ``initialize`` the one the answer settles on."""
    version = _field(result, "protocolVersion", "protocol_version") if starts_session(ctx) else ctx.protocol_version
    return version if version in KNOWN_PROTOCOL_VERSIONS else None


def starts_session(ctx: Context) -> bool:
    """Whether this is the handshake: revisions that know sessions open each with one ``initialize``."""
    return ctx.method == "initialize"


def is_first_of_session(ctx: Context) -> bool:
    """Whether the session begins here. A handshake that already carries a session's id begins none."""
    return starts_session(ctx) and header(ctx, SESSION_HEADER) is None and session_id(ctx) is not None


def session_id(ctx: Context) -> str | None:
    """The id as the server knows it; None where there are no sessions: stdio, stateless servers, 2026-07-28 on.

    The answer to ``initialize`` carries an id that no request has carried yet, and mcp keeps it in a private place
    only; should that move, handshakes lose their session and nothing else does.
    """
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        return None  # a server must ignore the header there (SEP-2567)
    given = header(ctx, SESSION_HEADER)
    if given is not None:
        return given
    kept = getattr(getattr(ctx.session, "_connection", None), "session_id", None)
    return kept if isinstance(kept, str) else None


def is_own_question(ctx: Context) -> bool:
    """Whether mcp asks this on behalf of another request.

    Before a ``tools/call`` of 2026-07-28 the low-level server sends ``tools/list`` through its own middleware to
    check headers. The client's ``Mcp-Method`` header, which mcp has compared with the body, tells them apart.
    """
    asked = header(ctx, METHOD_HEADER) if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS else None
    return asked is not None and asked != ctx.method


def is_open_ended(ctx: Context) -> bool:
    """Whether the request runs until its client goes: it is neither slow nor hung then."""
    return ctx.method == "subscriptions/listen"


def listed_tools(result: object) -> Iterable[object]:
    """The names in an answer to ``tools/list``; FastMCP's middleware is given the bare list."""
    tools = result if isinstance(result, list | tuple) else _field(result, "tools", "tools")
    return [_field(tool, "name", "name") for tool in tools] if isinstance(tools, list | tuple) else []


def headers(ctx: Context) -> Mapping[str, str] | None:
    """Those of the HTTP request that carried this one; None without HTTP."""
    found = getattr(ctx.request, "headers", None)
    return found if hasattr(found, "get") else None


def header(ctx: Context, name: str) -> str | None:
    """One of them, None if it is not there."""
    found = headers(ctx)
    value = None if found is None else found.get(name)
    return value if isinstance(value, str) else None


def _asks_for_input(result: object) -> bool:
    """FastMCP keeps the question in its own result."""
    return getattr(getattr(result, "input_required", None), "result_type", None) == "input_required"


def _field(holder: object, alias: str, attribute: str) -> Any:
    """A field of the wire's dictionary or of the model it is made from: middleware below ours may return either."""
    return holder.get(alias) if isinstance(holder, dict) else getattr(holder, attribute, None)
