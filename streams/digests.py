"""The t-digest that people are shown (Dunning & Ertl 2019), built from a histogram: never what decides."""

import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from tdigest import TDigest

from schemas.windows import CohortWindow, Digest
from streams.histogram import Histogram, edges

DELTA = 0.05
"""The library's compression: a centroid near the median may weigh 5 % of all."""

_SEED = 20130
_DIGITS = 6
_POINTS = 100
"""A whole histogram in one bin becomes so many points."""


MAX_DIGESTS = 32
"""Cells of a closed window that get one, the busiest: one takes up to 20 ms, and the next window waits."""


def with_digests(windows: Sequence[CohortWindow]) -> tuple[CohortWindow, ...]:
    """The final windows with the digests of their busiest cells."""
    latencies = [
        (sum(c.histogram.values()), w, i) for w, window in enumerate(windows) for i, c in enumerate(window.cells)
    ]
    busiest = sorted(latencies, key=lambda found: (-found[0], *found[1:]))[:MAX_DIGESTS]
    chosen: dict[int, set[int]] = {}
    for _, w, i in busiest:
        chosen.setdefault(w, set()).add(i)
    return tuple(_digested(window, chosen.get(w, ())) for w, window in enumerate(windows))


def _digested(window: CohortWindow, chosen: Collection[int]) -> CohortWindow:
    if not chosen:
        return window
    cells = (
        cell.model_copy(update={"digest": digest_of(cell.histogram)}) if i in chosen else cell
        for i, cell in enumerate(window.cells)
    )
    return window.model_copy(update={"cells": tuple(cells)})


def digest_of(histogram: Histogram) -> Digest | None:
    """The digest of a histogram; None without counts. Means keep six significant digits.

    The same histogram always gives the same digest: points go in an order shuffled by a fixed seed (an ascending one is
    the worst case of this library, it hardly merges), and the library's own draws from the global generator are seeded.
    """
    n = sum(histogram.values())
    if not n:
        return None
    points = [point for index in sorted(histogram) for point in _spread(index, histogram[index], n)]
    random.Random(_SEED).shuffle(points)  # noqa: S311 - an order, not a secret
    with _seeded():
        sketch = TDigest(DELTA)
        for value_ms, weight in points:
            sketch.update(value_ms, weight)
        sketch.compress()
    centroids = tuple((float(f"{c['m']:.{_DIGITS}g}"), float(c["c"])) for c in sketch.centroids_to_list())
    return Digest(n=n, delta=DELTA, centroids=centroids)


def _spread(index: int, count: int, n: int) -> Iterator[tuple[float, int]]:
    """A bin's count as points spread evenly over the bin, none heavier than 1 % of all ``n``.

    One heavy point would become one heavy centroid, and a reader, who draws lines between the middles of centroids,
    would see values where there are none.
    """
    pieces = -(-count // max(1, n // _POINTS))
    low, high = edges()[index], edges()[index + 1]
    for i in range(pieces):
        yield float(low + (high - low) * (i + 0.5) / pieces), count // pieces + (i < count % pieces)


@contextmanager
def _seeded() -> Iterator[None]:
    """Seed the global generator, which the library draws from, and give it back as it was.

    Another thread that draws meanwhile would change the digest, so digests are built on one thread that draws alone.
    """
    state = random.getstate()
    random.seed(_SEED)
    try:
        yield
    finally:
        random.setstate(state)
