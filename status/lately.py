"""Follows the telemetry's windows and the proxies' reports, from a few hours back, for charts, tools and health."""

import asyncio
import logging
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from davylamp_sdk._message import Message
from schemas.control import ProxyReport
from schemas.names import ServiceName
from schemas.topics import Topic
from schemas.windows import CohortWindow
from status.proxied import Proxied
from status.recent import Recent
from status.turns import in_turns
from transport.clock import Clock
from transport.log import LogError, Reader, Record
from transport.skipping import skipping

logger = logging.getLogger(__name__)

TOPICS: tuple[Topic, ...] = ("cohort-windows", "proxy-reports")

REACHES_BACK_MS = 6 * 3_600_000
"""How far before its start a process reads: both topics hold a month, and none of it decides anything here."""

_TELL_EACH_S = 1.0
_FINAL = b"|final"
"""Ends the key of a message about a closed window."""


class WindowNews(Message):
    """A service's windows have closed: its series has grown."""

    service: ServiceName
    rollout: int
    complete_until: Annotated[
        int | None, Field(description="Unix milliseconds up to which every partition has closed its windows.")
    ]
    baseline_sessions: int = Field(description="Counted in this rollout, as far back as this process has read.")
    canary_sessions: int


class Lately:
    """A :class:`Recent` and a :class:`Proxied` a service, within its newest rollout.

    `cohorts` says which rollout that is, and its baseline and canary, `telemetry` from which topic it is counted; `tell` hears of closed windows, at most once a
    second each service; `seen` of every message about windows.
    """

    def __init__(
        self,
        reader: Reader,
        clock: Clock,
        cohorts: Callable[[str], tuple[int, str, str]],
        telemetry: Callable[[str], str | None],
        tell: Callable[[WindowNews], None],
        seen: Callable[[Record], None],
    ) -> None:
        self.services: dict[str, Recent] = {}
        self.proxied: dict[str, Proxied] = {}
        self._reader = reader
        self._clock = clock
        self._cohorts = cohorts
        self._telemetry = telemetry
        self._tell = tell
        self._seen = seen
        self._told: dict[str, float] = {}
        self._caught_up = False

    async def run(self, ready: asyncio.Event) -> None:
        """Follow for ever once the ledger has been read (`ready`): it says which rollout is the newest."""
        await ready.wait()
        try:
            async for batch in self._reader.batches():
                async for record in in_turns(batch.records):
                    with skipping(record):
                        self._read(record)
                self._caught_up = self._caught_up or batch.caught_up
        except LogError:
            logger.exception("telemetry is no longer followed", extra={"action": "telemetry_unfollowed"})
        self.services.clear()
        self.proxied.clear()

    async def close(self) -> None:
        """Stop following."""
        await self._reader.close()

    def _read(self, record: Record) -> None:
        if record.topic == "cohort-windows":
            self._seen(record)
            if not self._caught_up and not (record.key or b"").endswith(_FINAL):
                return  # of windows that are long closed, what was said while they were open
            self._count(CohortWindow.read(record.value or b""))
        else:
            report = ProxyReport.read(record.value or b"")
            self.proxied.setdefault(report.service, Proxied()).read(report, self._cohorts(report.service)[0])

    def _count(self, window: CohortWindow) -> None:
        service = window.service
        rollout, baseline, canary = self._cohorts(service)
        recent = self.services.setdefault(service, Recent())
        if window.source != self._telemetry(service):
            recent.pass_over(window)
            return
        now = self._clock.monotonic_s()
        if not recent.read(window, rollout) or not self._caught_up:
            return
        if now - self._told.get(service, now - _TELL_EACH_S) < _TELL_EACH_S:
            return
        self._told[service] = now
        sessions = [recent.totals[v].sessions if v in recent.totals else 0 for v in (baseline, canary)]
        self._tell(
            WindowNews(
                service=service,
                rollout=rollout,
                complete_until=recent.complete_until_ms,
                baseline_sessions=sessions[0],
                canary_sessions=sessions[1],
            )
        )
