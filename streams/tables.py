"""Sparse counts by cell, and what is asked of them. Pure."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from streams.columns import Ints
from streams.counts import BUCKET_LATENCY, COARSE_BINS, LATENCY, REQUESTS
from streams.histogram import BINS
from streams.tally import Tally


@dataclass(frozen=True, slots=True)
class Entries:
    """What a tally holds of one cell: a coordinate for each axis but the cell's, and the weights."""

    at: tuple[Ints, ...]
    weights: Ints

    def dense(self, shape: tuple[int, ...], *axes: Ints) -> Ints:
        """Summed into a table, along any whole numbers of the entries."""
        table = np.zeros(shape, np.int64)
        np.add.at(table.reshape(-1), np.ravel_multi_index(axes, shape), self.weights)
        return table

    def where(self, keep: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Self:
        """Some of the entries."""
        return type(self)(tuple(axis[keep] for axis in self.at), self.weights[keep])


def by_cell(tally: Tally, shape: tuple[int, ...]) -> dict[int, Entries]:
    """A tally of the shape, whose first axis is the cell."""
    keys, weights = tally.summed()
    if not len(keys):
        return {}
    cell, *rest = np.unravel_index(keys, shape)
    cells, starts = np.unique(cell, return_index=True)
    ends = [*starts[1:].tolist(), len(keys)]
    return {
        number: Entries(tuple(axis[start:end] for axis in rest), weights[start:end])
        for number, start, end in zip(cells.tolist(), starts.tolist(), ends, strict=True)
    }


_KEYS = np.array([str(number) for number in range(BINS)], object)
"""Whole numbers as keys of JSON: to spell them takes longer than to look them up."""


def sparse(row: Ints) -> dict[str, int]:
    """A dense row without its zeros, as JSON: at most as long as there are bins."""
    at = np.flatnonzero(row)
    return dict(zip(_KEYS[at].tolist(), row[at].tolist(), strict=True))


def nested(table: Ints) -> dict[str, dict[str, int]]:
    """A dense table without its zeros, as JSON: row → column → count."""
    return {str(row): sparse(table[row]) for row in np.flatnonzero(table.any(axis=1)).tolist()}


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests of one cell."""

    joint: Ints
    """Bucket (0: none), is a tool call, outcome."""
    latency: Ints
    """By bin."""

    @classmethod
    def of(cls, requests: Entries, latency: Entries | None) -> Self:
        """A cell's entries of :data:`streams.counts.REQUESTS` and :data:`streams.counts.LATENCY`."""
        bins = np.zeros(BINS, np.int64) if latency is None else latency.dense(LATENCY[1:], *latency.at)
        return cls(requests.dense(REQUESTS[1:], *requests.at), bins)

    def p75_bin(self) -> int | None:
        """The bin of the latency's 75th percentile; None without a latency."""
        below = np.cumsum(self.latency)
        return int(np.searchsorted(4 * below, 3 * below[-1])) if below[-1] else None


def from_floor(entries: Entries | None, floor: int) -> dict[str, dict[str, int]]:
    """Of :data:`streams.counts.BUCKET_LATENCY`: session bucket → coarse bin → latencies, from the bin ``floor`` up."""
    if entries is None:
        return {}
    table = entries.dense(BUCKET_LATENCY[1:], *entries.at)
    return nested(np.where(np.arange(COARSE_BINS) < floor, 0, table[1:]))
