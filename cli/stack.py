"""All services of davylamp on this machine, one supervised process each, over a Kafka of their own or yours."""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx2

from transport.local_kafka import LocalKafka
from transport.settings import KafkaSettings
from transport.supervisor import Child, Supervisor
from transport.topics import ensure_topics

ServiceProcess = Literal["streams", "judge", "router", "alerts", "status"]
SERVICES: tuple[ServiceProcess, ...] = ("streams", "judge", "router", "alerts", "status")

GONE_WITHIN_S = 1.0
"""So soon it is noticed."""

LOOK_EVERY_S = 0.1


class PortsTakenError(Exception):
    """Somebody listens where the stack would."""


BESIDE: Mapping[str, str] = {"remote-judge": "judge.remote", "otel-bridge": "streams.otel_bridge"}
"""What runs only when it is asked for: its name, and its module."""


@dataclass(frozen=True, slots=True)
class StackOptions:
    """Where the stack keeps its data and listens."""

    folder: Path = Path(".davylamp")
    kafka: str | None = None
    """Bootstrap servers of a Kafka of yours; None starts a local one in `folder`."""
    kafka_port: int = 9092
    xds_port: int = 18000
    status_port: int = 8642
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further settings of the services, as `DAVYLAMP_…` variables."""

    @property
    def bootstrap(self) -> str:
        """Where Kafka answers."""
        return self.kafka or f"127.0.0.1:{self.kafka_port}"

    @property
    def status_url(self) -> str:
        """Where the status API answers."""
        return f"http://127.0.0.1:{self.status_port}"

    @property
    def ports(self) -> dict[str, int]:
        """What it opens on this machine, by the option that names it."""
        direct = self.environment.get("DAVYLAMP_ROUTER_DIRECT_PORT")
        found = {"--kafka-port": self.kafka_port} if self.kafka is None else {}
        found |= {"--xds-port": self.xds_port, "--status-port": self.status_port}
        return found | ({"--direct-port": int(direct)} if direct is not None else {})

    def service_environment(self) -> dict[str, str]:
        """What every service's process finds in its environment."""
        return {
            **os.environ,
            "DAVYLAMP_KAFKA_BOOTSTRAP": self.bootstrap,
            "DAVYLAMP_ROUTER_XDS_PORT": str(self.xds_port),
            "DAVYLAMP_STATUS_PORT": str(self.status_port),
            "DAVYLAMP_STREAMS_DATA_FOLDER": str(self.folder / "streams"),
            "DAVYLAMP_JUDGE_DATA_FOLDER": str(self.folder / "judge"),
            "DAVYLAMP_ROUTER_DATA_FOLDER": str(self.folder / "router"),
            "DAVYLAMP_ALERTS_DATA_FOLDER": str(self.folder / "alerts"),
            "DAVYLAMP_STATUS_DATA_FOLDER": str(self.folder / "status"),
            "DAVYLAMP_ALERTS_STATUS_URL": self.status_url,
            **self.environment,
        }

    def kafka_settings(self) -> KafkaSettings:
        """As every service will read them. One local node keeps one copy, whatever a cluster's settings say.

        Raises :class:`transport.settings.SettingsError`.
        """
        settings = KafkaSettings.load("kafka", self.service_environment())
        return settings if self.kafka is not None else settings.model_copy(update={"replication_factor": 1})


def require_free(ports: Mapping[str, int]) -> None:
    """Raises :class:`PortsTakenError` with all that are taken: a service would only be started again and again."""
    taken: list[str] = []
    with contextlib.ExitStack() as stack:
        for option, port in ports.items():
            here = stack.enter_context(socket.socket())
            # As the services do: what is closing is no hindrance.
            here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                here.bind(("127.0.0.1", port))
                here.listen()
            except OSError as error:
                taken.append(f"port {port} ({option}): {error.strerror}")
    if taken:
        raise PortsTakenError(
            "\n".join([*taken, "Does davylamp run already? Stop what listens there, or name other ports."])
        )


def service_argv(service: str) -> list[str]:
    """The command of one service, or of what runs beside them."""
    return [sys.executable, "-m", BESIDE.get(service, service)]


class ChildLines(logging.Handler):
    """What the supervisor says of a service that ended, for a terminal: which one, with what code, and where its last words are."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.WARNING)
        self._folder = folder

    def emit(self, record: logging.LogRecord) -> None:
        said = vars(record)
        child, code = said.get("child"), said.get("code")
        how = f" (exit code {code})" if code is not None else f" ({said['reason']})" if "reason" in said else ""
        again = f", starting it again in {said['in_s']:.1f} s" if "in_s" in said else ""
        print(f"{child or 'davylamp'}: ended{how}{again}; see {self._folder}/{child}.log", file=sys.stderr)


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs."""

    supervisor: Supervisor
    kafka: LocalKafka | None
    """None: it is yours."""

    async def kafka_gone(self) -> None:
        """Return once the local Kafka has ended, whoever ended it; never where it is yours."""
        while self.kafka is None or self.kafka.pid is not None:  # noqa: ASYNC110 - a process that ends tells nobody
            await asyncio.sleep(GONE_WITHIN_S)


async def answers(status_url: str) -> None:
    """Return once the status API there follows the log."""
    async with httpx2.AsyncClient(base_url=status_url) as client:
        while not await is_ready(client):  # noqa: ASYNC110 - it tells nobody when it has begun
            await asyncio.sleep(LOOK_EVERY_S)


async def is_ready(client: httpx2.AsyncClient) -> bool:
    """Whether the status API follows the log."""
    try:
        return (await client.get("/readyz")).is_success
    except httpx2.HTTPError:
        return False


@contextlib.contextmanager
def _told(lines: logging.Handler) -> Iterator[None]:
    of_supervisor = logging.getLogger("transport.supervisor")
    of_supervisor.addHandler(lines)
    try:
        yield
    finally:
        of_supervisor.removeHandler(lines)


@contextlib.asynccontextmanager
async def running(options: StackOptions) -> AsyncIterator[Stack]:
    """The whole stack; every process is gone when the block ends."""
    options.folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        kafka = LocalKafka(options.folder / "kafka", options.kafka_port) if options.kafka is None else None
        if kafka is not None:
            stack.enter_context(kafka)
        ensure_topics(options.kafka_settings())
        stack.enter_context(_told(ChildLines(options.folder)))
        async with Supervisor() as supervisor:
            environment = options.service_environment()
            for service in SERVICES:
                supervisor.add(Child(service, service_argv(service), environment, options.folder / f"{service}.log"))
            yield Stack(supervisor, kafka)
