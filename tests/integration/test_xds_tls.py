"""xDS and the direct port beyond loopback: mTLS, a proxy's name in its certificate, a token over TLS."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from pydantic import SecretStr

from cli.routers import Failure, Routers
from router.agent import Router
from router.answers import Latched
from router.bootstrap import bootstrap
from router.bootstrap_tls import ProxyTls
from router.direct import serve
from router.envoy_xds import EnvoyXds
from router.errors import NotLoopbackError, TlsError
from router.fold import TOPICS
from router.latch import Word
from router.local_envoy import LocalEnvoy
from router.memory import MemoryLoadBalancer
from router.packing import TYPE_URLS
from router.tls import MutualTls, ServerTls
from tests.builders import SERVICE, entry
from tests.certificates import Authority, Pair
from tests.integration.test_xds_port import FIRST
from transport.clock import FakeClock
from transport.log import Batch
from transport.memory_log import MemoryLog
from transport.ports import free_ports

URI = "spiffe://prod.example/envoy/lb0"
TOKEN = SecretStr("0123456789abcdef")


@dataclass
class Site:
    """A router that believes one authority, and an authority that it does not know."""

    ours: Authority
    theirs: Authority
    tls: MutualTls
    balancer: EnvoyXds


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    shown = ours.sign("router", "router", dns=["localhost"], ip=["127.0.0.1"])
    tls = MutualTls(ServerTls(shown.cert, shown.key), ours.cert)
    balancer = EnvoyXds("0.0.0.0", 0, tls=tls)
    await balancer.apply(FIRST)
    yield Site(ours, theirs, tls, balancer)
    await balancer.close()


async def first_answer(site: Site, node: str, client: Pair | None) -> Any:
    """What a proxy of that name, with that certificate, is answered first."""
    pair = (client.key.read_bytes(), client.cert.read_bytes()) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(site.ours.cert.read_bytes(), *pair)
    async with grpc.aio.secure_channel(f"localhost:{site.balancer.port}", credentials) as channel:
        ads = channel.stream_stream(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
            request_serializer=DiscoveryRequest.SerializeToString,
            response_deserializer=DiscoveryResponse.FromString,
        )
        call = ads(timeout=20)
        request = DiscoveryRequest(type_url=TYPE_URLS["routes"])
        request.node.id = node
        with suppress(asyncio.InvalidStateError, grpc.aio.UsageError):
            await call.write(request)
        return await call.read()


@pytest.mark.parametrize(
    ("node", "names"),
    [
        ("lb0", {"cn": "lb0"}),
        ("lb0.example", {"cn": "x", "dns": ["lb1.example", "lb0.example"]}),
        (URI, {"uri": [URI]}),
    ],
)
async def test_a_proxy_is_served_as_whom_its_certificate_names(site: Site, node: str, names: dict[str, Any]) -> None:
    answer = await first_answer(site, node, site.ours.sign("proxy", **names))
    assert answer.version_info == FIRST.version
    assert [p.proxy for p in site.balancer.observe("orders")] == [node]


@pytest.mark.parametrize("node", ["lb1", "lb", "lb0.example.org", "*.example", "lb0 ", "LB0", "127.0.0.9"])
async def test_a_proxy_that_calls_itself_otherwise_is_refused_and_does_not_exist(site: Site, node: str) -> None:
    pair = site.ours.sign("proxy", "lb0", dns=["lb0.example"], ip=["127.0.0.9"])
    with pytest.raises(grpc.aio.AioRpcError, match="none of the names in the client's certificate") as refused:
        await first_answer(site, node, pair)
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert site.balancer.observe("orders") == ()


@pytest.mark.parametrize("who", ["nobody", "signed by another authority"])
async def test_who_has_no_certificate_of_our_authority_is_not_heard(site: Site, who: str) -> None:
    pair = None if who == "nobody" else site.theirs.sign("stranger", "lb0")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await first_answer(site, "lb0", pair)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert site.balancer.observe("orders") == ()


async def test_certificates_may_be_replaced_while_it_runs(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    pair = site.ours.sign("proxy", "lb0")
    site.tls.server.key.write_bytes(pair.key.read_bytes())
    assert (await first_answer(site, "lb0", pair)).version_info == FIRST.version
    assert "certificates_unread" in {getattr(r, "action", None) for r in caplog.records}
    site.ours.sign("router", "router", dns=["localhost"])
    site.tls.ca.write_bytes(site.theirs.cert.read_bytes())
    with pytest.raises(grpc.aio.AioRpcError):
        await first_answer(site, "lb0", pair)


@pytest.mark.parametrize("broken", ["cert", "key", "ca"])
def test_files_that_cannot_be_used_are_named(tmp_path: Path, broken: str) -> None:
    authority = Authority(tmp_path)
    pair = authority.sign("router", "router")
    files = {"cert": pair.cert, "key": pair.key, "ca": authority.cert} | {broken: tmp_path / "none.pem"}
    tls = MutualTls(ServerTls(files["cert"], files["key"]), files["ca"])
    with pytest.raises(TlsError, match=r"none\.pem"):
        EnvoyXds("0.0.0.0", 0, tls=tls)


# A real Envoy.


@dataclass
class Fleet:
    """Envoys that ask the site's router by mTLS."""

    site: Site
    folder: Path

    def envoy(self, node: str, pair: Pair, ca: Path | None = None, router: str = "localhost") -> LocalEnvoy:
        port, admin = free_ports(2)
        tls = ProxyTls(str(pair.cert), str(pair.key), str(ca or self.site.ours.cert))
        routers = (f"{router}:{self.site.balancer.port}",)
        return LocalEnvoy(bootstrap(node, port, admin, routers, tls=tls), self.folder)


@pytest.fixture
def fleet(site: Site, tmp_path: Path) -> Fleet:
    return Fleet(site, tmp_path)


async def acknowledged(balancer: EnvoyXds, node: str) -> None:
    async with asyncio.timeout(30):
        while [(p.proxy, p.state) for p in balancer.observe("orders")] != [(node, "acknowledged")]:
            await balancer.changed()


@pytest.mark.parametrize(("node", "router"), [("lb0", "localhost"), (URI, "127.0.0.1")])
async def test_an_envoy_that_proves_its_name_runs_the_routes(fleet: Fleet, node: str, router: str) -> None:
    names: dict[str, Any] = {"uri": [node]} if node == URI else {"cn": node}
    envoy = fleet.envoy("envoy", fleet.site.ours.sign("proxy", **names), router=router)
    envoy._bootstrap["node"]["id"] = node  # files are called by the name that it was made with
    async with envoy:
        await acknowledged(fleet.site.balancer, node)


async def test_an_envoy_with_the_certificate_of_another_is_refused(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    async with fleet.envoy("lb1", fleet.site.ours.sign("proxy", "lb0")):
        await _until(lambda: "proxy_impostor" in {getattr(r, "action", None) for r in caplog.records})
    assert fleet.site.balancer.observe("orders") == ()


async def test_an_envoy_does_not_believe_a_router_that_another_authority_signed(fleet: Fleet) -> None:
    envoy = fleet.envoy("lb0", fleet.site.ours.sign("proxy", "lb0"), ca=fleet.site.theirs.cert)
    async with envoy:
        await _until(lambda: "CERTIFICATE_VERIFY_FAILED" in envoy.log_file.read_text(encoding="utf-8"))
    assert fleet.site.balancer.observe("orders") == ()


async def _until(seen: Callable[[], bool]) -> None:
    """Another process is at work, which wakes nobody here."""
    async with asyncio.timeout(30):
        while not seen():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


# The direct port.


async def a_router() -> Router:
    log, proxies = MemoryLog(), MemoryLoadBalancer()
    proxies.connect("lb0")
    await log.writer().append("services", "orders", SERVICE.dump())
    await log.writer().append("rollout-decisions", "orders", entry("start").dump())
    made = Router("router-1", log.reader(*TOPICS), log.writer(), proxies, FakeClock())
    await made.handle(Batch((*log.records("services"), *log.records("rollout-decisions")), caught_up=True))
    return made


async def test_a_direct_rollback_goes_over_tls_to_whom_the_authority_vouches_for(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    pair = ours.sign("direct", "router", dns=["localhost"])
    (port,) = free_ports(1)
    work = asyncio.create_task(serve(await a_router(), TOKEN, "0.0.0.0", port, ServerTls(pair.cert, pair.key)))
    await _until_open(port)
    word = Word(service="orders", rollout=1, actor="ada")
    url = f"https://localhost:{port}"
    for stranger in (Routers([url], TOKEN, theirs.cert), Routers([f"http://localhost:{port}"], TOKEN)):
        (answer,) = (await stranger.roll_back(word)).values()
        assert isinstance(answer, Failure)
    (answer,) = (await Routers([url], TOKEN, ours.cert).roll_back(word)).values()
    assert isinstance(answer, Latched)
    assert answer.acknowledged
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def _until_open(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("localhost", port)
                writer.close()
                return
            await asyncio.sleep(0.01)


async def test_the_direct_port_without_tls_keeps_to_loopback_and_names_broken_files(tmp_path: Path) -> None:
    made = await a_router()
    with pytest.raises(NotLoopbackError, match="set direct_cert and direct_key, or direct_host"):
        await serve(made, TOKEN, "0.0.0.0", 1)
    with pytest.raises(TlsError, match="no certificate with its key"):
        await serve(made, TOKEN, "0.0.0.0", 1, ServerTls(tmp_path / "a", tmp_path / "b"))
