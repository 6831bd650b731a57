"""How often each version failed before a rollout and in it, whatever its sessions' labels. Pure: a fold of windows."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.outcomes import ERROR_BAD, ERROR_COUNTED, total
from schemas.windows import Cell

KEPT_MS = 16 * 86_400_000
"""Longer than a rollout may last."""
_PRUNE_EVERY = 4096


def _integers() -> "array[int]":
    return array("q")


@dataclass(slots=True)
class RunningSums:
    """Two counts added up over windows, a place for each window that has any."""

    end_ms: "array[int]" = field(default_factory=_integers)
    counted: "array[int]" = field(default_factory=_integers)
    bad: "array[int]" = field(default_factory=_integers)

    def add(self, end_ms: int, counted: int, bad: int) -> None:
        """The next window, or more of the newest."""
        before = (self.counted[-1], self.bad[-1]) if self.end_ms else (0, 0)
        self.end_ms.append(end_ms)
        self.counted.append(before[0] + counted)
        self.bad.append(before[1] + bad)
        if len(self.end_ms) % _PRUNE_EVERY == 0:
            self._prune(end_ms - KEPT_MS)

    def _prune(self, before_ms: int) -> None:
        old = max(0, bisect_left(self.end_ms, before_ms) - 1)
        for column in (self.end_ms, self.counted, self.bad):
            del column[:old]

    def between(self, from_ms: int, to_ms: int) -> tuple[int, int]:
        """In windows that end after `from_ms` and at or before `to_ms`."""
        (counted, bad), (before, bad_before) = self._upto(to_ms), self._upto(from_ms)
        return counted - before, bad - bad_before

    def _upto(self, ms: int) -> tuple[int, int]:
        place = bisect_right(self.end_ms, ms)
        return (self.counted[place - 1], self.bad[place - 1]) if place else (0, 0)


@dataclass(slots=True)
class History:
    """Requests and failures of every version, window by window."""

    _versions: dict[str, RunningSums] = field(default_factory=dict)
    _windows: int = 0

    def add(self, end_ms: int, cells: Iterable[Cell]) -> None:
        """The next final window, of all partitions."""
        found: dict[str, list[int]] = {}
        for cell in cells:
            sums = found.setdefault(cell.version, [0, 0])
            sums[0] += total(cell.outcomes, ERROR_COUNTED)
            sums[1] += total(cell.outcomes, ERROR_BAD)
        for version, (counted, bad) in found.items():
            self._versions.setdefault(version, RunningSums()).add(end_ms, counted, bad)
        self._windows += 1
        if self._windows % _PRUNE_EVERY == 0:
            self._versions = {v: sums for v, sums in self._versions.items() if sums.end_ms[-1] >= end_ms - KEPT_MS}

    def failures(self, version: str, from_ms: int, to_ms: int) -> tuple[int, int]:
        """Requests, and those that failed, in windows that end after `from_ms` and at or before `to_ms`."""
        sums = self._versions.get(version)
        return sums.between(from_ms, to_ms) if sums is not None else (0, 0)
