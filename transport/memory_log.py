"""The log in memory: the real one's contract without a broker, for tests and for reading the code."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence

from schemas.partitions import partition_of
from schemas.topics import Topic
from transport.clock import Clock, FakeClock
from transport.log import Batch, LogError, Position, Record


class MemoryLog:
    """Topics as lists, one a partition. Append times come from `clock` and never go back."""

    def __init__(self, partitions: int = 1, clock: Clock | None = None) -> None:
        self._partitions = partitions
        self._clock = clock or FakeClock()
        self._topics: dict[tuple[str, int], list[Record]] = defaultdict(list)
        self._grown = asyncio.Condition()
        self._reachable = asyncio.Event()
        self.away_s = 0.0

    @property
    def away_s(self) -> float:
        """A log in memory is never out of reach, unless a test says for how long: then it answers nobody."""
        return self._away_s

    @away_s.setter
    def away_s(self, seconds: float) -> None:
        self._away_s = seconds
        (self._reachable.clear if seconds > 0 else self._reachable.set)()

    async def put(
        self,
        topic: str,
        partition: int,
        value: bytes | None,
        key: bytes | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> Position:
        """Append one record to a named partition."""
        records = self._topics[topic, partition]
        now = max(self._clock.now_ms(), records[-1].timestamp_ms if records else 0)
        records.append(Record(topic, partition, len(records), now, key, value, headers or {}))
        async with self._grown:
            self._grown.notify_all()
        return Position(partition, len(records) - 1, now)

    def records(self, topic: str, partition: int = 0, start: int = 0) -> Sequence[Record]:
        """What a partition holds, from an offset on."""
        return tuple(self._topics[topic, partition][start:])

    def end(self, topic: str, partition: int = 0) -> int:
        """The offset that a partition's next record gets."""
        return len(self._topics[topic, partition])

    def reader(self, *topics: Topic, since_ms: int | None = None) -> "MemoryReader":
        """A :class:`transport.log.WatchedReader` of `topics`, with `since_ms` from that append time on."""
        return MemoryReader(self, topics, self._partitions, since_ms)

    def writer(self) -> "MemoryWriter":
        """A :class:`transport.log.Writer`."""
        return MemoryWriter(self, self._partitions)


class MemoryReader:
    """A :class:`transport.log.WatchedReader` of a :class:`MemoryLog`."""

    def __init__(self, log: MemoryLog, topics: Sequence[str], partitions: int, since_ms: int | None = None) -> None:
        self._log = log
        self._next = {(topic, p): self._first(topic, p, since_ms) for topic in topics for p in range(partitions)}
        self._taken: dict[tuple[str, int], int] = {}
        """How far whoever takes batches has come back for more."""
        self._closed = False

    async def batches(self) -> AsyncIterator[Batch]:
        if not self._closed:
            yield Batch(self._take(), caught_up=True)
        while not self._closed:
            await self._come_back()
            async with self._log._grown:  # noqa: SLF001 - the two classes are one implementation
                await self._log._grown.wait_for(lambda: self._closed or self._waiting())  # noqa: SLF001
            if records := self._take():
                yield Batch(records, caught_up=True)

    @property
    def away_s(self) -> float:
        return self._log.away_s

    async def read_to_end(self) -> None:
        await self._log._reachable.wait()  # noqa: SLF001
        ends = {at: self._log.end(*at) for at in self._next}
        async with self._log._grown:  # noqa: SLF001
            await self._log._grown.wait_for(  # noqa: SLF001
                lambda: self._closed or all(self._taken.get(at, -1) >= end for at, end in ends.items())
            )
        if self._closed:
            raise LogError("the reader is closed")

    async def _come_back(self) -> None:
        self._taken = dict(self._next)
        async with self._log._grown:  # noqa: SLF001
            self._log._grown.notify_all()  # noqa: SLF001

    def _first(self, topic: str, partition: int, since_ms: int | None) -> int:
        records = self._log.records(topic, partition)
        return sum(record.timestamp_ms < since_ms for record in records) if since_ms is not None else 0

    def _waiting(self) -> bool:
        return any(self._log.end(*at) > n for at, n in self._next.items())

    def _take(self) -> tuple[Record, ...]:
        taken: list[Record] = []
        for at, start in self._next.items():
            new = self._log.records(*at, start)
            self._next[at] = start + len(new)
            taken.extend(new)
        return tuple(taken)

    async def close(self) -> None:
        self._closed = True
        async with self._log._grown:  # noqa: SLF001
            self._log._grown.notify_all()  # noqa: SLF001


class MemoryWriter:
    """Appends to a :class:`MemoryLog`."""

    def __init__(self, log: MemoryLog, partitions: int) -> None:
        self._log = log
        self._partitions = partitions
        self._closed = False

    async def append(self, topic: Topic, service: str, value: bytes) -> Position:
        if self._closed:
            raise LogError(f"{topic}: the writer is closed")
        if self._log.away_s > 0:
            raise LogError(f"{topic}: the log is out of reach")
        return await self._log.put(topic, partition_of(service, self._partitions), value, service.encode())

    async def close(self) -> None:
        self._closed = True
