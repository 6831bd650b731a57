"""Emitter: finished requests come in on the server's threads, events leave on one of ours."""

import atexit
import threading
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from davylamp_sdk._backlog import Backlog
from davylamp_sdk._clock import Clock, SystemClock
from davylamp_sdk._event import Outcome, RequestEvent
from davylamp_sdk._faults import Faults
from davylamp_sdk._sink import Sink

EVENTS_PER_ROUND: Final = 1_000
"""Some 20 ms of work, a round: after an outage the backlog leaves in steps that a busy server does not feel."""

TALLY_S: Final = 0.5
"""After the deadline of closing, for the thread to write up what it could not send; a sink that hangs costs it all."""


class FinishedRequest(NamedTuple):
    """What an adapter knows about one request; the fields of :class:`RequestEvent` that differ by request."""

    method: str
    outcome: Outcome
    started_at: int
    duration_ms: float
    session: str | None = None
    assignment: str | None = None
    tool: str | None = None
    error_type: str | None = None
    protocol_version: str | None = None
    first_of_session: bool = False
    metrics: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the emitter began.

    After :meth:`Emitter.close` nothing is missing: recorded = delivered + dropped + failed, where ``failed`` may also
    hold requests that no adapter could describe and that therefore were never recorded.
    """

    recorded: int
    """Requests that were recorded, whatever became of them."""
    sent: int
    """Events the sink accepted."""
    delivered: int
    """Events the sink reported as delivered."""
    dropped: int
    """Events the sink never accepted: the backlog was full (the oldest goes first) or the emitter closed."""
    failed: int
    """Requests no adapter could describe, invalid events, and events the sink raised on or lost."""


class Emitter:
    """Sends one RequestEvent per recorded request, never at the expense of the server it runs in.

    At most ``capacity`` requests wait. One daemon thread, started by the first record (a server may fork before that,
    not after), sends them in rounds: at once when idle, then every ``flush_interval_s``. All events carry one random
    ``producer`` and are numbered from 0; the producer is the message key, so its events stay in order.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        service: str,
        version: str,
        instance: str,
        capacity: int = 20_000,
        flush_interval_s: float = 0.1,
        clock: Clock | None = None,
    ) -> None:
        self._sink = sink
        self._identity: dict[str, Any] = {"service": service, "version": version, "instance": instance}
        self._flush_interval_s = flush_interval_s
        self._clock = clock or SystemClock()
        self._backlog: Backlog[FinishedRequest] = Backlog(capacity)
        self._faults = Faults()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._deadline_s = 0.0
        # From here on touched by the thread only.
        self._producer = ""
        self._in_hand: bytes | None = None  # the next message, which the sink had no room for
        self._sent = self._delivered = self._lost = self._given_up = 0

    def record(self, finished: FinishedRequest) -> None:
        """Take note of a request and return at once. Never raises, whatever is given; safe from any thread."""
        with self._faults.guarded("thread_missing", count=0):
            if not self._backlog.put(finished):
                return
            if self._thread is None:
                self._start()
            if not self._wake.is_set():
                self._wake.set()

    def guarded(self) -> AbstractContextManager[None]:
        """For adapters, to describe a request in: what is raised is counted as ``failed`` and goes no further."""
        return self._faults.guarded("request_unreadable")

    def stats(self) -> Stats:
        """The counts of this moment; cheap, from any thread."""
        return Stats(
            recorded=self._backlog.recorded,
            sent=self._sent,
            delivered=self._delivered,
            dropped=self._backlog.dropped + self._given_up,
            failed=self._faults.failed,
        )

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what waits for at most ``timeout_s``; drop and count the rest and whatever is recorded later.

        Never takes longer than ``timeout_s`` and half a second. Called again it does nothing. Runs by itself when the interpreter exits, which a signal may prevent: uvicorn,
        for one, ends a process by SIGTERM. Blocks, so call it on a thread from a coroutine.
        """
        with self._starting:
            if self._closing.is_set():
                return
            self._deadline_s = self._clock.monotonic_s() + timeout_s
            self._backlog.close()
            self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(max(timeout_s, 0) + TALLY_S)
            atexit.unregister(self.close)
        self._backlog.discard()

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None or self._closing.is_set():
                return
            self._producer = uuid.uuid4().hex
            thread = threading.Thread(target=self._run, name="davylamp-emitter", daemon=True)
            thread.start()
            self._thread = thread
            atexit.register(self.close)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._flush_interval_s if self._unsettled() else None)
            self._wake.clear()
            self._send_round()
            self._closing.wait(self._flush_interval_s)
        self._finish()

    def _unsettled(self) -> bool:
        """Whether the sink still has something to tell, or to make room for."""
        return self._in_hand is not None or self._sent > self._delivered + self._lost

    def _send_round(self) -> None:
        for _ in range(EVENTS_PER_ROUND):
            if not self._send_next():
                break
        else:
            self._wake.set()
        self._collect()
        if self._backlog.dropped:
            self._faults.mention("dropped")

    def _finish(self) -> None:
        """Empty the backlog through the sink's own buffer, as far as time allows."""
        with self._faults.guarded("sink_failed", count=0):
            while self._remaining_s() > 0:
                self._drain()
                if self._sink.flush(self._remaining_s()) or self._in_hand is None:
                    break
        self._collect()
        self._given_up = int(self._in_hand is not None)
        self._lose(self._sent - self._delivered - self._lost)

    def _drain(self) -> None:
        while self._remaining_s() > 0 and self._send_next():
            pass

    def _remaining_s(self) -> float:
        return max(self._deadline_s - self._clock.monotonic_s(), 0.0)

    def _send_next(self) -> bool:
        """Settle the oldest request. False if none waits or the sink has no room."""
        if self._in_hand is None:
            taken = self._backlog.take()
            if taken is None:
                return False
            self._in_hand = self._encoded(*taken)
        if self._in_hand is not None and not self._accepted(self._in_hand):
            return False
        self._in_hand = None
        return True

    def _encoded(self, sequence: int, finished: FinishedRequest) -> bytes | None:
        with self._faults.guarded("event_invalid"):
            event = RequestEvent(producer=self._producer, sequence=sequence, **self._identity, **finished._asdict())
            return event.dump()
        return None

    def _accepted(self, value: bytes) -> bool:
        """Whether the sink is done with ``value``, be it by an exception."""
        with self._faults.guarded("sink_failed"):
            if not self._sink.send(self._producer.encode(), value):
                return False
            self._sent += 1
        return True

    def _collect(self) -> None:
        with self._faults.guarded("sink_failed", count=0):
            receipt = self._sink.poll()
            self._delivered += receipt.delivered
            self._lose(receipt.failed)

    def _lose(self, count: int) -> None:
        if count > 0:
            self._lost += count
            self._faults.add("undelivered", count)
