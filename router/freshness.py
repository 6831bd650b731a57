"""Whether what this router knows is newer than a question: a process that was frozen does not know that it was."""

import asyncio
import logging
from typing import Protocol

from router.keeper import Keeper
from transport.log import WatchedReader

logger = logging.getLogger(__name__)

PATIENCE_S = 2.0
"""With a rollback in force that was said directly, a log that has not answered for so long is believed to be away."""


class Fresh(Protocol):
    """Returns once everything that the log held when it was called is in force here."""

    async def __call__(self) -> None: ...


class Freshness:
    """A :class:`Fresh`: asks the log where it ends, and waits until the router has acted on all up to there.

    Without a log it waits for ever, except while a rollback that was said to the router directly is in force: then what
    proxies acknowledged last, without the canary, is the best that anybody knows.
    """

    def __init__(self, reader: WatchedReader, keeper: Keeper) -> None:
        self._reader = reader
        self._keeper = keeper

    async def __call__(self) -> None:
        reading = asyncio.ensure_future(self._reader.read_to_end())
        try:
            done, _ = await asyncio.wait({reading}, timeout=PATIENCE_S)
            if not done:
                away_s = round(self._reader.away_s, 1)
                logger.warning("a proxy waits for the log", extra={"action": "stream_waits", "away_s": away_s})
            while not reading.done() and not self._may_go_without():
                await asyncio.wait({reading}, timeout=PATIENCE_S)
            if reading.done():
                reading.result()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    def _may_go_without(self) -> bool:
        if not self._keeper.latches or self._reader.away_s < PATIENCE_S:
            return False
        latched = sorted(self._keeper.latches.entries)
        logger.warning("served without a log", extra={"action": "served_unread", "latched": latched})
        return True


async def at_once() -> None:
    """What is known is known to be new: for tests, and where nobody writes."""
