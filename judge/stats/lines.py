"""Evidence as a function of the margin: the log of a sum of exponentials that are each linear in it. Convex."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from judge.stats.evidence import Floats

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Lines:
    """ln E of g checks side by side, each ``ln(cash + sum of exp(intercept - margin * slope))`` over its own terms."""

    intercept: Floats
    """Shape (terms,), those of a check together."""
    slope: Floats
    first: Indices
    """Shape (g,), ascending: where the terms of each check begin."""
    cash: float = 0.0
    """What is not at stake, in every check."""

    @property
    def owner(self) -> Indices:
        """The check of each term."""
        return _owners(self.first.tobytes(), len(self.intercept))

    def at(self, margin: Floats) -> Floats:
        """ln E of each check at its `margin`, shape (g,); never overflows."""
        if not len(self.intercept):
            return np.full(len(self.first), np.log(self.cash))
        top, _, total = self._parts(margin)
        found: Floats = top + np.log(total)
        return found

    def with_slope(self, margin: Floats) -> tuple[Floats, Floats]:
        """ln E, and its derivative by the margin."""
        if not len(self.intercept):
            return self.at(margin), np.zeros(len(self.first))
        top, parts, total = self._parts(margin)
        return top + np.log(total), -np.add.reduceat(parts * self.slope, self.first) / total

    def _parts(self, margin: Floats) -> tuple[Floats, Floats, Floats]:
        """The largest term's log, each term beside the largest one of its check, and their sums."""
        owner = self.owner
        logs = self.intercept - margin[owner] * self.slope
        top: Floats = np.maximum.reduceat(logs, self.first)
        if self.cash > 0:
            top = np.maximum(top, np.log(self.cash))
        parts = np.exp(logs - top[owner])
        total = np.add.reduceat(parts, self.first)
        return top, parts, total + self.cash * np.exp(-top) if self.cash > 0 else total

    def of(self, checks: Indices) -> "Lines":
        """Some of the checks, ascending."""
        owner, chosen = self.owner, np.zeros(len(self.first), bool)
        chosen[checks] = True
        mine, sizes = chosen[owner], np.bincount(owner, minlength=len(self.first))[checks]
        return Lines(self.intercept[mine], self.slope[mine], np.cumsum(sizes) - sizes, self.cash)

    def mirrored(self) -> "Lines":
        """The same evidence as a function of the negative margin."""
        return Lines(self.intercept, -self.slope, self.first, self.cash)


@lru_cache(maxsize=64)
def _owners(first: bytes, terms: int) -> Indices:
    """The same few layouts are asked for at every look."""
    starts = np.frombuffer(first, np.intp)
    owner = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, terms)))
    owner.flags.writeable = False
    return owner
