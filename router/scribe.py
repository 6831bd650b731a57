"""Writes what a router decides when the judge is blind, beside everything else: a slow log holds up no route."""

import asyncio
import logging

from router.fold import LEDGER
from schemas.decisions import LedgerEntry
from transport.clock import Clock
from transport.log import LogError, Writer

logger = logging.getLogger(__name__)

REPEAT_S = 5.0
"""An entry that has not come back by then is written again: the chain rule makes a second copy void."""


class Scribe:
    """Appends entries, of each service the newest. An entry takes effect by being read back, here as everywhere."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock
        self._due: dict[str, LedgerEntry] = {}
        self._said: dict[str, tuple[str, float]] = {}
        self._wake = asyncio.Event()

    def propose(self, entry: LedgerEntry) -> None:
        """To be written soon, unless one that follows the same head was written just now."""
        now_s = self._clock.monotonic_s()
        after, at_s = self._said.get(entry.service, (None, 0.0))
        if after == entry.after and now_s - at_s < REPEAT_S:
            return
        self._said[entry.service] = entry.after, now_s
        self._due[entry.service] = entry
        self._wake.set()

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._due:
                _, entry = self._due.popitem()
                await self._write(entry)

    async def _write(self, entry: LedgerEntry) -> None:
        about = {"service": entry.service, "rollout": entry.rollout, "entry": entry.id, "kind": entry.kind}
        try:
            await self._writer.append(LEDGER, entry.service, entry.dump())
        except LogError:
            logger.exception("entry not written", extra={"action": "entry_unwritten", **about})
            return
        logger.warning("entry written for a blind judge", extra={"action": "blind_entry_written", **about})
