"""The composition root: one Faust app, a service that follows the log, and the judging agent."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import faust
import mode
from pydantic import Field

from davylamp_sdk import __version__
from judge import metrics
from judge.agent import Judge
from judge.fold import TOPICS, WINDOWS
from judge.policies.choice import AsPlanned
from judge.rollout.machine import Machine
from transport.clock import SystemClock
from transport.faust_app import BatchChannel, alive, make_app, run_worker
from transport.kafka_log import KafkaReader, KafkaWriter
from transport.log import Batch, Reader, Writer
from transport.metrics_port import MetricsSettings, open_metrics
from transport.process import loading_settings, start_logging
from transport.settings import KafkaSettings

_DEPTH = 4
"""Batches that may wait for the agent before the reader pauses."""


class JudgeSettings(MetricsSettings):
    """The table ``[judge]``."""

    look_every_s: float = Field(default=0.25, gt=0, description="At least so often, also when nothing came.")
    instance: str = Field(
        default_factory=socket.gethostname,
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="One a judge, the same after a restart; the host's name, so give each of several on a host its own.",
    )
    data_folder: Path = Field(
        default=Path(".davylamp/judge"), description="What Faust keeps; decisions are in Kafka, so it may be lost."
    )


class Follower(mode.Service):
    """Puts what the log brings into the agent's channel, and an empty batch where it brings nothing for a while.

    Windows come once everything else, the ledger above all, has been read to where it ends: the judge has caught up with
    both when it has with the windows.
    """

    def __init__(
        self,
        control: Reader,
        windows: Reader,
        writer: Writer,
        channel: BatchChannel,
        every_s: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._control = control
        self._windows = windows
        self._ledger_read = asyncio.Event()
        self._writer = writer
        self._channel = channel
        self._every_s = every_s

    @mode.Service.task
    async def _follow(self) -> None:
        with alive(self, "following the log"):
            # put() to a channel that nobody reads yet loses the item, and Faust tells nobody when an agent subscribes.
            while not self._channel.subscriber_count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            async for batch in self._control.batches():
                await self._channel.put(replace(batch, caught_up=False))
                if batch.caught_up:
                    self._ledger_read.set()

    @mode.Service.task
    async def _follow_windows(self) -> None:
        with alive(self, "following the windows"):
            await self._ledger_read.wait()
            async for batch in self._windows.batches():
                await self._channel.put(batch)

    @mode.Service.task
    async def _beat(self) -> None:
        with alive(self, "the beat"):
            while not self.should_stop:
                await asyncio.sleep(self._every_s)
                if self._channel.subscriber_count:
                    await self._channel.put(Batch((), caught_up=False))

    async def on_stop(self) -> None:
        """End the readers' threads and deliver what is under way."""
        await self._control.close()
        await self._windows.close()
        await self._writer.close()


def build(settings: JudgeSettings, kafka: KafkaSettings) -> faust.App:
    """Everything, wired. Raises :class:`transport.settings.SettingsError` if the port of the metrics cannot be opened."""
    app = make_app("judge", kafka, settings.instance, settings.data_folder)
    control = KafkaReader(kafka, f"davylamp-judge/{settings.instance}", [t for t in TOPICS if t != WINDOWS])
    windows = KafkaReader(kafka, f"davylamp-judge-windows/{settings.instance}", [WINDOWS])
    writer = KafkaWriter(kafka, f"davylamp-judge/{settings.instance}")
    clock = SystemClock()
    judge = Judge(Machine(AsPlanned(), __version__), writer, clock)
    open_metrics(settings, "judge", lambda: metrics.render(judge, clock, control, windows))
    channel = BatchChannel(app, maxsize=_DEPTH)

    @app.agent(channel, name="judge", supervisor_strategy=mode.CrashingSupervisor)
    async def judging(stream: AsyncIterator[Batch]) -> None:
        async for batch in stream:
            await judge.handle(batch)

    app.service(Follower(control, windows, writer, channel, settings.look_every_s))
    return app


def main() -> None:
    """Run the judge until it is told to stop."""
    start_logging()
    with loading_settings():
        settings, kafka = JudgeSettings.load("judge"), KafkaSettings.load("kafka")
        app = build(settings, kafka)
    run_worker(app)
