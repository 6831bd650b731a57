"""Ends a worker that stops progressing: whoever runs it starts it again, and it reads on from its checkpoint."""

import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Literal

from transport.clock import Clock

logger = logging.getLogger(__name__)

Part = Literal[
    "agent",  # folds and publishes: the event loop with it
    "consumer",  # polls, or waits for room
]
STALLED = 70
"""Exit code (EX_SOFTWARE)."""


def end_process() -> None:
    """At once: what hangs would hang in an orderly end as well, and nothing has to be saved."""
    sys.stderr.flush()
    os._exit(STALLED)


class Watchdog:
    """Each part says that it moves; one that has not for ``limit_s`` ends the process. Any thread may call."""

    def __init__(self, clock: Clock, limit_s: float, end: Callable[[], None] = end_process) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._end = end
        self._moved_s: dict[Part, float] = {}

    def moved(self, part: Part) -> None:
        """It moves; from its first word on it is watched."""
        self._moved_s[part] = self._clock.monotonic_s()

    def rest(self, part: Part) -> None:
        """It has ended in order and is not watched any more."""
        self._moved_s.pop(part, None)

    def look(self) -> None:
        """End the process if a part hangs."""
        now_s = self._clock.monotonic_s()
        for part, moved_s in list(self._moved_s.items()):
            if now_s - moved_s > self._limit_s:
                extra = {"action": "stalled", "part": part, "for_s": round(now_s - moved_s, 1)}
                logger.critical("the worker stopped progressing: it ends to be started again", extra=extra)
                self._end()

    def start(self, every_s: float = 1.0) -> None:
        """Look from a thread of its own, for as long as the process lives: a loop that hangs looks at nothing."""

        def watch() -> None:
            while True:
                threading.Event().wait(every_s)
                self.look()

        threading.Thread(target=watch, name="watchdog", daemon=True).start()
