"""A real Kafka for a laptop, a demo or a test: one KRaft node on the loopback interface, from packages alone."""

import base64
import contextlib
import fcntl
import logging
import secrets
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from transport.clock import Clock, SystemClock
from transport.kafka_runtime import VERSION, LocalKafkaError, cache_folder, find_jars, find_java
from transport.local_kafka_config import (
    ADMIN,
    DATA_FOLDER,
    HOST,
    JVM,
    PROPERTIES_FILE,
    SCRAM,
    Tls,
    listener_of,
    write_config,
)
from transport.tether import tethered

__all__ = ["LocalKafka", "LocalKafkaError"]

logger = logging.getLogger(__name__)

_READY_S = 60.0
_STOP_S = 15.0
_TOLD = 12
"""Lines of Kafka's log that an error quotes."""


class LocalKafka:
    """One Kafka node; everything it writes lies in `folder`, its words in ``folder/broker.log``.

    Port 0 takes a free one at the first start and keeps it. The process has a session of its own, so Ctrl-C does not
    reach it before the services that use it; on Linux it dies with this process, however that ends. Also a context
    manager. Not safe for two threads at once.
    """

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        cache: Path | None = None,
        clock: Clock | None = None,
        users: Mapping[str, str] | None = None,
        tls: Tls | None = None,
    ) -> None:
        """With `users` (name → password, ``admin`` among them) it asks for a name and enforces ACLs, with `tls` it shows a
        certificate: to try yours."""
        self.port = port
        self._users = users
        self._tls = tls
        self._folder = folder
        self._cache = cache or cache_folder()
        self._clock = clock or SystemClock()
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None

    @property
    def bootstrap(self) -> str:
        """``host:port`` of the started node."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process is not None and self._runs() else None

    def start(self) -> None:
        """Return when the node answers: in about 2 s, the first time after a download of some 25 s; again: nothing.

        Raises :class:`LocalKafkaError`: no Java, no jars, port or folder are taken, or what Kafka itself said.
        """
        if self._runs():
            return
        java, jars = find_java(), find_jars(self._cache)
        command = [java, *JVM, "-cp", f"{jars}/*"]
        self._folder.mkdir(parents=True, exist_ok=True)
        with _locked(self._folder) as lock:
            self.port, controller = _ports(self.port)
            write_config(self._folder, self.port, controller, self._users, self._tls)
            self._format(command)
            self._spawn([*command, "kafka.Kafka", PROPERTIES_FILE], lock)
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        logger.info("Kafka started", extra={"action": "kafka_started", "bootstrap": self.bootstrap, "pid": self.pid})

    def stop(self) -> None:
        """Let it shut down in order, kill it after 15 s; the process is gone on return. May be called twice."""
        if self._process is None or self._keeper is None:
            return
        self._process.terminate()
        self._keeper.join(_STOP_S)
        if self._keeper.is_alive():
            self._process.kill()
            self._keeper.join()
        logger.info("Kafka stopped", extra={"action": "kafka_stopped", "code": self._process.returncode})
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _runs(self) -> bool:
        return self._keeper is not None and self._keeper.is_alive()

    def _format(self, command: list[str]) -> None:
        """Prepare the data folder once; ``meta.properties`` is the last file that Kafka writes then."""
        data = self._folder / DATA_FOLDER
        if (data / "meta.properties").exists():
            return
        # Starts with a letter, whatever is drawn: with a dash Kafka would read it as an option.
        cluster = base64.urlsafe_b64encode(b"davy" + secrets.token_bytes(12)).decode().rstrip("=")
        arguments = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", PROPERTIES_FILE]
        for name, password in (self._users or {}).items():
            arguments += ["--add-scram", f"{SCRAM}=[name={name},password={password}]"]
        done = subprocess.run(  # noqa: S603 - our own command
            tethered([*command, *arguments]), cwd=self._folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise LocalKafkaError(f"Kafka could not format {data}: {done.stdout}{done.stderr}")

    def _spawn(self, command: list[str], lock: IO[bytes]) -> None:
        """Start the node from a thread that ends with it: a tether holds to the thread, and the caller's may end."""
        started: Future[subprocess.Popen[bytes]] = Future()
        self._keeper = threading.Thread(target=self._keep, args=(command, lock, started), name="Kafka", daemon=True)
        self._keeper.start()
        self._process = started.result()

    def _keep(self, command: list[str], lock: IO[bytes], started: "Future[subprocess.Popen[bytes]]") -> None:
        try:
            with (self._folder / "broker.log").open("wb") as log:
                process = subprocess.Popen(  # noqa: S603 - our own command
                    tethered(command),
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=[lock.fileno()],
                )
        except OSError as error:
            started.set_exception(LocalKafkaError(f"Kafka could not be started: {error}"))
            return
        started.set_result(process)
        process.wait()

    def _await_ready(self) -> None:
        deadline = self._clock.monotonic_s() + _READY_S
        config = {"bootstrap.servers": self.bootstrap, "reconnect.backoff.max.ms": 200, "log_level": 0}
        with AdminClient({**config, **self._log_in()}) as admin:
            while self._clock.monotonic_s() < deadline:
                if not self._runs():
                    raise LocalKafkaError(f"Kafka {VERSION} ended at once:\n{self._said()}")
                with contextlib.suppress(KafkaException):  # not there yet
                    if admin.list_topics(timeout=1).brokers:
                        return
        raise LocalKafkaError(f"Kafka {VERSION} did not answer within {_READY_S:.0f} s:\n{self._said()}")

    def _log_in(self) -> dict[str, str]:
        found = {"security.protocol": listener_of(self._users, self._tls)}
        if self._users is not None:
            found |= {"sasl.mechanism": SCRAM, "sasl.username": ADMIN, "sasl.password": self._users[ADMIN]}
        return found if self._tls is None else found | {"ssl.ca.location": str(self._tls.ca)}

    def _said(self) -> str:
        """The end of its log without Java's stacks and warnings."""
        log = self._folder / "broker.log"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([*[line for line in lines if not line.startswith(("\t", "WARNING:"))][-_TOLD:], f"(in {log})"])


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[IO[bytes]]:
    """Hold the folder for as long as this block or a process that inherited the file lives.

    Kafka's own lock comes too late: a second node has by then cut the first one's metadata log (seen with 4.4.0).
    """
    with (folder / "lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LocalKafkaError(f"a Kafka runs in {folder}: stop it or choose another folder") from error
        yield lock


def _ports(port: int) -> tuple[int, int]:
    """`port`, or a free one for 0, and a free one for the controller."""
    with socket.socket() as broker, socket.socket() as controller:
        broker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Kafka: what is closing is no hindrance
        try:
            broker.bind((HOST, port))
        except OSError as error:
            raise LocalKafkaError(
                f"port {port}: {error.strerror}: stop what listens there or choose another"
            ) from error
        controller.bind((HOST, 0))
        return broker.getsockname()[1], controller.getsockname()[1]
