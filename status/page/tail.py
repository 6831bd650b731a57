"""What a share of slow requests means as a ratio of latencies, by the baseline's own distribution. Pure.

A latency check compares shares: of the canary's requests above ``limit × x`` with the baseline's above ``x``. If the
canary's latencies were those of the baseline times ``r``, its share above ``limit × x`` would be the baseline's above
``limit × x / r``. So a share ``p`` stands for ``r(p) = limit × Q(p_B) / Q(p)``, with ``Q(p)`` the latency that a share
``p`` of the baseline's requests exceeds: the limit exactly where both shares are equal, whatever the distribution.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Self

BINS_PER_OCTAVE = 64
_LOWEST_EXPONENT = -10
"""Of the first bin, 2^-10 ms; the layout is the contract's (`Cell.histogram`)."""

Histogram = Mapping[int, int]


def edge_ms(index: int, per_octave: int = BINS_PER_OCTAVE) -> float:
    """The lower edge of a bin: `per_octave` equal bins in each octave."""
    octave, step = divmod(index, per_octave)
    return float(2.0 ** (octave + _LOWEST_EXPONENT) * (1 + step / per_octave))


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram made ready to be asked often."""

    bins: tuple[int, ...] = ()
    """Those that count something, ascending."""
    ends: tuple[int, ...] = ()
    """How many lie in a bin or below it."""
    per_octave: int = BINS_PER_OCTAVE

    @classmethod
    def of(cls, histogram: Histogram, per_octave: int = BINS_PER_OCTAVE) -> Self:
        """The distribution of what was counted."""
        bins = tuple(sorted(index for index, n in histogram.items() if n))
        return cls(bins, tuple(accumulate(histogram[index] for index in bins)), per_octave)

    @property
    def n(self) -> int:
        """How many were counted."""
        return self.ends[-1] if self.ends else 0

    def exceeded_by(self, part: float) -> float | None:
        """The latency in ms that a share `part` of the requests exceeds, linear within its bin; None without any."""
        if not self.bins:
            return None
        rank = (1 - min(max(part, 0.0), 1.0)) * self.n
        at = min(bisect_left(self.ends, rank), len(self.bins) - 1)
        below = self.ends[at - 1] if at else 0
        low, high = (edge_ms(self.bins[at] + i, self.per_octave) for i in (0, 1))
        return low + (high - low) * (rank - below) / (self.ends[at] - below)


def latency_ratio(baseline: Distribution, part: float, baseline_part: float, limit: float) -> float | None:
    """The ratio of latencies that a share `part` above the canary's threshold stands for; None without a distribution.

    0 for a share of nothing: no ratio is too small for that.
    """
    here, there = baseline.exceeded_by(part), baseline.exceeded_by(baseline_part)
    if here is None or there is None:
        return None
    return limit * there / here if part > 0 else 0.0
