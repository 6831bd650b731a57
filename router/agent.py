"""The router's edge: follows the ledger and the services, asks the proxies, and tells what they say they run."""

import asyncio
import logging

from pydantic import ValidationError

from router.errors import IncapableError
from router.fold import Fold
from router.ports import NEEDED, LoadBalancer
from router.reports import Pictures, Publisher
from router.snapshot import snapshot
from schemas.ledger import Accepted, Void
from transport.clock import Clock
from transport.log import Batch, Reader, Record, Writer

logger = logging.getLogger(__name__)

RECONCILE_S = 1.0


class Router:
    """One router over every service of the log. Its reader reads :data:`router.fold.TOPICS`.

    Proxies are asked for nothing until the log has been read to its end, and then always for the newest. Publishing
    runs beside: neither the log's acknowledgements nor the proxies' hold up a route.
    """

    def __init__(self, name: str, reader: Reader, writer: Writer, balancer: LoadBalancer, clock: Clock) -> None:
        self._reader = reader
        self._balancer = balancer
        self._clock = clock
        self._fold = Fold()
        self._caught_up = False
        self._pictures = Pictures(name)
        self._publisher = Publisher(writer)

    async def run(self) -> None:
        """Follow the log until it ends or fails: :class:`transport.log.LogError`, :class:`router.errors.RouterError`."""
        if missing := NEEDED - self._balancer.capabilities:
            raise IncapableError(f"These proxies lack {', '.join(sorted(missing))}: no rollout can rest on them.")
        work = (self._follow(), self._watch(), self._tick(), self._publisher.run())
        tasks = [asyncio.create_task(w) for w in work]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def handle(self, batch: Batch) -> None:
        """Fold a batch; ask the proxies for what follows from it."""
        for record in batch.records:
            self._read(record)
        self._caught_up = self._caught_up or batch.caught_up
        await self.reconcile()

    async def reconcile(self) -> None:
        """Ask for the newest routes, again if need be, look, and tell what the log has not taken yet."""
        self._publisher.retry()
        if self._caught_up:
            newest = snapshot(self._fold.ledger, self._fold.services, self._fold.offsets)
            self._pictures.asked(newest)
            await self._balancer.apply(newest)
            self.look()

    def look(self) -> None:
        """Tell what is new about the proxies."""
        for service in self._pictures.services:
            change = self._pictures.draw(service, self._balancer.observe(service), self._clock.now_ms())
            if change is not None:
                self._publisher.offer(change)

    def _read(self, record: Record) -> None:
        try:
            self._fold, result = self._fold.read(record)
        except ValidationError as error:
            about = {"at": f"{record.topic}-{record.partition}@{record.offset}", "why": str(error)}
            logger.error("record skipped", extra={"action": "record_skipped", **about})  # noqa: TRY400 - no traceback
            return
        if isinstance(result, Accepted) and self._caught_up:
            self._pictures.decided(result.entry)
        if isinstance(result, Void):
            about = {"service": result.entry.service, "entry": result.entry.id, "why": result.reason}
            logger.warning("void entry", extra={"action": "entry_void", **about})

    async def _follow(self) -> None:
        async for batch in self._reader.batches():
            await self.handle(batch)

    async def _watch(self) -> None:
        while True:
            await self._balancer.changed()
            self.look()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(RECONCILE_S)
            await self.reconcile()
