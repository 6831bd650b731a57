"""Sparse counts by cell, and what is asked of them. Pure."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from schemas.windows import COARSE_PER_FINE
from streams.columns import Ints
from streams.counts import LATENCIES, REQUESTS
from streams.histogram import BINS
from streams.tally import Tally

COARSE_BINS = BINS // COARSE_PER_FINE


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


def sparse(row: Ints) -> dict[int, int]:
    """A dense row without its zeros."""
    at = np.flatnonzero(row)
    return dict(zip(at.tolist(), row[at].tolist(), strict=True))


def nested(table: Ints) -> dict[int, dict[int, int]]:
    """A dense table without its zeros: row → column → count."""
    return {row: sparse(table[row]) for row in np.flatnonzero(table.any(axis=1)).tolist()}


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests of one cell."""

    joint: Ints
    """Bucket (0: none), is a tool call, outcome."""
    latency: Ints
    """By bin."""
    timed: Entries
    """Of those with a latency: bucket, tool call, outcome, bin."""

    @classmethod
    def of(cls, entries: Entries) -> Self:
        """Sum a cell's entries of :data:`streams.counts.REQUESTS`."""
        bucket, tool_call, outcome, _ = entries.at
        timed = entries.where(LATENCIES[outcome])
        joint = entries.dense(REQUESTS[1:4], bucket, tool_call, outcome)
        return cls(joint, timed.dense((BINS,), timed.at[3]), timed)

    def p75_bin(self) -> int | None:
        """The bin of the latency's 75th percentile; None without a latency."""
        below = np.cumsum(self.latency)
        return int(np.searchsorted(4 * below, 3 * below[-1])) if below[-1] else None

    def bucket_latency(self, floor: int) -> dict[int, dict[int, int]]:
        """Session bucket → coarse bin → latencies, from the coarse bin ``floor`` up."""
        bucket, _, _, bins = self.timed.at
        table = self.timed.dense((REQUESTS[1], COARSE_BINS), bucket, bins // COARSE_PER_FINE)
        return nested(np.where(np.arange(COARSE_BINS) < floor, 0, table[1:]))
