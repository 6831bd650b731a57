"""The evidence of a plan's rate checks over a rollout, side by side, folded window by window."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from judge.stats.evidence import BETS_ABOVE, BETS_BELOW, Counts, Floats, LogWealth, log_wealth
from judge.stats.lines import Indices, Lines
from judge.stats.mixture import RestartMixture
from judge.stats.restarts import Restart

_BETS = np.concatenate((BETS_ABOVE, BETS_BELOW))
_ABOVE = len(BETS_ABOVE)
_NO_PART = 1e-300


@dataclass(frozen=True, eq=False)
class Layout:
    """Which columns make a check: most have one, a check of many members (tools, ages) one each."""

    ratio: Floats
    """Shape (columns,): r of ``p_C <= r p_B + margin``."""
    unit: Floats
    """Shape (columns,): what one counted bad is worth; 1 but for sums that are counted in small parts."""
    first: Indices
    """Shape (checks,), ascending: where each check's columns begin."""

    @classmethod
    def of(cls, *checks: tuple[int, float, float]) -> "Layout":
        """Of checks as (columns, ratio, unit)."""
        sizes = np.array([columns for columns, _, _ in checks], np.intp)
        ratios, units = np.array([(ratio, unit) for _, ratio, unit in checks], np.float64).reshape(-1, 2).T
        return cls(np.repeat(ratios, sizes), np.repeat(units, sizes), np.cumsum(sizes) - sizes)

    @cached_property
    def members(self) -> Indices:
        """Shape (checks,): how many columns each has."""
        return np.diff(np.append(self.first, len(self.ratio)))

    @cached_property
    def of_many(self) -> NDArray[np.bool_]:
        """Shape (checks,): which have more than one."""
        return self.members > 1

    @cached_property
    def single(self) -> Indices:
        """The checks that have one."""
        return np.nonzero(~self.of_many)[0]

    @cached_property
    def owner(self) -> Indices:
        """Shape (columns,): the check of each."""
        return np.repeat(np.arange(len(self.first)), self.members)

    def per_check(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """What the members of each check counted together: shape (columns, n) to (checks, n)."""
        found: NDArray[np.int64] = np.add.reduceat(counts, self.first)
        return found

    @cached_property
    def scale(self) -> Floats:
        """Shape (columns, 2): what turns counted and bad into the numbers that bets are on."""
        return np.stack((np.ones_like(self.unit), self.unit), axis=-1)

    @cached_property
    def log_equal_parts(self) -> Floats:
        """Shape (columns,): each member's part of its check, where they are equal."""
        found: Floats = np.log(1 / self.members[self.owner])
        return found

    @cached_property
    def alone(self) -> "Layout":
        """The same columns, each as a check by itself."""
        return replace(self, first=np.arange(len(self.ratio)))


@dataclass(frozen=True, slots=True, eq=False)
class Processes:
    """A value: every verb returns a new one, so adding open windows to look ahead leaves the final ones as they were.

    Fold in time order: windows that end at a restart or before, then the restart, then what follows. Before the first
    restart nothing is at stake and the evidence stays 0.
    """

    layout: Layout
    above: LogWealth
    """Of the bets that the canary is worse, since the rollout began; shape (columns, J)."""
    restarts: RestartMixture
    below: LogWealth
    """Of the bets that it is better than a margin, since the stage began."""

    @classmethod
    def empty(cls, layout: Layout, bets: Floats | None = None) -> "Processes":
        """No data, no restart. `bets`: each one's part against the canary, summing to 1; equal ones without."""
        columns = len(layout.ratio)
        above, below = (columns, _ABOVE), (columns, len(BETS_BELOW))
        return cls(layout, LogWealth.none(*above), RestartMixture.none(*above, bets), LogWealth.none(*below))

    def add(self, canary: Counts, baseline: Counts) -> "Processes":
        """Fold strata in: shapes (rows, columns, 2), row by row the same window, stage of birth and kind."""
        scale = self.layout.scale
        won = log_wealth(canary * scale, baseline * scale, _BETS, self.layout.ratio)
        above, below = self.above + won.bets(0, _ABOVE), self.below + won.bets(_ABOVE)
        return Processes(self.layout, above, self.restarts, below)

    def look_ahead(self, canary: Counts, baseline: Counts) -> "Processes":
        """The same strata, but only what speaks against the canary: to the last bit what :meth:`add` makes of that."""
        scale = self.layout.scale
        won = log_wealth(canary * scale, baseline * scale, _BETS[:_ABOVE], self.layout.ratio)
        return Processes(self.layout, self.above + won, self.restarts, self.below)

    def restart(self, restart: Restart) -> "Processes":
        """Stake `restart`'s weight from here on; with a stage its proof starts afresh too."""
        below = LogWealth.none(*self.below.at_zero.shape) if restart.opens_stage else self.below
        restarts = self.restarts.restart(self.above, restart.weight) if restart.weight else self.restarts
        return replace(self, restarts=restarts, below=below)

    def of(self, columns: Indices, layout: Layout) -> "Processes":
        """Some of the columns, as the checks of `layout`."""
        return Processes(layout, self.above.of(columns), self.restarts.of(columns), self.below.of(columns))

    def alone(self) -> "Processes":
        """The same columns, each as a check by itself."""
        return replace(self, layout=self.layout.alone)

    def against(self, pooled: Floats, parts: Floats | None = None) -> Lines:
        """ln E against ``p_C <= r p_B + margin``, falling in the margin, tempered by `pooled`; both of shape (checks,).

        The members of a check are averaged, never added: one bad tool of ten is a bad tool. By `parts`, shape (columns,),
        which sum to 1 in each check; equal ones without.
        """
        layout = self.layout
        terms = self.restarts.terms(self.above, pooled[layout.owner])
        each = len(self.restarts.weights) * _ABOVE
        log_parts = layout.log_equal_parts if parts is None else np.log(np.maximum(parts, _NO_PART))
        at_zero = terms.at_zero + log_parts[:, np.newaxis, np.newaxis]
        return Lines(at_zero.ravel(), terms.slope.ravel(), layout.first * each, self.restarts.cash)

    def strongest(self, margin: Floats, pooled: Floats) -> Indices:
        """On which restart most of each check's evidence rests, shape (checks,), by number; 0 where none has begun."""
        layout = self.layout
        if not len(self.restarts.weights):
            return np.zeros(len(layout.first), np.intp)
        terms = self.restarts.terms(self.above, pooled[layout.owner])
        logs = terms.at_zero - margin[layout.owner][:, np.newaxis, np.newaxis] * terms.slope
        per_column = np.logaddexp.reduce(logs, axis=2)
        found: Indices = np.argmax(np.logaddexp.reduceat(per_column, layout.first, axis=0), axis=1)
        return found

    def within(self, checks: Indices, pooled: Floats) -> Lines:
        """ln E against ``p_C >= r p_B + margin``, rising in the margin, of `checks` that have one column each.

        From this stage alone, while `pooled`, of shape (checks,), is that of all windows.
        """
        columns = self.layout.first[checks]
        spread = pooled[checks][:, np.newaxis]
        each = len(BETS_BELOW)
        intercept = self.below.at_zero[columns] / spread - math.log(each)
        slope = self.below.slope[columns] / spread
        return Lines(intercept.ravel(), slope.ravel(), np.arange(len(checks)) * each, 0.0)
