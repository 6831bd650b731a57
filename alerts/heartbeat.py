"""A sign of life for somebody outside, who pages when it stops: a dead-man's switch, for nobody here can tell of a death of alerts."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

import httpx2

from alerts.delivery import Pause
from alerts.outside import UntakenError, ask

logger = logging.getLogger(__name__)


class HeartbeatError(Exception):
    """The heartbeat was not taken."""


class Watchman(Protocol):
    """Somebody outside who expects to hear of us again and again, and wakes people when that stops."""

    async def hear(self) -> None:
        """Return once the sign of life was taken; raise :class:`HeartbeatError` within a bound if it was not."""


class HttpWatchman:
    """A URL that wants to be asked for: healthchecks.io, Dead Man's Snitch, Better Stack, Uptime Kuma and others take a GET.

    The URL is a secret: whoever knows it can feign life. It is neither logged nor in an error's words.
    """

    def __init__(self, url: str, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self._transport = transport

    async def hear(self) -> None:
        try:
            await ask("GET", self._url, self._transport, follow_redirects=True)
        except UntakenError as error:
            raise HeartbeatError(str(error)) from None


class Heartbeat:
    """Lets the watchman hear of us every `every_s`, as long as `trouble` says None; what it says else is logged."""

    def __init__(
        self, watchman: Watchman, trouble: Callable[[], str | None], every_s: float, pause: Pause = asyncio.sleep
    ) -> None:
        self._watchman = watchman
        self._trouble = trouble
        self._every_s = every_s
        self._pause = pause

    async def run(self) -> None:
        """For ever, from an interval on: who dies sooner is never heard. A watchman's failures never end it."""
        while True:
            await self._pause(self._every_s)
            await self._beat()

    async def _beat(self) -> None:
        trouble = self._trouble()
        if trouble is not None:
            logger.warning("heartbeat withheld", extra={"action": "heartbeat_withheld", "why": trouble})
            return
        try:
            await self._watchman.hear()
        except HeartbeatError as error:
            logger.warning("heartbeat not taken", extra={"action": "heartbeat_untaken", "why": str(error)})
