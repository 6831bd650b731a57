"""Telemetry in a real FastMCP server, by FastMCP's own middleware API: one event a request, told truly."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import httpx2
import pytest
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ResourceError
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import InputRequiredResult

from davylamp_sdk import RequestEvent, metric
from davylamp_sdk._units import session_hash
from davylamp_sdk.asgi import Transport
from davylamp_sdk.fastmcp import Telemetry
from davylamp_sdk.testing import MemorySink
from tests.sdk_server import serving

LEGACY, MODERN = "2025-11-25", "2026-07-28"
STAMP = "12.3.session.0123456789abcdef;v2"
Mode = Literal["legacy", "auto"]
BOTH = pytest.mark.parametrize("mode", ["legacy", "auto"])

slow_began = threading.Event()


def orders(telemetry: Telemetry) -> FastMCP[Any]:
    """A FastMCP server with one of everything that can happen to a request, and another one mounted below it."""
    server: FastMCP[Any] = FastMCP("orders", middleware=[telemetry])
    below: FastMCP[Any] = FastMCP("below", middleware=[telemetry])
    server.tool(add)
    server.tool(fail)
    server.tool(slow)
    server.tool(indirect)
    server.tool(ask)
    server.resource("orders://one")(one)
    server.resource("orders://broken")(broken)
    below.tool(deep)
    server.mount(below, namespace="below")
    return server


def add(a: int, b: int) -> int:
    metric("sum", a + b)
    return a + b


def fail() -> str:
    raise LookupError("no such order")


async def slow() -> str:
    slow_began.set()
    await asyncio.Event().wait()
    return "never"


async def indirect(ctx: Context) -> str:
    """Calls another tool of the same server, which is no request of the client."""
    await ctx.fastmcp.call_tool("add", {"a": 1, "b": 2})
    return "done"


async def ask() -> InputRequiredResult:
    return InputRequiredResult(request_state="sealed")


def deep() -> str:
    return "deep"


def one() -> str:
    return "order 1"


def broken() -> str:
    raise ResourceError("out of order")


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def url(sink: MemorySink) -> Iterator[str]:
    slow_began.clear()
    telemetry = Telemetry(service="orders", version="v2", sink=sink)
    with serving(Transport(orders(telemetry).http_app(), telemetry)) as address:
        yield address


async def events_of(sink: MemorySink, method: str, count: int = 1) -> list[RequestEvent]:
    """The events of `method` once `count` have come."""
    for seen in range(1, 50):
        events = await asyncio.to_thread(sink.wait_for, seen)
        found = [event for event in events if event.method == method]
        if len(found) >= count:
            return found
    raise AssertionError(f"no {count} events of {method}")


async def requests(sink: MemorySink, count: int) -> list[RequestEvent]:
    """The first requests; a session's own end, which is none, comes after them or not yet."""
    events = await asyncio.to_thread(sink.wait_for, count)
    return [event for event in events if event.outcome != "ended"]


def outcomes(events: Sequence[RequestEvent]) -> list[tuple[str | None, str, str | None]]:
    return [(event.tool, event.outcome, event.error_type) for event in events]


@BOTH
async def test_each_request_is_one_event_and_no_notification_is(url: str, sink: MemorySink, mode: Mode) -> None:
    async with Client(url, mode=mode) as client:
        await client.list_tools()
        await client.call_tool("add", {"a": 1, "b": 2})
        await client.read_resource("orders://one")
    events = await requests(sink, 4)
    greeting = "initialize" if mode == "legacy" else "server/discover"
    assert [event.method for event in events] == [greeting, "tools/list", "tools/call", "resources/read"]
    assert {event.outcome for event in events} == {"ok"}
    assert {event.protocol_version for event in events} == {LEGACY if mode == "legacy" else MODERN}
    assert events[2].tool == "add"
    assert events[2].metrics == {"sum": 3.0}


@BOTH
async def test_tools_that_fail_or_do_not_exist_are_tool_errors(url: str, sink: MemorySink, mode: Mode) -> None:
    async with Client(url, mode=mode) as client:
        await client.list_tools()
        await client.call_tool("fail", {})
        await client.call_tool("add", {"a": "x"})
        await client.call_tool("made-up", {})
    assert outcomes(await events_of(sink, "tools/call", 3)) == [
        ("fail", "tool_error", "tool_error"),
        ("add", "tool_error", "tool_error"),
        ("_unknown", "tool_error", "tool_error"),
    ]


@BOTH
async def test_resources_that_fail_or_do_not_exist_are_rpc_errors(url: str, sink: MemorySink, mode: Mode) -> None:
    async with Client(url, mode=mode) as client:
        for uri in ("orders://none", "orders://broken"):
            with pytest.raises(MCPError):
                await client.read_resource(uri)
    assert outcomes(await events_of(sink, "resources/read", 2)) == [
        (None, "rpc_error", "-32602"),
        (None, "rpc_error", "-32603"),
    ]


@BOTH
async def test_a_call_that_its_client_gives_up_is_cancelled(url: str, sink: MemorySink, mode: Mode) -> None:
    async with Client(url, mode=mode) as client:
        await client.list_tools()
        call = asyncio.create_task(client.call_tool("slow", {}))
        assert await asyncio.to_thread(slow_began.wait, 10)
        call.cancel()
        events = await events_of(sink, "tools/call")
    assert outcomes(events) == [("slow", "cancelled", "cancelled")]


async def test_a_tool_that_asks_for_more_has_neither_succeeded_nor_failed(url: str, sink: MemorySink) -> None:
    async with Client(url) as client:
        await client.list_tools()
        await client.session.call_tool("ask", {}, allow_input_required=True)
    assert outcomes(await events_of(sink, "tools/call")) == [("ask", "input_required", None)]


@BOTH
async def test_a_request_is_one_event_however_many_servers_and_tools_it_passes(
    url: str, sink: MemorySink, mode: Mode
) -> None:
    async with Client(url, mode=mode) as client:
        await client.list_tools()
        await client.call_tool("below_deep", {})
        await client.call_tool("indirect", {})
        await client.call_tool("add", {"a": 1, "b": 2})
    events = await requests(sink, 5)
    assert [event.tool for event in events] == [None, None, "below_deep", "indirect", "add"]


async def test_a_session_begins_with_its_handshake_and_carries_the_proxys_stamp(url: str, sink: MemorySink) -> None:
    seen_ids: list[str] = []

    async def note_id(response: httpx2.Response) -> None:
        seen_ids.append(response.headers.get("mcp-session-id", ""))

    async with (
        httpx2.AsyncClient(event_hooks={"response": [note_id]}, headers={"x-davylamp-assignment": STAMP}) as http,
        Client(streamable_http_client(url, http_client=http), mode="legacy") as client,
    ):
        await client.list_tools()
    events = await requests(sink, 2)
    assert [(event.method, event.first_of_session) for event in events] == [("initialize", True), ("tools/list", False)]
    assert {event.session for event in events} == {session_hash(seen_ids[0])}
    assert {event.assignment for event in events} == {STAMP}
    assert events[1].session_age_ms is not None


async def test_what_no_middleware_sees_is_told_by_the_wrapper_and_what_it_sees_is_not(
    url: str, sink: MemorySink
) -> None:
    async with httpx2.AsyncClient() as http:
        accept = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
        assert (await http.post(url, content=b"{not json", headers=accept)).status_code == 400
    async with Client(url, mode="legacy") as client:
        await client.call_tool("made-up", {})
    events = await asyncio.to_thread(sink.wait_for, 3)
    assert [event.outcome for event in events] == ["rejected", "ok", "tool_error"]


async def test_what_a_server_asks_of_itself_is_not_recorded(sink: MemorySink) -> None:
    telemetry = Telemetry(service="orders", version="v2", sink=sink)
    result = await orders(telemetry).call_tool("add", {"a": 1, "b": 2})
    telemetry.close()
    assert result.structured_content == {"result": 3}
    assert telemetry.stats().recorded == 0
