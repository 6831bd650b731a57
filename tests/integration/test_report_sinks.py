"""The services that proxies report to: what they take, from whom, and what becomes of a stream that breaks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage, StreamAccessLogsResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from router import report_sinks
from router.envoy_xds import EnvoyXds
from router.snapshot import ServiceRoute, Snapshot
from router.tls import MutualTls, ServerTls
from router.witness import Witness
from schemas.control import ProxyReport
from schemas.service import Version
from tests.certificates import Authority
from tests.unit.router.proxy_words import entry, of_cluster, push
from transport.clock import FakeClock

ROUTE = ServiceRoute("orders", "", "/mcp", ("*",), {"v2": Version(endpoints=("127.0.0.1:1",))}, (), (), ("v2",))
HUNDRED = push(of_cluster("orders.v2", completed=100))
FAILED = entry("1.1.session.0123456789abcdef;v2", code=500)


class Port:
    """A router's port with its sinks, and a proxy's channel to it."""

    def __init__(self, witness: Witness, channel: grpc.aio.Channel) -> None:
        self._witness = witness
        self._export: Any = channel.unary_unary(
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            request_serializer=ExportMetricsServiceRequest.SerializeToString,
            response_deserializer=ExportMetricsServiceResponse.FromString,
        )
        self._log: Any = channel.stream_unary(
            "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs",
            request_serializer=StreamAccessLogsMessage.SerializeToString,
            response_deserializer=StreamAccessLogsResponse.FromString,
        )

    async def push(self, proxy: str | None) -> None:
        metadata = (("x-davylamp-proxy", proxy),) if proxy is not None else ()
        await self._export(HUNDRED, metadata=metadata, timeout=10)

    async def log(self, *nodes: str) -> None:
        """A stream with a message a name; no name: the message has none."""
        messages = []
        for node in nodes:
            message = StreamAccessLogsMessage()
            message.identifier.node.id = node
            message.http_logs.log_entry.append(FAILED)
            messages.append(message)
        await self._log(iter(messages), timeout=10)

    def due(self) -> list[ProxyReport]:
        return self._witness.due([ROUTE], {"orders"}, 0)


@asynccontextmanager
async def opened(tls: MutualTls | None, credentials: grpc.ChannelCredentials | None) -> AsyncIterator[Port]:
    witness, balancer = Witness("r", 1), EnvoyXds("127.0.0.1", 0, tls=tls)
    balancer.serve_beside(report_sinks.handlers(witness, FakeClock(), certified=tls is not None))
    await balancer.apply(Snapshot("1-1", "1", {"orders": ROUTE}))
    address = f"127.0.0.1:{balancer.port}"
    secure = grpc.aio.secure_channel(address, credentials) if credentials else grpc.aio.insecure_channel(address)
    async with secure as channel:
        yield Port(witness, channel)
    await balancer.close()


@pytest.fixture
async def plain() -> AsyncIterator[Port]:
    async with opened(None, None) as port:
        yield port


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Port]:
    """The proxy's certificate says lb0."""
    ours = Authority(tmp_path, "ours")
    router, proxy = ours.sign("router", "router", ip=["127.0.0.1"]), ours.sign("proxy", "lb0")
    credentials = grpc.ssl_channel_credentials(ours.cert.read_bytes(), proxy.key.read_bytes(), proxy.cert.read_bytes())
    async with opened(MutualTls(ServerTls(router.cert, router.key), ours.cert), credentials) as port:
        yield port


async def test_what_a_proxy_pushes_and_logs_becomes_its_report(plain: Port) -> None:
    await plain.log("lb0", "")
    await plain.push("lb0")
    (report,) = plain.due()
    assert (report.proxy, report.versions["v2"].sent, report.failures) == ("lb0", 100, {"v2 status_5xx": 2})


async def test_the_name_of_a_stream_is_that_of_its_first_message(plain: Port) -> None:
    await plain.log("lb0", "lb1")
    await plain.push("lb1")
    (report,) = plain.due()
    assert report.failures == {}


@pytest.mark.parametrize("proxy", [None, ""])
async def test_a_proxy_that_does_not_say_who_it_is_is_refused(plain: Port, proxy: str | None) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="A proxy must say who it is") as refused:
        await plain.push(proxy)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.aio.AioRpcError, match="A proxy must say who it is"):
        await plain.log("")
    assert plain.due() == []


async def test_with_certificates_a_proxy_speaks_for_nobody_else(secured: Port) -> None:
    await secured.push("lb0")
    await secured.log("lb0")
    assert [r.proxy for r in secured.due()] == ["lb0"]
    for forged in (secured.push("lb1"), secured.log("lb1")):
        with pytest.raises(grpc.aio.AioRpcError, match="lb1 is none of the names") as refused:
            await forged
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert secured.due() == []
