"""Session loss: sessions that fall silent make no errors, so rates are blind to them."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from judge.policies.families.port import Claim, RowKey, Rows, Spread, Teller, Whole
from judge.policies.families.rates import rate_figures
from judge.trial import COHORTS, Stratum, TrialWindow
from schemas.checks import SessionLoss
from schemas.windows import SESSION_AGES_S, Cell

MIN_LOST = 3
"""Fewer lost canary sessions are never a breach."""

Births = dict[int, Whole]
"""By window of birth: shape (cohorts, ages, 2), sessions that reached each age in time, and those that ended before the
next."""


@dataclass(slots=True)
class Losses:
    """The share of sessions at one age that are not heard again at the next, band by band, averaged with equal parts.

    A band is settled `idle` after its later age, window of birth by window of birth: sessions of one age at one time are
    compared, and each is lost once at most, so they are independent and the dispersion is 1.

    Who ends a session says so only where servers tell it (`tells_ends`): then it is neither lost nor at risk in the band
    in which it ended (censored, as in ter Schure et al. 2024). While any session of either cohort has a server that does not
    tell, silence counts as loss in both: a newer SDK in one of them must not look like a loss in the other. That rests on
    what servers said of sessions when they began, never on how these ended.
    """

    claim: Claim
    plan: SessionLoss
    lost: int = 0
    """Canary sessions."""
    _ages: tuple[int, ...] = field(init=False)
    """Where the plan's ages stand among those that are counted."""
    _born: dict[Stratum, Births] = field(default_factory=dict)
    _untold: dict[Stratum, Whole] = field(default_factory=dict)
    """Shape (cohorts, 2): new sessions, and those whose end nobody will tell."""
    _settled: int | None = None
    """Index of the newest window that was folded."""

    def __post_init__(self) -> None:
        """Without data."""
        self._ages = tuple(SESSION_AGES_S.index(age) for age in self.plan.ages_s)

    def fold(self, window: TrialWindow) -> Rows:
        """See :class:`Family`."""
        now, due = window.start_ms // window.window_ms, self._due(window.window_ms)
        for stratum, pair in window.strata.items():
            births = self._born.setdefault(stratum, {})
            untold = self._untold.setdefault(stratum, np.zeros((len(COHORTS), 2), np.int64))
            for number, cohort in enumerate(COHORTS):
                for cell in pair[cohort].cells:
                    untold[number] += cell.new_sessions, cell.new_sessions - cell.told_sessions
                    self._hear(births, number, cell, now, due)
        before, self._settled = self._settled if self._settled is not None else now - 1, now
        return dict(row for stratum in sorted(self._born) for row in self._settle(stratum, before, now, due))

    def peek(self, window: TrialWindow) -> Rows:
        """See :class:`Family`. Only time tells who was lost."""
        return {}

    def spread(self, still_open: Sequence[TrialWindow] = ()) -> Spread:
        """See :class:`Family`."""
        return Spread(1.0, self.lost >= MIN_LOST)

    def teller(self) -> Teller:
        """See :class:`Family`."""
        return rate_figures

    def _due(self, window_ms: int) -> list[int]:
        """Windows after its birth by which a session must have been heard at each age."""
        return [math.ceil(1000 * (age + self.plan.idle_s) / window_ms) for age in self.plan.ages_s]

    def _hear(self, births: Births, cohort: int, cell: Cell, now: int, due: list[int]) -> None:
        for since, reached in cell.lives.items():
            for place, age in enumerate(self._ages):
                if age in reached and since <= due[place]:
                    self._of_birth(births, now - since)[cohort, place, 0] += reached[age]
        for since, ended in cell.ends.items():
            for age, n in ended.items():
                place = bisect_right(self._ages, age) - 1
                if 0 <= place < len(due) - 1 and since <= due[place + 1]:  # beyond the last age nobody is at risk
                    self._of_birth(births, now - since)[cohort, place, 1] += n

    def _of_birth(self, births: Births, birth: int) -> Whole:
        return births.setdefault(birth, np.zeros((len(COHORTS), len(self._ages), 2), np.int64))

    def _settle(self, stratum: Stratum, before: int, now: int, due: list[int]) -> Iterator[tuple[RowKey, Whole]]:
        """The bands of each birth whose time is up since the window before, one row a birth and band at most."""
        births, bands, told = self._born[stratum], len(due) - 1, self._tells_ends(stratum)
        rows: list[Whole] = []
        for band in range(bands):
            late = due[band + 1]
            settled = [b for b in range(before - late + 1, now - late + 1) if b in births]
            for row, birth in enumerate(settled):
                if row == len(rows):
                    rows.append(np.zeros((bands, 4), np.int64))
                rows[row][band] = self._lost(births[birth], band, told=told)
        for birth in range(before - due[-1] + 1, now - due[-1] + 1):
            births.pop(birth, None)
        self.lost += sum(int(row[:, 1].sum()) for row in rows)
        return (((stratum.stage, stratum.kind, i), row) for i, row in enumerate(rows))

    def _tells_ends(self, stratum: Stratum) -> bool:
        new, untold = self._untold[stratum].T
        return bool(new.all()) and not untold.any()

    def _lost(self, heard: Whole, band: int, *, told: bool) -> tuple[int, int, int, int]:
        """At risk and lost, of the canary and of the baseline."""
        at_risk = heard[:, band, 0] - heard[:, band, 1] * told
        (baseline, b_lost), (canary, c_lost) = np.maximum(
            np.stack((at_risk, at_risk - heard[:, band + 1, 0]), axis=1), 0
        ).tolist()
        return canary, c_lost, baseline, b_lost
