"""Keeps the overview up to date, and wakes who waits for news."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from schemas.topics import Topic
from status.views import Overview
from transport.log import Reader
from transport.skipping import skipping

T = TypeVar("T")

TOPICS: tuple[Topic, ...] = ("services", "rollouts", "rollout-decisions", "route-changes")


class Feed:
    """Follows the log into an :class:`Overview`."""

    def __init__(self, reader: Reader) -> None:
        self.overview = Overview()
        self.caught_up = False
        """The log has been read to where it ended at the start, and is still being followed."""
        self._reader = reader
        self._news = asyncio.Condition()

    async def run(self) -> None:
        """Follow the log for ever."""
        try:
            async for batch in self._reader.batches():
                for record in batch.records:
                    with skipping(record):
                        self.overview.read(record.topic, record.value or b"", record.offset, record.timestamp_ms)
                self.caught_up = self.caught_up or batch.caught_up
                async with self._news:
                    self._news.notify_all()
        finally:
            self.caught_up = False

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
