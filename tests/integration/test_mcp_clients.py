"""Real MCP clients of both eras, real MCP servers of two versions, and a real Envoy between them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal

import httpx2
import pytest
import uvicorn
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from mcp_types import TextContent

from davylamp_sdk import RequestEvent, Telemetry
from davylamp_sdk.testing import MemorySink
from schemas.labels import Kind
from schemas.service import Era
from tests.site import Fleet, Site, label, service_at

Mode = Literal["legacy", "auto"]
BOTH: list[Era] = ["sessions", "stateless"]


class Newest(uvicorn.Server):
    """Ends with the test, whatever streams are open."""

    def __init__(self, app: Any) -> None:
        # ws: uvicorn would import deprecated modules for websockets that MCP does not use.
        config = uvicorn.Config(app, port=0, log_level="error", ws="none", lifespan="on", timeout_graceful_shutdown=0)
        super().__init__(config)

    @property
    def port(self) -> int:
        found: int = self.servers[0].sockets[0].getsockname()[1]
        return found


def app_of(version: str, eras: list[Era], sink: MemorySink) -> Any:
    """A server whose one tool says which version it is; without `stateless` it answers as the SDK's 1.x does."""
    server = MCPServer("orders", middleware=[Telemetry(service="orders", version=version, sink=sink, key="k" * 16)])

    @server.tool()
    def version_of() -> str:
        return version

    newest = server.streamable_http_app()

    async def older(scope: Any, receive: Any, send: Any) -> None:
        if (b"mcp-protocol-version", b"2026-07-28") not in scope.get("headers", []):
            await newest(scope, receive, send)
            return
        body = b'{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Missing session ID"}}'
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 400, "headers": head})
        await send({"type": "http.response.body", "body": body})

    return newest if "stateless" in eras else older


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[int]:
    server = Newest(app)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn says it nowhere else
        await asyncio.sleep(0.01)
    yield server.port
    server.should_exit = True
    await task


class Clients:
    """Connected clients, each with an HTTP client and a credential of its own."""

    def __init__(self, stack: AsyncExitStack, site: Site) -> None:
        self._stack = stack
        self._url = f"{site.envoys[0].url}/mcp"
        self._all: list[Client] = []

    async def connect(self, n: int, mode: Mode, *, keyed: bool = True) -> list[str]:
        """`n` more of them; the protocol that each has agreed on."""
        return [await self._connect(mode, keyed=keyed) for _ in range(n)]

    async def _connect(self, mode: Mode, *, keyed: bool) -> str:
        headers = {"authorization": f"Bearer {len(self._all)}"} if keyed else {}
        http = await self._stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=10))
        transport = streamable_http_client(self._url, http_client=http)
        client = await self._stack.enter_async_context(Client(transport, mode=mode))
        self._all.append(client)
        return str(client.session.protocol_version)

    async def call(self) -> list[str]:
        """Which version answers each of them."""
        return [await self._version(client) for client in self._all]

    async def _version(self, client: Client) -> str:
        result = await client.call_tool("version_of", {})
        (content,) = result.content
        assert isinstance(content, TextContent)
        return content.text


@asynccontextmanager
async def clients_of(site: Site) -> AsyncIterator[Clients]:
    """They leave in the task that they came in, as the SDK's must."""
    async with AsyncExitStack() as stack:
        yield Clients(stack, site)


async def site_of(fleet: Fleet, v1: list[Era], v2: list[Era], sink: MemorySink | None = None, **changes: Any) -> Site:
    sink = sink or MemorySink()
    ports = {
        version: [await fleet.stack.enter_async_context(serving(app_of(version, eras, sink)))]
        for version, eras in (("v1", v1), ("v2", v2))
    }
    return await fleet.around(service_at(ports, {"v1": list(v1), "v2": list(v2)}, **changes), [])


async def test_clients_of_the_protocol_without_sessions_meet_one_version_and_leave_it_at_a_rollback(
    fleet: Fleet,
) -> None:
    site = await site_of(fleet, BOTH, BOTH)
    await site.start(5_000)
    async with clients_of(site) as clients:
        assert set(await clients.connect(12, "auto")) == {"2026-07-28"}
        met = await clients.call()
        assert set(met) == {"v1", "v2"}  # these twelve are hashed to both
        assert await clients.call() == met
        await site.write("rollback")
        assert set(await clients.call()) == {"v1"}


async def test_clients_with_sessions_meet_one_version_also_after_a_rollback(fleet: Fleet) -> None:
    site = await site_of(fleet, BOTH, BOTH)
    await site.start(9_000)
    async with clients_of(site) as clients:
        assert set(await clients.connect(8, "legacy")) == {"2025-11-25"}
        met = await clients.call()
        assert "v2" in met  # missed once in 10^8
        await site.write("rollback")
        assert await clients.call() == met


async def test_clients_without_a_key_meet_one_version_by_their_cookie(fleet: Fleet) -> None:
    site = await site_of(fleet, BOTH, BOTH, assign=["session", "cookie"])
    await site.start(5_000, 9_000, 9_999)
    async with clients_of(site) as clients:
        await clients.connect(25, "auto", keyed=False)
        met = await clients.call()
        assert set(met) == {"v1", "v2"}  # missed once in 10^7
        for _ in range(2):
            await site.write("proceed")
            assert await clients.call() == met


@pytest.mark.parametrize(("v1", "v2"), [(["sessions"], BOTH), (BOTH, ["sessions"])])
async def test_where_the_versions_differ_in_era_no_call_fails_from_start_to_rollback(
    fleet: Fleet, v1: list[Era], v2: list[Era]
) -> None:
    site = await site_of(fleet, v1, v2)
    await site.start(5_000, 9_000)
    async with clients_of(site) as clients:
        assert set(await clients.connect(10, "auto")) == {"2025-11-25"}
        met = await clients.call()
        await site.write("proceed")
        assert set(await clients.connect(10, "auto")) == {"2025-11-25"}
        assert (await clients.call())[:10] == met
        assert set(await clients.call()) == {"v1", "v2"}  # missed once in 10^6
        await site.write("rollback")
        assert (await clients.call())[:10] == met


async def calls_in(sink: MemorySink, n: int) -> list[RequestEvent]:
    """The events of tool calls, once there are `n`."""
    seen = 0
    while True:
        events = await asyncio.to_thread(sink.wait_for, seen + 1)
        calls, seen = [e for e in events if e.method == "tools/call"], len(events)
        if len(calls) >= n:
            return calls


@pytest.mark.parametrize(
    ("kind", "assign"), [("principal", ["session", "principal"]), ("cookie", ["session", "cookie"])]
)
async def test_each_client_without_a_session_is_a_unit_of_its_own_in_the_telemetry(
    fleet: Fleet, kind: Kind, assign: list[Kind]
) -> None:
    sink = MemorySink()
    site = await site_of(fleet, BOTH, BOTH, sink, assign=assign)
    await site.start(5_000)
    async with clients_of(site) as clients:
        await clients.connect(6, "auto", keyed=kind == "principal")
        met = await clients.call()
        assert await clients.call() == met
    calls = await calls_in(sink, 12)
    units = Counter(e.session for e in calls)
    assert None not in units
    assert list(units.values()) == [2] * 6
    assert {(e.assignment, e.version) for e in calls} == {(f"{label(1, v, kind)};{v}", v) for v in met}
