"""Rollouts that never happened, as the windows that streams would publish: for calibration of the judge's policies.

Pure and vectorised: a scenario and a seed give the same windows on every machine. Sessions arrive as a Poisson process and
are drawn into a cohort by the share in force; they call about twelve times (one plus a log-normal number, up to 500), eight
seconds apart, for as long as they last. Errors and failed tool calls are clumped by session (beta frailty with an intraclass
correlation), latencies are log-normal with a session's own level. A fault changes the canary only, from a moment on.

Few windows and short stages, so that forty runs of a scenario take seconds and can be a test: `bench.judge` draws richer
traffic (weather, incidents, heavy clients, lives) over whole plans and compares judges. Extend this one by a field of
:class:`Fault` or :class:`Traffic` and one line where calls are drawn; :func:`run` takes any policy behind the port.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from judge.policies.port import Policy, StageTimes
from judge.trial import Cohort, CohortCells, Pair, Stratum, Trial, TrialWindow
from schemas.decisions import Opening
from schemas.labels import Kind
from schemas.plan import Plan
from schemas.service import Service
from schemas.windows import BUCKETS, COARSE_PER_FINE, Bucket, Cell, ToolCount

T0 = 1_700_000_000_000
SEED = "0a" * 16
MOST_CALLS = 500

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Traffic:
    """What both cohorts have in common."""

    kind: Kind = "session"
    """A principal is drawn by a hash of its own: it has no birth, and moves up when the share does."""
    sessions_per_s: float = 10.0
    median_calls: float = 5.0
    sigma_calls: float = 1.3
    gap_s: float = 8.0
    error_rate: float = 0.005
    error_correlation: float = 0.1
    tool_failures: float = 0.02
    tool_correlation: float = 0.2
    tools: int = 10
    latency_ms: float = 100.0
    latency_sigma: float = 0.6
    latency_session_sigma: float = 0.2


@dataclass(frozen=True, slots=True)
class Fault:
    """What the canary does worse, in sessions born at `from_s` or later. Nothing by default."""

    errors: float = 0.0
    """Added to the error rate, spread over all sessions."""
    errors_in: float = 1.0
    """The part of sessions that bears them all, so much the worse."""
    tool_failures: float = 0.0
    slower: float = 1.0
    """Factor of every latency."""
    from_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One experiment. `window_s` is longer than in production, so that a run is cheap; nothing depends on it."""

    fault: Fault = Fault()
    traffic: Traffic = Traffic()
    stages: tuple[tuple[float, float], ...] = ((0.10, 600.0), (0.50, 600.0))
    """(share, seconds), one after another."""
    checks: dict[str, Any] = field(default_factory=dict)
    window_s: float = 30.0

    def trial(self) -> Trial:
        """The rollout that is judged, by a plan with these stages."""
        written = [{"share": f"{100 * share:g}%", "for": f"{seconds:g}s"} for share, seconds in self.stages]
        plan = Plan.model_validate({"service": "orders", "canary": "v2", "stages": written, "checks": self.checks})
        versions = {version: {"endpoints": ["127.0.0.1:1"]} for version in ("v1", "v2")}
        service = Service.model_validate({"service": "orders", "baseline": "v1", "versions": versions})
        return Trial.of(Opening(plan=plan, service=service, seed=SEED), 1, "v1")

    def starts_s(self) -> list[float]:
        """When each stage begins, and when the last one ends."""
        return [0.0, *np.cumsum([seconds for _, seconds in self.stages]).tolist()]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy made of one run."""

    breached_at_s: float | None
    """End of the window with which the canary was out; None: never."""
    culprit: str | None
    harmed: int
    """Canary sessions that had met the fault by then."""
    within: tuple[bool, ...]
    """By stage: whether its end was reached with every margin proved."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Every call of a run, a value each."""

    at_s: Floats
    stage: Ints
    """Of the session's birth, 1-based; of a principal's call."""
    canary: NDArray[np.bool_]
    session: Ints
    bucket: Ints
    first: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    tool: Ints
    tool_failed: NDArray[np.bool_]
    latency_bin: Ints
    faulty: NDArray[np.bool_]
    """Made worse by the fault."""


def run(scenario: Scenario, seed: int, policy: Policy) -> Outcome:
    """One rollout under a policy that looks after each window; it ends with a breach or with its last stage."""
    trial, calls = scenario.trial(), draw(scenario, np.random.default_rng(seed))
    comparison, ends = policy.begin(trial), scenario.starts_s()[1:]
    proved = [False] * len(ends)
    for window in windows(scenario, trial, calls):
        end_s = (window.end_ms - T0) / 1000
        comparison.add(window)
        times = _times(scenario, end_s)
        found = comparison.assess((), times)
        if found.breached_by is not None:
            met = calls.session[calls.faulty & (calls.at_s < end_s)]
            return Outcome(end_s, found.breached_by, len(np.unique(met)), tuple(proved))
        proved[times.stage - 1] = found.within
    return Outcome(None, None, len(np.unique(calls.session[calls.faulty])), tuple(proved))


def _times(scenario: Scenario, now_s: float) -> StageTimes:
    started = [T0 + round(1000 * at) for at in scenario.starts_s()[:-1] if at < now_s]
    return StageTimes(len(started), tuple(started), started[-1])


def draw(scenario: Scenario, rng: np.random.Generator) -> Calls:
    """All calls of a rollout."""
    traffic, fault, starts = scenario.traffic, scenario.fault, scenario.starts_s()
    sessions = rng.poisson(traffic.sessions_per_s * starts[-1])
    born_s = np.sort(rng.uniform(0, starts[-1], sessions))
    dice = rng.random(sessions)
    chosen = rng.random(sessions) < fault.errors_in
    error_rate = _frail(rng, traffic.error_rate, traffic.error_correlation, sessions)
    tool_rate = _frail(rng, traffic.tool_failures, traffic.tool_correlation, sessions)
    level = np.log(traffic.latency_ms) + rng.normal(0, traffic.latency_session_sigma, sessions)
    more = rng.lognormal(np.log(traffic.median_calls), traffic.sigma_calls, sessions)
    n = np.minimum(1 + more.astype(np.int64), MOST_CALLS)
    of = np.repeat(np.arange(sessions), n)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(n) - n, n)
    at_s = born_s[of] + traffic.gap_s * nth
    kept = at_s < starts[-1]
    of, nth, at_s = of[kept], nth[kept], at_s[kept]
    stage = np.searchsorted(starts, at_s if traffic.kind == "principal" else born_s[of], side="right")
    canary = dice[of] < np.array([share for share, _ in scenario.stages])[stage - 1]
    sick = canary & (born_s[of] >= fault.from_s)
    bears = sick & chosen[of]
    failed = rng.random(len(of)) < error_rate[of] + bears * fault.errors / fault.errors_in
    tool_failed = failed | (rng.random(len(of)) < tool_rate[of] + sick * fault.tool_failures)
    slower = np.where(sick, fault.slower, 1.0)
    values = slower * np.exp(level[of] + rng.normal(0, traffic.latency_sigma, len(of)))
    return Calls(
        at_s=at_s,
        stage=stage,
        canary=canary,
        session=of,
        bucket=rng.integers(0, BUCKETS, sessions)[of],
        first=nth == 0,
        failed=failed,
        tool=rng.integers(0, traffic.tools, len(of)),
        tool_failed=tool_failed,
        latency_bin=_bins(values),
        faulty=(sick & (fault.slower != 1)) | (sick & tool_failed & (fault.tool_failures > 0)) | (bears & failed),
    )


def _frail(rng: np.random.Generator, rate: float, correlation: float, sessions: int) -> Floats:
    """Each session's own rate: beta with this mean and intraclass correlation."""
    if not 0 < rate < 1 or correlation <= 0:
        return np.full(sessions, rate)
    weight = 1 / correlation - 1
    return rng.beta(rate * weight, (1 - rate) * weight, sessions)


def _bins(values_ms: Floats) -> Ints:
    """The histogram's bins: 64 equal parts of each octave from 2^-10 ms up."""
    mantissa, exponent = np.frexp(values_ms)
    bins: Ints = np.clip((exponent + 9) * 64 + ((2 * mantissa - 1) * 64).astype(np.int64), 0, 2047)
    return bins


def windows(scenario: Scenario, trial: Trial, calls: Calls) -> Iterator[TrialWindow]:
    """The rollout's windows in order, whole: what all partitions say together."""
    number = (calls.at_s // scenario.window_s).astype(np.int64)
    order = np.lexsort((calls.canary, calls.stage, number))
    keys = np.stack((number, calls.stage, calls.canary))[:, order]
    edges = np.flatnonzero(np.any(np.diff(keys, axis=1) != 0, axis=0)) + 1
    groups = np.split(order, edges)
    found: dict[int, dict[Stratum, dict[Cohort, CohortCells]]] = {}
    for group in groups if len(order) else ():
        cohort: Cohort = "canary" if calls.canary[group[0]] else "baseline"
        stratum = Stratum(int(calls.stage[group[0]]), scenario.traffic.kind)
        cells = CohortCells.of([_cell(trial, stratum, cohort, calls, group)])
        found.setdefault(int(number[group[0]]), {}).setdefault(stratum, {})[cohort] = cells
    nobody = CohortCells.of([])
    for index, strata in sorted(found.items()):
        pairs = {s: Pair(c.get("baseline", nobody), c.get("canary", nobody)) for s, c in sorted(strata.items())}
        window_ms = round(1000 * scenario.window_s)
        yield TrialWindow(T0 + (index + 1) * window_ms, window_ms, pairs)


def _cell(trial: Trial, stratum: Stratum, cohort: Cohort, calls: Calls, group: Ints) -> Cell:
    """What these calls count as. Not validated: it is read by the judge alone."""
    bucket, bins = calls.bucket[group], calls.latency_bin[group]
    failed, tool_failed, tool = calls.failed[group], calls.tool_failed[group], calls.tool[group]
    n, err, tf = (np.bincount(bucket[mine], minlength=BUCKETS).tolist() for mine in (slice(None), failed, tool_failed))
    errors = int(failed.sum())
    by_tool, wrong = (np.bincount(tool[mine], minlength=1).tolist() for mine in (slice(None), tool_failed))
    wrong += [0] * (len(by_tool) - len(wrong))
    return Cell.model_construct(
        version=trial.version(cohort),
        label=trial.labels[cohort, stratum],
        outcomes={"ok": len(group) - errors, "server_error": errors},
        tool_calls=len(group),
        new_sessions=int(calls.first[group].sum()),
        buckets={i: _bucket(k, err[i], tf[i]) for i, k in enumerate(n) if k},
        histogram=_sparse(bins),
        bucket_histograms=_by_bucket(bucket, bins // COARSE_PER_FINE),
        bucket_floor=0,
        tools={f"tool_{t}": ToolCount(n=k, bad=wrong[t]) for t, k in enumerate(by_tool) if k},
    )


@cache
def _bucket(calls: int, errors: int, tool_failures: int) -> Bucket:
    """Most of a run's buckets are alike."""
    return Bucket(n=calls, err=errors, tools=calls, tf=tool_failures, lat=calls)


def _sparse(bins: Ints) -> dict[int, int]:
    found, counts = np.unique(bins, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _by_bucket(bucket: Ints, coarse: Ints) -> dict[int, dict[int, int]]:
    """From the upper quarter on, as streams publish them."""
    floor = int(np.quantile(coarse, 0.75)) if len(coarse) else 0
    high = coarse >= floor
    found, counts = np.unique(bucket[high] * 1024 + coarse[high], return_counts=True)
    table: dict[int, dict[int, int]] = {}
    for place, count in zip(found.tolist(), counts.tolist(), strict=True):
        table.setdefault(place // 1024, {})[place % 1024] = count
    return table


def rolled_back(outcomes: Sequence[Outcome]) -> int:
    """In how many runs the canary was out."""
    return sum(outcome.breached_at_s is not None for outcome in outcomes)
