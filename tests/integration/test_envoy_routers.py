"""A real Envoy and its routers: which one it asks, and what it does when that one is gone or frozen."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from router.bootstrap import bootstrap
from router.envoy_xds import EnvoyXds
from router.local_envoy import LocalEnvoy
from router.snapshot import ServiceRoute, Snapshot, Weight
from schemas.service import Version
from transport.ports import free_ports

ROOT = Path(__file__).parents[2]

ROUTE = ServiceRoute(
    service="orders",
    entry="",
    path="/mcp",
    hosts=("*",),
    versions={"v1": Version(endpoints=("127.0.0.1:1",))},
    weights=(Weight("v1", "-", 10_000),),
    pairs=(),
    unlabelled=("v1",),
    home="v1",
)
SNAPSHOT = Snapshot("0001-0001", "0001", {"orders": ROUTE})


class Site:
    """Ports of two routers, and a proxy that knows both."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.first, self.second, self._listener, self._admin = free_ports(4)

    async def router(self, port: int) -> EnvoyXds:
        made = EnvoyXds("127.0.0.1", port)
        self._stack.push_async_callback(made.close)
        await made.apply(SNAPSHOT)
        return made

    async def proxy(self) -> LocalEnvoy:
        routers = [f"127.0.0.1:{port}" for port in (self.first, self.second)]
        start = bootstrap("lb0", self._listener, self._admin, routers)
        return await self._stack.enter_async_context(LocalEnvoy(start, self._folder))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        yield Site(tmp_path, stack)


async def asked(router: EnvoyXds) -> None:
    """Wait until the proxy runs what this router told it."""
    async with asyncio.timeout(20):
        while [p.state for p in router.observe("orders")] != ["acknowledged"]:
            await router.changed()


@asynccontextmanager
async def frozen(port: int) -> AsyncIterator[None]:
    """A router that takes connections, as its kernel does, and never says a word."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", port)
    async with server:
        yield


ELSEWHERE = """
import asyncio, sys
from router.envoy_xds import EnvoyXds
from tests.integration.test_envoy_routers import SNAPSHOT

async def main():
    await EnvoyXds("127.0.0.1", int(sys.argv[1])).apply(SNAPSHOT)
    print("open", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def elsewhere(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A router in a process of its own."""
    argv = [sys.executable, "-c", ELSEWHERE, str(port)]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"open\n"
        yield process
    finally:
        process.kill()
        await process.wait()


async def test_a_router_that_is_not_there_is_passed_over(site: Site) -> None:
    second = await site.router(site.second)
    envoy = await site.proxy()
    await asked(second)
    await envoy.live()


async def test_a_frozen_router_is_passed_over(site: Site) -> None:
    second = await site.router(site.second)
    async with frozen(site.first):
        await site.proxy()
        await asked(second)


async def test_a_proxy_asks_one_router_and_goes_to_the_other_when_that_closes_its_port(site: Site) -> None:
    routers = [await site.router(site.first), await site.router(site.second)]
    envoy = await site.proxy()
    await envoy.live()
    (chosen,) = [router for router in routers if router.observe("orders")]
    (other,) = [router for router in routers if router is not chosen]
    await chosen.close()
    await asked(other)


async def test_a_router_that_freezes_loses_its_proxy_to_the_next(site: Site) -> None:
    async with elsewhere(site.first) as process:
        envoy = await site.proxy()
        await envoy.live()
        second = await site.router(site.second)
        process.send_signal(signal.SIGSTOP)
        await asked(second)


async def test_without_any_router_a_proxy_waits_for_the_first_that_comes(site: Site) -> None:
    await site.proxy()
    await asked(await site.router(site.second))
