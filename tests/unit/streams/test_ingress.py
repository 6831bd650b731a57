"""The consumer's thread inside the event loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from streams import ingress
from streams.handover import Handover, Revoked
from streams.ingress import Ingress
from streams.watchdog import Part, Watchdog
from transport.clock import FakeClock
from transport.faust_app import alive


class FakeChannel:
    """Holds one item; a second waits for room."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Handover] = asyncio.Queue(1)
        self.subscriber_count = 1
        self.full = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return self.queue.full()

    async def put(self, item: Handover) -> None:
        if self.queue.full():
            self.full.set()
        await self.queue.put(item)


class DeafChannel(FakeChannel):
    """Takes nothing, though it has room."""

    async def put(self, item: Handover) -> None:
        self.full.set()
        await asyncio.Event().wait()


class Heard(Watchdog):
    """Notes who says that it moves."""

    def __init__(self) -> None:
        super().__init__(FakeClock(), 60.0)
        self.words = 0
        self.more = threading.Event()

    def moved(self, part: Part) -> None:
        self.words += 1
        self.more.set()


class FakeTelemetry:
    """A thread's work that hands over what it was given, then waits to be told to stop."""

    def __init__(self, *items: Handover, error: Exception | None = None) -> None:
        self.items = items
        self.error = error
        self.handed = 0
        self.ended = threading.Event()

    def run(self, hand: Callable[[Handover], None], halted: Callable[[], bool]) -> None:
        try:
            for item in self.items:
                hand(item)
                self.handed += 1
            if self.error is not None:
                raise self.error
            while not halted():
                self.ended.wait(0.001)
        finally:
            self.ended.set()


class Stopping:
    def __init__(self, *, should_stop: bool) -> None:
        self.should_stop = should_stop


async def at_once() -> None:
    """Nothing to wait for."""


def make(
    telemetry: FakeTelemetry,
    channel: FakeChannel,
    ready: Callable[[], Any] = at_once,
    watchdog: Watchdog | None = None,
) -> Any:
    return Ingress(channel, telemetry, ready, watchdog or Watchdog(FakeClock(), 60.0))  # type: ignore[arg-type]


async def test_what_the_thread_hands_over_arrives_in_order() -> None:
    channel, telemetry = FakeChannel(), FakeTelemetry(*(Revoked(i) for i in range(5)))
    service = make(telemetry, channel)
    async with service:
        assert [await channel.queue.get() for _ in range(5)] == [Revoked(i) for i in range(5)]
    assert telemetry.ended.wait(5)


async def test_a_full_channel_holds_the_thread_back_and_stopping_frees_it() -> None:
    channel, telemetry = FakeChannel(), FakeTelemetry(*(Revoked(i) for i in range(5)))
    service = make(telemetry, channel)
    async with service:
        await channel.full.wait()
        assert telemetry.handed == 1
    assert telemetry.ended.wait(5)


async def test_who_waits_for_room_moves_for_the_agent_is_watched_and_who_waits_for_anything_else_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ingress, "_WAIT_S", 0.001)
    full, heard = FakeChannel(), Heard()
    async with make(FakeTelemetry(Revoked(0), Revoked(1)), full, watchdog=heard):
        await full.full.wait()
        heard.more.clear()
        assert await asyncio.to_thread(heard.more.wait, 5)
    deaf, unheard = DeafChannel(), Heard()
    telemetry = FakeTelemetry(Revoked(0))
    async with make(telemetry, deaf, watchdog=unheard):
        await deaf.full.wait()
        assert unheard.words == 0
    assert telemetry.ended.wait(5)


async def test_nothing_is_read_before_it_is_ready_and_somebody_listens() -> None:
    channel, telemetry, ready = FakeChannel(), FakeTelemetry(Revoked(1)), asyncio.Event()
    channel.subscriber_count = 0
    service = make(telemetry, channel, ready.wait)
    async with service:
        await asyncio.sleep(0)
        assert telemetry.handed == 0
        ready.set()
        await asyncio.sleep(0)
        assert telemetry.handed == 0
        channel.subscriber_count = 1
        assert await channel.queue.get() == Revoked(1)


async def test_an_error_on_the_thread_crashes_the_service() -> None:
    service = make(FakeTelemetry(error=ValueError("poisoned")), FakeChannel())
    await service.start()
    await service._crashed.wait()
    assert isinstance(service.crash_reason, ValueError)
    await service.stop()


async def test_a_task_that_somebody_else_cancels_crashes_the_service() -> None:
    service = make(FakeTelemetry(), FakeChannel())
    await service.start()
    await asyncio.sleep(0)
    for task in service._futures:
        task.cancel()
    await service._crashed.wait()
    assert "was cancelled" in str(service.crash_reason)
    await service.stop()


def test_a_cancellation_nobody_asked_for_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="the beat was cancelled"), alive(Stopping(should_stop=False), "the beat"):
        raise asyncio.CancelledError


def test_a_cancellation_at_the_end_is_one() -> None:
    with pytest.raises(asyncio.CancelledError), alive(Stopping(should_stop=True), "the beat"):
        raise asyncio.CancelledError
