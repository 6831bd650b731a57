"""What is recorded and not yet sent: bounded, numbered, the oldest dropped first."""

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Backlog(Generic[T]):
    """A bounded queue between many recording threads and the one that sends.

    Each item gets the next sequence number as it is put, dropped or not: a gap in the numbers tells a reader how
    many are missing. At any moment ``recorded == taken + dropped + len``.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity is {capacity}: a backlog holds at least 1 item")
        self._items: deque[tuple[int, T]] = deque(maxlen=capacity)
        self._capacity = capacity
        self._recorded = 0
        self._dropped = 0
        self._open = True
        # Held for a few instructions only, so that counts are exact and nobody ever waits for I/O behind it.
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

    def put(self, item: T) -> bool:
        """Add ``item``, at the cost of the oldest if full. False, and dropped, if the backlog is closed."""
        with self._lock:
            sequence = self._recorded
            self._recorded += 1
            if not self._open or len(self._items) == self._capacity:
                self._dropped += 1
            if self._open:
                self._items.append((sequence, item))
            return self._open

    def take(self) -> tuple[int, T] | None:
        """The oldest item with its sequence number, or None if nothing waits."""
        with self._lock:
            return self._items.popleft() if self._items else None

    def close(self) -> None:
        """Drop whatever is put from now on; what waits can still be taken."""
        with self._lock:
            self._open = False

    def discard(self) -> None:
        """Drop whatever waits."""
        with self._lock:
            self._dropped += len(self._items)
            self._items.clear()
