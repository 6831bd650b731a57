"""Latency by exceedances of the baseline's own, rolling quantile."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from judge.policies.families.latency import Latency
from judge.policies.families.table import families
from judge.policies.port import Assessment, StageTimes
from judge.policies.sequential import Sequential
from judge.stats.histogram import dense, quantile_bin
from judge.trial import COHORTS, TrialWindow
from schemas.checks import Checks
from schemas.decisions import CheckResult
from schemas.windows import COARSE_PER_FINE, Cell
from streams.histogram import edges
from tests.builders import ONLY_ERRORS
from tests.histograms import bin_of, histogram_of
from tests.unit.judge.trials import T0, cell, trial, windows

LATENCY = {**ONLY_ERRORS, "latency_p99": {"refresh": "5s", "over": "20s"}, "latency_p90": {"refresh": "5s"}}
TRIAL = trial(checks=LATENCY)
STAGE_1 = StageTimes(1, (T0,), T0)


def served(
    version: str, rng: np.random.Generator, n: int, factor: float = 1.0, sigma: float = 0.5, buckets: int = 32
) -> Cell:
    values = factor * rng.lognormal(4, sigma, n)
    return cell(version, n, buckets=buckets, first=int(rng.integers(64)), latency=histogram_of(values))


def rollout(seconds: int, factor: float = 1.0, *, both: float = 1.0, buckets: int = 32) -> list[TrialWindow]:
    rng = np.random.default_rng(11)
    cells = [
        [served("v1", rng, 200, both, buckets=buckets), served("v2", rng, 100, both * factor, buckets=buckets)]
        for _ in range(seconds)
    ]
    return windows(TRIAL, cells)


def assess(final: Sequence[TrialWindow], still_open: Sequence[TrialWindow] = ()) -> Assessment:
    comparison = Sequential().begin(TRIAL)
    for window in final:
        comparison.add(window)
    return comparison.assess(still_open, STAGE_1)


def check(found: Assessment, name: str = "latency_p99") -> CheckResult:
    return next(c for c in found.checks if c.check == name)


def test_before_the_baseline_has_enough_calls_there_is_no_data() -> None:
    got = check(assess(rollout(1)))
    assert (got.threshold, got.why_undecided, got.canary.n) == (None, "no_data", 0)


def test_the_threshold_comes_from_windows_before_the_one_it_judges() -> None:
    got = check(assess(rollout(2)))
    assert got.baseline.n == 200
    assert got.canary.n == 100
    first = rollout(1)[0]
    fastest = next(iter(first.cells("baseline"))).histogram
    total, above = sum(fastest.values()), 0
    assert got.threshold is not None
    above = sum(n for index, n in fastest.items() if edges()[index] >= got.threshold)
    assert above <= 0.01 * total


def test_a_canary_as_fast_as_the_baseline_is_proven_and_shown_in_milliseconds() -> None:
    got = check(assess(rollout(60)))
    assert got.verdict == "within"
    assert got.kind == "latency"
    exact = math.exp(4 + 0.5 * 2.326)
    assert got.baseline.value == pytest.approx(exact, rel=0.1)
    assert got.canary.value == pytest.approx(exact, rel=0.15)


def test_a_canary_that_is_half_again_as_slow_is_breached_by_its_own_tail() -> None:
    got = assess(rollout(60, 1.5))
    assert got.breached_by in {"latency_p99", "latency_p90"}
    assert check(got).verdict == "breached"
    assert check(got, "latency_p90").verdict == "breached"
    assert check(got, "latency_p90").gate_margin is None


def test_a_canary_that_is_a_tenth_slower_is_on_its_limit_and_not_breached() -> None:
    assert assess(rollout(120, 1.10)).breached_by is None


@pytest.mark.parametrize("both", [1 / 64, 0.5, 4.0, 1000.0])
def test_multiplying_all_latencies_of_both_changes_nothing(both: float) -> None:
    """Exactly for powers of two: the bins of an octave are those of the next one."""
    for slower in (1.0, 1.5):
        plain, scaled = check(assess(rollout(20, slower))), check(assess(rollout(20, slower, both=both)))
        exact = math.log2(both).is_integer()
        assert scaled.log_e_breach == pytest.approx(
            plain.log_e_breach, rel=1e-6 if exact else 0.3, abs=0.3 - 0.3 * exact
        )
        assert scaled.verdict == plain.verdict


def floored(window: TrialWindow) -> list[Cell]:
    """Its cells as streams publish them: session buckets from the smallest p75 of the window's cells on."""
    cells = [c for cohort in COHORTS for c in window.cells(cohort)]
    floor = min(quantile_bin(dense([c.histogram]), 0.75) or 0 for c in cells) // COARSE_PER_FINE
    return [
        c.model_copy(
            update={
                "bucket_floor": floor,
                "bucket_histograms": {
                    bucket: {index: n for index, n in bins.items() if index >= floor}
                    for bucket, bins in c.bucket_histograms.items()
                },
            }
        )
        for c in cells
    ]


def test_how_slow_requests_cluster_is_estimated_where_session_buckets_show_all_of_them() -> None:
    """Both become 30 times slower: at first the window's p75 lies above the threshold of the windows before."""
    family = next(f for f in Sequential().begin(TRIAL).windows.families if f.claim.check == "latency_p99")
    assert isinstance(family, Latency)
    calm, slow = rollout(20), rollout(22, both=30.0)[20:]
    for window in windows(TRIAL, [floored(window) for window in calm]):
        family.fold(window)
    known = family.spread()
    assert known.pooled > 0
    for window in windows(TRIAL, [floored(window) for window in slow], 21):
        (row,) = family.fold(window).values()
        assert row[0].tolist() == [100, 100, 200, 200]  # canary, baseline: all of them are slow
    assert family.spread() == known


def test_slow_requests_of_two_sessions_are_not_a_slow_release() -> None:
    got = assess(rollout(60, 3.0, buckets=2))
    assert got.breached_by is None
    assert check(got).why_undecided == "few_buckets"


def test_a_slow_database_that_both_meet_raises_the_threshold_for_both() -> None:
    calm, slow = rollout(40), rollout(80, both=5.0)[40:]
    assert assess([*calm, *slow]).breached_by is None


def test_open_windows_wait_for_their_buckets() -> None:
    final, ahead = rollout(60, 1.5)[:10], rollout(60, 1.5)[10:]
    assert check(assess(final, ahead)) == check(assess(final))


def test_the_quantile_is_that_of_the_newest_windows() -> None:
    calm, slow = rollout(40), rollout(80, both=4.0)[40:]
    family = next(f for f in families(Checks.model_validate(LATENCY)) if f.claim.check == "latency_p99")
    assert isinstance(family, Latency)
    for window in calm:
        family.fold(window)
    before = family.threshold
    for window in slow:
        family.fold(window)
    assert before is not None
    assert family.threshold is not None
    assert family.threshold.values[0] / before.values[0] == pytest.approx(4, rel=0.15)


def test_a_threshold_holds_for_a_period_of_data_time() -> None:
    family = next(f for f in families(Checks.model_validate(LATENCY)) if f.claim.check == "latency_p99")
    assert isinstance(family, Latency)
    seen = []
    for window in rollout(20):
        family.fold(window)
        seen.append((window.end_ms - window.window_ms, family.threshold))
    for (at, found), (later, other) in pairwise(seen[1:]):
        if at // 5000 == later // 5000:
            assert found == other


def test_requests_are_slow_from_the_edge_on() -> None:
    family = next(f for f in families(Checks.model_validate(LATENCY)) if f.claim.check == "latency_p90")
    fast, slow = bin_of(50.0), bin_of(80.0)
    first = [[cell("v1", 300, latency={fast: 300})]]
    second = [[cell("v1", 100, latency={fast: 90, fast + 1: 10}), cell("v2", 100, latency={fast + 1: 60, slow: 40})]]
    for window in windows(TRIAL, first):
        family.fold(window)
    (window,) = windows(TRIAL, second, first=2)
    (row,) = family.fold(window).values()
    assert row.tolist() == [[100, 40, 100, 10]]


def test_what_is_told_later_is_what_was_seen() -> None:
    healthy, slow = rollout(12), rollout(24, 3.0)[12:]
    comparison = Sequential().begin(TRIAL)
    for window in healthy:
        comparison.add(window)
    unread = comparison.assess((), STAGE_1)
    for window in slow:
        comparison.add(window)
    assert tuple(comparison.assess((), STAGE_1).checks) != assess(healthy).checks
    assert unread.checks == tuple(assess(healthy).checks)
