"""Settings of the router."""

import socket
from pathlib import Path

from pydantic import Field, SecretStr

from transport.settings import Settings


class RouterSettings(Settings):
    """The table ``[router]``."""

    xds_host: str = Field(default="127.0.0.1", description="Loopback: there is no mTLS yet.")
    xds_port: int = Field(default=18000, ge=1, le=65535)
    name: str = Field(
        default_factory=lambda: f"router@{socket.gethostname()}",
        min_length=1,
        description="Who speaks on `route-changes`.",
    )
    data_folder: Path = Field(
        default=Path(".davylamp/router"),
        description="Of this router alone: rollbacks that were said to it, and the routes that proxies acknowledged.",
    )
    direct_host: str = Field(default="127.0.0.1", description="Loopback: there is no TLS.")
    direct_port: int = Field(default=18001, ge=1, le=65535)
    direct_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Whoever knows it may roll back without Kafka. Without one the direct port stays closed.",
    )
