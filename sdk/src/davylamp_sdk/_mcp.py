"""Telemetry: the middleware that records one event per request of an MCP server (``mcp`` 2.3 or later)."""

from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

from davylamp_sdk._mcp_observer import McpObserver


class Telemetry(McpObserver):
    """Middleware for ``MCPServer(..., middleware=[Telemetry(service="orders", version="v2")])``; put it first.

    It takes the options of a :class:`Recorder`, and is one. ``tools`` names the registered tools, as a container or a
    predicate; without it names are learned from the server's ``tools/list`` answers, and until then a tool is
    ``_unknown``.

    Notifications are passed on unrecorded, and so are subscriptions, which run until their client goes, unless one
    fails. What never reaches a middleware, an unknown session or a malformed message, is seen by
    :class:`davylamp_sdk.asgi.Transport`.
    """

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Pass the request on unchanged, and its answer or exception back; record how it ended."""
        return await self._observe(ctx, lambda: call_next(ctx))
