"""Each tool by itself: one of ten that fails is drowned in the rate of all."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from judge.policies.families.port import Claim, Figures, Rows, Spread, Teller, Totals, Whole
from judge.policies.families.rates import Clusters, rate_figures
from judge.stats.e_bh import e_bh
from judge.trial import COHORTS, CohortCells, TrialWindow
from schemas.windows import OTHER

MOST = 10
"""Tools with a column of their own; the rest shares one."""
COLUMNS = MOST + 1
ROSTER_CALLS = 100
"""Of both cohorts: then it is known which tools are called most. Earlier calls are not judged by tool."""


@dataclass(slots=True)
class Tools:
    """Failed calls by tool, their evidence averaged with equal parts.

    Who has a column is settled once, by calls alone and before any call that is judged: parts that change with the data
    would not average to an e-value. Tools that appear later share the column of the rest. The dispersion is that of all
    tool calls.
    """

    claim: Claim
    clusters: Clusters = field(default_factory=Clusters)
    roster: tuple[str, ...] | None = None
    _calls: Counter[str] = field(default_factory=Counter)

    def fold(self, window: TrialWindow) -> Rows:
        """See :class:`Family`."""
        for cohort in COHORTS:
            self.clusters.add(cohort, window.buckets(cohort)[:, 2:4])
        rows = self.peek(window)
        if self.roster is None:
            self._settle(window)
        return rows

    def peek(self, window: TrialWindow) -> Rows:
        """See :class:`Family`."""
        if self.roster is None:
            return {}
        return {
            (stratum.stage, stratum.kind, 0): np.hstack((self._count(pair.canary), self._count(pair.baseline)))
            for stratum, pair in window.strata.items()
        }

    def spread(self, still_open: Sequence[TrialWindow] = ()) -> Spread:
        """See :class:`Family`."""
        clusters = self.clusters.copy()
        for window in still_open:
            for cohort in COHORTS:
                clusters.add(cohort, window.buckets(cohort)[:, 2:4])
        found, own = clusters.dispersion(), len(self.roster or ())
        parts = tuple(1 / (own + 1) if i < own or i == MOST else 0.0 for i in range(COLUMNS))
        return Spread(found.pooled, found.widespread, parts)

    def teller(self) -> Teller:
        """See :class:`Family`. The culprits' own names; the rest is called :data:`schemas.windows.OTHER`."""
        return partial(_figures, (*(self.roster or ()), OTHER))

    def _settle(self, window: TrialWindow) -> None:
        for cohort in COHORTS:
            for cell in window.cells(cohort):
                self._calls.update({tool: count.n for tool, count in cell.tools.items()})
        if self._calls.total() < ROSTER_CALLS:
            return
        named = sorted((t for t in self._calls if t != OTHER), key=lambda tool: (-self._calls[tool], tool))
        self.roster = tuple(named[:MOST])

    def _count(self, cohort: CohortCells) -> Whole:
        """Shape (columns, 2)."""
        columns = {tool: i for i, tool in enumerate(self.roster or ())}
        table = [[0, 0] for _ in range(COLUMNS)]
        for cell in cohort.cells:
            for tool, count in cell.tools.items():
                row = table[columns.get(tool, MOST)]
                row[0] += count.n
                row[1] += count.bad
        return np.array(table, np.int64)


def _figures(names: tuple[str, ...], totals: Totals, log_e: Sequence[float]) -> Figures:
    figures = rate_figures(totals)
    if not log_e:
        return figures
    of_members = [*log_e[: len(names) - 1], log_e[-1]]
    return Figures(figures.baseline, figures.canary, culprits=tuple(names[i] for i in e_bh(of_members)))
