"""What went wrong inside the SDK: counted always, logged once a kind, never raised."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Literal

logger = logging.getLogger("davylamp_sdk")

Fault = Literal[
    "request_unreadable",  # the adapter could not describe a request
    "event_invalid",  # what was recorded does not fit RequestEvent
    "metric_invalid",  # a custom metric's name or value does not fit; its request is told without it
    "sink_failed",  # the sink raised
    "undelivered",  # the sink accepted events and then lost them
    "dropped",  # the backlog was full
    "thread_missing",  # the thread that sends could not be started
    "thread_failed",  # an error of ours on that thread, which goes on
]

MESSAGES: Final[dict[Fault, str]] = {
    "request_unreadable": "davylamp: a request could not be described",
    "event_invalid": "davylamp: a recorded request is no valid event",
    "metric_invalid": "davylamp: a metric was left out: names have 1 to 120 characters, values are finite, 32 a request",
    "sink_failed": "davylamp: the sink failed",
    "undelivered": "davylamp: events were not acknowledged in time; is Kafka reachable?",
    "dropped": "davylamp: events come faster than they leave, the oldest are dropped; is Kafka reachable?",
    "thread_missing": "davylamp: the thread that sends events did not start, so they wait",
    "thread_failed": "davylamp: an error on the thread that sends events",
}


class Faults:
    """Counts faults from any thread and logs the first of each kind.

    Once, because what breaks telemetry breaks it for every request, and a server's log is not ours to flood.
    """

    def __init__(self) -> None:
        self._failed = 0
        self._logged: set[Fault] = set()
        self._lock = threading.Lock()

    @property
    def failed(self) -> int:
        """How many events or requests were lost to faults."""
        return self._failed

    def add(self, fault: Fault, count: int = 1, error: BaseException | None = None) -> None:
        """Count ``count`` events as lost, and log if this is the first ``fault`` of its kind."""
        with self._lock:
            self._failed += count
        self.mention(fault, error)

    def mention(self, fault: Fault, error: BaseException | None = None) -> None:
        """Log the first ``fault`` of its kind; count nothing."""
        with self._lock:
            if fault in self._logged:
                return
            self._logged.add(fault)
        with suppress(Exception):  # a handler of the server's that raises is not the request's problem
            logger.warning(MESSAGES[fault], extra={"action": f"telemetry_{fault}"}, exc_info=error)

    @contextmanager
    def guarded(self, fault: Fault, count: int = 1) -> Iterator[None]:
        """Whatever is raised inside costs ``count`` events and goes no further."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - telemetry never fails the server it watches
            self.add(fault, count, error)
