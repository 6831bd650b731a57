"""TLS of the router's ports: what it shows, whom it believes, and by which names a proxy's certificate knows it."""

import logging
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from router.errors import TlsError

logger = logging.getLogger(__name__)

_NAMES = ("x509_common_name", "peer_dns", "peer_uri")
"""Where gRPC tells the subject's CN and the subject alternative names of the kinds that name a machine or a workload."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The certificate that a port shows, with its chain, and its key; PEM files."""

    cert: Path
    key: Path

    def check(self) -> None:
        """Raise :class:`TlsError` for files that cannot be read or do not belong together."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            raise TlsError(f"{self.cert} and {self.key} are no certificate with its key: {error}") from error


@dataclass(frozen=True, slots=True)
class MutualTls:
    """A port that also believes nobody whom `ca` has not signed."""

    server: ServerTls
    ca: Path

    def check(self) -> None:
        """Raise :class:`TlsError` for files that are not what they should be."""
        self.server.check()
        try:
            ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise TlsError(f"{self.ca} is no CA certificate: {error}") from error

    def credentials(self) -> grpc.ServerCredentials:
        """For a gRPC port. Files are read again for each handshake, so that certificates can be replaced while it runs."""
        again: Any = self._read_again  # its stubs forget that None means "no change"
        return grpc.dynamic_ssl_server_credentials(self._read(), again, require_client_authentication=True)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        self.check()
        pair = self.server.key.read_bytes(), self.server.cert.read_bytes()
        return grpc.ssl_server_certificate_configuration([pair], self.ca.read_bytes())

    def _read_again(self) -> grpc.ServerCertificateConfiguration | None:
        """None: the files are being replaced; what was read last is good until they fit again."""
        try:
            return self._read()
        except (OSError, TlsError) as error:
            logger.warning("certificates not read", extra={"action": "certificates_unread", "why": str(error)})
            return None


def certified(auth: Mapping[str, Iterable[bytes]]) -> frozenset[str]:
    """The names in the client's certificate: its CN, DNS names and URIs, letter for letter. Empty without one."""
    return frozenset(value.decode(errors="replace") for kind in _NAMES for value in auth.get(kind, ()))


def impostor(node: str, auth: Mapping[str, Iterable[bytes]]) -> str | None:
    """Why whoever calls itself `node` may not be served as that; None if its certificate says so too."""
    names = certified(auth)
    if node in names:
        return None
    listed = ", ".join(sorted(names)) or "none"
    return f"The node id {node} is none of the names in the client's certificate (CN, DNS, URI): {listed}."
