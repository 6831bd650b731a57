"""What a share of slow requests means as a ratio of latencies, by the baseline's own distribution. Pure.

A latency check compares shares: of the canary's requests above ``limit × x`` with the baseline's above ``x``. If the
canary's latencies were those of the baseline times ``r``, its share above ``limit × x`` would be the baseline's above
``limit × x / r``. So a share ``p`` stands for ``r(p) = limit × Q(p_B) / Q(p)``, with ``Q(p)`` the latency that a share
``p`` of the baseline's requests exceeds: the limit exactly where both shares are equal, whatever the distribution.
"""

from collections.abc import Mapping
from itertools import accumulate

BINS_PER_OCTAVE = 64
_LOWEST_EXPONENT = -10
"""Of the first bin, 2^-10 ms; the layout is the contract's (`Cell.histogram`)."""

Histogram = Mapping[int, int]


def edge_ms(index: int, per_octave: int = BINS_PER_OCTAVE) -> float:
    """The lower edge of a bin: `per_octave` equal bins in each octave."""
    octave, step = divmod(index, per_octave)
    return float(2.0 ** (octave + _LOWEST_EXPONENT) * (1 + step / per_octave))


def exceeded_by(histogram: Histogram, part: float, per_octave: int = BINS_PER_OCTAVE) -> float | None:
    """The latency in ms that a share `part` of the requests exceeds, linear within its bin; None without any."""
    bins = sorted(index for index, n in histogram.items() if n)
    if not bins:
        return None
    ends = list(accumulate(histogram[index] for index in bins))
    rank = (1 - min(max(part, 0.0), 1.0)) * ends[-1]
    at = next((i for i, end in enumerate(ends) if end >= rank), len(bins) - 1)
    within = (rank - ends[at] + histogram[bins[at]]) / histogram[bins[at]]
    low, high = edge_ms(bins[at], per_octave), edge_ms(bins[at] + 1, per_octave)
    return low + (high - low) * within


def latency_ratio(histogram: Histogram, part: float, baseline_part: float, limit: float) -> float | None:
    """The ratio of latencies that a share `part` above the canary's threshold stands for; None without a distribution.

    0 for a share of nothing: no ratio is too small for that.
    """
    here, there = exceeded_by(histogram, part), exceeded_by(histogram, baseline_part)
    if here is None or there is None:
        return None
    return limit * there / here if part > 0 else 0.0
