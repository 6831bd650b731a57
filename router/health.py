"""gRPC's health check (`grpc.health.v1`): how a proxy knows which of its routers can be asked."""

from typing import Any

import grpc

_SERVING = b"\x08\x01"
"""`HealthCheckResponse{status: SERVING}`: field 1, a varint. The port is open only while the router serves routes."""


def handlers() -> grpc.GenericRpcHandler:
    """The service, for the server of the xDS port."""
    check = grpc.unary_unary_rpc_method_handler(_check, request_deserializer=bytes, response_serializer=bytes)
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check})


async def _check(_: bytes, __: Any) -> bytes:
    return _SERVING
