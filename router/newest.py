"""Appends messages to the log beside everything else; of each key only the newest waits."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

M = TypeVar("M")


class Newest(Generic[M]):
    """An absent log costs no memory: what it has not taken is replaced by what is newer, and tried again on request.

    `write` says whether the log took a message; `key` what a newer one must share to take its place.
    """

    def __init__(self, write: Callable[[M], Awaitable[bool]], key: Callable[[M], Hashable]) -> None:
        self._write = write
        self._key = key
        self._due: dict[Hashable, M] = {}
        self._writing: set[Hashable] = set()
        self._wake = asyncio.Event()

    def offer(self, message: M) -> None:
        """To be written soon, in place of an older one of its key that still waits."""
        self._due[self._key(message)] = message
        self._wake.set()

    def retry(self) -> None:
        """What the log did not take is offered again."""
        if self._due:
            self._wake.set()

    async def run(self) -> None:
        """Write for ever, each key by itself: one whose partition has no leader holds up no other."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                for key in [key for key in self._due if key not in self._writing]:
                    self._writing.add(key)
                    group.create_task(self._one(key))

    async def _one(self, key: Hashable) -> None:
        """What is due of a key, and what is offered meanwhile; until the log refuses it."""
        try:
            while (message := self._due.get(key)) is not None and await self._write(message):
                if self._due[key] is message:
                    del self._due[key]
        finally:
            self._writing.discard(key)
