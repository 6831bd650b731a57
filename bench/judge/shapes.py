"""Claims B6, B7, B8 and B11 against Kayenta: tails and shapes of latency, widths of slots, many metrics at once."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from bench.judge.traffic import Floats, Ints, bins_of
from judge.policies.port import Comparison, StageTimes
from judge.policies.sequential import Sequential
from judge.stats.histogram import BINS
from judge.stats.mixture import log_sum_exp, needed_log_e
from judge.stats.process import Layout, Processes
from judge.stats.restarts import USUAL_WEIGHTS, Restart
from judge.trial import Trial, TrialWindow
from schemas.checks import Checks
from schemas.decisions import Opening
from schemas.labels import Label
from schemas.plan import Plan
from schemas.policies import USUAL_REVISION
from schemas.service import Service
from schemas.windows import BUCKETS, COARSE_PER_FINE, Bucket, Cell

SEED = "0" * 32
TIMES = StageTimes(1, (0,), 0)
MINUTES, MINUTE_CALLS, MINUTE_MS = 60, 100, 60_000
MEDIAN_MS, SIGMA = 40.0, 0.5
SLOW, HALF, MOST = 0.1, 0.5, 0.7
METRICS = (10, 300)
LOOKS = 60
WIDTHS_S = (1, 10, 60)

Shape = Callable[[np.random.Generator, int], Floats]
"""So many latencies of the canary, milliseconds."""


def _usual(chance: np.random.Generator, n: int) -> Floats:
    return chance.lognormal(math.log(MEDIAN_MS), SIGMA, n)


def _slow_tail(factor: float) -> Shape:
    return lambda chance, n: _usual(chance, n) * np.where(chance.random(n) < SLOW, factor, 1.0)


def _wide(chance: np.random.Generator, n: int) -> Floats:
    return chance.lognormal(math.log(MEDIAN_MS), SIGMA * math.sqrt(5), n)


def _narrow(chance: np.random.Generator, n: int) -> Floats:
    return chance.lognormal(math.log(MEDIAN_MS), SIGMA / math.sqrt(5), n)


def _two_peaks(chance: np.random.Generator, n: int) -> Floats:
    return _usual(chance, n) * np.where(chance.random(n) < HALF, 0.4, 2.5)


def _most_jump(chance: np.random.Generator, n: int) -> Floats:
    return _usual(chance, n) * np.where(chance.random(n) < MOST, 100.0, 1.0)


SHAPES: Mapping[str, Shape] = {
    "nothing": _usual,
    "10 % of calls ×5": _slow_tail(5),
    "10 % of calls ×20": _slow_tail(20),
    "variance ×5 (kayenta#780, case 1 swapped)": _wide,
    "two peaks, the same median": _two_peaks,
    "7 of 10 values ×100 (kayenta#780)": _most_jump,
    "variance / 5 (kayenta#780, case 1)": _narrow,
}


def trial(*checks: str, margin: str, alpha: float = 0.05) -> Trial:
    """Of a plan that has only these checks."""
    off = {name: "off" for name in Checks.model_fields if name not in {"custom", *checks}}
    wanted = {**off, **{check: {"within": margin} for check in checks}}
    plan = Plan.model_validate({"service": "bench", "canary": "v2", "checks": wanted, "alpha": alpha})
    versions = {v: {"endpoints": ["127.0.0.1:1"]} for v in ("v1", "v2")}
    service = Service.model_validate({"service": "bench", "baseline": "v1", "versions": versions})
    return Trial.of(Opening(plan=plan, service=service, seed=SEED), 1, "v1")


LATENCY, ERRORS = trial("latency_p99", "latency_p90", margin="10%"), trial("error_rate", margin="0pp")


@dataclass(frozen=True, slots=True)
class Found:
    """How often a shape was rolled back, and by which check."""

    runs: int
    culprits: tuple[str, ...]
    p99_ms: tuple[tuple[float, float], ...] = ()
    """What the entry tells of those that were not: of the baseline and of the canary, in the newest minutes."""

    @property
    def share(self) -> float:
        """Of the runs."""
        return len(self.culprits) / self.runs


def caught(shape: Shape, runs: int) -> Found:
    """An hour of a hundred calls a minute and side, each a session's own, with a look each minute."""
    culprits, p99_ms = list[str](), list[tuple[float, float]]()
    for seed in range(runs):
        chance, comparison = np.random.default_rng([seed, 6]), Sequential(USUAL_REVISION).begin(LATENCY)
        for minute in range(MINUTES):
            cells = [latencies(chance, "v1", _usual(chance, MINUTE_CALLS))]
            cells.append(latencies(chance, "v2", shape(chance, MINUTE_CALLS)))
            comparison.add(LATENCY.window((minute + 1) * MINUTE_MS, MINUTE_MS, cells))
            breached = comparison.assess((), TIMES).breached_by
            if breached is not None:
                culprits.append(breached)
                break
        else:
            p99_ms.append(_told(comparison))
    return Found(runs, tuple(culprits), tuple(p99_ms))


def _told(comparison: Comparison) -> tuple[float, float]:
    result = next(check for check in comparison.assess((), TIMES).checks if check.check == "latency_p99")
    return result.baseline.value or math.nan, result.canary.value or math.nan


@cache
def label_of(version: str) -> str:
    """Of the sessions of a version, in the only stage."""
    return str(Label.make(SEED, 1, 1, version, "session"))


def latencies(chance: np.random.Generator, version: str, ms: Floats) -> Cell:
    """A cell of calls, each a session's own."""
    fine, places = np.clip(bins_of(ms), 0, BINS - 1), chance.integers(0, BUCKETS, len(ms))
    many = np.bincount(places, minlength=BUCKETS).tolist()
    by_bucket: dict[int, dict[int, int]] = {}
    for place, coarse in zip(places.tolist(), (fine // COARSE_PER_FINE).tolist(), strict=True):
        mine = by_bucket.setdefault(place, {})
        mine[coarse] = mine.get(coarse, 0) + 1
    bins, counts = np.unique(fine, return_counts=True)
    return Cell(
        version=version,
        label=label_of(version),
        outcomes={"ok": len(ms)},
        new_sessions=len(ms),
        buckets={i: Bucket(n=n, lat=n) for i, n in enumerate(many) if n},
        histogram=dict(zip(bins.tolist(), counts.tolist(), strict=True)),
        bucket_histograms=by_bucket,
        bucket_floor=0,
    )


def verdicts_by_width(
    calls_a_s: float, factor: float, seed: int, seconds: int = 3600, *, joined: bool = False
) -> dict[int, bool]:
    """Whether the very same requests breach, in windows of each width: 0.5 % of the baseline's fail.

    `joined` is no part of the policy: neighbouring windows are made one until both cohorts have calls.
    """
    chance = np.random.default_rng([seed, 8])
    counts = {v: _by_second(chance, calls_a_s, 0.005 * by, seconds) for v, by in (("v1", 1.0), ("v2", factor))}
    return {width_s: _breaches(counts, width_s, joined=joined) for width_s in WIDTHS_S}


def _by_second(chance: np.random.Generator, calls_a_s: float, rate: float, seconds: int) -> Ints:
    """Shape (seconds, 64, 2): requests and errors of each bucket."""
    n = chance.poisson(calls_a_s / BUCKETS, (seconds, BUCKETS))
    return np.stack((n, chance.binomial(n, rate)), axis=-1).astype(np.int64)


def _breaches(counts: Mapping[str, Ints], width_s: int, *, joined: bool) -> bool:
    """A look each minute, however wide the windows."""
    comparison = Sequential(USUAL_REVISION).begin(ERRORS)
    sums = {v: table.reshape(-1, width_s, BUCKETS, 2).sum(axis=1) for v, table in counts.items()}
    begun_s, held = 0, {v: np.zeros_like(table[0]) for v, table in sums.items()}
    for number in range(len(sums["v1"])):
        end_s = (number + 1) * width_s
        held = {v: held[v] + table[number] for v, table in sums.items()}
        if not joined or all(table[:, 0].any() for table in held.values()):
            window = _window(end_s, end_s - begun_s, held)
            if window.strata:
                comparison.add(window)
            begun_s, held = end_s, {v: np.zeros_like(table) for v, table in held.items()}
        if end_s % 60 == 0 and comparison.assess((), TIMES).breached_by is not None:
            return True
    return False


def _window(end_s: int, width_s: int, tables: Mapping[str, Ints]) -> TrialWindow:
    cells = [_errors(version, table) for version, table in tables.items() if table[:, 0].any()]
    return ERRORS.window(1000 * end_s, 1000 * width_s, cells)


def _errors(version: str, table: Ints) -> Cell:
    n, bad = table.sum(axis=0).tolist()
    buckets = {i: Bucket(n=n, err=bad) for i, (n, bad) in enumerate(table.tolist()) if n}
    return Cell(
        version=version, label=label_of(version), outcomes={"ok": n - bad, "server_error": bad}, buckets=buckets
    )


def false_alarms(metrics: int, runs: int, alpha: float) -> int:
    """Of so many runs: metrics of equal shares of alpha, nothing wrong with any, sixty looks of a hundred calls a side.

    With the statistics alone: a plan holds at most eight metrics of one's own beside the built-in checks.
    """
    layout, ones = Layout.of(*[(1, 1.0, 1.0)] * metrics), np.ones(metrics)
    out = 0
    for seed in range(runs):
        chance, processes = np.random.default_rng([seed, metrics]), Processes.empty(layout)
        processes = processes.restart(Restart(0.0, USUAL_WEIGHTS.start, opens_stage=True))
        rates = chance.uniform(0.005, 0.2, metrics)
        for _ in range(LOOKS):
            canary, baseline = (_counted(chance, rates) for _ in range(2))
            processes = processes.add(canary, baseline)
            log_e = processes.against(ones).at(np.zeros(metrics))
            if log_sum_exp(log_e - math.log(metrics)) >= needed_log_e(alpha):
                out += 1
                break
    return out


def _counted(chance: np.random.Generator, rates: Floats) -> Ints:
    """Shape (1, metrics, 2)."""
    bad = chance.binomial(MINUTE_CALLS, rates)
    return np.stack((np.full_like(bad, MINUTE_CALLS), bad), axis=-1)[np.newaxis].astype(np.int64)
