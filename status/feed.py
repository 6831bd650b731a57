"""Keeps the overview up to date, and wakes who waits for news."""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from davylamp_sdk._message import Message
from schemas.topics import Topic
from status.turns import in_turns
from status.views import Overview
from transport.log import Reader, Record
from transport.skipping import skipping

T = TypeVar("T")

SERVICES: Topic = "services"
TOPICS: tuple[Topic, ...] = (SERVICES, "rollouts", "rollout-decisions", "route-changes")

Listener = Callable[[Message, Record], None]
"""Hears what holds, and where it stands in the log."""


class Followed(Reader, Protocol):
    """A reader that also knows when it is cut off."""

    @property
    def away_s(self) -> float:
        """See :class:`transport.log.WatchedReader`."""


class Feed:
    """Follows the log into an :class:`Overview`. `listeners` hear what is new once the log has been read to its end."""

    def __init__(self, reader: Followed, listeners: tuple[Listener, ...] = ()) -> None:
        self.overview = Overview()
        self.caught_up = False
        """The log has been read to where it ended at the start, and is still being followed."""
        self.read_once = asyncio.Event()
        """Set when the log has been read to its end for the first time."""
        self._reader = reader
        self._listeners = listeners
        self._news = asyncio.Condition()

    @property
    def away_s(self) -> float:
        """How long the log has not answered, in seconds."""
        return self._reader.away_s

    async def run(self) -> None:
        """Follow the log for ever."""
        try:
            async for batch in self._reader.batches():
                async for record in in_turns(batch.records):
                    with skipping(record):
                        self._read(record)
                self.caught_up = self.caught_up or batch.caught_up
                if self.caught_up:
                    self.read_once.set()
                async with self._news:
                    self._news.notify_all()
        finally:
            self.caught_up = False

    def _read(self, record: Record) -> None:
        if record.topic == SERVICES and record.value is None:
            self.overview.remove((record.key or b"").decode(errors="replace"))
            return
        new = self.overview.read(record.topic, record.value or b"", record.offset, record.timestamp_ms)
        if new is not None and self.caught_up:
            for listener in self._listeners:
                listener(new, record)

    async def wait_for(self, ask: Callable[[Overview], T | None], timeout_s: float) -> T | None:
        """The first answer of `ask` that is not None, or None when the time is up."""

        def found() -> bool:
            return ask(self.overview) is not None

        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(found)
        except TimeoutError:
            return None
        return ask(self.overview)
