"""A stream as policies read it: windows of a trial for the port, and values over time for judges of those. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bench.judge.traffic import (
    CELLS,
    COLUMNS,
    FLOOR_BIN,
    SHARES,
    STARTS_S,
    TOOL_MIX,
    Ints,
    Stream,
)
from davylamp_sdk._event import Outcome
from judge.policies.cohort_series import CohortSeries, Slot, Tally, total_of
from judge.policies.port import StageTimes
from judge.stats.histogram import BINS
from judge.trial import CohortCells, Pair, Stratum, Trial, TrialWindow
from schemas.decisions import Opening
from schemas.plan import Plan
from schemas.service import Service
from schemas.windows import BUCKETS, COARSE_PER_FINE, SESSION_AGES_S, Bucket, Cell, ToolCount

MINUTE_MS = 60_000
_COARSE = BINS // COARSE_PER_FINE

PLAN = Plan.model_validate({"service": "bench", "canary": "v2", "checks": {"availability": "off"}})
"""The default plan; nobody simulates proxies."""
_SERVICE = Service.model_validate(
    {"service": "bench", "baseline": "v1", "versions": {v: {"endpoints": ["127.0.0.1:1"]} for v in ("v1", "v2")}}
)


def trial_of(plan: Plan) -> Trial:
    """Of the simulated service."""
    return Trial.of(Opening(plan=plan, service=_SERVICE, seed="0" * 32), 1, "v1")


TRIAL = trial_of(PLAN)


def times_at(at_s: float) -> StageTimes:
    """Stages as planned."""
    started = tuple(int(1000 * start) for start in STARTS_S if start < at_s)
    return StageTimes(len(started), started, started[-1])


@dataclass(frozen=True, eq=False)
class Rollout:
    """A stream, in every form that some policy wants; each is made once."""

    stream: Stream
    _ends: dict[str, Ints] = field(default_factory=dict)

    @property
    def many(self) -> int:
        """Windows."""
        return self.stream.cuts.windows

    @property
    def window_ms(self) -> int:
        """Of one."""
        return round(1000 * self.stream.cuts.window_s)

    @cached_property
    def windows(self) -> tuple[TrialWindow, ...]:
        """In order of time; such without a request are left out, as everywhere."""
        return tuple(self.windows_from(0))

    def windows_from(self, first: int) -> Iterator[TrialWindow]:
        """The same, from that number on, made as they are taken."""
        for number in range(first, self.many):
            strata = {}
            for stage in range(len(SHARES)):
                cells = [number * CELLS + 2 * stage + cohort for cohort in (0, 1)]
                pair = [self._cohort(cell) for cell in cells]
                if any(cohort.cells for cohort in pair):
                    strata[Stratum(stage + 1, "session")] = Pair(*pair)
            if strata:
                yield TrialWindow((number + 1) * self.window_ms, self.window_ms, strata)

    @cached_property
    def series(self) -> CohortSeries:
        """A value each window."""
        slots = []
        for number in range(self.many):
            sides = [
                total_of(self._tally(number * CELLS + 2 * stage + cohort) for stage in range(len(SHARES)))
                for cohort in (0, 1)
            ]
            slots.append(Slot((number + 1) * self.window_ms, *sides))
        return CohortSeries(tuple(slots), self.window_ms)

    @cached_property
    def by_minute(self) -> CohortSeries:
        """A value each minute."""
        return self.series.coarser(MINUTE_MS)

    @cached_property
    def counts(self) -> Ints:
        """Shape (windows, 2, 5): requests, errors, tool calls, failed ones … of baseline and canary."""
        found: Ints = self.stream.table.sum(axis=2).reshape(self.many, len(SHARES), 2, COLUMNS).sum(axis=1)
        return found

    @cached_property
    def histograms(self) -> Ints:
        """Shape (windows, 2, BINS)."""
        found = np.zeros((self.many, 2, BINS), np.int64)
        keys, counts = self.stream.latency
        cell, bin_ = np.divmod(keys, BINS)
        np.add.at(found, (cell // CELLS, cell % 2, bin_), counts)
        return found

    @cached_property
    def sums(self) -> tuple[Ints, Ints]:
        """Counts and histograms, each window's with all before it."""
        return self.counts.cumsum(axis=0), self.histograms.cumsum(axis=0)

    def _cohort(self, cell: int) -> CohortCells:
        rows = self.stream.table.reshape(-1, BUCKETS, COLUMNS)[cell]
        if not rows[:, 0].any():
            return CohortCells((), np.zeros((BUCKETS, 5), np.int64))
        sums = rows.sum(axis=0).tolist()
        made = Cell.model_construct(
            version="v2" if cell % 2 else "v1",
            outcomes=outcomes_of(sums),
            tool_calls=sums[2],
            new_sessions=int(self.stream.births.ravel()[cell]),
            buckets={0: Bucket.model_construct(n=sums[0], err=sums[1], tools=sums[2], tf=sums[3], lat=sums[0])},
            histogram=self._latency(cell),
            bucket_histograms=self._bucket_latency(cell),
            bucket_floor=FLOOR_BIN,
            tools=self._tools(cell),
            lives=self._lives(cell),
        )
        return CohortCells((made,), np.concatenate((rows[:, :4], rows[:, :1]), axis=1))

    def _tally(self, cell: int) -> Tally:
        sums = self.stream.table.reshape(-1, BUCKETS, COLUMNS)[cell].sum(axis=0).tolist()
        if not sums[0]:
            return Tally()
        births = int(self.stream.births.ravel()[cell])
        return Tally(outcomes_of(sums), sums[2], sums[3], births, self._latency(cell))

    def _latency(self, cell: int) -> dict[int, int]:
        keys, counts = self._part("latency", cell, BINS)
        return dict(zip(keys.tolist(), counts.tolist(), strict=True))

    def _bucket_latency(self, cell: int) -> dict[int, dict[int, int]]:
        found: dict[int, dict[int, int]] = {}
        keys, counts = self._part("bucket_latency", cell, BUCKETS * _COARSE)
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            found.setdefault(key // _COARSE, {})[key % _COARSE] = count
        return found

    def _tools(self, cell: int) -> dict[str, ToolCount]:
        table = np.zeros(2 * len(TOOL_MIX), np.int64)
        keys, counts = self._part("tools", cell, 2 * len(TOOL_MIX))
        table[keys] = counts
        rows = table.reshape(-1, 2).tolist()
        return {
            f"tool{i}": ToolCount.model_construct(n=ok + bad, bad=bad) for i, (ok, bad) in enumerate(rows) if ok + bad
        }

    def _lives(self, cell: int) -> dict[int, dict[int, int]]:
        found: dict[int, dict[int, int]] = {}
        ages = len(SESSION_AGES_S)
        keys, counts = self._part("lives", cell, self.many * ages)
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
            found.setdefault(key // ages, {})[key % ages] = count
        return found

    def _part(self, name: str, cell: int, width: int) -> tuple[Ints, Ints]:
        keys, counts = getattr(self.stream, name)
        if name not in self._ends:
            self._ends[name] = np.searchsorted(keys, np.arange(self.many * CELLS + 1) * width)
        first, last = self._ends[name][cell : cell + 2].tolist()
        return keys[first:last] - cell * width, counts[first:last]


def outcomes_of(sums: list[int]) -> dict[Outcome, int]:
    """From a table's columns."""
    requests, errors, _, _, tool_errors = sums
    found: dict[Outcome, int] = {
        "ok": requests - errors - tool_errors,
        "server_error": errors,
        "tool_error": tool_errors,
    }
    return {outcome: n for outcome, n in found.items() if n}
