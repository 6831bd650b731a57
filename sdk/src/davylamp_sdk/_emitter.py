"""Emitter: finished requests come in on the server's threads, events leave on one of ours."""

import atexit
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from davylamp_sdk._backlog import Backlog
from davylamp_sdk._clock import Clock, SystemClock
from davylamp_sdk._courier import EVENTS_PER_BATCH, Courier
from davylamp_sdk._faults import Faults
from davylamp_sdk._finished import FinishedRequest
from davylamp_sdk._sink import Sink

TALLY_S: Final = 0.5
"""After the deadline of closing, for the thread to write up what it could not send; a sink that hangs costs it all."""

MAX_SLEEP_S: Final = 3_600.0

FAILURES: Final = ("rpc_error", "server_error", "timeout", "tool_error")
"""Outcomes that may speak against a release: they leave at once."""

SPACING_S: Final = 0.02
"""Between two batches, though there are failures: a storm of them stays batched."""

Look = Callable[[], float]
"""Called on the emitter's thread between rounds; returns in how many seconds to call again."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the beginning.

    After closing nothing is missing: recorded = delivered + dropped + failed, where ``failed`` may also hold requests
    that no adapter could describe and that therefore were never recorded.
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
    late: int = 0
    """Requests that ended after they had been told as `timeout`: they are recorded once, not twice."""


def _never() -> float:
    return MAX_SLEEP_S


class Emitter:
    """Sends one event per recorded request, never at the expense of the server it runs in.

    ``identity`` is what all its events share: service, version, instance. At most ``capacity`` requests wait. One daemon thread, started by the first request (a server may fork before that,
    not after), sends them in batches: at once when idle, then every ``flush_interval_s``, or as soon as a batch is full or
    holds a failure (then at most every :data:`SPACING_S`).
    All batches carry one random ``producer``, and their requests are numbered from 0; the producer is the message key,
    so its batches stay in order.
    """

    def __init__(
        self,
        sink: Sink,
        identity: Mapping[str, str | bool],
        *,
        capacity: int = 20_000,
        flush_interval_s: float = 0.1,
        clock: Clock | None = None,
        faults: Faults | None = None,
        look: Look = _never,
    ) -> None:
        self._flush_interval_s = flush_interval_s
        self._clock = clock or SystemClock()
        self._faults = faults or Faults()
        self._look = look
        self._backlog: Backlog[FinishedRequest] = Backlog(capacity)
        self._courier = Courier(sink, self._backlog, self._faults, identity)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._full = threading.Event()
        self._failure = threading.Event()
        self._closing = threading.Event()
        self._deadline_s = 0.0

    def record(self, finished: FinishedRequest) -> None:
        """Take note of a request and return at once. Never raises, whatever is given; safe from any thread."""
        waiting = self._backlog.put(finished)
        if not waiting:
            return
        if self._thread is None:
            self.start()
        if not self._wake.is_set():
            self._wake.set()
        if getattr(finished, "outcome", None) in FAILURES and not self._failure.is_set():
            self._failure.set()
        if waiting == EVENTS_PER_BATCH:
            self._full.set()
            self._failure.set()

    def start(self) -> None:
        """Start the thread unless it runs. Never raises; again: nothing."""
        if self._thread is None:
            with self._faults.guarded("thread_missing", count=0):
                self._start()

    def stats(self, late: int = 0) -> Stats:
        """The counts of this moment; cheap, from any thread."""
        return Stats(
            recorded=self._backlog.recorded,
            sent=self._courier.sent,
            delivered=self._courier.delivered,
            dropped=self._backlog.dropped + self._courier.given_up,
            failed=self._faults.failed,
            late=late,
        )

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what waits for at most ``timeout_s``; drop and count the rest and whatever is recorded later.

        Never takes longer than ``timeout_s`` and half a second. Called again it does nothing. Runs by itself when the
        interpreter exits, which a signal may prevent: uvicorn, for one, ends a process by SIGTERM. Blocks, so call it on
        a thread from a coroutine.
        """
        with self._starting:
            if self._closing.is_set():
                return
            self._deadline_s = self._clock.monotonic_s() + timeout_s
            self._backlog.close()
            self._closing.set()
        self._wake.set()
        self._full.set()
        self._failure.set()
        if self._thread is not None:
            self._thread.join(max(timeout_s, 0) + TALLY_S)
            atexit.unregister(self.close)
        self._backlog.discard()

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None or self._closing.is_set():
                return
            thread = threading.Thread(target=self._run, name="davylamp-emitter", daemon=True)
            thread.start()
            self._thread = thread
            atexit.register(self.close)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._patience_s())
            self._wake.clear()
            self._looked_s()
            with self._faults.guarded("thread_failed", count=0):
                if self._courier.send_round():
                    self._wake.set()
            self._rest()
        with self._faults.guarded("thread_failed", count=0):
            self._courier.finish(self._remaining_s)

    def _rest(self) -> None:
        """Until the next batch is due. What is set while the events are cleared waits already, and leaves with it."""
        spacing_s = min(SPACING_S, self._flush_interval_s)
        if not self._full.wait(spacing_s):
            self._failure.wait(self._flush_interval_s - spacing_s)
        self._full.clear()
        self._failure.clear()

    def _patience_s(self) -> float:
        patience_s = self._looked_s()
        return min(patience_s, self._flush_interval_s) if self._courier.unsettled else patience_s

    def _looked_s(self) -> float:
        """Look, and for how long nobody need do so again."""
        with self._faults.guarded("thread_failed", count=0):
            return min(self._look(), MAX_SLEEP_S)
        return MAX_SLEEP_S

    def _remaining_s(self) -> float:
        return max(self._deadline_s - self._clock.monotonic_s(), 0.0)
