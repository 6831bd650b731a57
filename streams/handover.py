"""What the consumer's thread hands to the windows agent, in order, through one channel: so nothing needs a lock."""

from dataclasses import dataclass

from streams.checkpoint import Checkpoint
from transport.log import Record


@dataclass(frozen=True, slots=True)
class Assigned:
    """This worker owns a partition now; its batches follow, numbered from 1."""

    partition: int
    partitions: int
    """Of the telemetry topic."""
    start: Checkpoint
    lost: int
    """Messages that retention removed before anybody read them."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """Another worker owns it, or will. Nothing has to be saved: the successor reads again from the checkpoint."""

    partition: int


@dataclass(frozen=True, slots=True)
class Polled:
    """Messages of one partition, offsets ascending, not empty."""

    partition: int
    number: int
    """Counts the batches of an assignment: a gap is a lost batch."""
    records: tuple[Record, ...]


Handover = Assigned | Revoked | Polled
