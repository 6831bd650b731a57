"""RequestEvent v1: what a server says about one finished request."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from davylamp_sdk._message import Message

Outcome = Literal[
    "ok",
    "tool_error",  # a result with `isError: true`
    "rpc_error",  # any JSON-RPC error
    "server_error",  # the handler raised, or the transport broke or answered >= 500
    "timeout",  # still running after `hung_after`
    "cancelled",  # by the client
    "input_required",  # the server asked for more input: neither success nor failure
    "rejected",  # 4xx of the transport: unknown session, 421, 413, malformed
]

Name = Annotated[str, StringConstraints(min_length=1, max_length=120)]


class RequestEvent(Message):
    """One finished request, as the server saw it. Nothing private: no arguments, results or tokens.

    Names follow OpenTelemetry's MCP conventions where they have one: ``method`` is ``mcp.method.name``, ``tool``
    is ``gen_ai.tool.name``, ``error_type`` is ``error.type``.
    """

    v: Literal[1] = 1
    producer: Annotated[Name, Field(description="One per process life of an emitter; with `sequence` the identity.")]
    sequence: Annotated[int, Field(ge=0, description="Counts up by one per event of a producer.")]
    service: Name
    version: Annotated[Name, Field(description="The version the server says it runs.")]
    instance: Annotated[Name, Field(description="Which replica.")]
    session: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="BLAKE2b hash of the session id, never the id itself."
    )
    assignment: Annotated[str, StringConstraints(max_length=100)] | None = Field(
        default=None, description="`<label>;<version>` as the proxy stamped it: the cohort is the assigned version."
    )
    method: Name
    tool: Name | None = Field(default=None, description="A name that the server registered, else `_unknown`.")
    outcome: Outcome
    error_type: Name | None = None
    protocol_version: Name | None = None
    started_at: Annotated[int, Field(ge=0, description="Unix time in milliseconds, by the server's clock.")]
    duration_ms: Annotated[float, Field(ge=0, lt=1e9, allow_inf_nan=False)]
    first_of_session: bool = False
    metrics: dict[Name, Annotated[float, Field(allow_inf_nan=False)]] = Field(default_factory=dict, max_length=32)
