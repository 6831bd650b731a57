"""Which requests run, and which have run for too long: O(1) a request, one look for all."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

Tell = Callable[[], None]


class Watch:
    """Every request has the same patience, so the one that began first is the first to lose it.

    Of the request's end and its timeout exactly one happens here, whichever comes first. Safe from any thread.
    """

    def __init__(self, hung_after_s: float) -> None:
        if not hung_after_s > 0:
            raise ValueError(f"hung_after_s is {hung_after_s}: a request needs some time")
        self._hung_after_s = hung_after_s
        self._running: OrderedDict[Hashable, tuple[float, Tell]] = OrderedDict()
        self._late = 0
        self._lock = threading.Lock()  # held for a few instructions only

    def __len__(self) -> int:
        return len(self._running)

    @property
    def late(self) -> int:
        """How many requests ended after they had been told as hung."""
        return self._late

    def begin(self, request: Hashable, now_s: float, tell: Tell) -> None:
        """From now on `request` runs; `tell` is called once if it does so for too long, by whoever looks."""
        with self._lock:
            self._running[request] = now_s, tell

    def end(self, request: Hashable) -> bool:
        """It has ended. False: it was told as hung before, which is all there is to say about it."""
        with self._lock:
            if self._running.pop(request, None) is not None:
                return True
            self._late += 1
            return False

    def look(self, now_s: float) -> float:
        """Tell of those that hang; in how many seconds to look again, for nothing can hang before."""
        while True:
            with self._lock:
                request, (began_s, tell) = next(iter(self._running.items()), (None, (now_s, _nothing)))
                left_s = began_s + self._hung_after_s - now_s
                if left_s > 0:
                    return left_s
                del self._running[request]
            tell()


def _nothing() -> None:
    """Nobody runs: whoever begins now has all its time."""
