"""Sinks that misbehave, one way each, and requests to send them."""

import threading

from davylamp_sdk._finished import FinishedRequest
from davylamp_sdk._sink import Settled
from davylamp_sdk.testing import MemorySink

DONE = FinishedRequest(method="tools/call", outcome="ok", started_at=1_700_000_000_000, duration_ms=2.5, tool="search")

IDENTITY = {"service": "orders", "version": "v2", "instance": "i-1"}


class RoundsSink(MemorySink):
    """Remembers how many events each round brought, and says when one has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds: list[int] = []
        self.round_ended = threading.Event()
        self._seen = 0

    def poll(self) -> None:
        super().poll()
        total = len(self.events)
        self.rounds.append(total - self._seen)
        self._seen = total
        self.round_ended.set()


class HangingSink(RoundsSink):
    """Hangs in `send` until released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.released = threading.Event()

    def send(self, key: bytes, value: bytes, settled: Settled) -> bool:
        self.entered.set()
        self.released.wait()
        return super().send(key, value, settled)


class CrampedSink(MemorySink):
    """Has room for so many messages until it is told of more."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.refused = threading.Event()

    def send(self, key: bytes, value: bytes, settled: Settled) -> bool:
        if len(self.messages) >= self.room:
            self.refused.set()
            return False
        return super().send(key, value, settled)


class BrokenSink:
    """Raises whatever it is asked."""

    def send(self, key: bytes, value: bytes, settled: Settled) -> bool:
        raise OSError("send")

    def poll(self) -> None:
        raise OSError("poll")

    def flush(self, timeout_s: float) -> None:
        raise OSError("flush")


class ScriptedSink(MemorySink):
    """Treats each message as the script says; everything after its end is delivered. Keeps what was accepted."""

    def __init__(self, script: list[str]) -> None:
        super().__init__()
        self._script = iter(script)
        self.lost: list[bytes] = []
        self._doomed: list[Settled] = []

    def send(self, key: bytes, value: bytes, settled: Settled) -> bool:
        match next(self._script, "deliver"):
            case "refuse":
                return False
            case "raise":
                raise OSError("scripted")
            case "lose":
                self.lost.append(value)
                self._doomed.append(settled)
                return True
            case _:
                return super().send(key, value, settled)

    def poll(self) -> None:
        super().poll()
        doomed, self._doomed = self._doomed, []
        for settled in doomed:
            settled(False)  # noqa: FBT003 - the port's signature
