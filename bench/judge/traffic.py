"""Sessions of an MCP server as a stream of counts: heavy tails, clusters, slow first calls, drift, bursts, incidents. Pure.

Everything is drawn from one seed. What a fault does is drawn beside what would have happened anyway, so a session that the
fault harmed is known. Stages come at their planned times, whoever judges: so every policy sees the same stream.
"""

import math
from dataclasses import dataclass, field
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bench.judge.faults import Fault
from judge.stats.histogram import BINS, BINS_PER_OCTAVE
from judge.stats.planner import smallest
from schemas.windows import BUCKETS, COARSE_PER_FINE, SESSION_AGES_S

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SHARES = (0.01, 0.10, 0.50)
STARTS_S = (0.0, 600.0, 2400.0)
HORIZON_S = 6000.0
WINDOW_S = 5.0
WINDOWS = int(HORIZON_S / WINDOW_S)
COLUMNS = 5
CELLS = 2 * len(SHARES)
"""Stage of birth twice: baseline, canary."""

ERROR_RATE, TOOL_FAILURE_RATE, TOOL_SHARE = 0.005, 0.02, 0.8
ICC_ERRORS, ICC_LATENCY = 0.1, 0.2
MEDIAN_MS, SIGMA = 40.0, 0.7
FIRST_CALL = 5.0
"""So much slower is the first call of a session: the slowest hundredth of all calls are mostly first ones."""
FIRST_SHARE = 0.085
"""About so many calls are a session's first."""
CALLS_PER_SESSION = 1 / FIRST_SHARE
GAP_S = 8.0
LONGEST = 500
TOOL_MIX = np.array([0.30, 0.20, 0.12, 0.10, 0.08, 0.07, 0.05, 0.03, 0.03, 0.02])
RARE_TOOL = 8
EACH_CALL = np.ones(LONGEST)
HEAVY_CALLS, HEAVY_GAP_S = 2000, 0.3
FLOOR_MS = 64.0
"""Bucket histograms begin here: below any p90 of these streams."""
_BIRTHS_S = 300.0
_DRAWN = 4_000
_INCIDENT_ERRORS, _INCIDENT_SLOWER = 0.30, 3.0


@dataclass(frozen=True, slots=True)
class Cuts:
    """How a rollout's traffic is cut: nothing that is drawn depends on it."""

    window_s: float = WINDOW_S
    horizon_s: float = HORIZON_S
    shares: tuple[float, ...] = SHARES

    @property
    def windows(self) -> int:
        """How many."""
        return int(self.horizon_s / self.window_s)


USUAL = Cuts()


@dataclass(slots=True)
class Sparse:
    """Counts by a whole number, added up in parts."""

    parts: list[tuple[Ints, Ints]] = field(default_factory=list)

    def add(self, keys: Ints) -> None:
        """One more of each."""
        found, counts = np.unique(keys, return_counts=True)
        self.parts.append((found, counts.astype(np.int64)))

    def total(self) -> tuple[Ints, Ints]:
        """(keys, counts), ascending."""
        if not self.parts:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        keys, counts = (np.concatenate(column) for column in zip(*self.parts, strict=True))
        found, where = np.unique(keys, return_inverse=True)
        return found, np.bincount(where, counts).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """A rollout's traffic in windows."""

    cuts: Cuts
    table: Ints
    """Shape (windows, cells, 64, 5) by session bucket: requests, errors, tool calls, failed ones, and those of them that
    are no error besides."""
    births: Ints
    """Shape (windows, cells)."""
    latency: tuple[Ints, Ints]
    """By (window, cell, bin)."""
    bucket_latency: tuple[Ints, Ints]
    """By (window, cell, bucket, coarse bin), from the floor up."""
    tools: tuple[Ints, Ints]
    """By (window, cell, tool, failed)."""
    lives: tuple[Ints, Ints]
    """By (window, cell, windows since birth, age reached)."""
    harmed_s: Floats
    """When each harmed session was first harmed, ascending."""

    def harmed_by(self, at_s: float) -> int:
        """Sessions that the fault had harmed by then."""
        return int(np.searchsorted(self.harmed_s, at_s, side="right"))


@dataclass(slots=True)
class _Counted:
    cuts: Cuts
    table: Ints
    births: Ints
    latency: Sparse = field(default_factory=Sparse)
    bucket_latency: Sparse = field(default_factory=Sparse)
    tools: Sparse = field(default_factory=Sparse)
    lives: Sparse = field(default_factory=Sparse)
    harmed_s: list[Floats] = field(default_factory=list)

    @classmethod
    def none(cls, cuts: Cuts) -> "_Counted":
        cells = cuts.windows * CELLS
        return cls(cuts, np.zeros((COLUMNS, cells * BUCKETS), np.int64), np.zeros(cells, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class _Weather:
    """What both cohorts live in: slow waves of load, failures and latency, and bursts."""

    random: np.random.Generator
    phases: Floats
    bursts_s: Floats

    @classmethod
    def of(cls, random: np.random.Generator) -> "_Weather":
        return cls(random, random.uniform(0, 2 * math.pi, 3), random.uniform(0, HORIZON_S, random.poisson(5)))

    def wave(self, number: int, at_s: Floats, height: float) -> Floats:
        period_s = (5400.0, 3900.0, 4700.0)[number]
        found: Floats = 1 + height * np.sin(2 * math.pi * at_s / period_s + self.phases[number])
        return found

    def births_s(self, rate: float, from_s: float) -> Floats:
        """Of the next 300 s; for a minute from each burst on twice as many come."""
        crest = 2.4 * rate
        at = from_s + _BIRTHS_S * self.random.random(self.random.poisson(crest * _BIRTHS_S))
        in_burst = ((at[:, None] >= self.bursts_s) & (at[:, None] < self.bursts_s + 60)).any(axis=1)
        kept = self.random.random(len(at)) * 2.4 < self.wave(0, at, 0.2) * np.where(in_burst, 2.0, 1.0)
        return np.sort(at[kept])


@dataclass(frozen=True, slots=True, eq=False)
class _Calls:
    """Requests of some sessions, in any order: arrays side by side."""

    session: Ints
    number: Ints
    """0 for the first of a session."""
    at_s: Floats
    age_s: Floats


def stream(rate: float, fault: Fault, seed: int, until_s: float = HORIZON_S, cuts: Cuts = USUAL) -> Stream:
    """`rate` new sessions a second over the whole plan. Stopped earlier, it holds the same up to there."""
    random = np.random.default_rng([seed, round(rate)])
    weather, counted = _Weather.of(random), _Counted.none(cuts)
    for from_s in np.arange(0.0, until_s, _BIRTHS_S).tolist():
        births = weather.births_s(rate, from_s)
        sizes = _sizes(random, len(births))
        _count(counted, births, _calls(random, births, sizes, GAP_S), weather, fault)
    if fault.heavy_every_s is not None:
        births = np.sort(random.uniform(0, HORIZON_S, random.poisson(HORIZON_S / fault.heavy_every_s)))
        sizes = np.full(len(births), HEAVY_CALLS)
        _count(
            counted,
            births,
            _calls(random, births, sizes, HEAVY_GAP_S),
            weather,
            Fault("", errors=1.0, baseline_errors=1.0),
        )
    return Stream(
        cuts,
        np.ascontiguousarray(counted.table.reshape(COLUMNS, cuts.windows, CELLS, BUCKETS).transpose(1, 2, 3, 0)),
        counted.births.reshape(cuts.windows, CELLS),
        counted.latency.total(),
        counted.bucket_latency.total(),
        counted.tools.total(),
        counted.lives.total(),
        np.sort(np.concatenate(counted.harmed_s or [np.zeros(0)])),
    )


def _calls(random: np.random.Generator, births: Floats, sizes: Ints, gap_s: float) -> _Calls:
    session = np.repeat(np.arange(len(births)), sizes)
    first = np.cumsum(sizes) - sizes
    gaps = random.exponential(gap_s, len(session))
    gaps[first] = 0.0
    total = np.cumsum(gaps)
    age = total - np.repeat(total[first], sizes) if len(births) else total
    at = births[session] + age
    kept = at < HORIZON_S
    number = np.arange(len(session)) - np.repeat(first, sizes)
    return _Calls(session[kept], number[kept], at[kept], age[kept])


def expected_of_canary(rate: float, at_s: float, worth: Floats = EACH_CALL) -> float:
    """What the canary's calls are worth by then, on average and without weather: `worth` is of a session's first call, second …

    Calls beyond its length are worth nothing. Sessions of all stages count.
    """
    age_s, number = _drawn()
    of_call = np.where(number < len(worth), worth[np.minimum(number, len(worth) - 1)], 0.0)
    steps = zip(STARTS_S, np.diff(SHARES, prepend=0.0).tolist(), strict=True)
    a_session = math.fsum(share * float(np.maximum(at_s - start - age_s, 0.0) @ of_call) for start, share in steps)
    return rate * a_session / _DRAWN


@cache
def _drawn() -> tuple[Floats, Ints]:
    """Ages and numbers of all calls of so many sessions."""
    random = np.random.default_rng(0)
    calls = _calls(random, np.zeros(_DRAWN), _sizes(random, _DRAWN), GAP_S)
    return calls.age_s, calls.number


def _sizes(random: np.random.Generator, n: int) -> Ints:
    """Calls of sessions."""
    return 1 + np.minimum(random.lognormal(math.log(5), 1.3, n), LONGEST - 1).astype(np.int64)


def _count(counted: _Counted, births: Floats, calls: _Calls, weather: _Weather, fault: Fault) -> None:
    random, cuts = weather.random, counted.cuts
    stage = np.searchsorted(STARTS_S, births, side="right") - 1
    canary = random.random(len(births)) < np.array(cuts.shares)[stage]
    affected = canary & (random.random(len(births)) < fault.in_sessions)
    bucket = random.integers(0, BUCKETS, len(births))
    own = [_beta(random, rate, len(births)) for rate in (ERROR_RATE, TOOL_FAILURE_RATE)]
    slow = random.normal(0, SIGMA * math.sqrt(ICC_LATENCY), len(births))

    s, at = calls.session, calls.at_s
    live = at < cuts.horizon_s
    harmed = np.zeros(len(s), bool)
    if fault.dies_at_s is not None:
        harmed = affected[s] & (calls.age_s > fault.dies_at_s)
        live &= ~harmed
    shared = _in(fault.incident_s, at)
    extra = np.where(affected[s] & (at >= fault.begins_s), _errors(fault, at), 0.0)
    extra += np.where(~canary[s], fault.baseline_errors, 0.0)
    by_fault = random.random(len(s)) < extra
    error = by_fault | (random.random(len(s)) < own[0][s] * weather.wave(1, at, 0.3) + _INCIDENT_ERRORS * shared)
    tool = np.where(calls.number > 0, random.choice(len(TOOL_MIX), len(s), p=TOOL_MIX), -1)
    tool = np.where(random.random(len(s)) < TOOL_SHARE / 0.92, tool, -1)  # the first of 12 calls is no tool's
    broken = affected[s] & (tool == RARE_TOOL) & (random.random(len(s)) < fault.tool_failures)
    failed = (tool >= 0) & (error | broken | (random.random(len(s)) < own[1][s]))
    log_ms = math.log(MEDIAN_MS) + slow[s] + random.normal(0, SIGMA * math.sqrt(1 - ICC_LATENCY), len(s))
    factor = weather.wave(2, at, 0.1) * np.where(calls.number == 0, FIRST_CALL, 1.0)
    factor *= np.where(affected[s], fault.slower, 1.0) * np.where(shared, _INCIDENT_SLOWER, 1.0)
    fine = np.clip(bins_of(np.exp(log_ms) * factor), 0, BINS - 1)
    harmed |= (by_fault & canary[s]) | broken | (affected[s] & (fault.slower > 1))

    window = (at / cuts.window_s).astype(np.int64)
    cell = window * CELLS + (2 * stage + canary)[s]
    row = cell * BUCKETS + bucket[s]
    size = counted.table.shape[1]
    for column, which in enumerate((live, live & error, live & (tool >= 0), live & failed, live & failed & ~error)):
        counted.table[column] += np.bincount(row[which], minlength=size)
    born = ((births / cuts.window_s).astype(np.int64) * CELLS + 2 * stage + canary)[births < cuts.horizon_s]
    counted.births += np.bincount(born, minlength=len(counted.births))
    counted.latency.add((cell * BINS + fine)[live])
    above = live & (fine >= FLOOR_BIN * COARSE_PER_FINE)
    counted.bucket_latency.add((row * (BINS // COARSE_PER_FINE) + fine // COARSE_PER_FINE)[above])
    used = live & (tool >= 0)
    counted.tools.add(((cell * len(TOOL_MIX) + tool) * 2 + failed)[used])
    counted.lives.add(_reached(calls, live, (births / cuts.window_s).astype(np.int64), cell, window, cuts.windows))
    if harmed.any():
        first = np.full(len(births), np.inf)
        np.minimum.at(first, s[harmed], at[harmed])
        counted.harmed_s.append(first[np.isfinite(first)])


def _reached(calls: _Calls, live: NDArray[np.bool_], born: Ints, cell: Ints, window: Ints, windows: int) -> Ints:
    """A key for each age that a session is heard to have reached: calls are in the order of their sessions."""
    ages = np.array(SESSION_AGES_S)
    place = np.searchsorted(ages, calls.age_s, side="right") - 1
    before = np.where(calls.number == 0, -1, np.roll(place, 1))
    since = window - born[calls.session]
    keys = []
    for index in range(len(ages)):
        new = live & (before < index) & (place >= index)
        keys.append(((cell * windows + since) * len(ages) + index)[new])
    return np.concatenate(keys)


def _beta(random: np.random.Generator, rate: float, n: int) -> Floats:
    """Each session's own rate, so that two calls of one correlate by :data:`ICC_ERRORS`."""
    found: Floats = random.beta(rate * (1 - ICC_ERRORS) / ICC_ERRORS, (1 - rate) * (1 - ICC_ERRORS) / ICC_ERRORS, n)
    return found


def _errors(fault: Fault, at_s: Floats) -> Floats:
    return np.minimum(1.0, fault.errors + fault.leak_per_minute * np.maximum(0.0, at_s - fault.begins_s) / 60)


def _in(span_s: tuple[float, float] | None, at_s: Floats) -> NDArray[np.bool_]:
    return np.zeros(len(at_s), bool) if span_s is None else (at_s >= span_s[0]) & (at_s < span_s[1])


def bins_of(ms: Floats) -> Ints:
    """The contract's: 64 equal parts of each octave from 2^-10 up."""
    mantissa, exponent = np.frexp(ms)
    return (exponent.astype(np.int64) - 1 + 10) * BINS_PER_OCTAVE + ((2 * mantissa - 1) * BINS_PER_OCTAVE).astype(
        np.int64
    )


def slower_than(ms: float) -> float:
    """The share of healthy calls that take longer, without weather."""
    later, first = (NormalDist().cdf(-math.log(ms / (MEDIAN_MS * by)) / SIGMA) for by in (1.0, FIRST_CALL))
    return (1 - FIRST_SHARE) * later + FIRST_SHARE * first


_TAIL = 0.01
NOMINAL_P99_MS = smallest(lambda ms: slower_than(ms) <= _TAIL, MEDIAN_MS, 100 * MEDIAN_MS)
FLOOR_BIN = int(bins_of(np.array([FLOOR_MS]))[0]) // COARSE_PER_FINE
"""Coarse."""
