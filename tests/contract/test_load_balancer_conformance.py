"""What every load balancer does: one suite over proxies in memory and over xDS streams."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import grpc
import pytest
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from router.envoy_xds import EnvoyXds
from router.memory import Answer, MemoryLoadBalancer, accept
from router.packing import TYPE_URLS
from router.ports import LoadBalancer
from router.rollouts import Pair
from router.snapshot import ServiceRoute, Snapshot, Weight
from schemas.control import ProxyRoute
from schemas.service import Version
from transport.ports import free_ports

WORDS = "I do not understand weights."
"""What a proxy says that rejects a route."""

Mood = Literal["accept", "reject", "mute"]


class Fleet(Protocol):
    """Proxies of one kind, which do as they are told by the test."""

    balancer: LoadBalancer

    async def connect(self, name: str, mood: Mood = "accept") -> None:
        """A proxy arrives or comes back."""

    async def disconnect(self, name: str) -> None:
        """A proxy is cut off."""

    async def tell(self, name: str, mood: Mood) -> None:
        """From now on it answers so, also to what it has not answered yet."""

    async def edit(self, name: str) -> None:
        """Somebody gives it a route of their own, by hand, past every router."""

    def asked(self, name: str) -> list[str]:
        """The versions of the routes that it was ever asked to run, in order."""


@dataclass
class MemoryFleet:
    balancer: LoadBalancer = field(default_factory=MemoryLoadBalancer)
    seen: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    async def connect(self, name: str, mood: Mood = "accept") -> None:
        answers: dict[Mood, Answer | None] = {"accept": accept, "reject": lambda _: WORDS, "mute": None}
        assert isinstance(self.balancer, MemoryLoadBalancer)
        answer = answers[mood]

        def noting(snapshot: Snapshot) -> str | None:
            self.seen[name].append(snapshot.version)
            return answer(snapshot) if answer else None

        self.balancer.connect(name, noting if answer else None)

    async def disconnect(self, name: str) -> None:
        assert isinstance(self.balancer, MemoryLoadBalancer)
        self.balancer.disconnect(name)

    async def tell(self, name: str, mood: Mood) -> None:
        await self.connect(name, mood)

    async def edit(self, name: str) -> None:
        assert isinstance(self.balancer, MemoryLoadBalancer)
        self.balancer.proxies[name].runs = BY_HAND

    def asked(self, name: str) -> list[str]:
        return self.seen[name]


class XdsProxy:
    """Stands for an Envoy: subscribes to clusters and routes, and answers each response."""

    def __init__(self, address: str, node: str, mood: Mood, seen: list[str], runs: str = "") -> None:
        self._node = node
        self._seen = seen
        self._runs = runs
        self._mood = mood
        self._unanswered: list[Any] = []
        self._channel = grpc.aio.insecure_channel(address)
        self._call: Any = None
        self._task = asyncio.create_task(self._run())

    async def tell(self, mood: Mood) -> None:
        self._mood = mood
        await self._answer()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._channel.close()

    async def _run(self) -> None:
        ads = self._channel.stream_stream(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
            request_serializer=DiscoveryRequest.SerializeToString,
            response_deserializer=DiscoveryResponse.FromString,
        )
        self._call = ads(wait_for_ready=True)
        for type_url in TYPE_URLS.values():
            request = DiscoveryRequest(type_url=type_url, version_info=self._runs)
            request.node.id = self._node
            await self._call.write(request)
        async for response in self._call:
            self._unanswered.append(response)
            if response.type_url == TYPE_URLS["routes"]:
                self._seen.append(response.version_info)
            await self._answer()

    async def _answer(self) -> None:
        while self._unanswered and self._mood != "mute":
            response = self._unanswered.pop(0)
            request = DiscoveryRequest(
                type_url=response.type_url, version_info=response.version_info, response_nonce=response.nonce
            )
            if self._mood == "reject" and response.type_url == TYPE_URLS["routes"]:
                request.error_detail.message = WORDS
            await self._call.write(request)


@dataclass
class XdsFleet:
    balancer: LoadBalancer
    address: str
    proxies: dict[str, XdsProxy] = field(default_factory=dict)
    seen: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    async def connect(self, name: str, mood: Mood = "accept", runs: str = "") -> None:
        if name in self.proxies:
            await self.disconnect(name)
        self.proxies[name] = XdsProxy(self.address, name, mood, self.seen[name], runs)

    async def disconnect(self, name: str) -> None:
        await self.proxies.pop(name).close()

    async def tell(self, name: str, mood: Mood) -> None:
        await self.proxies[name].tell(mood)

    async def edit(self, name: str) -> None:
        """An Envoy takes a foreign configuration only by being started with it; it names its version."""
        await self.connect(name, runs=BY_HAND.version)

    def asked(self, name: str) -> list[str]:
        return self.seen[name]


@contextlib.asynccontextmanager
async def memory_fleet() -> AsyncIterator[Fleet]:
    yield MemoryFleet()


@contextlib.asynccontextmanager
async def xds_fleet() -> AsyncIterator[Fleet]:
    (port,) = free_ports(1)
    fleet = XdsFleet(EnvoyXds("127.0.0.1", port), f"127.0.0.1:{port}")
    yield fleet
    for proxy in fleet.proxies.values():
        await proxy.close()
    await fleet.balancer.close()


@pytest.fixture(params=[memory_fleet, xds_fleet])
async def fleet(request: pytest.FixtureRequest) -> AsyncIterator[Fleet]:
    make: Callable[[], AbstractAsyncContextManager[Fleet]] = request.param
    async with make() as made:
        yield made


def route(service: str, entry: str = "", canary: int = 0, port: int = 8001) -> ServiceRoute:
    weights = (Weight("v2", "1.1.session.aa", canary), Weight("v1", "1.1.session.bb", 10_000 - canary))
    return ServiceRoute(
        service=service,
        entry=entry,
        path=f"/{service}",
        hosts=("*",),
        versions={v: Version(endpoints=(f"127.0.0.1:{port + i}",)) for i, v in enumerate(("v1", "v2"))},
        weights=tuple(w for w in weights if w.weight),
        pairs=(Pair("v2", "1.1.session.aa"),),
        unlabelled=("v1",),
    )


ORDERS, BILLING = route("orders"), route("billing")
FIRST = Snapshot("0001-0001", "0001", {"billing": BILLING, "orders": ORDERS})


def then(version: str, orders: ServiceRoute, clusters_version: str = "0001") -> Snapshot:
    return replace(FIRST, version=version, clusters_version=clusters_version, routes={**FIRST.routes, "orders": orders})


RAISED = then("0002-0001", route("orders", "e1", 100))
ROLLED_BACK = then("0003-0001", route("orders", "e2"))
BY_HAND = replace(FIRST, version="edited-by-hand", routes={"orders": route("orders", canary=9_999)})
MOVED = then("0001-0002", route("orders", port=9001), "0002")


def states(fleet: Fleet, service: str = "orders") -> dict[str, str]:
    return {p.proxy: p.state for p in fleet.balancer.observe(service)}


def only(fleet: Fleet, service: str = "orders") -> ProxyRoute:
    (proxy,) = fleet.balancer.observe(service)
    return proxy


async def until(fleet: Fleet, service: str = "orders", **expected: str) -> None:
    async with asyncio.timeout(10):
        while states(fleet, service) != expected:
            await fleet.balancer.changed()


async def test_a_proxy_that_arrives_runs_the_newest_route(fleet: Fleet) -> None:
    await fleet.balancer.apply(FIRST)
    assert fleet.balancer.observe("orders") == ()
    await fleet.connect("lb0")
    await until(fleet, lb0="acknowledged")
    assert only(fleet).version == FIRST.version
    assert only(fleet).detail is None


async def test_a_proxy_that_was_there_before_the_first_route_gets_it(fleet: Fleet) -> None:
    await fleet.connect("lb0")
    await fleet.balancer.apply(FIRST)
    await until(fleet, lb0="acknowledged")


async def test_every_proxy_acknowledges_every_route(fleet: Fleet) -> None:
    await fleet.balancer.apply(FIRST)
    await fleet.connect("lb1")
    await fleet.connect("lb0")
    for snapshot in (FIRST, RAISED, ROLLED_BACK, MOVED):
        await fleet.balancer.apply(snapshot)
        await until(fleet, lb0="acknowledged", lb1="acknowledged")
        assert [p.version for p in fleet.balancer.observe("orders")] == [snapshot.version] * 2
    assert [p.proxy for p in fleet.balancer.observe("orders")] == ["lb0", "lb1"]


async def test_what_was_asked_and_not_answered_is_pending(fleet: Fleet) -> None:
    await fleet.balancer.apply(FIRST)
    await fleet.connect("lb0")
    await until(fleet, lb0="acknowledged")
    await fleet.tell("lb0", "mute")
    await fleet.balancer.apply(RAISED)
    assert states(fleet) == {"lb0": "pending"}
    assert only(fleet).version == FIRST.version
    assert only(fleet).connected


async def test_a_proxy_that_does_not_answer_delays_nobody_and_ends_with_the_newest(fleet: Fleet) -> None:
    await fleet.balancer.apply(FIRST)
    await fleet.connect("lb0")
    await fleet.connect("mute", "mute")
    await until(fleet, lb0="acknowledged", mute="pending")
    for snapshot in (RAISED, ROLLED_BACK):
        await fleet.balancer.apply(snapshot)
        await until(fleet, lb0="acknowledged", mute="pending")
    await fleet.tell("mute", "accept")
    await until(fleet, lb0="acknowledged", mute="acknowledged")
    assert {p.version for p in fleet.balancer.observe("orders")} == {ROLLED_BACK.version}


async def test_a_refusal_comes_with_the_proxys_words_and_a_later_route_heals_it(fleet: Fleet) -> None:
    await fleet.balancer.apply(FIRST)
    await fleet.connect("lb0")
    await until(fleet, lb0="acknowledged")
    await fleet.tell("lb0", "reject")
    await fleet.balancer.apply(RAISED)
    await until(fleet, lb0="rejected")
    assert only(fleet).detail == WORDS
    assert only(fleet).version == FIRST.version
    await fleet.tell("lb0", "accept")
    await fleet.balancer.apply(ROLLED_BACK)
    await until(fleet, lb0="acknowledged")
    assert only(fleet).detail is None


async def test_a_refusal_of_one_proxy_is_not_anothers(fleet: Fleet) -> None:
    await fleet.balancer.apply(FIRST)
    await fleet.connect("lb0")
    await fleet.connect("odd", "reject")
    await until(fleet, lb0="acknowledged", odd="rejected")


async def test_a_service_does_not_depend_on_anothers_change(fleet: Fleet) -> None:
    await fleet.balancer.apply(FIRST)
    await fleet.connect("lb0")
    await until(fleet, "billing", lb0="acknowledged")
    await fleet.tell("lb0", "reject")
    await fleet.balancer.apply(RAISED)
    await until(fleet, "orders", lb0="rejected")
    assert states(fleet, "billing") == {"lb0": "acknowledged"}


async def test_a_proxy_that_is_cut_off_exists_and_nothing_is_known_of_it(fleet: Fleet) -> None:
    await fleet.balancer.apply(FIRST)
    await fleet.connect("lb0")
    await until(fleet, lb0="acknowledged")
    await fleet.disconnect("lb0")
    await until(fleet, lb0="pending")
    assert not only(fleet).connected
    await fleet.balancer.apply(RAISED)
    assert states(fleet) == {"lb0": "pending"}
    await fleet.connect("lb0")
    await until(fleet, lb0="acknowledged")
    assert only(fleet).version == RAISED.version
    assert only(fleet).connected


async def test_a_proxy_that_existed_before_this_process_exists_and_nothing_is_known_of_it(fleet: Fleet) -> None:
    fleet.balancer.remember(["lb0"])
    await fleet.balancer.apply(FIRST)
    await until(fleet, lb0="pending")
    assert not only(fleet).connected
    await fleet.connect("lb0")
    await until(fleet, lb0="acknowledged")
    fleet.balancer.remember(["lb0", "lb1"])
    await until(fleet, lb0="acknowledged", lb1="pending")
    fleet.balancer.forget("lb1")
    await until(fleet, lb0="acknowledged")


async def test_only_a_proxy_that_is_cut_off_can_be_forgotten(fleet: Fleet) -> None:
    await fleet.balancer.apply(FIRST)
    await fleet.connect("lb0")
    await until(fleet, lb0="acknowledged")
    fleet.balancer.forget("lb0")
    fleet.balancer.forget("nobody")
    assert states(fleet) == {"lb0": "acknowledged"}
    await fleet.disconnect("lb0")
    await until(fleet, lb0="pending")
    fleet.balancer.forget("lb0")
    await until(fleet)


async def test_applying_what_is_applied_changes_nothing(fleet: Fleet) -> None:
    await fleet.balancer.apply(FIRST)
    await fleet.connect("lb0")
    await until(fleet, lb0="acknowledged")
    await fleet.balancer.apply(then(FIRST.version, route("orders")))
    assert states(fleet) == {"lb0": "acknowledged"}


async def test_a_service_without_a_route_is_run_by_nobody(fleet: Fleet) -> None:
    await fleet.balancer.apply(FIRST)
    await fleet.connect("lb0")
    await until(fleet, lb0="acknowledged")
    assert states(fleet, "unheard-of") == {"lb0": "pending"}
    await fleet.balancer.apply(replace(FIRST, version="0001-0002", routes={"billing": BILLING}))
    assert states(fleet, "orders") == {"lb0": "pending"}


async def test_a_load_balancer_says_what_it_can_do(fleet: Fleet) -> None:
    assert fleet.balancer.capabilities == {"assignment_header", "session_pinning", "read_back"}


async def test_letting_go_twice_is_letting_go(fleet: Fleet) -> None:
    await fleet.balancer.close()
    await fleet.balancer.apply(FIRST)
    await fleet.balancer.close()
    await fleet.balancer.close()


async def test_a_door_that_was_closed_opens_with_the_next_route(fleet: Fleet) -> None:
    await fleet.balancer.apply(FIRST)
    await fleet.connect("lb0")
    await until(fleet, lb0="acknowledged")
    await fleet.balancer.close()
    await until(fleet, lb0="pending")
    await fleet.balancer.apply(RAISED)
    await fleet.connect("lb0")
    await until(fleet, lb0="acknowledged")
    assert only(fleet).version == RAISED.version


async def test_a_proxy_that_somebody_changed_by_hand_runs_the_newest_again(fleet: Fleet) -> None:
    await fleet.balancer.apply(RAISED)
    await fleet.connect("lb0")
    await until(fleet, lb0="acknowledged")
    await fleet.edit("lb0")
    await fleet.balancer.apply(RAISED)  # what the router does each second
    await until(fleet, lb0="acknowledged")
    assert only(fleet).version == RAISED.version
    assert set(fleet.asked("lb0")) == {RAISED.version}


async def test_a_proxy_that_missed_a_rollback_comes_back_to_it_and_is_never_asked_for_less(fleet: Fleet) -> None:
    await fleet.balancer.apply(FIRST)
    await fleet.connect("lb0")
    await until(fleet, lb0="acknowledged")
    await fleet.balancer.apply(RAISED)
    await until(fleet, lb0="acknowledged")
    await fleet.disconnect("lb0")
    await until(fleet, lb0="pending")
    await fleet.balancer.apply(ROLLED_BACK)
    assert states(fleet) == {"lb0": "pending"}, "unknown until it says so itself"
    await fleet.connect("lb0")
    await until(fleet, lb0="acknowledged")
    assert fleet.asked("lb0") == sorted(fleet.asked("lb0"))
    assert fleet.asked("lb0")[-1] == ROLLED_BACK.version


async def test_a_proxy_that_refused_a_route_ends_with_the_rollback_of_it(fleet: Fleet) -> None:
    await fleet.balancer.apply(FIRST)
    await fleet.connect("lb0")
    await until(fleet, lb0="acknowledged")
    await fleet.tell("lb0", "reject")
    await fleet.balancer.apply(RAISED)
    await until(fleet, lb0="rejected")
    await fleet.tell("lb0", "accept")
    await fleet.balancer.apply(ROLLED_BACK)
    await until(fleet, lb0="acknowledged")
    assert only(fleet).version == ROLLED_BACK.version
    assert fleet.asked("lb0") == sorted(fleet.asked("lb0"))
