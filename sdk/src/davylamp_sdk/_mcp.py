"""Telemetry: the middleware that records one event per request of an MCP server (``mcp`` 2.3 or later)."""

from typing import Any, Unpack

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

from davylamp_sdk import _mcp_request as read
from davylamp_sdk._core import Options
from davylamp_sdk._names import known_method
from davylamp_sdk._recorder import Recorder
from davylamp_sdk._request import Request
from davylamp_sdk._tools import Registered, ToolNames


class Telemetry(Recorder):
    """Middleware for ``MCPServer(..., middleware=[Telemetry(service="orders", version="v2")])``; put it first.

    A :class:`Recorder` that needs no words: it takes the same options. ``tools`` names the registered tools, as a
    container or a predicate; without it names are learned from the server's ``tools/list`` answers, and until then a
    tool is ``_unknown``.

    Notifications are passed on unrecorded, and so are subscriptions, which run until their client goes, unless one
    fails. What never reaches a middleware, an unknown session or a malformed message, is seen by
    :class:`davylamp_sdk.asgi.Transport`.
    """

    def __init__(self, *, tools: Registered | None = None, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self._tools = ToolNames(tools)

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Pass the request on unchanged, and its answer or exception back; record how it ended."""
        request = self._described(ctx)
        if request is None:
            return await self._unrecorded(ctx, call_next)
        if read.is_open_ended(ctx):
            return await self._recorded_if_it_fails(request, ctx, call_next)
        with request:
            result = await call_next(ctx)
            with self._core.faults.guarded("request_unreadable", count=0):
                self._learn(ctx, result)
                request.outcome, request.error_type = read.verdict_of_result(result)
                request.protocol_version = read.protocol_version(ctx, result)
            return result

    async def _recorded_if_it_fails(
        self, request: Request, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        try:
            return await call_next(ctx)
        except Exception as error:
            with self._core.faults.guarded("request_unreadable"):
                request.outcome, request.error_type = read.verdict_of_error(error)
                with request:  # how long it ran says nothing
                    pass
            raise

    async def _unrecorded(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        result = await call_next(ctx)
        with self._core.faults.guarded("request_unreadable", count=0):
            self._learn(ctx, result)
        return result

    def _learn(self, ctx: ServerRequestContext[Any, Any], result: HandlerResult) -> None:
        if ctx.method == "tools/list":
            self._tools.learn(read.listed_tools(result))

    def _described(self, ctx: ServerRequestContext[Any, Any]) -> Request | None:
        """What is known before the handler runs; None: nothing to record."""
        if ctx.request_id is None:
            return None
        with self._core.faults.guarded("request_unreadable"):
            if read.is_own_question(ctx):
                return None
            request = Request(
                self._core,
                known_method(ctx.method),
                read.headers(ctx),
                read.verdict_of_error,
                session_from_header=False,
            )
            request.session_id = read.session_id(ctx)
            request.first_of_session = read.is_first_of_session(ctx)
            request.protocol_version = read.protocol_version(ctx, None)
            if ctx.method == "tools/call":
                request.tool = self._tools.spoken((ctx.params or {}).get("name"))
            return request
        return None
