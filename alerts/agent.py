"""Tells on-call what the ledger, the proxies, the judge's heartbeat and final windows say. It writes nothing to the log and asks nobody."""

import asyncio

from alerts.cause import Began, Cause, Ended, Event, Happened, Limits
from alerts.causes import Burning, Causes
from alerts.delivery import Pause, Post, Queue
from alerts.unreadable import WindowHead
from alerts.wording import message
from schemas.control import RolloutView, RouteChange
from schemas.decisions import LedgerEntry
from schemas.topics import Topic
from transport.clock import Clock
from transport.log import Batch, Reader, Record, WatchedReader
from transport.process import run_together
from transport.skipping import skipping

LEDGER: Topic = "rollout-decisions"
TOPICS: tuple[Topic, ...] = (LEDGER, "route-changes", "rollouts")

TICK_S = 1.0
UNREAD_S = 30.0
"""A log that has not answered for so long is not being read."""
ASLEEP_S = 5.0
"""A longer gap between two ticks means that this process was stopped: nobody else was silent."""


class Alerts:
    """Follows the log and the clock. Not thread-safe: :meth:`run` feeds it.

    Until the log has been read to its end only facts are told; what lasts is judged from then on.
    """

    def __init__(
        self,
        reader: WatchedReader,
        clock: Clock,
        post: Post,
        limits: Limits | None = None,
        status_url: str | None = None,
        pause: Pause = asyncio.sleep,
        windows: Reader | None = None,
    ) -> None:
        """``windows``: `cohort-windows`, from some time ago; a reader of its own, for it is more than all the others."""
        self._reader = reader
        self._windows = windows
        self._clock = clock
        self._post = post
        self._causes = Causes(limits or Limits())
        self._status_url = status_url
        self._pause = pause
        self._read_ms = 0
        self._ticked_s: float | None = None
        """None until the log has been read to its end."""

    @property
    def caught_up(self) -> bool:
        """Whether the log has been read to its end."""
        return self._ticked_s is not None

    @property
    def away_s(self) -> float:
        """How long the log has not answered."""
        return self._reader.away_s

    @property
    def burning(self) -> tuple[Cause, ...]:
        """What lasts."""
        return tuple(burns.cause for burns in self._causes.burning.values())

    def queues(self) -> tuple[Queue, ...]:
        """How far each receiver has been told."""
        return self._post.queues()

    async def run(self) -> None:
        """Follow the log until it ends or fails: :class:`transport.log.LogError`."""
        await run_together(self._follow(), self._follow_windows(), self._tick(), self._post.run())

    def trouble(self) -> str | None:
        """Why on-call may not hear of what happens now; None: nothing is known to stand in the way."""
        if self._ticked_s is None:
            return "the log has not been read to its end"
        if self._reader.away_s > UNREAD_S:
            return f"the log has not answered for {self._reader.away_s:.0f} s"
        failing = self._post.failing()
        return f"not told: {', '.join(failing)}" if failing else None

    def handle(self, batch: Batch) -> None:
        """Tell what a batch gives cause for."""
        for record in batch.records:
            with skipping(record):
                self._read(record)
        if batch.caught_up and self._ticked_s is None:
            self._catch_up()

    def tick(self) -> None:
        """Tell what time alone gives cause for; call it every second."""
        if self._ticked_s is None:
            return
        now_s = self._clock.monotonic_s()
        if now_s - self._ticked_s > ASLEEP_S:
            self._causes = self._causes.woken(now_s, self._causes.burning.values())
        self._ticked_s = now_s
        self._look()

    def _read(self, record: Record) -> None:
        if record.value is None:
            return
        at_s = self._at_s(record)
        if record.topic == LEDGER:
            service = self._read_entry(LedgerEntry.read(record.value), record, at_s)
        elif record.topic == "route-changes":
            change = RouteChange.read(record.value)
            place = f"{record.topic}-{record.partition}", record.offset
            service, self._causes = change.service, self._causes.read_route(change, at_s, place)
        else:
            view = RolloutView.read(record.value)
            service, self._causes = view.service, self._causes.read_view(view, at_s)
        if self._ticked_s is not None:
            self._look(service)

    def _read_entry(self, entry: LedgerEntry, record: Record, at_s: float) -> str:
        self._causes, result = self._causes.read_entry(entry, record.offset, at_s)
        if isinstance(result, Happened):
            self._tell(result)
        self._read_ms = max(self._read_ms, min(record.timestamp_ms, self._clock.now_ms()))
        if self._ticked_s is not None:
            self._post.read_until(self._read_ms)
        return entry.service

    def _look(self, *services: str) -> None:
        self._causes, events = self._causes.look(self._clock.monotonic_s(), services or None)
        for event in events:
            self._tell(event)

    def _catch_up(self) -> None:
        """What lasts is told to each receiver that does not know it, and what ended meanwhile to each that does."""
        now_s = self._ticked_s = self._clock.monotonic_s()
        known = self._post.open().items()
        burning = [Burning(o.cause(k, self._since_s(o.since_ms)), self._since_s(o.told_ms)) for k, o in known]
        self._causes = self._causes.woken(now_s, burning)
        self._look()
        for burns in self._causes.burning.values():
            self._tell(Began(burns.cause))
        self._post.read_until(self._read_ms)

    def _tell(self, event: Event) -> None:
        at_s = event.at_s if isinstance(event, Ended) else event.cause.since_s
        since_ms = self._wall_ms(event.cause.since_s)
        self._post.offer(message(event, self._wall_ms(at_s), since_ms, self._status_url))

    def _at_s(self, record: Record) -> float:
        """When it was appended. The broker's clock is trusted for history only, where there is no other."""
        return self._clock.monotonic_s() if self._ticked_s is not None else self._since_s(record.timestamp_ms)

    def _since_s(self, unix_ms: int) -> float:
        return self._clock.monotonic_s() - max(0, self._clock.now_ms() - unix_ms) / 1000

    def _wall_ms(self, at_s: float) -> int:
        return self._clock.now_ms() - round((self._clock.monotonic_s() - at_s) * 1000)

    async def _follow(self) -> None:
        async for batch in self._reader.batches():
            self.handle(batch)

    async def _follow_windows(self) -> None:
        if self._windows is None:
            await asyncio.Event().wait()
            return
        async for batch in self._windows.batches():
            for record in batch.records:
                with skipping(record):
                    head = WindowHead.of(record.key, record.value)
                    if head is not None:
                        self._causes = self._causes.read_window(head, self._at_s(record))

    async def _tick(self) -> None:
        while True:
            await self._pause(TICK_S)
            self.tick()
