"""What a server's own tests need: events in memory instead of Kafka, and a clock that waits to be told."""

import threading

from davylamp_sdk._event import RequestEvent, events_in
from davylamp_sdk._sink import Settled

__all__ = ["FakeClock", "MemorySink"]


class MemorySink:
    """Keeps what is sent: ``Telemetry(service="orders", version="test", sink=MemorySink())``."""

    def __init__(self) -> None:
        self._messages: list[tuple[bytes, bytes]] = []
        self._unsettled: list[Settled] = []
        self._arrived = threading.Condition(threading.RLock())

    @property
    def messages(self) -> list[tuple[bytes, bytes]]:
        """Keys and values so far, oldest first."""
        with self._arrived:
            return list(self._messages)

    @property
    def events(self) -> list[RequestEvent]:
        """The events in the messages, one a request. Raises ``ValueError`` if a message holds none."""
        return [event for _, value in self.messages for event in events_in(value)]

    def wait_for(self, count: int, timeout_s: float = 5.0) -> list[RequestEvent]:
        """The events, as soon as there are ``count``; events travel on a thread, so a test waits rather than looks.

        Raises ``TimeoutError``. Blocks: from a coroutine, use ``asyncio.to_thread``.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.events) >= count, timeout_s):
                raise TimeoutError(f"{len(self.events)} of {count} events came within {timeout_s} s")
        return self.events

    def send(self, key: bytes, value: bytes, settled: Settled) -> bool:
        with self._arrived:
            self._messages.append((key, value))
            self._unsettled.append(settled)
            self._arrived.notify_all()
        return True

    def poll(self) -> None:
        with self._arrived:
            unsettled, self._unsettled = self._unsettled, []
        for settled in unsettled:
            settled(True)  # noqa: FBT003 - the port's signature

    def flush(self, timeout_s: float) -> None:  # noqa: ARG002 - the port's signature
        self.poll()


class FakeClock:
    """A clock that moves when told to."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass on both clocks."""
        self._now_ms += round(seconds * 1000)

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_s(self) -> float:
        return self._now_ms / 1000
