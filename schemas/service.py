"""A service and its versions, as a person writes it."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from davylamp_sdk._message import Message
from schemas.names import ServiceName, TopicName, VersionName


def _host_and_port(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", host) or not port.isdigit() or not 0 < int(port) < 65536:  # noqa: PLR2004
        raise ValueError(f"{value!r} is not an endpoint; write it like 10.0.0.7:8000")
    return value


Endpoint = Annotated[str, AfterValidator(_host_and_port)]
Host = Annotated[str, StringConstraints(pattern=r"^(\*|(\*\.)?[A-Za-z0-9._-]+(:(\*|\d+))?)$", max_length=253)]
"""A domain as proxies match it: `*`, `*.example.com`, `orders.example.com`, with a port where clients send one."""


class Version(Message):
    """Where one version of a service listens: a list of endpoints, or one DNS name whose addresses are all used."""

    endpoints: tuple[Endpoint, ...] = ()
    dns: Endpoint | None = None

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

    @model_validator(mode="after")
    def _baseline_exists(self) -> Self:
        if self.baseline not in self.versions:
            raise ValueError(f"baseline {self.baseline!r} is not among the versions {sorted(self.versions)}")
        return self
