"""The latency histogram: log-linear bins that are the leading bits of a float32, so that any two machines agree.

Bin ``i`` spans ``[edges()[i], edges()[i + 1])`` milliseconds: 64 equal bins in each octave from 2^-10 ms (about 1 µs) to
2^22 ms (about 70 min), values outside clamped into the first and last. An index is the exponent and the six leading bits
of the mantissa of the IEEE 754 single: no logarithm is taken, edges are exact floats, a bin is at most 1/64 of its value
wide, and histograms merge by adding integers in any order. The layout is that of HdrHistogram with binary steps.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS_PER_OCTAVE = 64
HIGHEST_MS = 2.0**22
BINS = 32 * BINS_PER_OCTAVE

Histogram = Mapping[int, int]
"""The sparse form: bin → count, without empty bins."""

_SHIFT = 17
"""23 bits of mantissa less the six that are kept."""
_BASE = (127 - 10) * BINS_PER_OCTAVE
"""Index of 2^-10 before it is made to start at 0: 127 is the exponent bias."""


def bin_index(values_ms: ArrayLike) -> NDArray[np.int64]:
    """The bin of each value, same shape. Values are rounded to float32 first; NaN is not a duration and has no bin."""
    singles = np.minimum(np.asarray(values_ms, np.float64), HIGHEST_MS).astype(np.float32)
    bins: NDArray[np.int64] = (singles.view(np.int32) >> _SHIFT).astype(np.int64) - _BASE
    return bins.clip(0, BINS - 1)


@cache
def edges() -> NDArray[np.float64]:
    """The 2,049 edges in milliseconds, ascending; read-only."""
    bits = (np.arange(BINS + 1, dtype=np.int32) + _BASE) << _SHIFT
    found = bits.view(np.float32).astype(np.float64)
    found.flags.writeable = False
    return found


def merge(histograms: Iterable[Histogram]) -> dict[int, int]:
    """The sum, bins ascending."""
    total: dict[int, int] = {}
    for histogram in histograms:
        for index, count in histogram.items():
            total[index] = total.get(index, 0) + count
    return dict(sorted(total.items()))


def quantile(histogram: Histogram, q: float) -> float | None:
    """The value in milliseconds below which a share ``q`` of the counts lies; None without any.

    Linear within its bin, so within 1/64 of the exact one. Raises ``ValueError`` unless 0 <= q <= 1.
    """
    if not 0 <= q <= 1:
        raise ValueError(f"a quantile lies in [0, 1], not at {q}")
    bins = sorted(index for index, count in histogram.items() if count)
    if not bins:
        return None
    ends = list(accumulate(histogram[index] for index in bins))
    rank = q * ends[-1]
    at = next(i for i, end in enumerate(ends) if end >= rank)
    within = (rank - ends[at] + histogram[bins[at]]) / histogram[bins[at]]
    low, high = edges()[bins[at] : bins[at] + 2].tolist()
    return float(low + (high - low) * within)
