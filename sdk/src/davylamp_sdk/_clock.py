"""Where the SDK's time comes from."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks, because the one that people read may be set back. Neither call may block."""

    def now_ms(self) -> int:
        """Unix time in milliseconds: says when, never how long."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start that never go back: says how long, never when."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()
