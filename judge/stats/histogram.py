"""Quantiles and exceedances of latency histograms whose bins are 64 equal parts of each octave from 2^-10 up.

The layout is the contract's (`Cell.histogram`): the bins that streams count in. A test holds both to each other.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from judge.stats.evidence import Floats

BINS_PER_OCTAVE = 64
OCTAVES = 32
BINS = OCTAVES * BINS_PER_OCTAVE
_LOWEST = 2.0**-10

Dense = NDArray[np.int64]
"""Shape (BINS,)."""


@cache
def edges() -> Floats:
    """The 2,049 lower edges, ascending: bin i spans [edges[i], edges[i + 1]). Exact floats; read-only."""
    index = np.arange(BINS + 1)
    found: Floats = _LOWEST * 2.0 ** (index // BINS_PER_OCTAVE) * (1 + index % BINS_PER_OCTAVE / BINS_PER_OCTAVE)
    found.flags.writeable = False
    return found


def dense(histograms: Iterable[Mapping[int, int]]) -> Dense:
    """The sum of sparse histograms."""
    total = np.zeros(BINS, np.int64)
    for histogram in histograms:
        if histogram:
            total[np.fromiter(histogram, np.intp)] += np.fromiter(histogram.values(), np.int64)
    return total


def quantile_bin(histogram: Dense, q: float) -> int | None:
    """The bin in which the quantile lies, for 0 < q <= 1; None without counts."""
    total = int(histogram.sum())
    if not total:
        return None
    return int(np.searchsorted(np.cumsum(histogram), q * total, side="left"))


def quantile(histogram: Dense, q: float) -> float | None:
    """The quantile, linear within its bin; None without counts."""
    cumulated = np.cumsum(histogram)
    total = int(cumulated[-1])
    if not total:
        return None
    found = int(np.searchsorted(cumulated, q * total, side="left"))
    inside = int(histogram[found])
    low, high = edges()[found : found + 2].tolist()
    return float(low + (high - low) * (q * float(total) - float(int(cumulated[found]) - inside)) / float(inside))


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which bins on a request is counted, in each cohort: both chosen before the requests that they count."""

    baseline: int
    """The edge next above the baseline's quantile."""
    canary: int
    """The edge next above so much more than that edge: rounding both on their own would test another factor."""

    @property
    def values(self) -> tuple[float, float]:
        """The edges in milliseconds."""
        return float(edges()[self.baseline]), float(edges()[self.canary])


def threshold(histogram: Dense, q: float, within: float) -> Threshold | None:
    """Above the quantile `q` of the baseline's `histogram`, and above 1 + `within` times that; None without counts.

    1.100 to 1.115 times for a `within` of 0.1: the edge is the next one of bins that are 1/64 wide at most.
    """
    found = quantile_bin(histogram, q)
    if found is None:
        return None
    edge = found + 1
    raised = int(np.searchsorted(edges(), (1 + within) * edges()[edge], side="left"))
    return Threshold(edge, min(raised, BINS))


@dataclass(slots=True)
class RollingHistogram:
    """The sum of the last windows' histograms: exact, for they are whole numbers."""

    over_ms: float
    total: Dense = field(default_factory=lambda: np.zeros(BINS, np.int64))
    """A value: what comes makes a new one."""
    _parts: deque[tuple[int, Dense]] = field(default_factory=deque)
    """(end of the window, bins and counts), oldest first."""

    def add(self, end_ms: int, histogram: Dense) -> None:
        """The next window."""
        bins = np.nonzero(histogram)[0]
        self.total = self.total + histogram
        self._parts.append((end_ms, np.stack((bins, histogram[bins]))))

    def forget(self, now_ms: int) -> None:
        """Drop windows that ended `over_ms` or longer ago."""
        total = self.total.copy()
        while self._parts and self._parts[0][0] <= now_ms - self.over_ms:
            _, (bins, counts) = self._parts.popleft()
            total[bins] -= counts
        self.total = total
