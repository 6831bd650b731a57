"""Time that moves when told to, and small makers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from alerts.cause import Began, Cause, Ended, Event, Happened
from alerts.wording import Message, message
from schemas.control import ProxyRoute, RolloutView, RouteChange
from schemas.decisions import LedgerEntry
from transport.clock import FakeClock


class AtOnce(ThreadPoolExecutor):
    """Does on the spot what is handed to a thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - as a thread would
            done.set_exception(error)
        return done


class Time:
    """A clock and the pauses that wait for it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.paused: list[tuple[float, asyncio.Future[None]]] = []
        self._threads = AtOnce(1)

    async def pause(self, seconds: float) -> None:
        """What the code under test calls instead of ``asyncio.sleep``."""
        due = asyncio.get_running_loop().create_future()
        self.paused.append((self.clock.monotonic_s() + seconds, due))
        await due

    async def settle(self) -> None:
        """Let everything run that need not wait for time."""
        asyncio.get_running_loop().set_default_executor(self._threads)
        for _ in range(50):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Pass from pause to pause, in order, until `seconds` are over."""
        await self.settle()
        end_s = self.clock.monotonic_s() + seconds
        while True:
            self.paused = sorted((p for p in self.paused if not p[1].done()), key=lambda p: p[0])
            if not self.paused or self.paused[0][0] > end_s + 1e-6:
                break
            due_s, due = self.paused.pop(0)
            self.clock.advance(max(0.0, due_s - self.clock.monotonic_s()))
            due.set_result(None)
            await self.settle()
        self.clock.advance(max(0.0, end_s - self.clock.monotonic_s()))


@contextlib.asynccontextmanager
async def running(time: Time, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """A process that does it until the block ends."""
    task = asyncio.create_task(work)
    await time.settle()
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def cause(key: str = "orders/1/blind", **changes: Any) -> Cause:
    fields: dict[str, Any] = {
        "kind": "blind",
        "severity": "page",
        "service": "orders",
        "rollout": 1,
        "since_s": 0.0,
        "sentence": "It is so.",
    }
    return Cause(key=key, **{**fields, **changes})


def fact(key: str, **changes: Any) -> Cause:
    return cause(key, **{"kind": "rollback", **changes})


def told(event: Event, at_ms: int, since_ms: int = 0) -> Message:
    return message(event, at_ms, since_ms)


def began(key: str, at_ms: int, **changes: Any) -> Message:
    return told(Began(cause(key, **changes)), at_ms, at_ms)


def ended(key: str, at_ms: int, **changes: Any) -> Message:
    return told(Ended(cause(key, **changes), 0.0, "It is over."), at_ms)


def happened(key: str, at_ms: int, **changes: Any) -> Message:
    return told(Happened(fact(key, **changes)), at_ms, at_ms)


def view(looked_at: int, **changes: Any) -> RolloutView:
    return RolloutView(service="orders", rollout=1, looked_at=looked_at, **changes)


def says(entry: LedgerEntry | str, *, router: str = "r1", version: str = "1-1", **proxies: str) -> RouteChange:
    """A router's picture: `lb0="acknowledged"`, or `lb0="rejected: why"`."""
    known = []
    for name, word in proxies.items():
        state, _, detail = word.partition(": ")
        known.append(ProxyRoute.model_validate({"proxy": name, "state": state, "detail": detail or None}))
    return RouteChange(
        service="orders",
        router=router,
        entry=entry if isinstance(entry, str) else entry.id,
        version=version,
        proxies=tuple(known),
        acknowledged=bool(known) and all(p.state == "acknowledged" for p in known),
        live=True,
        at=1,
    )
