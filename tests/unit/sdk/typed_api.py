"""What a user's type checker must accept of the SDK, and what it must refuse: never run, checked by mypy and pyright."""

from collections.abc import Mapping
from typing import assert_type

from fastmcp import FastMCP
from mcp.server.mcpserver import MCPServer

from davylamp_sdk import (
    KafkaSink,
    Outcome,
    Recorder,
    Request,
    RequestEvent,
    Rollout,
    Rollouts,
    Sink,
    Stats,
    Telemetry,
    metric,
)
from davylamp_sdk import fastmcp as davylamp_fastmcp
from davylamp_sdk.asgi import Transport
from davylamp_sdk.testing import FakeClock, MemorySink


def a_server_takes_it_as_middleware() -> None:
    telemetry = Telemetry(service="orders", version="v2", tools={"search"}, hung_after_s=30.0)
    MCPServer("orders", middleware=[telemetry])
    FastMCP("orders", middleware=[davylamp_fastmcp.Telemetry(service="orders", version="v2", tools=["search"])])
    Transport(MCPServer("orders").streamable_http_app(), telemetry, path="/mcp")
    assert_type(telemetry.stats(), Stats)
    assert_type(telemetry.stats().late, int)


def an_option_must_be_one(recorder: Recorder) -> None:
    Recorder(service="orders", version="v2", bootstrap="kafka:9092", key="0" * 32)
    Recorder(servce="orders")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Telemetry(hung_after_s="long")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    recorder.record("ping")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def a_request_takes_words_of_the_contract(recorder: Recorder, headers: Mapping[str, str]) -> None:
    with recorder.request("tools/call", headers=headers) as request:
        assert_type(request, Request)
        request.tool = "search"
        request.outcome = "tool_error"
        request.outcome = "fine"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
        request.metric("tokens", 812)
        request.metric("hit", value=True)
    recorder.record("ping", "ok", duration_ms=1.5, metrics={"tokens": 3})
    recorder.record("ping", "fine", duration_ms=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(metric("tokens", 812), None)


def a_sink_is_whatever_has_its_methods() -> None:
    sinks: list[Sink] = [MemorySink(), KafkaSink("kafka:9093", settings={"security.protocol": "SSL"})]
    memory = MemorySink()
    assert_type(memory.wait_for(1), list[RequestEvent])
    assert_type(memory.events[0].outcome, Outcome)
    Recorder(sink=sinks[0], clock=FakeClock())
    Recorder(sink=object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_rollout_is_followed(rollouts: Rollouts) -> None:
    async for rollout in rollouts:
        assert_type(rollout, Rollout)
        assert_type(rollout.canary, str | None)
        if rollout.phase == "rolled_back":
            break
    rollouts.call(print)
    assert_type(rollouts.current, Rollout | None)
