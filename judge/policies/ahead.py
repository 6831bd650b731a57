"""A look ahead: what windows that still fill change of what final ones say. Only checks that do not wait are asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic

import numpy as np

from judge.policies.families.port import Family, W, Whole
from judge.policies.track import SpreadOfChecks, Standing
from judge.stats.evidence import Floats
from judge.stats.lines import Indices
from judge.stats.process import Layout
from schemas.labels import Kind

Strata = tuple[float, Sequence[Kind], Whole]
"""Of a window: where it begins, and its rows, shape (rows, columns of all checks, 4)."""


@dataclass(frozen=True, slots=True)
class Ahead(Generic[W]):
    """The checks of a lane that do not wait, as a layout of their own.

    Each check is computed by itself, so these few say to the last bit what they say among all. They have half of the
    columns, and open windows need the bets against the canary only.
    """

    families: tuple[Family[W], ...]
    checks: Indices
    """Their places in the lane, shape (n,)."""
    columns: Indices
    """The places of their columns."""
    layout: Layout
    margins: Floats
    _parts: list[tuple[Standing, Standing]] = field(default_factory=list)
    """One at most: what was asked for last, and these columns of it."""

    @classmethod
    def of(cls, families: Sequence[Family[W]], whole: Layout, margins: Floats) -> "Ahead[W]":
        """The part of a lane that does not wait."""
        checks = np.array([i for i, family in enumerate(families) if not family.claim.waits], np.intp)
        mine = tuple(families[i] for i in checks.tolist())
        layout = Layout.of(*((f.claim.columns, f.claim.ratio, f.claim.unit) for f in mine))
        return cls(mine, checks, np.nonzero(np.isin(whole.owner, checks))[0], layout, margins[checks])

    def spread(self, still_open: Sequence[W], final: SpreadOfChecks) -> SpreadOfChecks:
        """Of all checks; which member has which part is settled by final windows."""
        spreads = [family.spread(still_open) for family in self.families]
        pooled, believed = final.pooled.copy(), final.believed.copy()
        pooled[self.checks] = [spread.pooled for spread in spreads]
        believed[self.checks] = [spread.believed for spread in spreads]
        return SpreadOfChecks(pooled, believed, final.proof, final.parts, final.full)

    def standing(self, final: Standing, still_open: Sequence[Strata]) -> Standing:
        """Theirs alone, with windows in which nothing starts afresh."""
        standing = self._of(final)
        for start_ms, kinds, rows in still_open:
            standing = standing.look_ahead(start_ms, kinds, rows[:, self.columns])
        return standing

    def log_e(self, standing: Standing, spread: SpreadOfChecks) -> Floats:
        """ln E at their margins, shape (n,)."""
        against = standing.processes.against(spread.pooled[self.checks], spread.parts[self.columns])
        return against.at(self.margins)

    def _of(self, final: Standing) -> Standing:
        if not self._parts or self._parts[0][0] is not final:
            self._parts[:] = [(final, final.of(self.columns, self.layout))]
        return self._parts[0][1]
