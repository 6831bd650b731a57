"""Envoy by xDS: the router is the control plane, a proxy's ACK is the read-back, a NACK carries Envoy's reason."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

from router import health
from router.errors import NotLoopbackError, PortTakenError
from router.freshness import Fresh, at_once
from router.packing import RESOURCES, Packer
from router.ports import Capability
from router.snapshot import Snapshot, is_later
from router.tls import MutualTls, impostor
from router.xds_stream import ProxyStream, Resource
from schemas.control import ProxyRoute
from transport.loopback import is_loopback

logger = logging.getLogger(__name__)

_ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"

_OPTIONS = (
    ("grpc.so_reuseport", 0),  # else a second router would share the port and each proxy find either
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.max_ping_strikes", 0),  # proxies ping each second, which gRPC would answer with GOAWAY
)


@dataclass(slots=True, eq=False)
class _Link:
    """A stream and what wakes its sender."""

    stream: ProxyStream
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False


@dataclass(slots=True)
class _Proxy:
    """A proxy and its live streams: after a cut there may be two for a moment, and both must agree."""

    links: list[_Link] = field(default_factory=list)
    version: str | None = None


class EnvoyXds:
    """A :class:`router.ports.LoadBalancer` that serves ADS to Envoys, known by their node id.

    `proven` is what proxies accepted before this process began: what they get if they refuse the first they are sent.
    Each new stream is answered only after `fresh` has returned for it: then the newest snapshot is no older than it.
    With `tls` a proxy's certificate must name its node id. Raises :class:`NotLoopbackError` for an address that others
    could reach without it, and :class:`TlsError` for files that cannot be used.
    """

    def __init__(
        self,
        host: str,
        port: int,
        proven: Snapshot | None = None,
        fresh: Fresh = at_once,
        tls: MutualTls | None = None,
    ) -> None:
        if tls is not None:
            tls.check()
        elif not is_loopback(host):
            raise NotLoopbackError(
                f"xDS without mTLS is served on loopback only, not on {host}: set xds_cert, xds_key and xds_ca, or xds_host."
            )
        self._host = f"[{host}]" if ":" in host else host
        self.port = port
        """0 takes a free one when the port opens."""
        self._server: grpc.aio.Server | None = None
        self._door = asyncio.Lock()
        self._newest: Snapshot | None = None
        self._proven = proven
        self._fresh = fresh
        self._tls = tls
        self._beside: tuple[grpc.GenericRpcHandler, ...] = (health.handlers(),)
        self._packer = Packer()
        self._proxies: dict[str, _Proxy] = {}
        self._changed = asyncio.Event()

    @property
    def capabilities(self) -> frozenset[Capability]:
        return frozenset({"assignment_header", "session_pinning", "read_back"})

    def serve_beside(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Other services on the same port, from its next opening on."""
        self._beside = (*self._beside, *handlers)

    async def apply(self, snapshot: Snapshot) -> None:
        if snapshot != self._newest:
            self._newest = snapshot
            for link in self._links():
                link.stream.want(snapshot)
                link.wake.set()
            self._changed.set()
        async with self._door:
            if self._server is None:
                self._server = await self._listen()

    def observe(self, service: str) -> tuple[ProxyRoute, ...]:
        return tuple(_observe(service, name, proxy) for name, proxy in sorted(self._proxies.items()))

    async def changed(self) -> None:
        await self._changed.wait()
        self._changed.clear()

    def remember(self, proxies: Iterable[str]) -> None:
        for name in proxies:
            self._proxies.setdefault(name, _Proxy())
        self._changed.set()

    def forget(self, proxy: str) -> None:
        if proxy in self._proxies and not self._proxies[proxy].links:
            del self._proxies[proxy]
            self._changed.set()

    async def close(self) -> None:
        async with self._door:
            server, self._server = self._server, None
            if server is not None:
                await server.stop(None)
                logger.info("xds port closed", extra={"action": "xds_closed", "address": f"{self._host}:{self.port}"})

    async def _listen(self) -> grpc.aio.Server:
        server = grpc.aio.server(options=_OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(
            self._serve, DiscoveryRequest.FromString, DiscoveryResponse.SerializeToString
        )
        handlers = grpc.method_handlers_generic_handler(_ADS, {"StreamAggregatedResources": handler})
        server.add_generic_rpc_handlers((handlers, *self._beside))
        try:
            self.port = self._bind(server, f"{self._host}:{self.port}")
        except RuntimeError as error:
            raise PortTakenError(
                f"xDS port {self.port} cannot be opened ({error}): does another router run?"
            ) from error
        await server.start()
        logger.info("xds port opened", extra={"action": "xds_opened", "address": f"{self._host}:{self.port}"})
        return server

    def _bind(self, server: grpc.aio.Server, address: str) -> int:
        if self._tls is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, self._tls.credentials())

    def _links(self) -> Iterable[_Link]:
        return (link for proxy in self._proxies.values() for link in proxy.links)

    async def _serve(
        self, requests: AsyncIterator[Any], context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> AsyncIterator[Any]:
        first = await anext(aiter(requests), None)
        if first is None:
            return
        if not first.node.id:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The first request must name its node.id.")
        if self._tls is not None and (why := impostor(first.node.id, context.auth_context())) is not None:
            logger.error("proxy is not whom it says", extra={"action": "proxy_impostor", "why": why})
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, why)
        await self._fresh()
        if self._newest is None:
            return
        if (why := _ahead(first, self._newest)) is not None:
            logger.warning("proxy is ahead", extra={"action": "proxy_ahead", "proxy": first.node.id, "why": why})
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, why)
        name, link = first.node.id, _Link(ProxyStream(self._newest, self._proven))
        self._connect(name, link, first)
        reading = asyncio.create_task(self._read(requests, name, link))
        try:
            while not link.ended:
                link.wake.clear()
                while (push := link.stream.push()) is not None:
                    yield self._packer.response(push)
                await link.wake.wait()
        finally:
            self._disconnect(name, link)
            reading.cancel()
            (failure,) = await asyncio.gather(reading, return_exceptions=True)
            if isinstance(failure, Exception):
                logger.error("proxy not understood", exc_info=failure, extra={"action": "proxy_failed", "proxy": name})

    def _connect(self, name: str, link: _Link, first: Any) -> None:
        proxy = self._proxies.setdefault(name, _Proxy())
        proxy.links.append(link)
        logger.info("proxy connected", extra={"action": "proxy_connected", "proxy": name})
        self._request(name, link, first)

    def _disconnect(self, name: str, link: _Link) -> None:
        self._proxies[name].links.remove(link)
        logger.warning("proxy disconnected", extra={"action": "proxy_disconnected", "proxy": name})
        self._changed.set()

    async def _read(self, requests: AsyncIterator[Any], name: str, link: _Link) -> None:
        try:
            async for request in requests:
                self._request(name, link, request)
        finally:
            link.ended = True
            link.wake.set()

    def _request(self, name: str, link: _Link, request: Any) -> None:
        resource = RESOURCES.get(request.type_url)
        if resource is None:
            return
        if not request.response_nonce and self._newest is not None and _ahead(request, self._newest) is not None:
            link.ended = True  # a proxy names its versions one type after the other
        words = request.error_detail.message if request.HasField("error_detail") else None
        if words is not None:
            logger.error("proxy rejected", extra={"action": "route_rejected", "proxy": name, "why": words})
        link.stream.request(resource, request.response_nonce, words)
        self._proxies[name].version = link.stream.version or self._proxies[name].version
        self._proven = link.stream.accepted or self._proven
        link.wake.set()
        self._changed.set()


def _ahead(request: Any, newest: Snapshot) -> str | None:
    """Why this router may not serve the proxy: another one, which has read further, already did."""
    resource: Resource | None = RESOURCES.get(request.type_url)
    own = newest.clusters_version if resource == "clusters" else newest.version
    if resource is None or not is_later(request.version_info, own):
        return None
    return (
        f"The proxy runs {resource} {request.version_info}, this router has read up to {own} only: another router serves "
        "it. Restart the proxy if the log was begun anew."
    )


def _observe(service: str, name: str, proxy: _Proxy) -> ProxyRoute:
    if not proxy.links:
        return ProxyRoute(proxy=name, state="pending", connected=False, version=proxy.version)
    states = {link.stream.state(service) for link in proxy.links}
    if states == {"acknowledged"}:
        return ProxyRoute(proxy=name, state="acknowledged", version=proxy.version)
    words = next((w for link in proxy.links if (w := link.stream.words(service)) is not None), None)
    return ProxyRoute(proxy=name, state="pending" if words is None else "rejected", version=proxy.version, detail=words)
