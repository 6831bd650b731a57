"""A real Envoy and its routers: which one it asks, and what it does when that one is gone or frozen."""

import asyncio
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


async def test_without_any_router_a_proxy_waits_for_the_first_that_comes(site: Site) -> None:
    await site.proxy()
    await asked(await site.router(site.second))
