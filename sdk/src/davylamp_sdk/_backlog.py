"""What is recorded and not yet sent: bounded, numbered, the oldest dropped first."""

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Backlog(Generic[T]):
    """A bounded queue between many recording threads and the one that sends.

    Each item gets the next sequence number as it is put, dropped or not: a gap in the numbers tells a reader that some
    are missing. What waits is always numbered without a gap. At any moment ``recorded == taken + dropped + len``.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}: a backlog holds at least 1 item")
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._recorded = 0
        self._dropped = 0
        self._next = 0  # the sequence number of the oldest that waits
        self._open = True
        # Held for microseconds, so that counts are exact and nobody ever waits for I/O behind it.
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def recorded(self) -> int:
        """How many items were put, those dropped included."""
        return self._recorded

    @property
    def dropped(self) -> int:
        """How many were put and will never be taken."""
        return self._dropped

    def put(self, item: T) -> int:
        """Add ``item``, at the cost of the oldest if full; how many wait now. 0, and dropped, if the backlog is closed."""
        with self._lock:
            self._recorded += 1
            if not self._open:
                self._dropped += 1
                return 0
            if len(self._items) == self._capacity:
                self._items.popleft()
                self._next += 1
                self._dropped += 1
            self._items.append(item)
            return len(self._items)

    def take(self, most: int) -> tuple[int, list[T]]:
        """The oldest items, at most ``most``, and the sequence number of the first; the others follow without a gap."""
        with self._lock:
            first, count, pop = self._next, min(most, len(self._items)), self._items.popleft
            self._next += count
            return first, [pop() for _ in range(count)]

    def close(self) -> None:
        """Drop whatever is put from now on; what waits can still be taken."""
        with self._lock:
            self._open = False

    def discard(self) -> None:
        """Drop whatever waits."""
        with self._lock:
            self._dropped += len(self._items)
            self._next += len(self._items)
            self._items.clear()
