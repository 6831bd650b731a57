"""What the SDK costs a request: `python -m bench.sdk [--requests 100000] [--write]`.

In turns, in one event loop and one process, a request is served bare, with `Telemetry` around it, and with a span of
OpenTelemetry's SDK around it (eight attributes, `BatchSpanProcessor`, an exporter that does nothing): so all of them meet
the same machine. Also measured alone is the emit, the one call that hands a finished request to the SDK's thread. Its
sink does nothing, either: what a broker costs is not the request's.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from mcp.server.context import HandlerResult, ServerRequestContext
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Tracer
from starlette.datastructures import Headers

from bench.report import machine, write_section
from davylamp_sdk import Stats, Telemetry
from davylamp_sdk._emitter import Emitter
from davylamp_sdk._finished import FinishedRequest
from davylamp_sdk._sink import Settled

BURST = 10
PAUSE_S = 0.002
"""Between bursts, so that either side's thread keeps up: some thousands of requests a second, more than such servers serve."""
WARM_UP = 1_000

METHOD, TOOL, VERSION = "tools/call", "search", "2025-11-25"
HEADERS = Headers(
    {
        "host": "127.0.0.1:8000",
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
        "user-agent": "python-httpx2/2.16.2",
        "accept-encoding": "gzip, deflate",
        "content-length": "120",
        "mcp-protocol-version": VERSION,
        "mcp-session-id": "9f86d081884c7d659a2feaa0c55ad015",
        "x-request-id": "5f3d2c1b-8c1e-4a57-9d5e-2a0b6c8a9e13",
        "x-forwarded-for": "10.0.0.7",
        "x-davylamp-assignment": "12.3.session.0123456789abcdef;v2",
    }
)
ANSWER: dict[str, Any] = {"content": [], "isError": False}
FINISHED = FinishedRequest(method=METHOD, outcome="ok", started_at=1_795_485_600_000, duration_ms=12.5, tool=TOOL)


class Nowhere:
    """A sink that takes everything and keeps nothing."""

    def __init__(self) -> None:
        self._unsettled: list[Settled] = []

    def send(self, key: bytes, value: bytes, settled: Settled) -> bool:  # noqa: ARG002 - the port's signature
        self._unsettled.append(settled)
        return True

    def poll(self) -> None:
        unsettled, self._unsettled = self._unsettled, []
        for settled in unsettled:
            settled(True)  # noqa: FBT003 - the port's signature

    def flush(self, timeout_s: float) -> None:  # noqa: ARG002 - the port's signature
        self.poll()


class NoExporter(SpanExporter):
    """An exporter that takes everything and keeps nothing."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - the port's signature
        return SpanExportResult.SUCCESS


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of one call, in microseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, nanoseconds: list[int]) -> "Quantiles":
        ordered = sorted(nanoseconds)
        return cls(ordered[len(ordered) // 2] / 1000, ordered[len(ordered) * 99 // 100] / 1000)


def context() -> ServerRequestContext[Any, Any]:
    """A tool call as mcp hands it to its middleware."""
    session: Any = SimpleNamespace(_connection=SimpleNamespace(session_id=None))
    return ServerRequestContext(
        session=session,
        lifespan_context={},
        protocol_version=VERSION,
        method=METHOD,
        request_id=1,
        params={"name": TOOL, "arguments": {}},
        request=SimpleNamespace(headers=HEADERS),
    )


async def handler(_ctx: ServerRequestContext[Any, Any]) -> HandlerResult:
    """Answers at once: what is measured is what lies around it."""
    return ANSWER


async def traced(ctx: ServerRequestContext[Any, Any], tracer: Tracer) -> HandlerResult:
    """The same request as a span, with what OpenTelemetry's conventions for MCP want to know of it."""
    attributes = {
        "mcp.method.name": ctx.method,
        "mcp.protocol.version": ctx.protocol_version,
        "mcp.session.id": HEADERS["mcp-session-id"],
        "gen_ai.tool.name": TOOL,
        "gen_ai.operation.name": "execute_tool",
        "jsonrpc.request.id": str(ctx.request_id),
        "network.transport": "tcp",
        "davylamp.assignment": HEADERS["x-davylamp-assignment"],
    }
    with tracer.start_as_current_span(f"{METHOD} {TOOL}", kind=SpanKind.SERVER, attributes=attributes):
        return await handler(ctx)


async def measure(requests: int) -> tuple[dict[str, Quantiles], Stats]:
    """Quantiles by what was measured, and the SDK's own books."""
    telemetry = Telemetry(service="orders", version="v2", sink=Nowhere(), tools={TOOL})
    emitter = Emitter(Nowhere(), {"service": "orders", "version": "v2", "instance": "i"})
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(NoExporter()))
    tracer = provider.get_tracer("bench")
    ctx = context()

    async def emit() -> None:
        emitter.record(FINISHED)

    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "bare": lambda: handler(ctx),
        "emit": emit,
        "middleware": lambda: telemetry(ctx, handler),
        "span": lambda: traced(ctx, tracer),
    }
    taken = await _in_turns(calls, requests)
    telemetry.close()
    emitter.close()
    provider.shutdown()
    return {name: Quantiles.of(times[WARM_UP:]) for name, times in taken.items()}, telemetry.stats()


async def _in_turns(calls: dict[str, Callable[[], Awaitable[object]]], requests: int) -> dict[str, list[int]]:
    clock = time.perf_counter_ns
    taken: dict[str, list[int]] = {name: [] for name in calls}
    for n in range(requests + WARM_UP):
        for name, call in calls.items():
            began = clock()
            await call()
            taken[name].append(clock() - began)
        if n % BURST == 0:
            await asyncio.sleep(PAUSE_S)
    return taken


def report(found: dict[str, Quantiles], stats: Stats, requests: int) -> str:
    """The section of `docs/performance.md`."""
    bare = found["bare"]
    rows = {
        "emit (hand a finished request to the SDK's thread)": found["emit"],
        "`Telemetry`, all of its work around a request": found["middleware"],
        "OpenTelemetry SDK, one span with eight attributes": found["span"],
    }
    lines = [
        f"{requests:,} requests each, in turns, {BURST} at a time with {PAUSE_S * 1000:g} ms between; {machine()}, shared with",
        "other work, so the tails are as much the machine's as ours. Microseconds beyond the bare request's",
        f"({bare.p50:.1f} at p50); the targets of the emit are p50 < 3 and p99 < 20.",
        "",
        "| | p50 | p99 | p50 over the span's |",
        "|---|---|---|---|",
        *(
            f"| {name} | {q.p50 - bare.p50:.1f} | {q.p99 - bare.p50:.1f} "
            f"| {(q.p50 - bare.p50) / (found['span'].p50 - bare.p50):.2f} |"
            for name, q in rows.items()
        ),
        "",
        f"Of {stats.recorded:,} requests {stats.delivered:,} were delivered, {stats.dropped} dropped, {stats.failed} failed.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write on demand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    args = parser.parse_args()
    text = report(*asyncio.run(measure(args.requests)), args.requests)
    print(text)
    if args.write:
        write_section("What the SDK costs a request", "python -m bench.sdk --write", text)


if __name__ == "__main__":
    main()
