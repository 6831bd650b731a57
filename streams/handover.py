"""What the consumer's thread hands to the windows agent, in order, through one channel: so nothing needs a lock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from streams.checkpoint import Checkpoint
from streams.columns import Ints
from transport.log import Record


@dataclass(frozen=True, slots=True)
class Assigned:
    """This worker owns a partition now; its batches follow, numbered from 1."""

    partition: int
    partitions: int
    """Of the telemetry topic."""
    start: Checkpoint
    lost: int
    """Messages that retention removed before anybody read them, as far as the group knows: without a commit all that are gone."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """Another worker owns it, or will. Nothing has to be saved: the successor reads again from the checkpoint."""

    partition: int


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages of one partition, as columns; a record is only made of the few that somebody wants to see whole."""

    offsets: Ints
    appended_ms: Ints
    values: Sequence[bytes | None]
    record: Callable[[int], Record]
    """The i-th as a record."""

    @classmethod
    def of(cls, records: Sequence[Record]) -> Self:
        """Of records."""
        offsets, appended_ms = [r.offset for r in records], [r.timestamp_ms for r in records]
        return cls(np.array(offsets), np.array(appended_ms), [r.value for r in records], records.__getitem__)

    def records(self) -> list[Record]:
        """All of them."""
        return list(map(self.record, range(len(self.values))))


@dataclass(frozen=True, slots=True)
class Polled:
    """Messages of one partition, offsets ascending, not empty."""

    partition: int
    number: int
    """Counts the batches of an assignment: a gap is a lost batch."""
    messages: Messages


Handover = Assigned | Revoked | Polled
