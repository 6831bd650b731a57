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


class Writer(Protocol):
    """Appends to control topics, to the partition of the service (murmur2, explicit)."""

    async def append(self, topic: Topic, service: str, value: bytes) -> Position:
        """Return once the log has acknowledged the record. Raises :class:`LogError`: then nobody knows whether it is there."""

    async def close(self) -> None:
        """Deliver what is under way, within a bound. May be called twice."""
