"""Settings of the router."""

import socket
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from router.tls import MutualTls, ServerTls
from transport.metrics_port import MetricsSettings


class RouterSettings(MetricsSettings):
    """The table ``[router]``."""

    xds_host: str = Field(default="127.0.0.1", description="Anything but loopback needs the three files below.")
    xds_port: int = Field(default=18000, ge=1, le=65535, description="Where proxies fetch routes and push reports.")
    xds_cert: Path | None = Field(default=None, description="PEM: what the router shows to proxies, with its chain.")
    xds_key: Path | None = Field(default=None, description="PEM: the certificate's key.")
    xds_ca: Path | None = Field(
        default=None,
        description="PEM: who signs the proxies' certificates, each of which names its node id (CN, or SAN: DNS, URI).",
    )
    name: str = Field(
        default_factory=lambda: f"router@{socket.gethostname()}",
        min_length=1,
        description="Who speaks on `route-changes`.",
    )
    data_folder: Path = Field(
        default=Path(".davylamp/router"),
        description="Of this router alone: rollbacks that were said to it, and the routes that proxies acknowledged.",
    )
    direct_host: str = Field(default="127.0.0.1", description="Anything but loopback needs the two files below.")
    direct_port: int = Field(default=18001, ge=1, le=65535, description="Where a rollback is said without Kafka.")
    direct_cert: Path | None = Field(default=None, description="PEM: what the direct port shows, with its chain.")
    direct_key: Path | None = Field(default=None, description="PEM: the certificate's key.")
    direct_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Whoever knows it may roll back without Kafka. Without one the direct port stays closed.",
    )

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        for names in (("xds_cert", "xds_key", "xds_ca"), ("direct_cert", "direct_key")):
            missing = [name for name in names if getattr(self, name) is None]
            if missing and len(missing) < len(names):
                raise ValueError(f"{', '.join(names)} belong together: {', '.join(missing)} is missing")
        return self

    @property
    def xds_tls(self) -> MutualTls | None:
        """None: proxies are served without."""
        if self.xds_cert is None or self.xds_key is None or self.xds_ca is None:
            return None
        return MutualTls(ServerTls(self.xds_cert, self.xds_key), self.xds_ca)

    @property
    def direct_tls(self) -> ServerTls | None:
        """None: the direct port is served without."""
        if self.direct_cert is None or self.direct_key is None:
            return None
        return ServerTls(self.direct_cert, self.direct_key)
