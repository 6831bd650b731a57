"""The composition root: one Faust app, the consumer's service, the windows agent."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import faust
import mode
from confluent_kafka import Consumer, Producer
from pydantic import Field

from schemas.topics import Topic
from streams.handover import Handover
from streams.ingress import Ingress
from streams.metrics import Worker
from streams.outbox import KafkaOutbox, Outbox, producer_settings
from streams.owner import Owner, Pace
from streams.publisher import WINDOWS, Publisher
from streams.registry import Registry
from streams.telemetry import TelemetryConsumer, consumer_settings
from streams.watchdog import Watchdog
from transport.clock import SystemClock
from transport.faust_app import BatchChannel, alive, make_app, run_worker
from transport.kafka_log import KafkaReader
from transport.log import Reader
from transport.metrics_port import MetricsSettings, open_metrics
from transport.process import loading_settings, needing_kafka, start_logging
from transport.settings import KafkaSettings

_SERVICES: Topic = "services"
_DEPTH = 4
"""Batches that may wait for the agent before the consumer's thread pauses."""
_BEATS_AN_INTERVAL = 10


_ALLOCATIONS = 20_000
"""Between collections of garbage: a poll makes thousands of objects, and none that refer to each other."""


class StreamsSettings(MetricsSettings):
    """The table ``[streams]``."""

    window_s: float = Field(default=5.0, gt=0, description="May not change under running commits.")
    publish_interval_s: float = Field(
        default=0.1,
        gt=0,
        description="An open window is published at most so often, and twice as often while requests fail.",
    )
    topic: str = Field(default="mcp-requests", description="The telemetry.")
    instance: str = Field(
        default_factory=socket.gethostname,
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="One a worker, the same after a restart; the host's name, so give each of several on a host its own.",
    )
    data_folder: Path = Field(
        default=Path(".davylamp/streams"), description="What Faust keeps; counts are in Kafka, so it may be lost."
    )
    stalled_after_s: float = Field(
        default=60.0,
        gt=30,
        description="A worker that does not progress for so long ends, to be started again; one that starts has five times as long.",
    )

    @property
    def window_ms(self) -> int:
        """The size of a window."""
        return max(1, round(self.window_s * 1000))


class RegistryFollower(mode.Service):
    """Folds `services` to its end, then follows it."""

    mundane_level = "debug"

    def __init__(self, reader: Reader, registry: Registry, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._reader = reader
        self._registry = registry
        self.caught_up = asyncio.Event()

    @mode.Service.task
    async def _follow(self) -> None:
        with alive(self, "following the services"):
            async for batch in self._reader.batches():
                for record in batch.records:
                    self._registry.read(record)
                if batch.caught_up:
                    self.caught_up.set()

    async def on_stop(self) -> None:
        """End the reader's thread."""
        await self._reader.close()


class Beat(mode.Service):
    """Lets the owner publish and tick while nothing comes; closes the outbox at the end."""

    mundane_level = "debug"

    def __init__(
        self,
        beat: Callable[[], Awaitable[None]],
        outbox: Outbox,
        every_s: float,
        watchdog: Watchdog,
        idle: Callable[[], bool],
        **kwargs: Any,
    ) -> None:
        """``idle``: whether the agent has nothing to do. While it has, only what it has done says that it moves."""
        super().__init__(**kwargs)
        self._watchdog = watchdog
        self._idle = idle
        self._beat = beat
        self._outbox = outbox
        self._every_s = every_s

    @mode.Service.task
    async def _go_on(self) -> None:
        with alive(self, "the beat"):
            while not self.should_stop:
                await self._beat()  # takes turns with the agent: if that hangs in its turn, so does this
                if self._idle():
                    self._watchdog.moved("agent")
                await asyncio.sleep(self._every_s)

    async def on_stop(self) -> None:
        """Deliver the last partials."""
        self._watchdog.rest("agent")
        await self._outbox.close()


def build(settings: StreamsSettings, kafka: KafkaSettings) -> faust.App:
    """Everything, wired. Asks the broker for the partitions of the windows' topic: raises ``KafkaException`` without.

    Raises :class:`transport.settings.SettingsError` if the port of the metrics cannot be opened.
    """
    app = make_app("streams-app", kafka, settings.instance, settings.data_folder)  # a group beside the consumer's own
    registry = Registry(settings.topic)
    reader = KafkaReader(kafka, f"davylamp-streams-services/{settings.instance}", [_SERVICES])
    follower = RegistryFollower(reader, registry)
    channel = BatchChannel(app, maxsize=_DEPTH)
    worker = Worker(settings.topic, SystemClock())
    told = worker.consumer_settings() if settings.metrics_port is not None else {}
    consumer = Consumer(consumer_settings(kafka, settings.instance) | told)
    outbox = KafkaOutbox(Producer(producer_settings(kafka, f"davylamp-streams-windows/{settings.instance}")))
    telemetry = TelemetryConsumer(
        consumer, settings.topic, settings.window_ms, lambda: outbox.partitions(settings.topic)
    )
    watchdog = Watchdog(SystemClock(), settings.stalled_after_s)
    watchdog.start()
    ingress = Ingress(channel, telemetry, follower.caught_up.wait, watchdog)
    pace = Pace(settings.topic, settings.window_ms, settings.publish_interval_s, settings.instance)
    publisher = Publisher(outbox, outbox.partitions(WINDOWS))
    commit = worker.committing(telemetry.commit)
    owner = Owner(publisher, pace, SystemClock(), registry.services, commit, lambda: watchdog.moved("agent"))
    open_metrics(settings, "streams", lambda: worker.render(owner.partitions, owner.counters))

    @app.agent(channel, name="windows", supervisor_strategy=mode.CrashingSupervisor)  # the default one starts it anew
    async def windows(stream: AsyncIterator[Handover]) -> None:
        async for item in stream:
            await owner.handle(item)

    beat = Beat(owner.beat, outbox, settings.publish_interval_s / _BEATS_AN_INTERVAL, watchdog, lambda: channel.is_idle)
    for service in (beat, follower, ingress):
        app.service(service)
    return app


def main() -> None:
    """Run a worker until it is told to stop (exit code 0) or crashes (another one); it does not return."""
    start_logging()
    with loading_settings():
        settings, kafka = StreamsSettings.load("streams"), KafkaSettings.load("kafka")
        with needing_kafka("streams", kafka):
            app = build(settings, kafka)
    gc.freeze()  # what is here now stays: no collection has to look at it again
    gc.set_threshold(_ALLOCATIONS)
    run_worker(app)
