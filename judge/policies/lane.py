"""Checks that are fed by one stream of windows: counted, folded and read together, as arrays."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Generic

import numpy as np

from judge.policies.ahead import Ahead, Strata
from judge.policies.families.port import Family, RowKey, Rows, Spread, W, Whole
from judge.policies.port import StageTimes
from judge.policies.track import ENTER_SUSPICION, WARM_UP_MS, Boundary, SpreadOfChecks, Standing, Track
from judge.stats.bounds import lower_bounds, upper_bounds
from judge.stats.e_bh import FALSE_DISCOVERY_RATE
from judge.stats.evidence import Floats
from judge.stats.lines import Lines
from judge.stats.process import Layout
from judge.stats.restarts import RestartSchedule
from judge.stats.within import NEEDED_LOG_E


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of each check at a look, shape (checks,)."""

    needed: Floats
    """ln E of a breach by this check alone."""
    gate_margins: Floats
    """What this stage's gate must prove; of a check that proves nothing, its own margin."""


@dataclass(frozen=True, eq=False)
class Against:
    """What speaks against the canary at a look, check by check."""

    spread: SpreadOfChecks
    log_e: Floats
    """ln E at each check's margin, shape (checks,)."""
    unbelieved: Floats
    """The same, as if enough sessions bore it."""
    totals: Whole
    """Shape (checks, 4): since `since_ms`, or over the rollout."""
    since_ms: tuple[int | None, ...]
    """The restart on which most of the evidence rests; None while there is little of it."""
    members: tuple[tuple[float, ...], ...]
    """ln E of each member of a check of many; empty for the others, and while no member could be named."""
    bound: Callable[[], Floats]

    @cached_property
    def lows(self) -> Floats:
        """Differences that are ruled out below; NaN: none is. Of checks of many members while there is little evidence, too."""
        return self.bound()


@dataclass(frozen=True, eq=False)
class For:
    """What final windows of this stage say for the canary; NaN for checks of many members."""

    spread: SpreadOfChecks
    log_e: Floats
    """ln E for each gate margin."""
    totals: Whole
    """Shape (checks, 4), since the stage's proof began."""
    suspicious: bool
    bound: Callable[[], Floats]

    @cached_property
    def highs(self) -> Floats:
        """Differences that are ruled out above; NaN: none is."""
        return self.bound()


@dataclass(frozen=True, slots=True)
class Lane(Generic[W]):
    """The families of a plan, or some of them, and their evidence. Windows are added, and looked at in between."""

    families: tuple[Family[W], ...]
    schedule: RestartSchedule
    track: Track
    scale: Floats
    """Shape (checks,): no difference is larger."""
    ahead: Ahead[W]
    _final: dict[tuple[int, StageTimes], tuple[Standing, For]] = field(default_factory=dict)
    _closed: dict[tuple[int, StageTimes], Against] = field(default_factory=dict)
    """The newest look's, without open windows: what these change is little."""
    _afresh: list[tuple[Standing, float, Standing, Against]] = field(default_factory=list)
    """One at most: the newest look's, where something starts afresh between final windows and open ones."""
    _waiting: dict[str, Spread] = field(default_factory=dict)
    """Of checks that wait for final windows, over these."""
    _boundaries: dict[StageTimes, tuple[Boundary, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        families: Sequence[Family[W]],
        schedule: RestartSchedule,
        warm_up_ms: float = WARM_UP_MS,
        bets: Floats | None = None,
    ) -> "Lane[W]":
        """Without data. `bets`: see :class:`judge.policies.revisions.Constants`."""
        claims = [family.claim for family in families]
        layout = Layout.of(*((claim.columns, claim.ratio, claim.unit) for claim in claims))
        margins, decides = np.array([(c.margin, c.decides) for c in claims], np.float64).reshape(-1, 2).T
        scale = np.array([claim.scale * max(1.0, claim.ratio) for claim in claims])
        track, ahead = (
            Track(layout, margins, decides.astype(bool), warm_up_ms, bets),
            Ahead.of(families, layout, margins),
        )
        return cls(tuple(families), schedule, track, scale, ahead)

    def add(self, window: W) -> None:
        """The next final window."""
        rows = self._together([family.fold(window) for family in self.families])
        self.track.append(window.start_ms, window.end_ms, rows, self._spread_with())
        for starts in self._boundaries.values():  # as the newest look knew them: the next one seldom knows better
            self.track.standing(starts)

    def look(self, still_open: Sequence[W], times: StageTimes, asked: Asked) -> tuple[Against, For]:
        """Open windows speak against the canary and never for it. Changes nothing that a later look could see."""
        key = self.track.windows, times
        if key not in self._final:
            self._final.clear()
            standing = self.track.standing(self._starts(times))
            self._final[key] = standing, self._for(standing, times, asked)
        standing, proof = self._final[key]
        if key not in self._closed:
            self._closed.clear()
            self._closed[key] = self._against(standing, self._spread(), asked)
        closed = self._closed[key]
        return self._beyond(standing, closed, still_open, times, asked) if still_open else closed, proof

    def _starts(self, times: StageTimes) -> tuple[Boundary, ...]:
        if times not in self._boundaries:
            self._boundaries.clear()
            self._boundaries[times] = Boundary.all(self.schedule, times)
        return self._boundaries[times]

    def _spread(self) -> SpreadOfChecks:
        return self._spread_with() if self.track.spread is None else self.track.spread

    def _spread_with(self, still_open: Sequence[W] = ()) -> SpreadOfChecks:
        known = self._waiting if still_open else {}
        spreads = [known.get(f.claim.check) or f.spread(still_open) for f in self.families]
        if not still_open:
            self._waiting.update(
                {f.claim.check: s for f, s in zip(self.families, spreads, strict=True) if f.claim.waits}
            )
        return SpreadOfChecks.of(spreads, [family.claim.columns for family in self.families])

    def _together(self, parts: Sequence[Rows]) -> Rows:
        """Each family's columns beside those of the others."""
        layout, rows = self.track.layout, dict[RowKey, Whole]()
        for first, part in zip(layout.first.tolist(), parts, strict=True):
            for key, row in part.items():
                whole = rows.setdefault(key, np.zeros((len(layout.ratio), 4), np.int64))
                whole[first : first + len(row)] = row
        return rows

    def _for(self, standing: Standing, times: StageTimes, asked: Asked) -> For:
        """A stage that was begun since the newest window has nothing yet."""
        now_ms = max(self.track.end_ms, times.proof_ms or 0.0, *times.started_ms) if times.started_ms else 0.0
        begun = standing.meet(self._starts(times), math.nextafter(now_ms, math.inf))
        layout, spread = self.track.layout, self._spread()
        log_e, highs = np.full((2, len(layout.first)), np.nan)
        totals = layout.per_check(begun.counts - begun.counts_before_proof)
        if times.proof_ms is None:  # the stage is begun anew, and not every proxy has acknowledged that
            return For(spread, np.zeros_like(log_e), totals, standing.suspicious, highs.copy)
        lines, margins = begun.processes.within(layout.single, spread.proof), asked.gate_margins
        log_e[layout.single] = lines.at(margins[layout.single])
        return For(spread, log_e, totals, standing.suspicious, partial(self._highs, lines, log_e, margins))

    def _highs(self, lines: Lines, log_e: Floats, margins: Floats) -> Floats:
        single, highs = self.track.layout.single, np.full(len(log_e), np.nan)
        needed = np.full(len(single), NEEDED_LOG_E)
        highs[single] = upper_bounds(lines, needed, margins[single], self.scale[single], log_e[single])
        return highs

    def _against(self, standing: Standing, spread: SpreadOfChecks, asked: Asked) -> Against:
        lines, unbelieved = self.track.against(standing, spread)
        log_e = spread.believable(unbelieved)
        totals, since = _totals(self.track.margins, standing, log_e, spread.pooled)
        members = self._members(standing, spread, log_e)
        bound = partial(self._lows, lambda: lines, spread, unbelieved, asked)
        return Against(spread, log_e, unbelieved, totals, since, members, bound)

    def _beyond(
        self, final: Standing, closed: Against, still_open: Sequence[W], times: StageTimes, asked: Asked
    ) -> Against:
        """With open windows: of the checks that do not wait, unless that is not enough."""
        starts, strata = self._starts(times), [self._strata(window) for window in still_open]
        with_open = partial(_with, final, [w.end_ms for w in still_open], strata, starts)
        if self.track.spread is None:
            return self._against(with_open(), self._spread_with(still_open), asked)
        spread, mine = self.ahead.spread(still_open, closed.spread), self.ahead.checks
        begun, closed = self._begun(final, closed, starts, still_open[0].end_ms, asked)
        if begun.meet(starts, still_open[-1].end_ms) is not begun:  # something starts afresh between them
            return self._against(with_open(), spread, asked)
        standing, unbelieved = self.ahead.standing(begun, strata), closed.unbelieved.copy()
        unbelieved[mine] = self.ahead.log_e(standing, spread)
        log_e = spread.believable(unbelieved)
        if self._names_members(log_e):
            return self._against(with_open(), spread, asked)
        totals, since_ms = closed.totals.copy(), [*closed.since_ms]
        totals[mine], since = _totals(self.ahead.margins, standing, log_e[mine], spread.pooled[mine])
        for check, at_ms in zip(mine.tolist(), since, strict=True):
            since_ms[check] = at_ms
        bound = partial(self._lows, lambda: self.track.against(with_open(), spread)[0], spread, unbelieved, asked)
        return Against(spread, log_e, unbelieved, totals, tuple(since_ms), _nobody(log_e), bound)

    def _begun(
        self, final: Standing, closed: Against, starts: Sequence[Boundary], before_ms: float, asked: Asked
    ) -> tuple[Standing, Against]:
        """What starts afresh between the newest final window and the first open one, and what is said then."""
        if len(final.met) == len(starts) or starts[len(final.met)].at_ms >= before_ms:
            return final, closed
        if not self._afresh or self._afresh[0][0] is not final or self._afresh[0][1] != before_ms:
            begun = final.meet(starts, before_ms)
            self._afresh[:] = [(final, before_ms, begun, self._against(begun, closed.spread, asked))]
        return self._afresh[0][2:]

    def _strata(self, window: W) -> Strata:
        rows = self._together([{} if f.claim.waits else f.peek(window) for f in self.families])
        return window.start_ms, *self.track.stack(rows)

    def _lows(self, lines: Callable[[], Lines], spread: SpreadOfChecks, unbelieved: Floats, asked: Asked) -> Floats:
        """Many members make many terms: their bound is looked for once it may matter."""
        lows = np.full(len(unbelieved), np.nan)
        worth = spread.believed & (~self.track.layout.of_many | (unbelieved >= ENTER_SUSPICION))
        checks = np.nonzero(worth)[0]
        if len(checks):
            margins, scale = self.track.margins[checks], self.scale[checks]
            lows[checks] = lower_bounds(lines().of(checks), asked.needed[checks], margins, scale, unbelieved[checks])
        return lows

    def _members(
        self, standing: Standing, spread: SpreadOfChecks, log_e_of_checks: Floats
    ) -> tuple[tuple[float, ...], ...]:
        """e-BH names nobody at an average below one over its rate."""
        layout = self.track.layout
        if not self._names_members(log_e_of_checks):
            return _nobody(log_e_of_checks)
        log_e = standing.processes.alone().against(spread.pooled[layout.owner]).at(self.track.margins[layout.owner])
        believed = np.where(spread.believed[layout.owner], log_e, np.minimum(log_e, 0.0))
        parts = np.split(believed, layout.first[1:])
        return tuple(tuple(part.tolist()) if len(part) > 1 else () for part in parts)

    def _names_members(self, log_e: Floats) -> bool:
        return bool((log_e[self.track.layout.of_many] >= -math.log(FALSE_DISCOVERY_RATE)).any())


def _nobody(log_e: Floats) -> tuple[tuple[float, ...], ...]:
    return ((),) * len(log_e)


def _with(
    final: Standing, ends_ms: Sequence[float], still_open: Sequence[Strata], starts: Sequence[Boundary]
) -> Standing:
    standing = final
    for end_ms, strata in zip(ends_ms, still_open, strict=True):
        standing = standing.meet(starts, end_ms).add(*strata)
    return standing


def _totals(margins: Floats, standing: Standing, log_e: Floats, pooled: Floats) -> tuple[Whole, tuple[int | None, ...]]:
    """Of each check: since its strongest restart if that one speaks against the canary, else over the rollout."""
    layout, since_ms = standing.processes.layout, [None] * len(log_e)
    totals = layout.per_check(standing.counts)
    speak = np.nonzero(log_e >= ENTER_SUSPICION)[0].tolist()
    if speak:
        strongest = standing.processes.strongest(margins, pooled)
        for check in speak:
            since = standing.since[strongest[check]]
            totals[check] -= layout.per_check(since.counts)[check]
            since_ms[check] = round(since.at_ms)
    return totals, tuple(since_ms)
