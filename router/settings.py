"""Settings of the router."""

import socket

from pydantic import Field

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
