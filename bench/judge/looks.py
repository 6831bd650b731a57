"""davylamp's policy as its judge looks: each second, at windows that still fill, too. For experiments."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from bench.judge.rivals import CALM_EVERY_S, EAGER_S, Verdict
from bench.judge.traffic import CELLS, SHARES, TOOL_MIX, Ints, Stream
from bench.judge.windows import TRIAL, Rollout, outcomes_of, times_at
from judge.policies.sequential import Sequential
from judge.stats.dispersion import MIN_BUCKETS
from judge.trial import CohortCells, Pair, Stratum, TrialWindow
from schemas.windows import BUCKETS, Cell, ToolCount

LOOK_S = 1.0


@dataclass(frozen=True, eq=False)
class Filling:
    """What a window holds while it fills, second by second: of the checks that do not wait for its end."""

    seconds: Stream
    """The same traffic, in windows of one second."""

    def upto(self, start_s: int, end_s: int, window_s: int) -> TrialWindow | None:
        """The window that began at `start_s`, as it is at `end_s`; None without a request."""
        strata = {}
        for stage in range(len(SHARES)):
            pair = [self._cohort(start_s, end_s, 2 * stage + cohort) for cohort in (0, 1)]
            if any(cohort.cells for cohort in pair):
                strata[Stratum(stage + 1, "session")] = Pair(*pair)
        return TrialWindow(1000 * (start_s + window_s), 1000 * window_s, strata) if strata else None

    @cached_property
    def _tools(self) -> Ints:
        """Shape (seconds, cells, tools, 2)."""
        keys, counts = self.seconds.tools
        size = self.seconds.cuts.windows * CELLS * len(TOOL_MIX) * 2
        found = np.bincount(keys, counts, size).astype(np.int64)
        return found.reshape(-1, CELLS, len(TOOL_MIX), 2)

    def _cohort(self, start_s: int, end_s: int, cell: int) -> CohortCells:
        rows = self.seconds.table[start_s:end_s, cell].sum(axis=0)
        sums = rows.sum(axis=0).tolist()
        if not sums[0]:
            return CohortCells((), np.zeros((BUCKETS, 5), np.int64))
        tools = enumerate(self._tools[start_s:end_s, cell].sum(axis=0).tolist())
        made = Cell.model_construct(
            version="v2" if cell % 2 else "v1",
            outcomes=outcomes_of(sums),
            tool_calls=sums[2],
            new_sessions=int(self.seconds.births[start_s:end_s, cell].sum()),
            tools={f"tool{i}": ToolCount.model_construct(n=ok + bad, bad=bad) for i, (ok, bad) in tools if ok + bad},
        )
        return CohortCells((made,), np.concatenate((rows[:, :4], rows[:, :1]), axis=1))


def third_session(filling: Filling, what: Literal["begun", "failed"]) -> Verdict:
    """Nobody who believes no fewer sessions can be sooner. Those of one bucket pass for one that failed."""
    if what == "begun":
        many = filling.seconds.births[:, 1::2].sum(axis=1).cumsum()
    else:
        errors = filling.seconds.table[:, 1::2, :, 1].sum(axis=1)
        many = (errors.cumsum(axis=0) > 0).sum(axis=1)
    return Verdict("rolled_back", float(np.searchsorted(many, MIN_BUCKETS) + 1))


def ours_filling(rollout: Rollout, filling: Filling, late_s: float = 0.0) -> Verdict:
    """Like :func:`bench.judge.rivals.ours`, with a look each second. Windows are final `late_s` after their end."""
    comparison, finals = Sequential().begin(TRIAL), iter(rollout.windows)
    horizon_s, window_s = round(rollout.stream.cuts.horizon_s), rollout.window_ms // 1000
    coming = next(finals, None)
    next_s, within = 0.0, False
    for at_s in range(1, horizon_s + 1):
        while coming is not None and coming.end_ms / 1000 + late_s <= at_s:
            comparison.add(coming)
            coming = next(finals, None)
        if at_s < next_s and at_s < horizon_s:
            continue
        found = comparison.assess(tuple(_open(filling, at_s, window_s, late_s)), times_at(at_s))
        if found.breached_by is not None:
            return Verdict("rolled_back", at_s)
        within = found.within
        next_s = at_s + (LOOK_S if found.suspicious or at_s < EAGER_S else CALM_EVERY_S)
    return Verdict("proceeded" if within else "held")


def _open(filling: Filling, at_s: int, window_s: int, late_s: float) -> Iterator[TrialWindow]:
    """Windows that have begun and are not final yet."""
    final_s = int((at_s - late_s) // window_s) * window_s
    for start_s in range(max(final_s, 0), at_s, window_s):
        window = filling.upto(start_s, min(start_s + window_s, at_s), window_s)
        if window is not None:
            yield window
