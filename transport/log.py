"""The log as the services see it: append to a control topic, read topics from their start and follow them."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from schemas.topics import Topic


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """Broker append time (the topics are LogAppendTime)."""
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in the order of their partitions' offsets; partitions are interleaved as they came."""

    records: tuple[Record, ...]
    caught_up: bool
    """Every partition has been read up to where it ended when the reader was opened. Once true, always true."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where an appended record lies."""

    partition: int
    offset: int
    timestamp_ms: int


class LogError(Exception):
    """The log did not take or give a record."""


class ClientLostError(Exception):
    """The client of the log can never work again: end the process, a new one can."""


class Reader(Protocol):
    """Reads every partition of its topics from the first retained offset and follows them for ever.

    It belongs to no consumer group and commits nothing: whoever restarts folds again from the start. The first
    batch with ``caught_up`` may hold no records; before it nobody may act on what was read. Errors of the log that do
    not heal by themselves raise :class:`LogError` out of the iteration; an unreachable broker only delays it.
    """

    def batches(self) -> AsyncIterator[Batch]:
        """Each record exactly once, never an empty batch except the one that says `caught_up`."""

    async def close(self) -> None:
        """Stop; the iteration ends. May be called twice."""


class WatchedReader(Reader, Protocol):
    """A reader that also knows when it is cut off, for whoever must not act on an old picture."""

    @property
    def away_s(self) -> float:
        """Seconds since the log last answered, by a monotonic clock, 0 until it is asked for the first time.

        While the iteration is being taken from, a log that can be reached answers at least every two seconds, also
        when nobody writes.
        """

    async def read_to_end(self) -> None:
        """Return once whoever takes from the iteration has come back after the last record of now.

        Where the log ends is asked of the log itself after this call, so that a process that was asleep first learns
        what it has missed. Waits as long as the log does not answer. Raises :class:`LogError` once the reader is closed.
        """


class Writer(Protocol):
    """Appends to control topics, to the partition of the service (murmur2, explicit)."""

    async def append(self, topic: Topic, service: str, value: bytes) -> Position:
        """Return once the log has acknowledged the record. Raises :class:`LogError`: then nobody knows whether it is there.

        Raises :class:`ClientLostError` when trying again is of no use in this process.
        """

    async def close(self) -> None:
        """Deliver what is under way, within a bound. May be called twice."""
