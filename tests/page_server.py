"""The status service over a log in memory that holds a scene, listening on loopback, for browsers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from davylamp_sdk._message import Message
from schemas.partitions import partition_of
from schemas.windows import CohortWindow
from status import lately
from status.app import create_app
from status.feed import TOPICS
from status.server import Server
from streams.encoding import key_of
from tests.page_states import Scene
from transport.clock import FakeClock, SystemClock
from transport.memory_log import MemoryLog
from transport.ports import free_ports


class MovedClock:
    """The machine's clock, moved so that it starts at a scene's moment."""

    def __init__(self, now_ms: int) -> None:
        self._clock = SystemClock()
        self._offset_ms = now_ms - self._clock.now_ms()

    def now_ms(self) -> int:
        return self._clock.now_ms() + self._offset_ms

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()


class AppendClock(FakeClock):
    """Lets the log take each record of a scene when it was written."""

    def at(self, unix_ms: int) -> None:
        self._now_ms = max(self._now_ms, unix_ms)


def written_ms(message: Message) -> int:
    """When a message says that it was written; 0 where it does not say."""
    for name in ("decided_at", "at", "clock_ms", "looked_at"):
        if (at := getattr(message, name, None)) is not None:
            return int(at)
    return 0


@dataclass(slots=True)
class Served:
    """A status service that listens."""

    log: MemoryLog
    app: FastAPI
    port: int
    clock: Any
    appended: AppendClock

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def put(self, scene: Scene) -> None:
        """Append a scene's records, each to its service's partition."""
        for topic, message in scene.records:
            self.appended.at(written_ms(message))
            service = message.service  # type: ignore[attr-defined]  # every message of a scene names one
            key = key_of(message) if isinstance(message, CohortWindow) else service.encode()
            await self.log.put(topic, partition_of(service, 1), message.dump(), key)


@contextlib.asynccontextmanager
async def served(
    scenes: Iterable[Scene], *, clock: Any = None, log: MemoryLog | None = None, port: int | None = None, **options: Any
) -> AsyncIterator[Served]:
    """Serve the scenes from the moment of the last one until the block ends; `log` and `port` of an earlier life go on."""
    held = list(scenes)
    clock = clock or MovedClock(held[-1].now_ms if held else 0)
    appended = AppendClock(0)
    log = log or MemoryLog(clock=appended)
    app = create_app(log.reader(*TOPICS), log.writer(), telemetry=log.reader(*lately.TOPICS), clock=clock, **options)
    found = Served(log, app, port or free_ports(1)[0], clock, appended)
    for scene in held:
        await found.put(scene)
    server = Server(app, "127.0.0.1", found.port)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody when it has started
        await asyncio.sleep(0)
    feed = app.state.desk.feed
    await feed.wait_for(lambda _: feed.caught_up or None, 5)
    try:
        yield found
    finally:
        server.should_exit = True
        await task
