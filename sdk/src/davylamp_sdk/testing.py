"""What a server's own tests need: events in memory instead of Kafka, and a clock that waits to be told."""

import threading

from davylamp_sdk._event import RequestEvent
from davylamp_sdk._sink import Receipt

__all__ = ["FakeClock", "MemorySink"]


class MemorySink:
    """Keeps what is sent: ``Telemetry(service="orders", version="test", sink=MemorySink())``."""

    def __init__(self) -> None:
        self._messages: list[tuple[bytes, bytes]] = []
        self._reported = 0
        self._arrived = threading.Condition()

    @property
    def messages(self) -> list[tuple[bytes, bytes]]:
        """Keys and values so far, oldest first."""
        with self._arrived:
            return list(self._messages)

    @property
    def events(self) -> list[RequestEvent]:
        """The values as events. Raises ``ValueError`` if one is none."""
        return [RequestEvent.read(value) for _, value in self.messages]

    def wait_for(self, count: int, timeout_s: float = 5.0) -> list[RequestEvent]:
        """The events, as soon as there are ``count``; events travel on a thread, so a test waits rather than looks.

        Raises ``TimeoutError``. Blocks: from a coroutine, use ``asyncio.to_thread``.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._messages) >= count, timeout_s):
                raise TimeoutError(f"{len(self._messages)} of {count} events came within {timeout_s} s")
        return self.events

    def send(self, key: bytes, value: bytes) -> bool:
        with self._arrived:
            self._messages.append((key, value))
            self._arrived.notify_all()
        return True

    def poll(self) -> Receipt:
        with self._arrived:
            delivered = len(self._messages) - self._reported
            self._reported += delivered
        return Receipt(delivered=delivered)

    def flush(self, timeout_s: float) -> int:  # noqa: ARG002 - the port's signature
        return 0


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
