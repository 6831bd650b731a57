"""The consumer inside Faust: a service that gives it a thread and puts what it hands over into the agent's channel."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import mode

from streams.handover import Handover
from streams.telemetry import TelemetryConsumer
from streams.watchdog import Watchdog
from transport.faust_app import BatchChannel, alive

_WAIT_S = 0.1


class Ingress(mode.Service):
    """Owns the telemetry consumer. An exception on its thread is its task's, and crashes the worker."""

    mundane_level = "debug"

    def __init__(
        self,
        channel: BatchChannel,
        telemetry: TelemetryConsumer,
        ready: Callable[[], Awaitable[Any]],
        watchdog: Watchdog,
        **kwargs: Any,
    ) -> None:
        """``ready``: what must have happened before the first message is read."""
        super().__init__(**kwargs)
        self._channel = channel
        self._ready = ready
        self._watchdog = watchdog
        self._halt = threading.Event()
        self._telemetry = telemetry
        self._events: asyncio.AbstractEventLoop

    async def on_stop(self) -> None:
        """Let the thread end: it notices within a tenth of a second, also while it waits for room."""
        self._halt.set()
        self._watchdog.rest("consumer")

    @mode.Service.task
    async def _read(self) -> None:
        self._events = asyncio.get_running_loop()
        with alive(self, "the telemetry consumer"):
            await self._ready()
            # put() to a channel that nobody reads yet loses the item, and Faust tells nobody when an agent subscribes.
            while not self._channel.subscriber_count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await self._events.run_in_executor(None, self._telemetry.run, self._hand, self._halted)

    def _halted(self) -> bool:
        if not self._halt.is_set():
            self._watchdog.moved("consumer")
        return self._halt.is_set()

    def _hand(self, item: Handover) -> None:
        if self._halt.is_set():
            return
        waiting = asyncio.run_coroutine_threadsafe(self._channel.put(item), self._events)
        while not self._halt.is_set():
            try:
                waiting.result(_WAIT_S)
            except TimeoutError:
                if self._channel.is_full:  # it waits for the agent, which is watched; for anything else it hangs
                    self._watchdog.moved("consumer")
                continue
            self._watchdog.moved("consumer")
            return
        waiting.cancel()
