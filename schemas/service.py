"""A service and its versions, as a person writes it."""

import re
from typing import Annotated, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from davylamp_sdk._message import Message
from schemas.labels import Kind
from schemas.names import ServiceName, TopicName, VersionName

Era = Literal["sessions", "stateless"]
"""Protocol revisions that begin with `initialize` (2024-11-05 to 2025-11-25), or those without (2026-07-28 and later)."""


def _host_and_port(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", host) or not port.isdigit() or not 0 < int(port) < 65536:  # noqa: PLR2004
        raise ValueError(f"{value!r} is not an endpoint; write it like 10.0.0.7:8000")
    return value


def _without_port(value: str) -> str:
    if ":" in value:
        raise ValueError(f"{value!r} names a port; write the host alone, proxies take it with any port")
    if not re.fullmatch(r"\*|(\*\.)?[A-Za-z0-9._-]+", value):
        raise ValueError(f"{value!r} is not a host; write it like *, *.example.com or orders.example.com")
    return value


T = TypeVar("T")


def _once(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError("name each only once")
    return values


def _in_ladder_order(kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
    return tuple(kind for kind in get_args(Kind) if kind in kinds)


Endpoint = Annotated[str, AfterValidator(_host_and_port)]
Host = Annotated[
    str,
    Field(max_length=253, json_schema_extra={"pattern": r"^(\*|(\*\.)?[A-Za-z0-9._-]+)$"}),
    AfterValidator(_without_port),
]
"""A domain as proxies match it, whatever the port: `*`, `*.example.com`, `orders.example.com`."""


class Version(Message):
    """Where one version of a service listens: a list of endpoints, or one DNS name whose addresses are all used."""

    endpoints: tuple[Endpoint, ...] = ()
    dns: Endpoint | None = None
    eras: Annotated[
        tuple[Era, ...],
        Field(
            min_length=1,
            description="What it speaks. `sessions`: revisions that begin with `initialize` (to 2025-11-25); `stateless`: "
            "2026-07-28. While the versions of a rollout differ, clients are led to what both speak.",
        ),
        AfterValidator(_once),
    ] = get_args(Era)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.endpoints) == (self.dns is not None):
            raise ValueError("give either `endpoints: [host:port, …]` or `dns: host:port`")
        return self


class Service(Message):
    """An MCP server behind the proxies. ``baseline`` is the initial one; afterwards the ledger owns it."""

    service: ServiceName
    path: Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9._~/-]*$")] = "/mcp"
    hosts: Annotated[tuple[Host, ...], Field(min_length=1)] = ("*",)
    baseline: VersionName
    versions: Annotated[dict[VersionName, Version], Field(min_length=1)]
    telemetry: TopicName = "mcp-requests"
    assign: Annotated[
        tuple[Kind, ...],
        Field(
            min_length=1,
            description="What a canary's share is a share of. `session`: what `initialize` begins; `principal`: clients "
            "without a session, by their Authorization; `cookie`: clients without either, if they keep cookies. "
            "Everybody else stays on the baseline. The order has no meaning.",
        ),
        AfterValidator(_once),
        AfterValidator(_in_ladder_order),
    ] = ("session", "principal")

    @model_validator(mode="after")
    def _baseline_exists(self) -> Self:
        if self.baseline not in self.versions:
            raise ValueError(f"baseline {self.baseline!r} is not among the versions {sorted(self.versions)}")
        return self
