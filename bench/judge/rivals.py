"""Every judge over the same rollout: when it would have rolled back, or how it ended. One function a judge.

davylamp's, Kayenta's, Flagger's and Argo's are the shipped policies. What judges of values over time measure does not depend on
when it is looked at, so it is measured once: Flagger and Argo run to the end in one go, Kayenta sees its first minutes. What teams write themselves, sums that are compared, a
z-test and a threshold on a moving minute, stands here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Literal

import numpy as np

from bench.judge.traffic import HORIZON_S, NOMINAL_P99_MS, STARTS_S, WINDOW_S, WINDOWS, Floats, Ints
from bench.judge.windows import PLAN, TRIAL, Rollout, times_at
from judge.policies.kayenta.judge import judge
from judge.policies.kayenta.pairs import MetricPair
from judge.policies.kayenta.policy import USUAL_THRESHOLDS, config_of, pairs
from judge.policies.sequential import Sequential
from judge.policies.threshold import argo, flagger
from judge.policies.threshold.conditions import parse_condition
from judge.policies.threshold.measuring import for_argo, for_flagger
from judge.policies.threshold.policy import relative_to_baseline
from judge.stats.histogram import quantile, threshold
from schemas.policies import FIRST_REVISION, USUAL_REVISION, Revision

End = Literal["rolled_back", "proceeded", "held"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a rollout ended, and when."""

    end: End
    at_s: float = HORIZON_S


@dataclass(frozen=True, slots=True)
class Tuned:
    """The static limits that one traffic's healthy rollouts never exceeded."""

    error_rate: float
    tool_failures: float
    p99_ms: float


TUNING = 20
"""Healthy rollouts that the tuned rule is tuned on: other ones than it is judged by."""
EVERY_S, CALM_EVERY_S, EAGER_S = 5.0, 30.0, 600.0
"""Ours looks at each window in the first ten minutes and whenever it is suspicious, and each 30 s otherwise, to save time."""
STATIC_ERRORS, STATIC_SLOWER = 0.01, 1.5
ERRORS, TOOL_FAILURES = PLAN.checks.error_rate.within, PLAN.checks.tool_success.within
SLOWER = PLAN.checks.latency_p99.within
Z_LIMIT = NormalDist().inv_cdf(1 - 0.05 / 3)
MOVING_S = 60.0
FEWEST_CALLS = 20
_MANY = 1_000_000


def ours(rollout: Rollout, revision: Revision = FIRST_REVISION) -> Verdict:
    """davylamp's policy. What is neither breached nor proved by the end is held, as the default plan has it."""
    comparison = Sequential(revision).begin(TRIAL)
    next_s, within = 0.0, False
    for window in rollout.windows:
        comparison.add(window)
        at_s = window.end_ms / 1000
        if at_s < next_s and at_s < HORIZON_S:
            continue
        found = comparison.assess((), times_at(at_s))
        if found.breached_by is not None:
            return Verdict("rolled_back", at_s)
        within = found.within
        next_s = at_s + (EVERY_S if found.suspicious or at_s < EAGER_S else CALM_EVERY_S)
    return Verdict("proceeded" if within else "held")


def flagger_static(rollout: Rollout) -> Verdict:
    """Errors above 1 % or p99 above 1.5 × the usual, each minute, five failed checks."""
    metrics = (
        flagger.Metric("error_rate", maximum=STATIC_ERRORS),
        flagger.Metric("latency_p99", maximum=STATIC_SLOWER * NOMINAL_P99_MS),
    )
    return _flagger(rollout, metrics)


def flagger_relative(rollout: Rollout) -> Verdict:
    """The plan's own margins against the baseline, in its queries."""
    return _flagger(rollout, relative_to_baseline(PLAN).analysis.metrics)


def _flagger(rollout: Rollout, metrics: tuple[flagger.Metric, ...]) -> Verdict:
    """A step a minute: the plan's shares as long as the plan has them."""
    minutes = [round(b - a) // 60 for a, b in zip(STARTS_S, (*STARTS_S[1:], HORIZON_S), strict=True)]
    steps = tuple(stage.share // 100 for stage, n in zip(PLAN.stages, minutes, strict=True) for _ in range(n))
    analysis = flagger.Analysis(metrics, steps, threshold=5, interval_s=60.0)
    ticks = flagger.run(analysis, for_flagger(rollout.by_minute, analysis, 0))
    return (
        Verdict("rolled_back", 60.0 * (len(ticks) - 1)) if ticks[-1].action == "rolled_back" else Verdict("proceeded")
    )


def argo_every(rollout: Rollout, every_s: float, over_s: float) -> Verdict:
    """The same static limits, no failure allowed; a minute without data is no failure (more than Argo's default grants)."""
    limits = {"error_rate": STATIC_ERRORS, "latency_p99": STATIC_SLOWER * NOMINAL_P99_MS}
    metrics = [
        argo.Metric(name, parse_condition(f"result <= {limit:.6f}"), interval_s=every_s, consecutive_error_limit=_MANY)
        for name, limit in limits.items()
    ]
    series = rollout.by_minute if over_s % 60 == every_s % 60 == 0 else rollout.series
    run = argo.run(metrics, for_argo(series, 0, over_s))
    return Verdict("rolled_back", run.at_s) if run.phase in {"Failed", "Error"} else Verdict("proceeded")


def kayenta(rollout: Rollout, looks_s: tuple[float, ...]) -> Verdict:
    """Over the whole rollout at each look; out by a Fail, and by less than a Pass at the end."""
    config = config_of(PLAN)
    measured = pairs(rollout.by_minute, config)
    for at_s in looks_s:
        minutes = int(at_s // 60)
        seen = [MetricPair(pair.name, pair.control[:minutes], pair.experiment[:minutes]) for pair in measured]
        score = judge(config, USUAL_THRESHOLDS, seen).score
        if score.label == "Fail" or (at_s >= HORIZON_S and score.label != "Pass"):
            return Verdict("rolled_back", at_s)
    return Verdict("proceeded")


def z_test(rollout: Rollout) -> Verdict:
    """Cumulative, each 10 s, one-sided at 0.05 / 3 against each margin; sessions are taken for independent calls."""
    counts, histograms = rollout.sums
    sums = counts[1::2].astype(np.float64)
    n, tools = sums[..., 0], sums[..., 2]
    slow = np.stack([_slow(h) for h in histograms[1::2]])
    z = np.stack([_z(sums[..., 1], n, ERRORS), _z(sums[..., 3], tools, TOOL_FAILURES), _z(slow, n, 0.0)])
    out = np.nonzero((z >= Z_LIMIT).any(axis=0))[0]
    return Verdict("rolled_back", float(out[0] + 1) * 2 * WINDOW_S) if len(out) else Verdict("proceeded")


def naive(rollout: Rollout) -> Verdict:
    """Each minute all that was counted so far, compared as it is: out when one of the plan's margins is exceeded."""
    per_minute = round(60 / WINDOW_S)
    each_minute = (of[per_minute - 1 :: per_minute] for of in rollout.sums)
    for minute, (counts, histograms) in enumerate(zip(*each_minute, strict=True), start=1):
        n, errors, tools, failed, _ = counts.T
        if n[1] >= FEWEST_CALLS and (
            _exceeds(errors, n, ERRORS) or _exceeds(failed, tools, TOOL_FAILURES) or _is_slower(histograms)
        ):
            return Verdict("rolled_back", 60.0 * minute)
    return Verdict("proceeded")


def _exceeds(bad: Floats, n: Floats, margin: float) -> bool:
    baseline, canary = bad / np.maximum(n, 1)
    return bool(canary > baseline + margin)


def _is_slower(histograms: Ints) -> bool:
    baseline, canary = (quantile(h, 0.99) or 0.0 for h in histograms)
    return canary > (1 + SLOWER) * baseline


def _slow(histograms: Ints) -> Floats:
    """Requests above the baseline's p99, and the canary's above 1.1 times that."""
    found = threshold(histograms[0], 0.99, SLOWER)
    if found is None:
        return np.zeros(2)
    return np.array([histograms[0, found.baseline :].sum(), histograms[1, found.canary :].sum()], np.float64)


def _z(bad: Floats, n: Floats, margin: float) -> Floats:
    """Shape (looks, 2) each, baseline first; 0 below five bad ones, as textbooks ask."""
    rate = bad / np.maximum(n, 1)
    variance = (rate * (1 - rate) / np.maximum(n, 1)).sum(axis=1)
    z = (rate[:, 1] - rate[:, 0] - margin) / np.sqrt(np.maximum(variance, 1e-12))
    found: Floats = np.where((bad[:, 1] >= 5) & (n > 0).all(axis=1), z, 0.0)  # noqa: PLR2004
    return found


def moving(rollout: Rollout) -> Floats:
    """Shape (windows, 3): the canary's errors, tool failures and p99 over the last minute; 0 below 20 calls."""
    width, found = int(MOVING_S / WINDOW_S), np.zeros((WINDOWS, 3))
    sums, bins = (np.concatenate((np.zeros_like(of[:1, 1]), of[:, 1])) for of in rollout.sums)
    for end in range(width, WINDOWS + 1):
        n, errors, tools, failed, _ = (sums[end] - sums[end - width]).tolist()
        if n >= FEWEST_CALLS:
            p99 = quantile(bins[end] - bins[end - width], 0.99) or 0.0
            found[end - 1] = errors / n, failed / tools if tools >= FEWEST_CALLS else 0.0, p99
    return found


def tuned_rule(rollout: Rollout, limits: Tuned) -> Verdict:
    """Out when the last minute is worse than any of the healthy rollouts that the limits were taken from."""
    values = moving(rollout)
    out = np.nonzero((values > [limits.error_rate, limits.tool_failures, limits.p99_ms]).any(axis=1))[0]
    return Verdict("rolled_back", float(out[0] + 1) * WINDOW_S) if len(out) else Verdict("proceeded")


_FIVE_MINUTES = tuple(float(s) for s in range(300, int(HORIZON_S) + 1, 300))
_STAGE_ENDS = (*STARTS_S[1:], HORIZON_S)

JUDGES: Mapping[str, Callable[[Rollout], Verdict]] = {
    "revision 1": ours,
    "revision 2": partial(ours, revision=2),
    "Flagger static": flagger_static,
    "Flagger relative": flagger_relative,
    "Argo 5 s": partial(argo_every, every_s=5.0, over_s=30.0),
    "Argo 60 s": partial(argo_every, every_s=60.0, over_s=60.0),
    "Kayenta 5 min": partial(kayenta, looks_s=_FIVE_MINUTES),
    "Kayenta at the end": partial(kayenta, looks_s=_STAGE_ENDS),
    "z peeked": z_test,
    "naive sums": naive,
}
"""By the name in results: davylamp's own by the revision of its policy. The tuned rule stands beside them: it needs its limits."""
TUNED = "tuned rule"
"""Its name there."""
OURS = f"revision {USUAL_REVISION}"
"""What a new plan is judged by."""
