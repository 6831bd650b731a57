"""Who is told: the port, and its receivers for the log, for tests, and for everything that apprise speaks."""

import asyncio
import logging
import re
import threading
from concurrent.futures import Future
from typing import Protocol
from urllib.parse import unquote

from alerts.wording import Message

logger = logging.getLogger(__name__)


_SHORTEST_SECRET = 3
"""Shorter parts are words like any other."""


class ReceiverError(Exception):
    """A receiver did not take a message."""


class Receiver(Protocol):
    """Somebody who is told.

    The caller bounds the time and cancels; it asks for one message at a time, and for the same one again when it
    cannot know whether it arrived.
    """

    @property
    def name(self) -> str:
        """Stable over restarts and without secrets: what was delivered is remembered under it."""

    async def send(self, message: Message) -> None:
        """Return once the receiver has taken `message`; raise :class:`ReceiverError` if it has not."""


class LogReceiver:
    """The process's own log."""

    name = "log"

    async def send(self, message: Message) -> None:
        level = logging.INFO if message.severity == "info" or message.step == "ended" else logging.CRITICAL
        what = "RESOLVED" if message.step == "ended" else "ALERT"
        sentence = message.body.partition("\n")[0]
        extra = {"action": "alert", "severity": message.severity, "step": message.step, "cause": message.key}
        logger.log(level, "%s %s %s: %s", what, message.cause.service, message.cause.kind, sentence, extra=extra)


class MemoryReceiver:
    """Keeps what it takes. `refuses` raises, `hangs` never answers, not even to a cancellation that it may miss."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.taken: list[Message] = []
        self.asked = 0
        self.refuses = False
        self.hangs = False

    async def send(self, message: Message) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.refuses:
            raise ReceiverError(f"{self.name} is told to refuse")
        self.taken.append(message)


class Redaction(logging.Filter):
    """Takes a URL's parts out of what apprise logs: its plugins quote passwords and tokens when they complain."""

    def __init__(self, url: str) -> None:
        super().__init__()
        parts = {part for text in (url, unquote(url)) for part in re.split(r"[/:@?&=,]+", text.partition("://")[2])}
        self._parts = sorted((part for part in parts if len(part) >= _SHORTEST_SECRET), key=len, reverse=True)

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        for part in self._parts:
            text = text.replace(part, "***")
        record.msg, record.args = text, None
        return True


class AppriseReceiver:
    """A URL of https://github.com/caronc/apprise: mail, chat, pagers, webhooks. Raises ``ValueError`` for an unknown one.

    apprise blocks, so each message goes in a daemon thread, which cannot hold up the process's end. At most one thread
    lives: what was under way when the caller gave up is waited for, and if it did arrive it is not sent again.
    """

    def __init__(self, name: str, url: str) -> None:
        from apprise import Apprise

        apprise_log = logging.getLogger("apprise")
        apprise_log.setLevel(logging.WARNING)
        apprise_log.addFilter(Redaction(url))
        self.name = name
        self._apprise = Apprise()
        self._under_way: tuple[Message, Future[bool]] | None = None
        self._arrived: Message | None = None  # after its caller had given up
        if not self._apprise.add(url):
            raise ValueError(f"receiver {name}: apprise does not understand its URL")

    async def send(self, message: Message) -> None:
        if message is self._arrived:
            return
        sent, result = self._under_way = self._under_way or (message, self._begin(message))
        try:
            taken = await asyncio.wrap_future(result)
        finally:
            self._under_way = None if result.done() else self._under_way
        if sent is not message:
            self._arrived = sent if taken else self._arrived
            raise ReceiverError("an earlier message was still under way")
        if not taken:
            raise ReceiverError("apprise could not deliver it: its own log line says why")

    def _begin(self, message: Message) -> "Future[bool]":
        result: Future[bool] = Future()
        result.set_running_or_notify_cancel()  # from here on whoever stops waiting cannot cancel it
        threading.Thread(target=self._notify, args=(message, result), name=f"tell {self.name}", daemon=True).start()
        return result

    def _notify(self, message: Message, result: "Future[bool]") -> None:
        try:
            told = self._apprise.notify(message.body, message.title, _notify_type(message), body_format="text")
            result.set_result(bool(told))
        except Exception as error:  # noqa: BLE001 - of any of a hundred plugins
            result.set_exception(ReceiverError(f"{type(error).__name__} in apprise"))


def _notify_type(message: Message) -> str:
    if message.step == "ended":
        return "success"
    return {"page": "failure", "notice": "warning", "info": "info"}[message.severity]
