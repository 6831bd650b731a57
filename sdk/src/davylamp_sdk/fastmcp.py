"""Telemetry for FastMCP (version 4): ``FastMCP("orders", middleware=[Telemetry(service="orders", version="v2")])``."""

from contextvars import ContextVar
from typing import Any, Final, Unpack

from fastmcp.exceptions import DisabledError, FastMCPError, NotFoundError, to_mcp_error
from fastmcp.server.dependencies import fastmcp_request_ctx
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from mcp.server.context import ServerRequestContext

from davylamp_sdk import _mcp_request as read
from davylamp_sdk._core import Options
from davylamp_sdk._mcp_observer import McpObserver
from davylamp_sdk._request import Verdict
from davylamp_sdk._tools import Registered

__all__ = ["Telemetry"]

_served: Final[ContextVar[object]] = ContextVar("davylamp_fastmcp_served", default=None)
"""The session object of the request that is being recorded: FastMCP makes one for each request."""


class Telemetry(McpObserver, Middleware):
    """What :class:`davylamp_sdk.Telemetry` is to ``mcp``, in FastMCP's own middleware API; put it first.

    A request is recorded once, however many mounted servers or calls among the server's own tools it passes through.
    What a server asks of itself outside of a client's request is not recorded.
    """

    def __init__(self, *, tools: Registered | None = None, **options: Unpack[Options]) -> None:
        super().__init__(tools=tools, **options)

    async def __call__(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """Pass the request on unchanged, and its answer or exception back; record how it ended."""
        ctx = _wire_request()
        session = getattr(ctx, "session", None)  # FastMCP's own shapes may change: then nothing is recorded
        if ctx is None or _served.get() is session:
            return await call_next(context)
        token = _served.set(session)
        try:
            is_tool_call = getattr(ctx, "method", None) == "tools/call"
            return await self._observe(
                ctx, lambda: call_next(context), _verdict_of_tool_error if is_tool_call else _verdict_of_error
            )
        finally:
            _served.reset(token)


def _wire_request() -> ServerRequestContext[Any, Any] | None:
    """What the client sent, as mcp has it."""
    bound = fastmcp_request_ctx.get()
    return None if bound is None else getattr(bound, "_srctx", None)


def _verdict_of_tool_error(error: BaseException) -> Verdict:
    """FastMCP answers these with a result that says `isError`."""
    if isinstance(error, FastMCPError | NotFoundError | DisabledError):
        return "tool_error", "tool_error"
    return read.verdict_of_error(error)


def _verdict_of_error(error: BaseException) -> Verdict:
    """FastMCP answers its own errors of resources and prompts with a JSON-RPC error."""
    if isinstance(error, FastMCPError | NotFoundError | DisabledError):
        return read.verdict_of_error(to_mcp_error(error))
    return read.verdict_of_error(error)
