"""The ASGI wrapper around a real MCP server over HTTP: each request is told once, by whoever saw it."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, Tool

from davylamp_sdk import RequestEvent, Telemetry
from davylamp_sdk._units import session_hash
from davylamp_sdk.asgi import Transport
from davylamp_sdk.testing import MemorySink
from tests.sdk_server import serving

LEGACY, MODERN = "2025-11-25", "2026-07-28"
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
STAMP = "12.3.session.0123456789abcdef;v2"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def url(sink: MemorySink) -> Iterator[str]:
    telemetry = Telemetry(service="orders", version="v2", sink=sink)
    server: MCPServer[Any] = MCPServer("orders", middleware=[telemetry])

    @server.tool()
    def add(a: int, b: int) -> int:
        return a + b

    app = server.streamable_http_app(max_request_body_size=10_000)
    with serving(Transport(app, telemetry)) as address:
        yield address


def call(method: str, *, modern: bool = False, **params: Any) -> bytes:
    meta = {"_meta": META} if modern else {}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params | meta}).encode()


async def post(url: str, body: bytes, **headers: str) -> int:
    async with httpx2.AsyncClient() as http:
        sent = ACCEPT | {name.replace("_", "-"): value for name, value in headers.items()}
        return (await http.post(url, content=body, headers=sent)).status_code


async def events(sink: MemorySink, count: int) -> list[RequestEvent]:
    return await asyncio.to_thread(sink.wait_for, count)


def outcomes(told: list[RequestEvent]) -> list[tuple[str, str, str | None]]:
    return [(event.method, event.outcome, event.error_type) for event in told]


async def test_an_unknown_session_is_rejected_under_its_hash_and_label(url: str, sink: MemorySink) -> None:
    headers = {"mcp_session_id": "no-such-session", "x_davylamp_assignment": STAMP}
    assert await post(url, call("tools/list"), **headers) == 404
    (event,) = await events(sink, 1)
    assert outcomes([event]) == [("_unknown", "rejected", "404")]
    assert (event.session, event.assignment) == (session_hash("no-such-session"), STAMP)


async def test_what_no_middleware_sees_is_rejected_by_its_status(url: str, sink: MemorySink) -> None:
    assert await post(url, b"{not json") == 400
    assert await post(url, call("tools/list"), host="evil.example") == 421
    assert await post(url, b"x" * 20_000) == 413
    assert await post(url, call("tools/list"), accept="text/html") == 406
    assert await post(url, b"{}", mcp_protocol_version=MODERN, mcp_method="tools/list") == 400
    assert [event.error_type for event in await events(sink, 5)] == ["400", "421", "413", "406", "400"]
    assert {event.outcome for event in sink.events} == {"rejected"}
    assert [event.method for event in sink.events] == ["_unknown"] * 4 + ["tools/list"]


async def test_an_error_of_the_newest_protocol_is_told_by_the_middleware_alone(url: str, sink: MemorySink) -> None:
    body = call("made/up", modern=True)
    assert await post(url, body, mcp_protocol_version=MODERN, mcp_method="made/up") == 404
    assert await post(url, b"{not json") == 400
    told = await events(sink, 2)
    assert outcomes(told) == [("_unknown", "rpc_error", "-32601"), ("_unknown", "rejected", "400")]


async def test_a_header_that_contradicts_the_body_is_rejected_though_mcp_asked_itself_for_the_tools(
    sink: MemorySink,
) -> None:
    async def listing(_ctx: ServerRequestContext[Any, Any], _params: object) -> ListToolsResult:
        schema = {"type": "object", "properties": {"a": {"type": "string", "x-mcp-header": "A"}}}
        return ListToolsResult(tools=[Tool(name="add", input_schema=schema)])

    async def run(_ctx: ServerRequestContext[Any, Any], _params: CallToolRequestParams) -> CallToolResult:
        return CallToolResult(content=[])

    telemetry = Telemetry(service="orders", version="v2", sink=sink)
    server: Server[Any] = Server("asks", on_call_tool=run, on_list_tools=listing)
    server.middleware.append(telemetry)
    with serving(Transport(server.streamable_http_app(), telemetry)) as url:
        body = call("tools/call", modern=True, name="add", arguments={"a": "1"})
        headers = {"mcp_protocol_version": MODERN, "mcp_method": "tools/call", "mcp_name": "add"}
        assert await post(url, body, **headers, mcp_param_a="2") == 400
        assert await post(url, body, **headers, mcp_param_a="1") == 200
        told = await events(sink, 2)
    assert outcomes(told) == [("tools/call", "rejected", "400"), ("tools/call", "ok", None)]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_clients_whole_life_is_told_by_the_middleware_alone(url: str, sink: MemorySink, mode: Any) -> None:
    async with Client(url, mode=mode) as client:
        await client.list_tools()
        await client.call_tool("add", {"a": 1, "b": 2})
    assert await post(url, b"{not json") == 400
    own_end = ["ended"] if mode == "legacy" else []
    told = await events(sink, 4 + len(own_end))
    assert [event.outcome for event in told] == ["ok", "ok", "ok", *own_end, "rejected"]
    assert len({event.session for event in told[:-1]}) == 1
    if own_end:
        assert told[3].session_age_ms is not None


async def test_the_servers_end_sends_what_waits(sink: MemorySink) -> None:
    telemetry = Telemetry(service="orders", version="v2", sink=sink)
    server: MCPServer[Any] = MCPServer("orders", middleware=[telemetry])
    with serving(Transport(server.streamable_http_app(), telemetry)) as url:
        async with Client(url) as client:
            await client.list_tools()
    stats = telemetry.stats()
    assert stats.delivered == stats.recorded == len(sink.events) >= 2
    telemetry.record("ping", duration_ms=1)
    assert telemetry.stats().dropped == 1
