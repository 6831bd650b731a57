"""An event loop whose time is a fake clock's: whoever sleeps is woken at once, in order, and every run is the same."""

import asyncio
import math
import selectors
from collections.abc import Callable
from typing import Any

from transport.clock import FakeClock


class StandstillError(AssertionError):
    """Everybody waits, and nobody will ever wake them."""


class _Selector(selectors.DefaultSelector):
    """Waits for nothing but time, which it makes pass."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise StandstillError
        if not ready and timeout:
            self._clock.advance(math.ceil(timeout * 1000) / 1000)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """One thread only: what others hand to a thread is done on the spot, in no time."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(_Selector(clock))
        self._clock = clock
        self._start_s = clock.monotonic_s()
        self._clock_resolution = 0.0005  # the clock counts milliseconds

    def time(self) -> float:
        return self._clock.monotonic_s() - self._start_s

    def run_in_executor(  # type: ignore[override]  # a future all the same
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except BaseException as error:  # noqa: BLE001 - the caller's to handle, as from a thread
            done.set_exception(error)
        return done
