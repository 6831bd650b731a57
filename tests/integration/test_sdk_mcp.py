"""Telemetry in a real MCP server, asked by real clients over streamable HTTP: one event a request, told truly."""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import Server
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolRequestParams, CallToolResult, InputRequiredResult, ListToolsResult, Tool

from davylamp_sdk import RequestEvent, Telemetry
from davylamp_sdk.testing import MemorySink
from tests.sdk_server import serving
from tests.unit.sdk.fakes import BrokenSink, CrampedSink, HangingSink

LEGACY, MODERN = "2025-11-25", "2026-07-28"
STAMP = "12.3.session.0123456789abcdef;v2"
Mode = Literal["legacy", "auto"]
BOTH = pytest.mark.parametrize("mode", ["legacy", "auto"])


class Orders:
    """An MCP server with one of everything that can happen to a request."""

    def __init__(self, telemetry: Telemetry, *, crash_on: str = "") -> None:
        self.slow_began = threading.Event()
        self.server: MCPServer[Any] = MCPServer("orders", middleware=[telemetry, self.crash])
        self._crash_on = crash_on
        self.server.tool()(self.add)
        self.server.tool()(self.fail)
        self.server.tool()(self.slow)
        self.server.resource("orders://one")(self.one)

    async def crash(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        if ctx.method == self._crash_on:
            raise RuntimeError("crash")
        return await call_next(ctx)

    def add(self, a: int, b: int) -> int:
        return a + b

    def fail(self) -> str:
        raise LookupError("no such order")

    async def slow(self) -> str:
        self.slow_began.set()
        await asyncio.Event().wait()
        return "never"

    def one(self) -> str:
        return "order 1"


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def telemetry(sink: MemorySink) -> Iterator[Telemetry]:
    telemetry = Telemetry(service="orders", version="v2", sink=sink)
    yield telemetry
    telemetry.close()


@pytest.fixture
def orders(telemetry: Telemetry) -> Orders:
    return Orders(telemetry)


@pytest.fixture
def url(orders: Orders) -> Iterator[str]:
    with serving(orders.server.streamable_http_app()) as address:
        yield address


async def event_of(sink: MemorySink, method: str, count: int = 1) -> list[RequestEvent]:
    """The events of `method` once `count` have come."""
    for seen in range(1, 50):
        events = await asyncio.to_thread(sink.wait_for, seen)
        found = [event for event in events if event.method == method]
        if len(found) >= count:
            return found
    raise AssertionError(f"no {count} events of {method}")


def outcomes(events: Sequence[RequestEvent]) -> list[tuple[str | None, str, str | None]]:
    return [(event.tool, event.outcome, event.error_type) for event in events]


@BOTH
async def test_each_request_is_one_event_and_no_notification_is(url: str, sink: MemorySink, mode: Mode) -> None:
    async with Client(url, mode=mode) as client:
        await client.list_tools()
        await client.call_tool("add", {"a": 1, "b": 2})
        await client.read_resource("orders://one")
    events = await asyncio.to_thread(sink.wait_for, 4)
    greeting = "initialize" if mode == "legacy" else "server/discover"
    assert [event.method for event in events] == [greeting, "tools/list", "tools/call", "resources/read"]
    assert {event.outcome for event in events} == {"ok"}
    assert {event.protocol_version for event in events} == {LEGACY if mode == "legacy" else MODERN}
    assert [event.sequence for event in events] == [0, 1, 2, 3]


@BOTH
async def test_tools_that_fail_or_do_not_exist_are_tool_errors(url: str, sink: MemorySink, mode: Mode) -> None:
    async with Client(url, mode=mode) as client:
        await client.list_tools()
        await client.call_tool("fail", {})
        await client.call_tool("add", {"a": "x"})
        await client.call_tool("made-up", {})
    events = await event_of(sink, "tools/call", 3)
    assert outcomes(events) == [
        ("fail", "tool_error", "tool_error"),
        ("add", "tool_error", "tool_error"),
        ("_unknown", "tool_error", "tool_error"),
    ]


@BOTH
async def test_an_unknown_resource_is_an_rpc_error(url: str, sink: MemorySink, mode: Mode) -> None:
    async with Client(url, mode=mode) as client:
        with pytest.raises(MCPError):
            await client.read_resource("orders://none")
    assert outcomes(await event_of(sink, "resources/read")) == [(None, "rpc_error", "-32602")]


@BOTH
async def test_a_handler_that_crashes_is_a_server_error(sink: MemorySink, telemetry: Telemetry, mode: Mode) -> None:
    with serving(Orders(telemetry, crash_on="resources/list").server.streamable_http_app()) as url:
        async with Client(url, mode=mode) as client:
            with pytest.raises(MCPError):
                await client.list_resources()
    assert outcomes(await event_of(sink, "resources/list")) == [(None, "server_error", "RuntimeError")]


@BOTH
async def test_a_call_that_its_client_gives_up_is_cancelled(
    url: str, orders: Orders, sink: MemorySink, mode: Mode
) -> None:
    async with Client(url, mode=mode) as client:
        await client.list_tools()
        call = asyncio.create_task(client.call_tool("slow", {}))
        assert await asyncio.to_thread(orders.slow_began.wait, 10)
        call.cancel()
        events = await event_of(sink, "tools/call")
    assert outcomes(events) == [("slow", "cancelled", "cancelled")]


async def test_a_session_begins_with_its_handshake_and_is_known_by_a_hash_only(url: str, sink: MemorySink) -> None:
    seen_ids: list[str] = []

    async def note_id(response: httpx2.Response) -> None:
        seen_ids.append(response.headers.get("mcp-session-id", ""))

    async with (
        httpx2.AsyncClient(event_hooks={"response": [note_id]}) as http,
        Client(streamable_http_client(url, http_client=http), mode="legacy") as client,
    ):
        await client.list_tools()
    events = await asyncio.to_thread(sink.wait_for, 2)
    assert [(event.method, event.first_of_session) for event in events] == [("initialize", True), ("tools/list", False)]
    hashed = hashlib.blake2b(seen_ids[0].encode(), digest_size=16).hexdigest()
    assert [event.session for event in events] == [hashed, hashed]


async def test_two_clients_are_two_sessions(url: str, sink: MemorySink) -> None:
    for _ in range(2):
        async with Client(url, mode="legacy"):
            pass
    events = await event_of(sink, "initialize", 2)
    assert len({event.session for event in events}) == 2
    assert all(event.first_of_session for event in events)


async def test_the_newest_protocol_has_no_sessions(url: str, sink: MemorySink) -> None:
    async with Client(url) as client:
        await client.list_tools()
    events = await asyncio.to_thread(sink.wait_for, 2)
    assert {(event.session, event.first_of_session) for event in events} == {(None, False)}


@BOTH
async def test_the_proxys_stamp_reaches_every_event(url: str, sink: MemorySink, mode: Mode) -> None:
    async with (
        httpx2.AsyncClient(headers={"X-Davylamp-Assignment": STAMP}) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        await client.list_tools()
    events = await asyncio.to_thread(sink.wait_for, 2)
    assert {event.assignment for event in events} == {STAMP}


async def test_a_direct_call_has_no_stamp(url: str, sink: MemorySink) -> None:
    async with Client(url):
        pass
    (event,) = await asyncio.to_thread(sink.wait_for, 1)
    assert event.assignment is None


async def ask(
    _ctx: ServerRequestContext[Any, Any], params: CallToolRequestParams
) -> InputRequiredResult | CallToolResult:
    return InputRequiredResult(request_state="sealed") if params.name == "ask" else CallToolResult(content=[])


async def listing(_ctx: ServerRequestContext[Any, Any], _params: object) -> ListToolsResult:
    return ListToolsResult(tools=[Tool(name="ask", input_schema={"type": "object"})])


async def test_a_low_level_server_is_watched_alike_without_what_mcp_asks_of_itself(
    sink: MemorySink, telemetry: Telemetry
) -> None:
    server: Server[Any] = Server("asks", on_call_tool=ask, on_list_tools=listing)
    server.middleware.append(telemetry)
    with serving(server.streamable_http_app()) as url:
        async with Client(url) as client:
            await client.session.call_tool("ask", {"a": 1}, allow_input_required=True)
            await client.session.call_tool("anything", {"a": 1})
    events = (await asyncio.to_thread(sink.wait_for, 3))[:3]
    assert [event.method for event in events] == ["server/discover", "tools/call", "tools/call"]
    assert outcomes(events[1:]) == [("ask", "input_required", None), ("_unknown", "ok", None)]


@BOTH
@pytest.mark.parametrize("make_sink", [BrokenSink, HangingSink, partial(CrampedSink, room=0)])
async def test_a_server_serves_on_whatever_the_sink_does(
    make_sink: Callable[[], BrokenSink | HangingSink | CrampedSink], mode: Mode
) -> None:
    sink = make_sink()
    telemetry = Telemetry(service="orders", version="v2", sink=sink)
    with serving(Orders(telemetry).server.streamable_http_app()) as url:
        async with Client(url, mode=mode) as client:
            answers = [await client.call_tool("add", {"a": 1, "b": n}) for n in range(20)]
    telemetry.close(timeout_s=0.01)
    if isinstance(sink, HangingSink):
        sink.released.set()
    assert [answer.is_error for answer in answers] == [False] * 20
    assert telemetry.stats().recorded >= 21
    assert telemetry.stats().delivered == 0
