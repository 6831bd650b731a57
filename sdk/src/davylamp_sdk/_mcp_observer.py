"""What both kinds of MCP middleware share: a request described before it runs, and its answer read after."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, Unpack

from mcp.server.context import ServerRequestContext

from davylamp_sdk import _mcp_request as read
from davylamp_sdk._core import Options
from davylamp_sdk._names import known_method
from davylamp_sdk._recorder import Recorder
from davylamp_sdk._request import Request, Verdict
from davylamp_sdk._tools import Registered, ToolNames

Result = TypeVar("Result")
VerdictOfError = Callable[[BaseException], Verdict]


class McpObserver(Recorder):
    """A :class:`Recorder` that needs no words: it describes the requests of an MCP server by itself."""

    def __init__(self, *, tools: Registered | None = None, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self._tools = ToolNames(tools)

    async def _observe(
        self,
        ctx: ServerRequestContext[Any, Any],
        answer: Callable[[], Awaitable[Result]],
        verdict_of_error: VerdictOfError = read.verdict_of_error,
    ) -> Result:
        """The very answer or exception of `answer`, of which is recorded how it ended."""
        request = self._described(ctx, verdict_of_error)
        if request is None:
            return self._learned(ctx, await answer())
        if read.is_open_ended(ctx):
            return await self._recorded_if_it_fails(request, answer, verdict_of_error)
        with request:
            result = self._learned(ctx, await answer())
            try:
                request.outcome, request.error_type = read.verdict_of_result(result)
                if read.starts_session(ctx):
                    request.protocol_version = read.protocol_version(ctx, result)
            except Exception as error:  # noqa: BLE001 - an answer we cannot read is the client's all the same
                self._core.faults.mention("request_unreadable", error)
            return result

    async def _recorded_if_it_fails(
        self, request: Request, answer: Callable[[], Awaitable[Result]], verdict_of_error: VerdictOfError
    ) -> Result:
        try:
            return await answer()
        except Exception as error:
            with self._core.faults.guarded("request_unreadable"):
                request.outcome, request.error_type = verdict_of_error(error)
                with request:  # how long it ran says nothing
                    pass
            raise

    def _learned(self, ctx: ServerRequestContext[Any, Any], result: Result) -> Result:
        with self._core.faults.guarded("request_unreadable", count=0):
            if ctx.method == "tools/list":
                self._tools.learn(read.listed_tools(result))
        return result

    def _described(self, ctx: ServerRequestContext[Any, Any], verdict_of_error: VerdictOfError) -> Request | None:
        """What is known before the handler runs; None: nothing to record."""
        try:
            unrecorded = ctx.request_id is None or read.is_own_question(ctx)
            return None if unrecorded else self._request(ctx, verdict_of_error)
        except Exception as error:  # noqa: BLE001 - telemetry never fails the server it watches
            self._core.faults.add("request_unreadable", error=error)
            return None

    def _request(self, ctx: ServerRequestContext[Any, Any], verdict_of_error: VerdictOfError) -> Request:
        method, headers = known_method(ctx.method), read.headers(ctx)
        request = Request(self._core, method, headers, verdict_of_error, session_from_header=False)
        request.session_id = read.session_id(ctx)
        request.first_of_session = read.is_first_of_session(ctx)
        request.protocol_version = read.protocol_version(ctx, None)
        if ctx.method == "tools/call":
            request.tool = self._tools.spoken((ctx.params or {}).get("name"))
        return request
