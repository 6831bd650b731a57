"""Who a server is and where its events go, from arguments and the environment."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from davylamp_sdk._names import MAX_NAME
from davylamp_sdk._sink import DEFAULT_TOPIC


@dataclass(frozen=True, slots=True)
class Settings:
    """What an adapter must know. An argument wins over its environment variable; an empty value is no value."""

    service: str
    """``DAVYLAMP_SERVICE``."""
    version: str
    """``DAVYLAMP_VERSION``: what this process runs, as the service file calls it."""
    instance: str
    """``DAVYLAMP_INSTANCE``: which replica; by default the host's name."""
    bootstrap: str | None
    """``DAVYLAMP_BOOTSTRAP``: ``host:port`` of Kafka, more of them after commas."""
    topic: str
    """``DAVYLAMP_TELEMETRY_TOPIC``."""
    key: str | None = field(default=None, repr=False)
    """``DAVYLAMP_KEY``: what principals and cookies are hashed with; the same for every replica of both versions."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What all events of this process share."""
        return {"service": self.service, "version": self.version, "instance": self.instance}

    @classmethod
    def read(cls, given: Mapping[str, str | None], environ: Mapping[str, str] | None = None) -> Self:
        """Read once. Raises ``ValueError`` that says what is missing or too long, and where to set it."""
        env = os.environ if environ is None else environ
        return cls(
            service=_name("service", given.get("service") or env.get("DAVYLAMP_SERVICE")),
            version=_name("version", given.get("version") or env.get("DAVYLAMP_VERSION")),
            instance=_name("instance", given.get("instance") or env.get("DAVYLAMP_INSTANCE") or _host()),
            bootstrap=given.get("bootstrap") or env.get("DAVYLAMP_BOOTSTRAP") or None,
            topic=given.get("topic") or env.get("DAVYLAMP_TELEMETRY_TOPIC") or DEFAULT_TOPIC,
            key=given.get("key") or env.get("DAVYLAMP_KEY") or None,
        )

    def require_bootstrap(self) -> str:
        """Kafka's address. Raises ``ValueError`` if nobody gave one."""
        return require_bootstrap(self.bootstrap, {})


def service_name(given: str | None, environ: Mapping[str, str] | None = None) -> str:
    """The service's name, from the argument or ``DAVYLAMP_SERVICE``. Raises ``ValueError``."""
    env = os.environ if environ is None else environ
    return _name("service", given or env.get("DAVYLAMP_SERVICE"))


def require_bootstrap(given: str | None, environ: Mapping[str, str] | None = None) -> str:
    """Kafka's address, from the argument or ``DAVYLAMP_BOOTSTRAP``. Raises ``ValueError`` if nobody gave one."""
    env = os.environ if environ is None else environ
    address = given or env.get("DAVYLAMP_BOOTSTRAP")
    if not address:
        raise ValueError(
            "davylamp has no Kafka to talk to: pass bootstrap='host:9092' or set DAVYLAMP_BOOTSTRAP "
            "(in tests of telemetry: sink=davylamp_sdk.testing.MemorySink())"
        )
    return address


def _name(field: str, value: str | None) -> str:
    variable = f"DAVYLAMP_{field.upper()}"
    if not value:
        raise ValueError(f"davylamp has no {field}: pass {field}='...' or set {variable}")
    value = value.encode("utf-8", "replace").decode()  # what a variable's bytes did not say in UTF-8
    if len(value) > MAX_NAME:
        raise ValueError(
            f"davylamp's {field} has {len(value)} characters: shorten {field}= or {variable} to {MAX_NAME}"
        )
    return value


def _host() -> str:
    return socket.gethostname()[:MAX_NAME] or "localhost"
