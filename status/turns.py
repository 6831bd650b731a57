"""Lets everybody else have a turn while many records are read: whoever asks must not wait for a whole batch, of up to 500."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

TURN_S = 0.001
"""Then somebody else has a turn. A time and not a number: a view that has a row drawn takes ten times as long as an open
window, and on a machine whose cores others want, too, everything takes several times as long."""


async def in_turns(items: Iterable[T], clock_s: Callable[[], float] = time.perf_counter) -> AsyncIterator[T]:
    """The items one after the other, with a turn for everybody else whenever :data:`TURN_S` have been worked."""
    began = clock_s()
    for item in items:
        yield item
        if clock_s() - began >= TURN_S:
            await asyncio.sleep(0)
            began = clock_s()
