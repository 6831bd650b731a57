"""Bounds of the difference ``p_C - r p_B`` that hold at every look at once: margins the evidence just rejects."""

import numpy as np

from judge.stats.evidence import Floats
from judge.stats.lines import Lines

_MOST_STEPS = 60
_CLOSE = 1e-12


def lower_bounds(lines: Lines, needed: Floats, limit: Floats, scale: Floats, at_limit: Floats | None = None) -> Floats:
    """The largest margin that each check still rejects, NaN where it rejects none; all of shape (g,).

    The evidence of `lines` falls in the margin, `needed` is what rejects. At `limit` the bound never contradicts the
    verdict: it is at least `limit` exactly when the evidence there (`at_limit`, where it is known already) is enough.
    Nothing beyond +-`scale` is asked for.

    Newton's method: the evidence is convex, so from the left of the root it never oversteps; and the root of any single
    term lies to the left, for the sum is more than each of its terms.
    """
    margin = np.minimum(np.maximum(_best_single_term(lines, needed), -scale), scale)
    evidence, slope = lines.with_slope(margin)
    unknown = (margin <= -scale) & (evidence < needed)
    for _ in range(_MOST_STEPS):
        falls = slope < 0
        step = np.where((evidence > needed) & falls, (needed - evidence) / np.where(falls, slope, 1), 0.0)
        if (step <= _CLOSE * np.abs(margin)).all():
            break
        margin = np.minimum(margin + step, scale)
        evidence, slope = lines.with_slope(margin)
    rejected = (lines.at(limit) if at_limit is None else at_limit) >= needed
    margin = np.where(rejected, np.maximum(margin, limit), np.minimum(margin, np.nextafter(limit, -np.inf)))
    return np.where(unknown & ~rejected, np.nan, margin)


def upper_bounds(lines: Lines, needed: Floats, limit: Floats, scale: Floats, at_limit: Floats | None = None) -> Floats:
    """The smallest margin that each check still rejects, NaN where it rejects none: evidence that rises in the margin."""
    return -lower_bounds(lines.mirrored(), needed, -limit, scale, at_limit)


def _best_single_term(lines: Lines, needed: Floats) -> Floats:
    if not len(lines.intercept):
        return np.full(len(needed), -np.inf)
    falls = lines.slope > 0
    roots = (lines.intercept - needed[lines.owner]) / np.where(falls, lines.slope, 1)
    return np.maximum.reduceat(np.where(falls, roots, -np.inf), lines.first)
