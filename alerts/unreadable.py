"""Telemetry that nobody can read, by what final windows say of their partitions: a cause of a topic's, rollout or not. Pure.

Time is that of the windows, so that streams that stand still end nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from pydantic import BaseModel, ConfigDict

from alerts.cause import Cause, Limits
from schemas.topics import Topic

WINDOWS: Topic = "cohort-windows"
_FINAL = b"|final"


class WindowHead(BaseModel):
    """What is needed of a :class:`schemas.windows.CohortWindow`: its cells, which are most of it, are not."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: str
    partition: int
    window_start: int
    window_ms: int
    part: int = 1
    malformed: int = 0
    unkept: int = 0

    @classmethod
    def of(cls, key: bytes | None, value: bytes | None) -> Self | None:
        """None of what is not final: most of the topic, which is not even parsed. Raises ``ValueError``."""
        return cls.model_validate_json(value) if key and value and key.endswith(_FINAL) else None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One telemetry topic. Immutable."""

    topic: str
    heard: Mapping[int, int] = field(default_factory=dict)
    """Partition → start of its newest window: all services say the same of it, and after a crash twice."""
    burns: bool = False
    since_s: float = 0.0
    begun_ms: int = 0
    last_ms: int | None = None
    """Ends of the first and the newest window with something that nobody could read; None: not known."""
    messages: int = 0
    """Since it began."""
    unkept: int = 0
    """Of these those of which there is no dead letter: one is enough to be told of at once."""

    def read(self, head: WindowHead, at_s: float, limits: Limits) -> "Unreadable":
        """The next final window of the topic."""
        if head.part != 1 or head.window_start <= self.heard.get(head.partition, -1):
            return self
        heard, end_ms = {**self.heard, head.partition: head.window_start}, head.window_start + head.window_ms
        last_ms = end_ms if self.burns and self.last_ms is None else self.last_ms  # remembered over a restart
        over = last_ms is None or end_ms - last_ms >= limits.unreadable_s * 1000
        if not head.malformed:
            return Unreadable(self.topic, heard) if over else replace(self, heard=heard, last_ms=last_ms)
        begun = Unreadable(self.topic, since_s=at_s, begun_ms=end_ms) if last_ms is None or over else self
        lasts = end_ms - begun.begun_ms >= limits.unreadable_s * 1000
        return replace(
            begun,
            heard=heard,
            burns=begun.burns or lasts or head.unkept > 0,
            last_ms=max(last_ms or end_ms, end_ms),
            messages=begun.messages + head.malformed,
            unkept=begun.unkept + head.unkept,
        )

    def remembered(self, since_s: float) -> "Unreadable":
        """It burnt when nobody listened any more, and burns on until windows say otherwise."""
        return replace(self, burns=True, since_s=since_s)

    def cause(self) -> Cause | None:
        """What on-call should know; None: nothing."""
        if not self.burns:
            return None
        how_many = f"{self.messages} messages" if self.messages else "Messages"
        lost = f" {self.unkept} of them are not in the dead-letter topic either." if self.unkept else ""
        return Cause(
            key=f"{self.topic}/unreadable",
            kind="unreadable",
            severity="notice",
            service=self.topic,
            rollout=0,
            since_s=self.since_s,
            sentence=f"{how_many} on {self.topic} could not be read lately: what they say is counted for nobody.{lost}",
        )
