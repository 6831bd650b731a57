"""Folds the partitions that this worker owns, and publishes what they say."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from streams.checkpoint import Checkpoint
from streams.counters import Counters
from streams.decoding import decode_all
from streams.handover import Assigned, Handover, Messages, Polled, Revoked
from streams.publisher import Publisher
from streams.window import Source
from streams.windows import Closed, PartitionFold
from transport.clock import Clock

logger = logging.getLogger(__name__)

_TELL_S = 60.0
"""What is not counted is logged at most so often."""

SOONER = 0.5
"""Of the publishing interval: while requests fail partials are published so often, those of all partitions: whoever compares
cohorts waits until every partition has come to the moment of the failure."""
FAILING_FOR = 2.0
"""Publishing intervals: so long after a failure the others have been heard."""

Commit = Callable[[int, Checkpoint], None]
"""Queues the commit of a partition; returns at once."""
Progress = Callable[[], None]
"""Told whenever something that was handed over is done with, or the log has acknowledged a window of it."""


class LostBatchError(Exception):
    """A batch is missing between two others: its events would be in no window. Read again from the checkpoint."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often what is said."""

    topic: str
    window_ms: int
    publish_interval_s: float
    instance: str


@dataclass(slots=True)
class _Owned:
    fold: PartitionFold
    heard_s: float
    """When its log last moved, on this worker's monotonic clock."""
    due_s: float = float("-inf")
    """When partials may be published next."""
    failing_due_s: float = float("-inf")
    """The same where requests have failed."""
    expected: int = 1
    """Number of the next batch."""
    flood_told_s: float = float("-inf")


class Owner:
    """The windows agent's state: one fold a partition.

    Of each partition a window's finals go out first; when they are acknowledged its checkpoint is committed, and only
    then the next window's partials follow. So a successor never has to take anything back. Any error it raises must
    end the worker: the restart reads again from the checkpoint.
    """

    def __init__(
        self,
        publisher: Publisher,
        pace: Pace,
        clock: Clock,
        registered: Callable[[], frozenset[str]],
        commit: Commit,
        progress: Progress = lambda: None,
    ) -> None:
        self._publisher = publisher
        self._pace = pace
        self._clock = clock
        self._registered = registered
        self._commit = commit
        self._progress = progress
        self._owned: dict[int, _Owned] = {}
        self._turn = asyncio.Lock()
        self._failing_until_s = float("-inf")
        self._rested_s = float("-inf")
        """When as much time will have been left to read as partials took; they may be ahead of it by an interval."""
        self._counters = Counters()
        self._told = Counters()
        self._told_s = float("-inf")

    @property
    def partitions(self) -> tuple[int, ...]:
        """Those that this worker owns now."""
        return tuple(self._owned)

    @property
    def counters(self) -> Counters:
        """What is in no window, so far."""
        return replace(self._counters)

    async def handle(self, item: Handover) -> None:
        """Take what the consumer's thread handed over."""
        async with self._turn:
            match item:
                case Assigned():
                    self._take(item)
                case Revoked():
                    self._owned.pop(item.partition, None)
                case Polled():
                    await self._fold(item)
        self._progress()

    async def beat(self) -> None:
        """Publish partials that are due and tick idle partitions; call it a few times per publishing interval."""
        async with self._turn:
            await self._publish_due()
            for partition, owned in self._owned.items():
                await self._tick(partition, owned)
            self._publisher.check()

    def _take(self, item: Assigned) -> None:
        if item.lost:
            self._counters.holes += item.lost
            logger.error(
                "retention removed unread telemetry",
                extra={"action": "holes", "partition": item.partition, "messages": item.lost},
            )
        pace = self._pace
        source = Source(pace.topic, item.partition, item.partitions, pace.window_ms, pace.instance)
        self._owned[item.partition] = _Owned(
            PartitionFold(source, item.start, self._counters, self._registered, item.lost), self._clock.monotonic_s()
        )

    async def _fold(self, item: Polled) -> None:
        owned = self._owned.get(item.partition)
        if owned is None or item.number != owned.expected:
            expected = "none" if owned is None else owned.expected
            raise LostBatchError(f"partition {item.partition}: batch {item.number}, expected {expected}")
        owned.expected += 1
        owned.heard_s = self._clock.monotonic_s()
        for start, end in owned.fold.cut(item.messages.offsets, item.messages.appended_ms):
            await self._read(owned.fold, item.messages, start, end)
        if owned.fold.failing:
            self._failing_until_s = owned.heard_s + FAILING_FOR * self._pace.publish_interval_s
        await self._publish_due()

    async def _read(self, fold: PartitionFold, messages: Messages, start: int, end: int) -> None:
        """Some messages, all of one window."""
        offsets, appended_ms = messages.offsets[start:end], messages.appended_ms[start:end]
        closed = fold.enter(int(offsets[0]), int(appended_ms[0]))
        if closed is not None:
            await self._publish_finals(closed)
        heard = decode_all(messages.values[start:end], self._pace.topic, lambda i: messages.record(start + i))
        for i, refused in fold.read_all(heard, offsets, appended_ms):
            await self._publisher.dead_letter(messages.record(start + i), refused)

    async def _publish_finals(self, closed: Closed) -> None:
        await self._publisher.windows(closed.finals(self._registered()))
        await self._publisher.acknowledged()  # the dead letters of the window among them
        self._commit(closed.source.partition, closed.checkpoint)
        self._progress()
        self._tell_of_flood(closed)
        self._tell()

    async def _publish_due(self) -> None:
        """Partials of those that have waited longest, for at most half of the time: or nobody would read the log.

        Many services with many cells take long to say, and all partitions of this worker share its one thread.
        """
        interval_s = self._pace.publish_interval_s
        for owned in sorted(self._owned.values(), key=lambda owned: owned.due_s):
            now_s = self._clock.monotonic_s()
            if now_s < self._rested_s - interval_s:
                return
            if now_s >= (owned.failing_due_s if now_s < self._failing_until_s else owned.due_s):
                await self._publish_partials(owned, now_s, interval_s)

    async def _publish_partials(self, owned: _Owned, start_s: float, interval_s: float) -> None:
        partials = owned.fold.told()
        if partials:
            await self._publisher.partials(partials)
            took_s = self._clock.monotonic_s() - start_s
            self._rested_s = max(self._rested_s, start_s) + 2 * took_s
            owned.due_s, owned.failing_due_s = start_s + interval_s, start_s + SOONER * interval_s

    async def _tick(self, partition: int, owned: _Owned) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - owned.heard_s < self._pace.window_ms / 1000:
            return
        owned.heard_s = now_s
        await self._publisher.tick(self._pace.topic, partition)

    def _tell_of_flood(self, closed: Closed) -> None:
        owned, window, now_s = self._owned[closed.source.partition], closed.window, self._clock.monotonic_s()
        if not window.unkept or now_s - owned.flood_told_s < _TELL_S:
            return
        owned.flood_told_s = now_s
        logger.error(
            "a flood of telemetry that nobody can read: not all of it is kept",
            extra={
                "action": "flood",
                "partition": closed.source.partition,
                "messages": window.malformed,
                "kept": window.malformed - window.unkept,
            },
        )

    def _tell(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._counters == self._told or now_s - self._told_s < _TELL_S:
            return
        self._told, self._told_s = replace(self._counters), now_s
        logger.info("telemetry not counted so far", extra={"action": "not_counted", **asdict(self._told)})
