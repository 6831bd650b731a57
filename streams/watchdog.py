"""Ends a worker that stops progressing: whoever runs it starts it again, and it reads on from its checkpoint."""

import logging
import os
import threading
from collections.abc import Callable
from typing import Literal, get_args

from transport.clock import Clock

logger = logging.getLogger(__name__)

Part = Literal[
    "agent",  # has folded and published what was handed to it, the event loop with it; or there is nothing to do
    "consumer",  # polls, or waits for the agent to make room
]
PARTS: tuple[Part, ...] = get_args(Part)
STALLED = 70
"""Exit code (EX_SOFTWARE)."""
FIRST_WORD = 5.0
"""Limits that a part has to its first word: it waits for Kafka, for the services, for its group."""


SAYING_S = 1.0
"""So long a worker that ends waits for its last words to be written: what it hangs in may be the log."""


def end_process() -> None:
    """At once: what hangs would hang in an orderly end as well, and nothing has to be saved."""
    os._exit(STALLED)


def _say(part: Part, for_s: float) -> None:
    extra = {"action": "stalled", "part": part, "for_s": round(for_s, 1)}
    logger.critical("the worker stopped progressing: it ends to be started again", extra=extra)


class Watchdog:
    """Each part says that it moves; one that has not for ``limit_s`` ends the process. Any thread may call.

    A part that waits for another does not hang, if that one is watched. Kafka out of reach is no hang either: who polls
    polls on, and what the log does not take in time is an error, which ends the worker in its own way.
    """

    def __init__(self, clock: Clock, limit_s: float, end: Callable[[], None] = end_process) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._end = end
        self._heard: dict[Part, tuple[float, float]] = {}
        """When a part last moved, and for how long it may not."""
        self._ending: set[Part] = set()

    def watch(self) -> None:
        """From now on every part is watched; until its first word it has longer."""
        self._heard = dict.fromkeys(PARTS, (self._clock.monotonic_s(), FIRST_WORD * self._limit_s))

    def moved(self, part: Part) -> None:
        """It moves."""
        if part not in self._ending:
            self._heard[part] = self._clock.monotonic_s(), self._limit_s

    def rest(self, part: Part) -> None:
        """It was told to end: this is its last word, and the process has the limit to be gone."""
        self.moved(part)
        self._ending.add(part)

    def look(self) -> None:
        """End the process if a part hangs."""
        now_s = self._clock.monotonic_s()
        for part, (moved_s, limit_s) in list(self._heard.items()):
            if now_s - moved_s > limit_s:
                saying = threading.Thread(target=_say, args=(part, now_s - moved_s), daemon=True)
                saying.start()
                saying.join(SAYING_S)
                self._end()

    def start(self, every_s: float = 1.0) -> None:
        """Look from a thread of its own, for as long as the process lives: a loop that hangs looks at nothing."""
        self.watch()

        def watch() -> None:
            while True:
                threading.Event().wait(every_s)
                self.look()

        threading.Thread(target=watch, name="watchdog", daemon=True).start()
