"""Evidence as a function of the margin: the log of a sum of exponentials that are each linear in it. Convex."""

from dataclasses import dataclass
from functools import cached_property

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

    @cached_property
    def owner(self) -> Indices:
        """The check of each term."""
        sizes = np.diff(np.append(self.first, len(self.intercept)))
        return np.repeat(np.arange(len(self.first)), sizes)

    def at(self, margin: Floats) -> Floats:
        """ln E of each check at its `margin`, shape (g,); never overflows."""
        return self.with_slope(margin)[0]

    def with_slope(self, margin: Floats) -> tuple[Floats, Floats]:
        """ln E, and its derivative by the margin."""
        if not len(self.intercept):
            return np.full(len(self.first), np.log(self.cash)), np.zeros(len(self.first))
        logs = self.intercept - margin[self.owner] * self.slope
        top: Floats = np.maximum.reduceat(logs, self.first)
        if self.cash > 0:
            top = np.maximum(top, np.log(self.cash))
        parts = np.exp(logs - top[self.owner])
        total = np.add.reduceat(parts, self.first) + (self.cash * np.exp(-top) if self.cash > 0 else 0.0)
        return top + np.log(total), -np.add.reduceat(parts * self.slope, self.first) / total

    def of(self, checks: Indices) -> "Lines":
        """Some of the checks, ascending."""
        mine = np.isin(self.owner, checks)
        sizes = np.bincount(self.owner, minlength=len(self.first))[checks]
        return Lines(self.intercept[mine], self.slope[mine], np.cumsum(sizes) - sizes, self.cash)

    def mirrored(self) -> "Lines":
        """The same evidence as a function of the negative margin."""
        return Lines(self.intercept, -self.slope, self.first, self.cash)
