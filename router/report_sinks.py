"""Where proxies push what they saw: two gRPC services beside xDS, on the same port. They never make a proxy wait."""

import logging
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage, StreamAccessLogsResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from router.bootstrap_reports import PROXY_HEADER
from router.tls import impostor
from router.witness import Witness
from transport.clock import Clock

logger = logging.getLogger(__name__)

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"  # generic in its stubs only

_NAMELESS = f"A proxy must say who it is, by {PROXY_HEADER} or by the node.id of a stream's first message."

_METRICS = "opentelemetry.proto.collector.metrics.v1.MetricsService"
_ACCESS_LOG = "envoy.service.accesslog.v3.AccessLogService"


def handlers(witness: Witness, clock: Clock, *, certified: bool = False) -> tuple[grpc.GenericRpcHandler, ...]:
    """The services, which tell `witness` whatever comes; `certified`: only from whom its certificate names."""
    sinks = _Sinks(witness, clock, certified=certified)
    export = grpc.unary_unary_rpc_method_handler(
        sinks.export, ExportMetricsServiceRequest.FromString, ExportMetricsServiceResponse.SerializeToString
    )
    stream = grpc.stream_unary_rpc_method_handler(
        sinks.stream, StreamAccessLogsMessage.FromString, StreamAccessLogsResponse.SerializeToString
    )
    return (
        grpc.method_handlers_generic_handler(_METRICS, {"Export": export}),
        grpc.method_handlers_generic_handler(_ACCESS_LOG, {"StreamAccessLogs": stream}),
    )


class _Sinks:
    def __init__(self, witness: Witness, clock: Clock, *, certified: bool) -> None:
        self._witness = witness
        self._clock = clock
        self._certified = certified

    async def export(self, request: Any, context: _Context) -> Any:
        proxy = str(dict(context.invocation_metadata() or ()).get(PROXY_HEADER, ""))
        await self._admit(proxy, context)
        self._witness.push(proxy, request, self._clock.now_ms())
        return ExportMetricsServiceResponse()

    async def stream(self, messages: AsyncIterator[Any], context: _Context) -> Any:
        """Only the first message of a stream says whose it is."""
        proxy = ""
        async for message in messages:
            if not proxy:
                proxy = message.identifier.node.id
                await self._admit(proxy, context)
            self._witness.log(proxy, message.http_logs.log_entry)
        return StreamAccessLogsResponse()

    async def _admit(self, proxy: str, context: _Context) -> None:
        if not proxy:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _NAMELESS)
        if self._certified and (why := impostor(proxy, context.auth_context())) is not None:
            logger.error("proxy is not whom it says", extra={"action": "proxy_impostor", "why": why})
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, why)
