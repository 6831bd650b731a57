"""From what waits to the sink: batches, and the books of what became of them. Used by one thread."""

import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from davylamp_sdk._backlog import Backlog
from davylamp_sdk._columns import TooLargeError, encode
from davylamp_sdk._faults import Faults
from davylamp_sdk._finished import FinishedRequest, Row, row_of
from davylamp_sdk._sessions import Sessions
from davylamp_sdk._sink import Sink

EVENTS_PER_BATCH: Final = 500
BATCHES_PER_ROUND: Final = 2
"""Some 6 ms of work: after an outage the backlog leaves in steps that a busy server does not feel."""

ROWS_PER_BREATH: Final = 50
BREATH_S: Final = 0.000_05
"""Threads of CPython share one lock, and who wants it waits 5 ms for one that only computes. So this one lets go of it
after each 0.3 ms of work."""


def breathe() -> None:
    """Let the server's threads run."""
    time.sleep(BREATH_S)


class Parcel(NamedTuple):
    """One message, and what it answers for."""

    value: bytes
    events: int
    dropped: int


class Courier:
    """Turns recorded requests into batches and hands these to the sink.

    A batch holds consecutive requests: one that is no valid event ends it. Each batch tells how many requests of this
    producer are in none, because they were dropped, were invalid or were lost by the sink; if the batch is lost as
    well, the next one tells it again.
    """

    def __init__(
        self,
        sink: Sink,
        backlog: Backlog[FinishedRequest],
        faults: Faults,
        identity: Mapping[str, Any],
        sessions: Sessions | None = None,
    ) -> None:
        self._sink = sink
        self._backlog = backlog
        self._faults = faults
        self._identity = identity
        self._producer = ""
        self._sessions = sessions or Sessions()
        self._runs: deque[tuple[int, list[Row]]] = deque()
        self._in_hand: Parcel | None = None  # the next message, which the sink had no room for
        self._in_flight = 0
        self._told = 0
        self._lost = 0
        self.sent = 0
        """Events the sink accepted."""
        self.delivered = 0
        """Events the sink reported as delivered."""
        self.given_up = 0
        """Events that no sink had room for in time."""

    @property
    def unsettled(self) -> bool:
        """Whether something was taken that the sink has not settled yet."""
        return self._in_hand is not None or bool(self._runs) or self._in_flight > 0

    def send_round(self) -> bool:
        """Send some batches; whether more may wait."""
        more = all(self._send_next() for _ in range(BATCHES_PER_ROUND))
        self._collect()
        if self._backlog.dropped:
            self._faults.mention("dropped")
        return more

    def finish(self, remaining_s: Callable[[], float]) -> None:
        """Empty the backlog through the sink, as far as time allows, and write up what is left."""
        with self._faults.guarded("sink_failed", count=0):
            while remaining_s() > 0:
                while remaining_s() > 0 and self._send_next():
                    pass
                before = self._in_flight
                self._sink.flush(remaining_s())
                if self._in_hand is None or self._in_flight >= before:
                    break
        self._collect()
        self.given_up = (self._in_hand.events if self._in_hand else 0) + sum(len(rows) for _, rows in self._runs)
        self._lose(self.sent - self.delivered - self._lost)

    def _send_next(self) -> bool:
        """Settle one batch. False if none waits or the sink has no room."""
        if self._in_hand is None:
            self._in_hand = self._next_parcel()
        if self._in_hand is None or not self._accepted(self._in_hand):
            return False
        self._in_hand = None
        return True

    def _next_parcel(self) -> Parcel | None:
        while self._runs or len(self._backlog):
            if not self._runs:
                self._fetch()
            elif (parcel := self._packed(*self._runs.popleft())) is not None:
                return parcel
        return None

    def _fetch(self) -> None:
        """Take what waits, in runs of consecutive valid events."""
        first, requests = self._backlog.take(EVENTS_PER_BATCH)
        run: list[Row] = []
        for sequence, request in enumerate(requests, first):
            if sequence % ROWS_PER_BREATH == 0:
                breathe()
            row = self._row(request)
            if row is None:
                run = []
                continue
            if not run:
                self._runs.append((sequence, run))
            run.append(row)

    def _row(self, request: FinishedRequest) -> Row | None:
        with self._faults.guarded("event_invalid"):
            row = row_of(request, self._sessions.hear(request))
            if len(row.metrics) < len(request.metrics):
                self._faults.mention("metric_invalid")
            return row
        return None

    def _packed(self, sequence: int, rows: list[Row]) -> Parcel | None:
        """One message of them all; None if they must be halved first, or cannot be told."""
        dropped = max(self._backlog.dropped + self._faults.failed - self._told, 0)
        # Not before the first message: a server may fork workers until then, and each is a producer of its own.
        self._producer = self._producer or uuid.uuid4().hex
        with self._faults.guarded("event_invalid", len(rows)):
            try:
                identity = {**self._identity, "producer": self._producer}
                return Parcel(encode(identity, sequence, dropped, rows), len(rows), dropped)
            except TooLargeError:
                half = len(rows) // 2
                self._runs.extendleft([(sequence + half, rows[half:]), (sequence, rows[:half])])
        return None

    def _accepted(self, parcel: Parcel) -> bool:
        """Whether the sink is done with it, be it by an exception."""
        with self._faults.guarded("sink_failed", parcel.events):
            if not self._sink.send(self._producer.encode(), parcel.value, partial(self._settle, parcel)):
                return False
            self.sent += parcel.events
            self._told += parcel.dropped
            self._in_flight += 1
        return True

    def _settle(self, parcel: Parcel, delivered: bool) -> None:  # noqa: FBT001 - the port's signature
        self._in_flight -= 1
        if delivered:
            self.delivered += parcel.events
        else:
            self._told -= parcel.dropped
            self._lose(parcel.events)

    def _collect(self) -> None:
        with self._faults.guarded("sink_failed", count=0):
            self._sink.poll()

    def _lose(self, count: int) -> None:
        if count > 0:
            self._lost += count
            self._faults.add("undelivered", count)
