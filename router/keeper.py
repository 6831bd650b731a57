"""Keeps rollbacks that were said to the router itself, until the ledger has them; which proxies exist; and what to serve
without a log.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial

from router.disk import Acknowledged, Disk, NoDisk
from router.errors import DiskError
from router.fold import LEDGER, Fold
from router.proxies import Forgetting, Known
from schemas.decisions import LedgerEntry
from schemas.ledger import Ledger
from transport.log import LogError, Writer

logger = logging.getLogger(__name__)


class Keeper:
    """The latches in force, the same in memory, on disk and, as soon as it can be, in the ledger; and the proxies.

    Raises :class:`DiskError` if the disk holds latches that are not understood.
    """

    def __init__(self, disk: Disk | NoDisk, writer: Writer) -> None:
        self._disk = disk
        self._writer = writer
        self._written: set[str] = set()
        self._kept: dict[str, Acknowledged] = {}
        self._due: dict[str, Acknowledged] = {}
        self._wake = asyncio.Event()
        self._services: frozenset[str] | None = None
        self.latches = disk.latches()
        """In force now."""
        self.acknowledged = disk.acknowledged()
        """What proxies had acknowledged when the last router of this folder ended."""
        self.proxies = disk.known()
        """Who exists, as far as this router knows."""
        self._proxies_due = False

    def latch(self, entry: LedgerEntry) -> None:
        """In force from now on. Raises :class:`DiskError` if it will not outlive this process."""
        self.latches = self.latches.latched(entry)
        self._disk.latch(self.latches)

    def keep(self, fold: Fold, service: str) -> None:
        """Some proxy acknowledged the route of `service` that follows from `fold`: to be kept soon."""
        acknowledged = Acknowledged.of(fold, service)
        kept = self._kept.get(service)
        if kept is None or (kept.entries, kept.service) != (acknowledged.entries, acknowledged.service):
            self._kept[service] = self._due[service] = acknowledged
            self._wake.set()

    def meet(self, names: Iterable[str]) -> None:
        """These proxies exist: to be kept soon."""
        self._know(self.proxies.met(names))

    def forgot(self, forgetting: Forgetting, left: Iterable[str]) -> None:
        """A command was carried out, and these exist still: to be kept soon."""
        self._know(self.proxies.forgot(forgetting, left))

    def known(self, ledger: Ledger, services: frozenset[str]) -> None:
        """The log is known to its end: forget the latches and services that it ends."""
        left = self.latches.still(ledger)
        if left.entries != self.latches.entries:
            self.latches = left
            logger.info("latch ended", extra={"action": "latch_ended", "left": sorted(left.entries)})
            self._try("forget a latch", lambda: self._disk.latch(left))
        if services != self._services:
            self._services = services
            self._try("forget a service", lambda: self._disk.only(services))
        if self.latches:
            self._wake.set()

    async def run(self) -> None:
        """Keep proxies and routes, and write latches to the ledger, each once, for ever; what the log refuses is tried again."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._proxies_due:
                self._proxies_due = False
                await asyncio.to_thread(self._try, "keep the proxies", partial(self._disk.know, self.proxies))
            while self._due:
                _, acknowledged = self._due.popitem()
                await asyncio.to_thread(self._try, "keep a route", partial(self._disk.keep, acknowledged))
            if self._services is not None:
                for entry in [e for e in self.latches.entries.values() if e.id not in self._written]:
                    await self._write(entry)

    def _know(self, proxies: Known) -> None:
        if proxies != self.proxies:
            self.proxies, self._proxies_due = proxies, True
            self._wake.set()

    def _try(self, what: str, work: Callable[[], None]) -> None:
        """Routes do not wait for a disk that is full."""
        try:
            work()
        except DiskError as error:
            extra = {"action": "disk_failed", "what": what, "why": str(error)}
            logger.error("disk failed", extra=extra)  # noqa: TRY400 - the reason is the disk's

    async def _write(self, entry: LedgerEntry) -> None:
        about = {"service": entry.service, "rollout": entry.rollout, "entry": entry.id}
        try:
            await self._writer.append(LEDGER, entry.service, entry.dump())
        except LogError:
            logger.exception("rollback not written", extra={"action": "rollback_unwritten", **about})
            return
        self._written.add(entry.id)
        logger.info("rollback written", extra={"action": "rollback_written", **about})
