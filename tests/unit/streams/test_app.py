"""Settings of streams, and what follows the services and beats beside the consumer."""

import asyncio
import socket
from collections.abc import AsyncIterator

import faust
import pytest

from streams.app import Beat, RegistryFollower, StreamsSettings
from streams.outbox import DeliveryError, MemoryOutbox
from streams.registry import Registry
from streams.watchdog import Watchdog
from tests.builders import SERVICE
from transport.clock import FakeClock
from transport.faust_app import BatchChannel
from transport.log import Batch, LogError, Record
from transport.memory_log import MemoryLog
from transport.settings import SettingsError

WATCHDOG = Watchdog(FakeClock(), 60.0)


def test_a_window_is_five_seconds_unless_somebody_says_otherwise() -> None:
    assert StreamsSettings.load("streams", {}).window_ms == 5000
    assert StreamsSettings.load("streams", {"DAVYLAMP_STREAMS_WINDOW_S": "0.25"}).window_ms == 250


def test_the_instance_is_the_host_unless_somebody_says_otherwise() -> None:
    assert StreamsSettings.load("streams", {}).instance == socket.gethostname()
    assert StreamsSettings.load("streams", {"DAVYLAMP_STREAMS_INSTANCE": "w1"}).instance == "w1"


@pytest.mark.parametrize(
    ("name", "value"), [("WINDOW_S", "0"), ("PUBLISH_INTERVAL_S", "-1"), ("INSTANCE", "a b"), ("WINDOWS", "5")]
)
def test_a_setting_that_makes_no_sense_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name.lower()):
        StreamsSettings.load("streams", {f"DAVYLAMP_STREAMS_{name}": value})


async def test_the_follower_knows_every_service_before_it_says_it_caught_up() -> None:
    log = MemoryLog()
    await log.put("services", 0, SERVICE.dump(), b"orders")
    registry = Registry("mcp-requests")
    follower = RegistryFollower(log.reader("services"), registry)
    async with follower:
        await follower.caught_up.wait()
        assert registry.services() == {"orders"}


async def test_the_follower_goes_on_following() -> None:
    class TellingRegistry(Registry):
        told = asyncio.Event()

        def read(self, record: Record) -> None:
            super().read(record)
            self.told.set()

    log = MemoryLog()
    registry = TellingRegistry("mcp-requests")
    follower = RegistryFollower(log.reader("services"), registry)
    async with follower:
        await follower.caught_up.wait()
        await log.put("services", 0, SERVICE.dump(), b"orders")
        await registry.told.wait()
    assert registry.services() == {"orders"}


async def test_a_log_that_cannot_be_read_crashes_the_follower() -> None:
    class BrokenReader:
        async def batches(self) -> AsyncIterator[Batch]:
            raise LogError("services: gone")
            yield Batch((), caught_up=False)

        async def close(self) -> None:
            """Nothing is open."""

    follower = RegistryFollower(BrokenReader(), Registry("mcp-requests"))
    await follower.start()
    await follower._crashed.wait()
    assert isinstance(follower.crash_reason, LogError)
    await follower.stop()


class ClosableOutbox(MemoryOutbox):
    closed = False

    async def close(self) -> None:
        self.closed = True


async def test_the_beat_goes_on_until_the_end_and_then_closes_the_outbox() -> None:
    beats: asyncio.Queue[int] = asyncio.Queue()

    async def beat() -> None:
        beats.put_nowait(1)

    outbox = ClosableOutbox()
    async with Beat(beat, outbox, 0.0, WATCHDOG, lambda: True):
        for _ in range(3):
            await beats.get()
    assert outbox.closed


async def test_an_error_in_the_beat_crashes_the_service() -> None:
    outbox = MemoryOutbox()
    outbox.refused = "gone"

    async def beat() -> None:
        outbox.check()

    service = Beat(beat, outbox, 0.0, WATCHDOG, lambda: True)
    await service.start()
    await service._crashed.wait()
    assert isinstance(service.crash_reason, DeliveryError)
    await service.stop()


@pytest.mark.parametrize("idle", [True, False])
async def test_the_beat_says_that_the_agent_moves_only_where_it_has_nothing_to_do(*, idle: bool) -> None:
    clock, beats, ended = FakeClock(), asyncio.Queue[int](), list[int]()
    watchdog = Watchdog(clock, 60.0, lambda: ended.append(1))
    watchdog.moved("agent")

    async def beat() -> None:
        beats.put_nowait(1)

    async with Beat(beat, MemoryOutbox(), 0.0, watchdog, lambda: idle):
        for _ in range(4):
            clock.advance(50)
            for _ in range(2):  # the first may have begun before
                await beats.get()
        watchdog.look()
    assert bool(ended) is not idle


async def test_a_channel_is_idle_once_somebody_listens_and_has_taken_everything() -> None:
    channel = BatchChannel(faust.App("test", store="memory://"), maxsize=1)
    assert (channel.is_idle, channel.is_full) == (False, False)
    listener = aiter(channel)
    assert (channel.is_idle, channel.is_full) == (True, False)
    await channel.put(1)
    assert (channel.is_idle, channel.is_full) == (False, True)
    assert await anext(listener) == 1
    assert (channel.is_idle, channel.is_full) == (True, False)
