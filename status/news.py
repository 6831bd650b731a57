"""What has just happened, for whoever watches: a ring of events with ascending numbers. One task publishes."""

import asyncio
import secrets
from collections import deque
from dataclasses import dataclass
from typing import Literal

from davylamp_sdk._message import Message

NewsKind = Literal["view", "entry", "route", "service", "window"]

KEPT = 1024
"""Events, of all services together: whoever is further behind gets a snapshot instead."""


@dataclass(frozen=True, slots=True)
class Item:
    """One event."""

    number: int
    kind: NewsKind
    service: str
    data: Message


class News:
    """The newest events. A number means something within one life of the process, which `life` names."""

    def __init__(self, kept: int = KEPT) -> None:
        self.life = secrets.token_hex(4)
        self._items: deque[Item] = deque(maxlen=kept)
        self._last = 0
        self._grown = asyncio.Event()
        self.ended = False
        """Nothing more will be told: whoever watches should go."""

    @property
    def last(self) -> int:
        """Number of the newest event, 0 before the first."""
        return self._last

    def publish(self, kind: NewsKind, service: str, data: Message) -> None:
        """Add an event, and wake who waits."""
        self._last += 1
        self._items.append(Item(self._last, kind, service, data))
        self._wake()

    def end(self) -> None:
        """Send everybody away: the process stops."""
        self.ended = True
        self._wake()

    def after(self, number: int) -> list[Item] | None:
        """Every event after that one; None if some of them are gone."""
        if number < self._last - len(self._items) or number > self._last:
            return None
        return [item for item in self._items if item.number > number]

    async def wait_beyond(self, number: int, timeout_s: float) -> None:
        """Return when there is an event after that one, or when the time is up."""
        grown = self._grown
        if self._last > number or self.ended:
            return
        try:
            await asyncio.wait_for(grown.wait(), timeout_s)
        except TimeoutError:
            return

    def _wake(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def cursor(self, number: int) -> str:
        """What a client names to go on from there."""
        return f"{self.life}-{number}"

    def position(self, cursor: str | None) -> int | None:
        """The number in a cursor; None of another life, or of nothing that we ever said."""
        life, _, number = (cursor or "").partition("-")
        return int(number) if life == self.life and number.isdecimal() and number.isascii() else None
