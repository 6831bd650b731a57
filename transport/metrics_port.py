"""`/metrics` of a service that has no other port for people."""

import logging
import socket
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import Field

from transport.exposition import CONTENT_TYPE
from transport.settings import Settings, SettingsError, Table

logger = logging.getLogger(__name__)

Render = Callable[[], str]
"""What is told now. It is called on a thread of the port's: it reads what the service keeps, and changes nothing."""


class MetricsSettings(Settings):
    """The settings of a service that tells Prometheus something."""

    metrics_host: str = Field(
        default="127.0.0.1",
        description="Whoever reaches the port may read it: names of services, proxies and receivers, and numbers.",
    )
    metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="Of `/metrics`, for Prometheus. Closed without one."
    )


class MetricsPort(ThreadingHTTPServer):
    """Answers on threads of its own, so that a service that hangs still says how old its numbers are; none of them keeps it alive."""

    daemon_threads = True

    def __init__(self, host: str, port: int, render: Render) -> None:
        """Open it. Raises ``OSError``."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.render = render
        super().__init__((host, port), _Answer)
        threading.Thread(target=self.serve_forever, name="metrics", daemon=True).start()

    def server_bind(self) -> None:
        """Without asking the DNS who we are, which may take a minute."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, *_: object) -> None:
        """Whoever asks may go before the answer."""

    def close(self) -> None:
        """Open no more."""
        self.shutdown()
        self.server_close()


class _Answer(BaseHTTPRequestHandler):
    timeout = 5.0
    """Of a client that says nothing, or takes nothing."""
    server: MetricsPort

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404, explain="There is /metrics.")
            return
        try:
            body = self.server.render().encode()
        except Exception:
            logger.exception("metrics not told", extra={"action": "metrics_untold"})
            self.send_error(500)
            return
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Prometheus asks four times a minute."""


def open_metrics(settings: MetricsSettings, name: Table, render: Render) -> MetricsPort | None:
    """The port that is set, if one is. Raises :class:`transport.settings.SettingsError`."""
    if settings.metrics_port is None:
        return None
    host, port = settings.metrics_host, settings.metrics_port
    try:
        return MetricsPort(host, port, render)
    except OSError as error:
        raise SettingsError(f"[{name}] metrics_port: {host}:{port} cannot be opened: {error}") from error
