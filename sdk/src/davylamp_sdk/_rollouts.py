"""Rollouts: a server follows the rollout of its own service, on a thread that never holds it up."""

import asyncio
import atexit
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any, Final

from davylamp_sdk._control_log import LEDGER, ControlLog, KafkaControlLog
from davylamp_sdk._rollout import Rollout, ServiceFold
from davylamp_sdk._settings import require_bootstrap, service_name

logger = logging.getLogger("davylamp_sdk")

POLL_S: Final = 0.5
RETRY_S: Final = 1.0
CLOSE_S: Final = 3.0

OpenLog = Callable[[], ControlLog]


class Rollouts:
    """Follows the newest rollout of one service: ``async for rollout in Rollouts(service="orders"): …``.

    It reads the ledger from its start by the rule of all readers, so an entry that holds nowhere is not told here
    either, then says where the rollout stands, and again whenever that changes. Whoever is slow is told the newest only:
    nothing piles up. While Kafka is away the last picture stays, and is told on as soon as there is a newer one.

    ``bootstrap`` is Kafka's address (``DAVYLAMP_BOOTSTRAP``), ``settings`` are librdkafka's: TLS, SASL. ``open_log``
    replaces Kafka. Raises ``ValueError`` if a setting is missing. One daemon thread, started by the first that listens.
    """

    def __init__(
        self,
        service: str | None = None,
        bootstrap: str | None = None,
        *,
        settings: Mapping[str, Any] = MappingProxyType({}),
        open_log: OpenLog | None = None,
    ) -> None:
        self._service = named = service_name(service)
        if open_log is None:
            address = require_bootstrap(bootstrap)
            open_log = lambda: KafkaControlLog(named, address, settings)  # noqa: E731 - as short as it can be said
        self._open_log = open_log
        self._current: Rollout | None = None
        self._listeners: set[Callable[[], None]] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._newcomer = False
        self._logged: set[str] = set()

    @property
    def current(self) -> Rollout | None:
        """Where the rollout stands; None until the ledger has been read. Somebody must listen, or nobody reads."""
        return self._current

    async def __aiter__(self) -> AsyncIterator[Rollout]:
        """The rollout as it stands, then each change, until :meth:`close`."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop has gone, and who listened with it
                loop.call_soon_threadsafe(changed.set)

        seen: Rollout | None = None
        with self._listening(wake):
            while not self._closing.is_set():
                changed.clear()
                if (current := self._current) is not None and current != seen:
                    seen = current
                    yield current
                else:
                    await changed.wait()

    def call(self, on_change: Callable[[Rollout], object]) -> None:
        """Call ``on_change`` with the rollout as it stands and with each change, on the thread that reads.

        It should be quick; what it raises is logged. A server with an event loop of its own rather iterates.
        """
        seen: list[Rollout] = []

        def wake() -> None:
            current = self._current
            if current is not None and [current] != seen and not self._closing.is_set():
                seen[:] = [current]
                with self._guarded("callback"):
                    on_change(current)

        with self._lock:
            self._listeners.add(wake)
            self._newcomer = True
        self._start()

    def close(self) -> None:
        """Stop reading, within a bound; iterations end. May be called twice, and from any thread."""
        self._closing.set()
        self._wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(CLOSE_S)
        atexit.unregister(self.close)

    @contextmanager
    def _listening(self, wake: Callable[[], None]) -> Iterator[None]:
        with self._lock:
            self._listeners.add(wake)
        try:
            self._start()
            yield
        finally:
            with self._lock:
                self._listeners.discard(wake)

    def _start(self) -> None:
        with self._guarded("unstarted"), self._lock:
            if self._thread is None and not self._closing.is_set():
                thread = threading.Thread(target=self._run, name="davylamp-rollouts", daemon=True)
                thread.start()
                self._thread = thread
                atexit.register(self.close)

    def _run(self) -> None:
        while not self._closing.is_set():
            with self._guarded("unreachable"):
                self._follow()
            self._closing.wait(RETRY_S)

    def _follow(self) -> None:
        """Read from the start and go on until something breaks."""
        log = self._open_log()
        try:
            fold = ServiceFold(self._service)
            while not self._closing.is_set():
                heard = log.poll(POLL_S)
                for topic, value in heard.records:
                    fold = self._read(fold, topic, value)
                if heard.caught_up:
                    self._tell(fold.rollout)
        finally:
            with self._guarded("unreachable"):
                log.close()

    def _read(self, fold: ServiceFold, topic: str, value: bytes) -> ServiceFold:
        """What is not understood changes nothing: so it is for every reader."""
        with self._guarded("unreadable"):
            return fold.read_entry(value) if topic == LEDGER else fold.read_view(value)
        return fold

    def _tell(self, rollout: Rollout) -> None:
        changed = rollout != self._current
        self._current = rollout
        self._logged.discard("unreachable")
        if changed or self._newcomer:
            self._newcomer = False
            self._wake()

    def _wake(self) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for wake in listeners:
            wake()

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        """Whatever is raised inside is logged, the first of a kind, and goes no further."""
        try:
            yield
        except Exception as error:
            if what not in self._logged:
                self._logged.add(what)
                extra = {"action": f"rollouts_{what}", "service": self._service}
                with suppress(Exception):
                    logger.warning("davylamp: %s", MESSAGES[what], extra=extra, exc_info=error)


MESSAGES: Final = {
    "unreachable": "the ledger cannot be read; waiting for Kafka and its topics",
    "unstarted": "the thread that reads the ledger did not start",
    "unreadable": "a record of the ledger is not understood and has no effect here",
    "callback": "a callback for rollouts raised",
}
