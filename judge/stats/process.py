"""The evidence of one rate check over a rollout, folded window by window."""

from dataclasses import dataclass, replace
from typing import Self

from judge.stats.dispersion import Dispersion
from judge.stats.evidence import BETS_ABOVE, BETS_BELOW, Counts, LogWealth, log_wealth
from judge.stats.mixture import RestartMixture
from judge.stats.restarts import Restart
from judge.stats.within import log_e_within


@dataclass(frozen=True, slots=True, eq=False)
class RateProcess:
    """A value: every verb returns a new one, so adding open windows to look ahead leaves the final ones as they were.

    Fold in time order: windows that end at a restart or before, then the restart, then what follows. Before the first
    restart nothing is at stake and the evidence stays 0.
    """

    ratio: float
    """r of ``p_C <= r p_B + margin``."""
    above: LogWealth
    """Of the bets that the canary is worse, since the rollout began."""
    restarts: RestartMixture
    below: LogWealth
    """Of the bets that it is better than a margin, since the stage began."""

    @classmethod
    def empty(cls, ratio: float = 1.0) -> Self:
        """No data, no restart."""
        above, below = len(BETS_ABOVE), len(BETS_BELOW)
        return cls(ratio, LogWealth.none(above), RestartMixture.cash(above), LogWealth.none(below))

    def add(self, canary: Counts, baseline: Counts) -> "RateProcess":
        """Fold strata in: shapes (rows, 2), row by row the same window, stage of birth and kind."""
        above = log_wealth(canary, baseline, BETS_ABOVE, self.ratio)
        below = log_wealth(canary, baseline, BETS_BELOW, self.ratio)
        return replace(self, above=self.above + above, below=self.below + below)

    def restart(self, restart: Restart) -> "RateProcess":
        """Stake `restart`'s weight from here on; with a stage its proof starts afresh too."""
        below = LogWealth.none(len(BETS_BELOW)) if restart.opens_stage else self.below
        return replace(self, restarts=self.restarts.restart(self.above, restart.weight), below=below)

    def log_e_breach(self, margin: float, spread: Dispersion) -> float:
        """ln E against ``p_C <= r p_B + margin``; `spread` over the same windows."""
        return self.restarts.log_e(self.above, margin, spread)

    def log_e_within(self, margin: float, spread: Dispersion) -> float:
        """ln E against ``p_C >= r p_B + margin``, from this stage alone; `spread` over all windows."""
        return log_e_within(self.below, margin, spread)
