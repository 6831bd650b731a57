"""Counts by key: cheap to add to, summed when asked. Pure.

What a window counts is sparse (which bucket, outcome and bin occur together), and arrives as columns. So a column of
keys is only put aside; once many wait they are counted, or sorted where they lie far apart, and merged into the sums.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_WAITING = 16_384
"""Keys that may wait before they are merged; more, where the sums are longer than that."""
_SPARSE = 8
"""Times as many keys may be possible as there are, or sorting them takes less than a place for each."""
_NONE: Ints = np.zeros(0, np.int64)


class Tally:
    """Whole numbers → their weights, added up. Keys are not negative; a key that was added stays."""

    __slots__ = ("_aside", "_keys", "_waiting", "_weights")

    def __init__(self) -> None:
        self._keys = _NONE
        self._weights = _NONE
        self._aside: list[tuple[Ints, Ints | None]] = []
        self._waiting = 0

    def add(self, keys: Ints, weights: Ints | None = None) -> None:
        """Add a weight to each key, by default 1; a key may come twice."""
        if not len(keys):
            return
        self._aside.append((keys, weights))
        self._waiting += len(keys)
        if self._waiting > max(_WAITING, len(self._keys)):
            self._merge()

    def summed(self) -> tuple[Ints, Ints]:
        """The keys, ascending, and their weights. Nobody may write to them."""
        if self._aside:
            self._merge()
        return self._keys, self._weights

    def _merge(self) -> None:
        ones = [keys for keys, weights in self._aside if weights is None]
        added = [(keys, weights) for keys, weights in self._aside if weights is not None]
        if ones:
            added.append(_counted(np.concatenate(ones)))
        keys = np.concatenate([self._keys, *(k for k, _ in added)])
        weights = np.concatenate([self._weights, *(w for _, w in added)])
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        self._keys, self._weights = keys[first], np.add.reduceat(weights[order], first)
        self._aside, self._waiting = [], 0


def _counted(keys: Ints) -> tuple[Ints, Ints]:
    """The distinct keys, ascending, and how often each comes."""
    low = keys.min()
    if keys.max() - low > _SPARSE * len(keys):
        return np.unique(keys, return_counts=True)
    counts = np.bincount(keys - low)
    found = np.flatnonzero(counts)
    return found + low, counts[found]
