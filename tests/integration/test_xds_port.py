"""The xDS port itself: when it is open, to whom, and what a stream may do."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from router.envoy_xds import EnvoyXds
from router.errors import NotLoopbackError, PortTakenError
from router.packing import TYPE_URLS
from router.snapshot import ServiceRoute, Snapshot, Weight
from schemas.service import Version
from transport.ports import free_ports

ROUTE = ServiceRoute(
    "orders", "", "/mcp", ("*",), {"v1": Version(endpoints=("127.0.0.1:1",))}, (Weight("v1", "-", 10_000),), (), ("v1",)
)
FIRST = Snapshot("0001-0001", "0001", {"orders": ROUTE})
NEXT = Snapshot("0002-0001", "0001", {"orders": ROUTE})


class Proxy:
    """A stream that is written and read by hand."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        ads = self._channel.stream_stream(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
            request_serializer=DiscoveryRequest.SerializeToString,
            response_deserializer=DiscoveryResponse.FromString,
        )
        self.call: Any = ads(wait_for_ready=True)

    async def ask(self, node: str, kind: str = "routes", answering: Any = None, runs: str = "") -> None:
        request = DiscoveryRequest(type_url=TYPE_URLS.get(kind, kind))  # type: ignore[call-overload]
        request.node.id, request.version_info = node, runs
        if answering is not None:
            request.response_nonce, request.version_info = answering.nonce, answering.version_info
        await self.call.write(request)

    async def read(self) -> Any:
        return await asyncio.wait_for(self.call.read(), 10)

    async def close(self) -> None:
        await self._channel.close()


@pytest.fixture
async def balancer() -> AsyncIterator[EnvoyXds]:
    made = EnvoyXds("127.0.0.1", 0)
    await made.apply(FIRST)
    yield made
    await made.close()


async def until(balancer: EnvoyXds, expected: list[tuple[str, str]]) -> None:
    async with asyncio.timeout(10):
        while [(p.proxy, p.state) for p in balancer.observe("orders")] != expected:
            await balancer.changed()


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.7", "::", "router.example"])
def test_an_address_that_others_could_reach_is_refused(host: str) -> None:
    with pytest.raises(NotLoopbackError, match=f"not on {host}: set xds_cert, xds_key and xds_ca, or xds_host"):
        EnvoyXds(host, 18000)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_loopback_is_loopback(host: str) -> None:
    assert EnvoyXds(host, 18000).observe("orders") == ()


async def test_the_port_opens_with_the_first_route() -> None:
    (port,) = free_ports(1)
    balancer = EnvoyXds("127.0.0.1", port)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await balancer.apply(FIRST)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()
    await balancer.close()


async def test_a_second_router_on_the_same_port_says_so(balancer: EnvoyXds) -> None:
    second = EnvoyXds("127.0.0.1", balancer.port)
    with pytest.raises(PortTakenError, match="does another router run"):
        await second.apply(FIRST)


async def test_a_stream_that_does_not_name_its_node_is_refused(balancer: EnvoyXds) -> None:
    proxy = Proxy(balancer.port)
    await proxy.ask("")
    with pytest.raises(grpc.aio.AioRpcError, match=r"must name its node\.id"):
        await proxy.read()
    assert balancer.observe("orders") == ()
    await proxy.close()


@pytest.mark.parametrize(("kind", "runs"), [("routes", "0002-0001"), ("routes", "0001-0002"), ("clusters", "0002")])
async def test_a_proxy_that_runs_more_than_this_router_knows_is_sent_away(
    balancer: EnvoyXds, kind: str, runs: str
) -> None:
    proxy = Proxy(balancer.port)
    await proxy.ask("lb0", kind, runs=runs)
    with pytest.raises(grpc.aio.AioRpcError, match=f"runs {kind} {runs}"):
        await proxy.read()
    assert balancer.observe("orders") == ()
    await proxy.close()


async def test_a_proxy_that_names_its_newer_routes_after_its_clusters_is_sent_away(balancer: EnvoyXds) -> None:
    proxy = Proxy(balancer.port)
    await proxy.ask("lb0", "clusters", runs="0001")
    assert (await proxy.read()).version_info == "0001"
    await proxy.ask("lb0", "routes", runs="0009-0001")
    assert await proxy.read() is grpc.aio.EOF
    await until(balancer, [("lb0", "pending")])
    await proxy.close()


async def test_a_router_serves_such_a_proxy_once_it_has_read_as_far(balancer: EnvoyXds) -> None:
    await balancer.apply(NEXT)
    proxy = Proxy(balancer.port)
    await proxy.ask("lb0", "routes", runs=NEXT.version)
    assert (await proxy.read()).version_info == NEXT.version
    await proxy.close()


async def test_a_response_carries_version_and_resources(balancer: EnvoyXds) -> None:
    proxy = Proxy(balancer.port)
    await proxy.ask("lb0", "clusters")
    clusters = await proxy.read()
    await proxy.ask("lb0", "clusters", answering=clusters)
    await proxy.ask("lb0", "routes")
    routes = await proxy.read()
    assert (clusters.type_url, clusters.version_info) == (TYPE_URLS["clusters"], "0001")
    assert (routes.type_url, routes.version_info) == (TYPE_URLS["routes"], "0001-0001")
    assert [len(r.resources) for r in (clusters, routes)] == [1, 1]
    assert clusters.nonce != routes.nonce
    await proxy.close()


async def test_other_resource_types_are_not_answered(balancer: EnvoyXds) -> None:
    proxy = Proxy(balancer.port)
    await proxy.ask("lb0", "type.googleapis.com/envoy.config.listener.v3.Listener")
    await proxy.ask("lb0", "routes")
    assert (await proxy.read()).type_url == TYPE_URLS["routes"]
    await proxy.close()


async def test_a_stream_that_its_proxy_ends_is_over(balancer: EnvoyXds) -> None:
    proxy = Proxy(balancer.port)
    await proxy.ask("lb0")
    await proxy.read()
    await proxy.call.done_writing()
    assert await proxy.read() is grpc.aio.EOF
    await until(balancer, [("lb0", "pending")])
    await proxy.close()


async def test_a_proxy_that_came_back_before_its_old_stream_ended_runs_what_both_acknowledge(
    balancer: EnvoyXds,
) -> None:
    old, new = Proxy(balancer.port), Proxy(balancer.port)
    for stream in (old, new):
        for kind in ("clusters", "routes"):
            await stream.ask("lb0", kind)
            await stream.ask("lb0", kind, answering=await stream.read())
    await until(balancer, [("lb0", "acknowledged")])
    await balancer.apply(NEXT)
    await new.ask("lb0", "routes", answering=await new.read())
    changed = Snapshot("0003-0001", "0001", {"orders": ServiceRoute("orders", "e1", "/mcp", ("*",), *_rest(ROUTE))})
    await balancer.apply(changed)
    await new.ask("lb0", "routes", answering=await new.read())
    assert [p.state for p in balancer.observe("orders")] == ["pending"]
    await old.close()
    await until(balancer, [("lb0", "acknowledged")])
    await new.close()


def _rest(route: ServiceRoute) -> tuple[Any, ...]:
    return route.versions, route.weights, route.pairs, route.unlabelled


class Gate:
    """Stands for the log: how often it was asked where it ends, and when it answers."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = asyncio.Event()
        self._news = asyncio.Condition()

    async def __call__(self) -> None:
        self.asked += 1
        async with self._news:
            self._news.notify_all()
        await self.answers.wait()

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: self.asked >= times)


@pytest.fixture
async def woken() -> AsyncIterator[tuple[EnvoyXds, Gate]]:
    """A router that slept, and has not asked the log yet what it missed: it still knows the first route."""
    gate = Gate()
    made = EnvoyXds("127.0.0.1", 0, fresh=gate)
    await made.apply(FIRST)
    yield made, gate
    await made.close()


ROLLED_BACK = Snapshot("0009-0001", "0001", {"orders": ServiceRoute("orders", "e9", "/mcp", ("*",), *_rest(ROUTE))})


async def test_a_router_that_slept_answers_a_stream_only_with_what_is_newer_than_it(
    woken: tuple[EnvoyXds, Gate],
) -> None:
    balancer, gate = woken
    proxy = Proxy(balancer.port)
    await proxy.ask("lb0", "routes")
    await gate.until_asked(1)
    assert balancer.observe("orders") == ()
    await balancer.apply(ROLLED_BACK)
    gate.answers.set()
    assert (await proxy.read()).version_info == ROLLED_BACK.version
    await proxy.close()


async def test_each_stream_is_asked_for_anew(woken: tuple[EnvoyXds, Gate]) -> None:
    balancer, gate = woken
    gate.answers.set()
    for times in (1, 2, 3):
        proxy = Proxy(balancer.port)
        await proxy.ask("lb0", "routes")
        assert (await proxy.read()).version_info == FIRST.version
        assert gate.asked == times
        await proxy.close()


async def test_a_proxy_goes_to_no_older_route_between_two_routers_of_which_one_was_frozen(
    balancer: EnvoyXds, woken: tuple[EnvoyXds, Gate]
) -> None:
    """It runs the rollback, loses its router, and is started anew, so that it does not even say what it ran."""
    frozen, gate = woken
    await balancer.apply(ROLLED_BACK)
    seen: list[str] = []
    proxy = Proxy(balancer.port)
    await proxy.ask("lb0", "routes")
    seen.append((await proxy.read()).version_info)
    await proxy.close()
    again = Proxy(frozen.port)
    await again.ask("lb0", "routes", runs=seen[-1])
    await gate.until_asked(1)
    gate.answers.set()
    with pytest.raises(grpc.aio.AioRpcError, match=f"runs routes {ROLLED_BACK.version}"):
        await again.read()
    await again.close()
    gate.answers.clear()
    anew = Proxy(frozen.port)
    await anew.ask("lb0", "routes")
    await gate.until_asked(2)
    await frozen.apply(ROLLED_BACK)
    gate.answers.set()
    seen.append((await anew.read()).version_info)
    await anew.close()
    assert seen == [ROLLED_BACK.version] * 2


async def test_a_stream_that_waits_ends_when_the_router_lets_go(woken: tuple[EnvoyXds, Gate]) -> None:
    balancer, gate = woken
    proxy = Proxy(balancer.port)
    await proxy.ask("lb0", "routes")
    await gate.until_asked(1)
    await balancer.close()
    with pytest.raises(grpc.aio.AioRpcError):
        await proxy.read()
    assert balancer.observe("orders") == ()
    await proxy.close()


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 4, 6, 7
ACK = 1


def frame(kind: int, payload: bytes = b"") -> bytes:
    """An HTTP/2 frame of the connection itself (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3) + bytes([kind, 0]) + bytes(4) + payload


async def test_a_silent_proxy_may_ping_as_often_as_it_likes(balancer: EnvoyXds) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", balancer.port)
    writer.write(PREFACE + frame(SETTINGS))
    async with asyncio.timeout(10):
        for number in range(10):
            writer.write(frame(PING, number.to_bytes(8)))
            kinds = []
            while (PING, ACK) not in kinds:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3]))
                assert head[3] != GOAWAY, payload
                kinds.append((head[3], head[4]))
    writer.close()
