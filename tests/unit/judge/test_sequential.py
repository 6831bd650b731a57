"""The sequential policy over whole rollouts of made-up windows."""

import numpy as np
import pytest

from judge.evidence import Counts, Evidence, Strata
from judge.policies.port import Assessment, StageTimes
from judge.policies.sequential import Sequential
from tests.builders import plan

T0 = 1_000_000
PLAN = plan(checks={"error_rate": {"within": "5pp"}})
STAGE_1 = StageTimes(1, (T0,))
STAGE_2 = StageTimes(2, (T0, T0 + 10_000))


def strata(rows: list[tuple[int, int, int, int]], *, spread: int = 16, start: int = T0) -> Strata:
    """One row a second: (baseline n, bad, canary n, bad), each cohort's spread evenly over `spread` buckets."""
    table = np.array(rows, np.int64).reshape(-1, 4)
    ends = start + 1000 * np.arange(1, len(table) + 1, dtype=np.int64)
    return Strata(ends, table[:, :2], table[:, 2:], _buckets(table[:, :2], spread), _buckets(table[:, 2:], spread))


def _buckets(counts: Counts, spread: int) -> Counts:
    buckets = np.zeros((64, 2), np.int64)
    n, bad = counts.sum(axis=0)
    for i in range(spread):
        buckets[i] = n // spread + (i < n % spread), bad // spread + (i < bad % spread)
    return buckets


def assess(final: Strata, still_open: Strata | None = None, times: StageTimes = STAGE_1) -> Assessment:
    evidence = Evidence(final, still_open or Strata.empty(), 100, 20, 100, 20)
    return Sequential().assess(evidence, PLAN, times)


def test_without_data_nothing_is_breached_proven_or_suspicious() -> None:
    got = assess(Strata.empty())
    assert got.breached_by is None
    assert not got.within
    assert not got.suspicious
    assert got.checks[0].difference is None
    assert got.checks[0].low is None
    assert got.checks[0].high is None
    assert got.score == 75.0


def test_before_the_first_acknowledgement_nothing_counts() -> None:
    assert assess(strata([(80, 1, 20, 20)] * 5), times=StageTimes(1, ())).breached_by is None


def test_a_canary_that_fails_thirty_percent_is_breached_within_three_seconds() -> None:
    got = assess(strata([(60, 1, 15, 5)] * 3))
    assert got.breached_by == "error_rate"
    assert got.score == 0
    check = got.checks[0]
    assert check.verdict == "breached"
    assert check.low is not None
    assert check.low >= check.margin
    assert check.difference == pytest.approx(1 / 3 - 1 / 60, rel=1e-5)


def test_open_windows_bring_a_breach_forward_and_prove_nothing() -> None:
    bad = assess(strata([(60, 1, 15, 0)]), strata([(60, 1, 15, 6)] * 3, start=T0 + 1000))
    assert bad.breached_by == "error_rate"
    healthy = strata([(400, 4, 400, 4)] * 10)
    assert assess(healthy).within
    assert not assess(Strata.empty(), healthy).within


def test_errors_of_two_sessions_are_not_a_bad_release() -> None:
    assert assess(strata([(60, 1, 15, 10)] * 3, spread=2)).breached_by is None


def test_a_healthy_canary_is_proven_and_its_upper_bound_is_inside_the_gates_margin() -> None:
    got = assess(strata([(60, 1, 60, 1)] * 12, start=T0 + 10_000), times=STAGE_2)
    assert got.within
    check = got.checks[0]
    assert check.verdict == "within"
    assert check.gate_margin == PLAN.checks.error_rate.within
    assert check.high is not None
    assert check.high <= check.gate_margin
    assert got.score > 90


def test_the_first_stage_proves_the_margin_of_the_whole_service_at_the_next_share() -> None:
    assert assess(strata([(60, 1, 15, 0)])).checks[0].gate_margin == pytest.approx(0.10)


def test_a_stage_proves_its_margin_on_its_own_data() -> None:
    first_stage = strata([(400, 4, 400, 4)] * 10)
    assert assess(first_stage, times=STAGE_1).within
    for late_ms in (0, 1, 999):
        assert not assess(first_stage, times=StageTimes(2, (T0, T0 + 10_000 + late_ms))).within


def test_an_incident_that_both_cohorts_share_is_nobodys_fault() -> None:
    calm, incident = [(400, 4, 4, 0)] * 10, [(200, 60, 200, 60)] * 10
    assert assess(strata(calm + incident)).breached_by is None


def test_a_somewhat_worse_canary_is_suspicious_before_it_is_breached() -> None:
    seen = [assess(strata([(60, 1, 15, 2)] * n)) for n in range(1, 40)]
    first_suspicious = next(i for i, a in enumerate(seen) if a.suspicious)
    first_breach = next((i for i, a in enumerate(seen) if a.breached_by), len(seen))
    assert first_suspicious < first_breach


def test_what_an_entry_carries_has_six_significant_digits() -> None:
    check = assess(strata([(61, 1, 17, 3)] * 2)).checks[0]
    for value in (check.difference, check.log_e_breach, check.log_e_within, check.dispersion):
        assert value is not None
        assert value == float(f"{value:.6g}")
