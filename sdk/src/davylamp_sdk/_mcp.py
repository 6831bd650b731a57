"""Telemetry: the middleware that records one event per request of an MCP server (``mcp`` 2.3 or later)."""

from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

from davylamp_sdk import _mcp_request as read
from davylamp_sdk._clock import Clock, SystemClock
from davylamp_sdk._emitter import Emitter, FinishedRequest, Stats
from davylamp_sdk._settings import Settings
from davylamp_sdk._sink import KafkaSink, Sink
from davylamp_sdk._tools import Registered, ToolNames


class Telemetry:
    """Middleware for ``MCPServer(..., middleware=[Telemetry(service="orders", version="v2")])``; put it first.

    What is not given comes from the environment (:class:`Settings`). ``tools`` names the registered tools, as a
    container or a predicate; without it names are learned from the server's ``tools/list`` answers, and until then
    a tool is ``_unknown``. ``sink`` replaces Kafka. Raises ``ValueError`` if a setting is missing; after that
    nothing in here ever fails or delays a request.

    Notifications are passed on unrecorded. What never reaches a middleware is not recorded either: an unknown
    session, a malformed message (``rejected``), and a request that has not ended yet (``timeout``).
    """

    def __init__(
        self,
        *,
        service: str | None = None,
        version: str | None = None,
        instance: str | None = None,
        bootstrap: str | None = None,
        topic: str | None = None,
        tools: Registered | None = None,
        sink: Sink | None = None,
        clock: Clock | None = None,
    ) -> None:
        given = {"service": service, "version": version, "instance": instance, "bootstrap": bootstrap, "topic": topic}
        settings = Settings.read(given)
        self._clock = clock or SystemClock()
        self._tools = ToolNames(tools)
        self._emitter = Emitter(
            sink or _kafka(settings),
            service=settings.service,
            version=settings.version,
            instance=settings.instance,
            clock=self._clock,
        )

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Pass the request on unchanged, and its answer or exception back; record how it ended."""
        if ctx.request_id is None:
            return await call_next(ctx)
        started = self._now()
        try:
            result = await call_next(ctx)
        except BaseException as error:
            self._record(ctx, started, error, None)
            raise
        self._record(ctx, started, None, result)
        return result

    def stats(self) -> Stats:
        """What became of the events so far."""
        return self._emitter.stats()

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what waits, for at most ``timeout_s``; see :meth:`Emitter.close`."""
        self._emitter.close(timeout_s)

    def _now(self) -> tuple[int, float] | None:
        with self._emitter.guarded():
            return self._clock.now_ms(), self._clock.monotonic_s()
        return None

    def _record(
        self,
        ctx: ServerRequestContext[Any, Any],
        started: tuple[int, float] | None,
        error: BaseException | None,
        result: HandlerResult,
    ) -> None:
        if started is None:
            return
        with self._emitter.guarded():
            if ctx.method == "tools/list":
                self._tools.learn(read.listed_tools(result))
            if not read.is_own_question(ctx):
                self._emitter.record(self._describe(ctx, started, error, result))

    def _describe(
        self,
        ctx: ServerRequestContext[Any, Any],
        started: tuple[int, float],
        error: BaseException | None,
        result: HandlerResult,
    ) -> FinishedRequest:
        outcome, error_type = read.verdict_of_result(result) if error is None else read.verdict_of_error(error)
        started_at, started_s = started
        return FinishedRequest(
            method=read.known_method(ctx.method),
            outcome=outcome,
            started_at=started_at,
            duration_ms=(self._clock.monotonic_s() - started_s) * 1000,
            session=read.session_hash(ctx),
            assignment=read.assignment(ctx),
            tool=self._tools.spoken((ctx.params or {}).get("name")) if ctx.method == "tools/call" else None,
            error_type=error_type,
            protocol_version=read.protocol_version(ctx, result),
            first_of_session=read.is_first_of_session(ctx),
        )


def _kafka(settings: Settings) -> KafkaSink:
    return KafkaSink(settings.require_bootstrap(), settings.topic, client=f"davylamp-sdk/{settings.instance}")
