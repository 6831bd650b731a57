"""Latency histograms value by value: what :func:`streams.histogram.bin_index` says of many at once."""

import struct

import numpy as np
from numpy.typing import ArrayLike

from streams.histogram import BINS, BINS_PER_OCTAVE, HIGHEST_MS, bin_index, edges

LOWEST_MS = 2.0**-10
_BIAS = 127
_FLOAT, _BITS = struct.Struct("<f"), struct.Struct("<i")


def bin_of(value_ms: float) -> int:
    """The bin of one value: exponent and six bits of mantissa of its single, counted from 2^-10."""
    (bits,) = _BITS.unpack(_FLOAT.pack(min(value_ms, HIGHEST_MS)))
    return min(max((int(bits) >> 17) - (_BIAS - 10) * BINS_PER_OCTAVE, 0), BINS - 1)


def midpoint(index: int) -> float:
    """The value in milliseconds that stands for a bin."""
    return float(edges()[index] + edges()[index + 1]) / 2


def histogram_of(values_ms: ArrayLike) -> dict[int, int]:
    """Count values into the sparse form, bins ascending."""
    bins, counts = np.unique(bin_index(values_ms), return_counts=True)
    return dict(zip(bins.tolist(), counts.tolist(), strict=True))
