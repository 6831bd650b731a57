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
from router.latch import Latches
from router.proxies import Forgetting, Known
from schemas.decisions import LedgerEntry
from schemas.ledger import Ledger
from transport.log import LogError, Writer
from transport.process import run_together

logger = logging.getLogger(__name__)

SAFE_WITHIN_S = 3.0
"""So long a disk is waited for before whoever said a rollback is told that it does not answer."""


class Keeper:
    """The latches in force, at once in memory, and as soon as they can be on disk and in the ledger; and the proxies.

    Nothing but :meth:`safe` and :meth:`run` touches the disk, in a thread: one that hangs holds up no route.
    Raises :class:`DiskError` if the disk holds latches that are not understood.
    """

    def __init__(self, disk: Disk | NoDisk, writer: Writer) -> None:
        self._disk = disk
        self._writer = writer
        self._written: set[str] = set()
        self._kept: dict[str, Acknowledged] = {}
        self._due: dict[str, Acknowledged] = {}
        self._files = asyncio.Event()
        """Something is to be kept or forgotten on the disk."""
        self._unwritten = asyncio.Event()
        """There may be a latch to be written to the ledger."""
        self._saving = asyncio.Lock()
        self._services: frozenset[str] | None = None
        self._over: tuple[Ledger, Latches, Ledger] | None = None
        self.latches = disk.latches()
        """In force now."""
        self.acknowledged = disk.acknowledged()
        """What proxies had acknowledged when the last router of this folder ended."""
        self.proxies = disk.known()
        """Who exists, as far as this router knows."""
        self._proxies_due = self._latches_due = self._services_due = False

    def latch(self, entry: LedgerEntry) -> None:
        """In force from now on; :meth:`safe` says whether it outlives this process."""
        self.latches = self.latches.latched(entry)
        self._unwritten.set()

    async def safe(self) -> None:
        """Return once the latches in force outlive this process.

        Raises :class:`DiskError` if they would not, or if the disk has not answered for :data:`SAFE_WITHIN_S`: it may yet.
        """
        saving = asyncio.ensure_future(self._save())
        done, _ = await asyncio.wait({saving}, timeout=SAFE_WITHIN_S)
        if not done:
            raise DiskError(f"the disk has not answered for {SAFE_WITHIN_S:g} s")
        if (error := saving.result()) is not None:
            raise error

    def over(self, ledger: Ledger) -> Ledger:
        """The ledger as it will be once the latches are written; the same object until either is another. From any thread."""
        known, latches = self._over, self.latches
        if known is None or known[0] is not ledger or known[1] is not latches:
            known = self._over = ledger, latches, latches.over(ledger)
        return known[2]

    def keep(self, fold: Fold, service: str) -> None:
        """Some proxy acknowledged the route of `service` that follows from `fold`: to be kept soon."""
        kept, chain = self._kept.get(service), fold.ledger.of(service)
        if kept is None or (kept.head, kept.offset, kept.service) != (
            chain.head,
            chain.offset,
            fold.services.get(service),
        ):
            self._kept[service] = self._due[service] = Acknowledged.of(fold, service)
            self._files.set()

    def meet(self, names: Iterable[str]) -> None:
        """These proxies exist: to be kept soon."""
        self._know(self.proxies.met(names))

    def forgot(self, forgetting: Forgetting, left: Iterable[str]) -> None:
        """A command was carried out, and these exist still: to be kept soon."""
        self._know(self.proxies.forgot(forgetting, left))

    def known(self, ledger: Ledger, services: frozenset[str]) -> None:
        """The log is known to its end: forget the latches and services that it ends, on the disk soon."""
        left = self.latches.still(ledger)
        if left.entries != self.latches.entries:
            self.latches, self._latches_due = left, True
            logger.info("latch ended", extra={"action": "latch_ended", "left": sorted(left.entries)})
        if services != self._services:
            self._services, self._services_due = services, True
        if self._latches_due or self._services_due:
            self._files.set()
        if self.latches:
            self._unwritten.set()

    async def run(self) -> None:
        """Keep files, and write latches to the ledger, each once, for ever. Neither the disk nor the log waits for the other."""
        await run_together(self._keep_files(), self._write_latches())

    async def _keep_files(self) -> None:
        while True:
            await self._files.wait()
            self._files.clear()
            if self._latches_due:
                self._latches_due = False
                await self._save()
            if self._services_due and self._services is not None:
                self._services_due = False
                await self._try("forget a service", partial(self._disk.only, self._services))
            if self._proxies_due:
                self._proxies_due = False
                await self._try("keep the proxies", partial(self._disk.know, self.proxies))
            while self._due:
                _, acknowledged = self._due.popitem()
                await self._try("keep a route", partial(self._disk.keep, acknowledged))

    async def _write_latches(self) -> None:
        """What the log refuses is tried again. Only a log that is known to its end is written to."""
        while True:
            await self._unwritten.wait()
            self._unwritten.clear()
            if self._services is not None:
                for entry in [e for e in self.latches.entries.values() if e.id not in self._written]:
                    await self._write(entry)

    def _know(self, proxies: Known) -> None:
        if proxies != self.proxies:
            self.proxies, self._proxies_due = proxies, True
            self._files.set()

    async def _save(self) -> DiskError | None:
        """The newest latches: one write at a time, for all have one file."""
        async with self._saving:
            return await self._try("keep the latches", partial(self._disk.latch, self.latches))

    async def _try(self, what: str, work: Callable[[], None]) -> DiskError | None:
        """Routes do not wait for a disk that is full, or that hangs."""
        try:
            await asyncio.to_thread(work)
        except DiskError as error:
            extra = {"action": "disk_failed", "what": what, "why": str(error)}
            logger.error("disk failed", extra=extra)  # noqa: TRY400 - the reason is the disk's
            return error
        return None

    async def _write(self, entry: LedgerEntry) -> None:
        about = {"service": entry.service, "rollout": entry.rollout, "entry": entry.id}
        try:
            await self._writer.append(LEDGER, entry.service, entry.dump())
        except LogError:
            logger.exception("rollback not written", extra={"action": "rollback_unwritten", **about})
            return
        self._written.add(entry.id)
        logger.info("rollback written", extra={"action": "rollback_written", **about})
