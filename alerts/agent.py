"""Tells on-call what the ledger and the proxies say. Never in the path of a decision: it only reads."""

import logging
from typing import Literal

from pydantic import ValidationError

from schemas.control import RouteChange
from schemas.decisions import LedgerEntry
from schemas.ledger import Accepted, Ledger
from schemas.topics import Topic
from transport.clock import Clock
from transport.log import Batch, Reader, Record

logger = logging.getLogger(__name__)

TOPICS: tuple[Topic, ...] = ("rollout-decisions", "route-changes")

REPEAT_S = 600.0
"""After a restart what is younger is told again: twice is better than never."""

_SEVERITY: dict[str, Literal["page", "info"]] = {"rollback": "page", "complete": "info"}


class Alerts:
    """Reads the ledger and the route changes; each cause is told once in a process's life."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._ledger = Ledger()
        self._told: set[tuple[str, ...]] = set()

    async def run(self) -> None:
        """Follow the log for ever."""
        async for batch in self._reader.batches():
            self.handle(batch)

    def handle(self, batch: Batch) -> None:
        """Tell what a batch gives cause for."""
        for record in batch.records:
            try:
                self._read(record)
            except ValidationError as error:
                place = f"{record.topic}-{record.partition}@{record.offset}"
                logger.warning("record skipped", extra={"action": "record_skipped", "at": place, "why": str(error)})

    def _read(self, record: Record) -> None:
        recent = self._clock.now_ms() - record.timestamp_ms <= REPEAT_S * 1000
        if record.value is None:
            return
        if record.topic == "rollout-decisions":
            entry = LedgerEntry.read(record.value)
            self._ledger, result = self._ledger.read(entry, record.offset)
            if recent and isinstance(result, Accepted) and entry.kind in _SEVERITY:
                self._tell(_SEVERITY[entry.kind], ("entry", entry.id), entry.service, entry.kind, entry.reason.sentence)
        elif recent:
            self._read_route(RouteChange.read(record.value))

    def _read_route(self, change: RouteChange) -> None:
        for proxy in change.proxies:
            if proxy.state == "rejected":
                cause = ("rejected", change.service, proxy.proxy, change.version)
                self._tell("page", cause, change.service, "route_rejected", f"Proxy {proxy.proxy}: {proxy.detail}")

    def _tell(self, severity: str, cause: tuple[str, ...], service: str, what: str, sentence: str) -> None:
        if cause in self._told:
            return
        self._told.add(cause)
        level = logging.CRITICAL if severity == "page" else logging.INFO
        logger.log(level, "ALERT %s %s: %s", service, what, sentence, extra={"action": "alert", "severity": severity})
