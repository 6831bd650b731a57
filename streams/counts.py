"""The counts of one service in one window: which rows count where. Pure; columns in, whole numbers out.

Each kind of count is a :class:`Tally` whose keys are places in a table of the shape named here; the first axis is the
cell. Nothing is counted row by row.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from davylamp_sdk._event import Outcome
from schemas.outcomes import LATENCY_COUNTED, TOOL_BAD, TOOL_COUNTED
from schemas.windows import BUCKETS, COARSE_PER_FINE, MAX_MICRO, MICRO, OLDEST_BIRTH_S, SESSION_AGES_S
from streams.assignments import buckets_of
from streams.columns import ABSENT, OUTCOME_INDEX, OUTCOMES, Bools, Coded, Columns, Floats, Ints, Values
from streams.histogram import BINS, bin_index
from streams.tally import Tally

MAX_LABELS = 64
"""Pairs of (assigned version, label) a service in a window; events of further ones count under ``-``."""
MAX_VERSIONS = 64
"""Versions under ``-``; events of further ones count as ``_other``'s."""
MAX_TOOLS = 200
MAX_METRICS = 8

CELLS = MAX_LABELS + MAX_VERSIONS + 1
"""Labelled ones first, then versions under ``-``, then ``_other``."""
NO_BUCKET = 0
"""Bucket ``i`` is at ``i + 1`` on its axis: rows without a session are never judged and have none."""

REQUESTS = CELLS, BUCKETS + 1, 2, len(OUTCOMES)
"""Cell, bucket, is a tool call, outcome."""
LATENCY = CELLS, BINS
"""Cell, latency's bin; here and in the next only those that have one."""
COARSE_BINS = BINS // COARSE_PER_FINE
BUCKET_LATENCY = CELLS, BUCKETS + 1, COARSE_BINS
"""Cell, bucket, latency's coarse bin."""
TOOLS = CELLS, MAX_TOOLS + 1, 2
"""Cell, tool, failed."""
MARKS = CELLS, 4
"""Cell, which of new session, mismatch, stale, new session whose end will be told."""
METRICS = CELLS, MAX_METRICS, BUCKETS + 1, BINS
"""Cell, metric, bucket, value's bin."""
SUMS = CELLS, MAX_METRICS, BUCKETS + 1, 2
"""Cell, metric, bucket; the whole part of the values or their millionths: together they would exceed 64 bits."""

LARGEST_VALUE = 1e9
"""Of a custom metric; a larger or negative one is left out and counted as folded."""

LARGEST_SUM = MAX_MICRO // MICRO
"""Of a custom metric in a window of a service: nine million millions. What comes once its values, each rounded up, have
passed that is left out and counted as folded; in the order of the log, whatever was counted at once."""

_STALE_MS = 3_600_000
_AGES_MS = np.array(SESSION_AGES_S) * 1000


def lives_shape(window_ms: int) -> tuple[int, int, int]:
    """Cell, windows since birth, age reached."""
    return CELLS, -(-OLDEST_BIRTH_S * 1000 // window_ms) + 1, len(SESSION_AGES_S)


def counted_in(outcomes: frozenset[Outcome]) -> Bools:
    """A flag an outcome, in the order of :data:`streams.columns.OUTCOMES`."""
    return np.array([outcome in outcomes for outcome in OUTCOMES])


_ENDED = OUTCOME_INDEX["ended"]
LATENCIES, TOOL_CALLS, TOOL_FAILURES = map(counted_in, (LATENCY_COUNTED, TOOL_COUNTED, TOOL_BAD))


@dataclass(frozen=True, slots=True)
class Placed:
    """Where rows count, a value each."""

    cell: Ints
    rollout: Ints
    """-1: never judged."""
    mismatch: Bools
    rollouts: Collection[int]
    """Those that occur."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When rows were appended."""

    window: int
    """Its index."""
    window_ms: int
    appended_ms: Ints
    """A value each."""
    clock_ms: Ints
    """The partition's clock at each."""


@dataclass(slots=True)
class Counts:
    """What is counted so far."""

    requests: Tally = field(default_factory=Tally)
    latency: Tally = field(default_factory=Tally)
    bucket_latency: Tally = field(default_factory=Tally)
    tools: Tally = field(default_factory=Tally)
    marks: Tally = field(default_factory=Tally)
    lives: Tally = field(default_factory=Tally)
    ends: Tally = field(default_factory=Tally)
    metrics: Tally = field(default_factory=Tally)
    sums: Tally = field(default_factory=Tally)
    _passed: dict[int, int] = field(default_factory=dict)
    """Metric → sum of its values so far, each rounded up, left out ones too."""

    def add(self, rows: Columns, placed: Placed, tool: Ints, moment: Moment) -> Ints:
        """Count rows, all but their metrics; ``tool`` is the place of each row's tool. Returns the rows' buckets."""
        bucket = _buckets(rows.session, placed)
        self.requests.add(keys_in(REQUESTS, placed.cell, bucket, rows.tool_call, rows.outcome))
        timed = np.flatnonzero(LATENCIES[rows.outcome])
        cell, bins = placed.cell[timed], bin_index(rows.duration_ms[timed])
        self.latency.add(keys_in(LATENCY, cell, bins))
        self.bucket_latency.add(keys_in(BUCKET_LATENCY, cell, bucket[timed], bins // COARSE_PER_FINE))
        self._add_tools(rows, placed.cell, tool)
        first, stale = rows.first_of_session, np.abs(rows.started_at - moment.appended_ms) >= _STALE_MS
        for mark, marked in enumerate((first, placed.mismatch, stale, first & rows.tells_ends)):
            self.marks.add(placed.cell[marked] * MARKS[1] + mark)
        self._add_lives(rows, placed, moment)
        return bucket

    def add_metric(self, place: int, values: Values, cell: Ints, bucket: Ints) -> int:
        """Count a metric's values in the rows' cells and buckets.

        Returns how many are left out: out of range, or after the sum that 64 bits hold.
        """
        inside = (values.values >= 0) & (values.values <= LARGEST_VALUE)
        passed = np.cumsum(np.where(inside, values.values.clip(0, LARGEST_VALUE) + 1, 0).astype(np.int64))
        before = self._passed.get(place, 0)
        self._passed[place] = before + int(passed[-1])
        inside &= passed <= LARGEST_SUM - before
        at, within = values.at[inside], values.values[inside]
        metric = np.full(len(at), place)
        self.metrics.add(keys_in(METRICS, cell[at], metric, bucket[at], bin_index(within)))
        micro = np.rint(within * MICRO).astype(np.int64)
        for part, amount in enumerate((micro // MICRO, micro % MICRO)):
            self.sums.add(keys_in(SUMS, cell[at], metric, bucket[at], np.full(len(at), part)), amount)
        return len(values.at) - len(at)

    def _add_tools(self, rows: Columns, cell: Ints, tool: Ints) -> None:
        calls = is_counted_call(rows)
        self.tools.add(keys_in(TOOLS, cell[calls], tool[calls], TOOL_FAILURES[rows.outcome[calls]]))

    def _add_lives(self, rows: Columns, placed: Placed, moment: Moment) -> None:
        reached, already = _ages_reached(rows.age_ms, rows.gap_ms)
        judged = placed.rollout != ABSENT
        shape = lives_shape(moment.window_ms)
        ended = np.flatnonzero(judged & (rows.outcome == _ENDED) & (reached > 0))
        if len(ended):
            slot = _since_birth(rows, moment, ended)
            self.ends.add(keys_in(shape, placed.cell[ended], slot, reached[ended] - 1))
        new = (reached - already) * judged
        grown = np.flatnonzero(new)
        if not len(grown):
            return
        slot, new = _since_birth(rows, moment, grown), new[grown]
        nth = np.arange(new.sum()) - np.repeat(np.cumsum(new) - new, new)
        ages = np.repeat(already[grown], new) + nth
        cells, slots = np.repeat(placed.cell[grown], new), np.repeat(slot, new)
        self.lives.add(keys_in(shape, cells, slots, ages))


def keys_in(shape: tuple[int, ...], *axes: Ints | Bools) -> Ints:
    """The places in a table of the shape, as `numpy.ravel_multi_index`, which looks at each number three times."""
    keys = axes[0].astype(np.int64)
    for size, axis in zip(shape[1:], axes[1:], strict=True):
        keys *= size
        keys += axis
    return keys


def is_counted_call(rows: Columns) -> Bools:
    """Which rows are calls of tools that count for tool success."""
    return rows.tool_call & TOOL_CALLS[rows.outcome]


def _buckets(session: Coded, placed: Placed) -> Ints:
    if len(placed.rollouts) == 1 and ABSENT not in placed.rollouts:
        (rollout,) = placed.rollouts
        if len(session.values) <= 2 * len(session.codes):  # most of them are sessions, and all of these are asked for
            return 1 + buckets_of(rollout, session.values)[session.codes]
        return 1 + session.looked_up_all(partial(buckets_of, rollout))
    bucket = np.full(len(placed.rollout), NO_BUCKET)
    for rollout in set(placed.rollouts) - {ABSENT}:
        mine = placed.rollout == rollout
        bucket[mine] = 1 + session.where(mine).looked_up_all(partial(buckets_of, rollout))
    return bucket


def _since_birth(rows: Columns, moment: Moment, at: Ints) -> Ints:
    """Windows since the births of the sessions of some rows."""
    born = np.floor((moment.clock_ms[at] - rows.age_ms[at]) / moment.window_ms)
    since: Ints = np.minimum(moment.window - born, lives_shape(moment.window_ms)[1] - 1).astype(np.int64)
    return since


def _ages_reached(age_ms: Floats, gap_ms: Floats) -> tuple[Ints, Ints]:
    """How many of the counted ages a session has reached by the end of each row, and by that of the row before.

    Its first request has no gap: nothing was reached before, not even age 0.
    """
    reached = np.searchsorted(_AGES_MS, age_ms, side="right")  # 0 where there is no age
    before = np.searchsorted(_AGES_MS, np.maximum(age_ms - gap_ms, 0), side="right")
    return reached, np.minimum(before, reached) * (gap_ms != ABSENT)
