"""One rate check over a rollout: folding, looking ahead, and what it makes of healthy and sick canaries."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.stats.dispersion import Dispersion, dispersion
from judge.stats.evidence import Floats
from judge.stats.mixture import needed_log_e
from judge.stats.process import RateProcess
from judge.stats.restarts import Restart, restart_schedule
from judge.stats.within import is_within

WIDE = Dispersion(pooled=1.0, canary=1.0, baseline=1.0, canary_buckets=64)
START = Restart(0, 0.60, opens_stage=True)
STAGE = Restart(600, 0.08, opens_stage=True)
TIMED = Restart(300, 0.012, opens_stage=False)
LIMIT, NEEDED = 0.005, needed_log_e(0.05)
BUCKETS = 64

rates = st.floats(0, 1)
windows = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 500), rates, rates), min_size=1, max_size=6)
Drawn = list[tuple[int, int, float, float]]


def row(counted: float, bad: float) -> Floats:
    return np.array([[counted, bad]])


def folded(drawn: Drawn, process: RateProcess | None = None) -> RateProcess:
    """All windows, with a timed restart after the first."""
    process = process or RateProcess.empty().restart(START)
    for i, (n, k, rate, other) in enumerate(drawn):
        process = process.add(row(n, round(n * rate)), row(k, round(k * other)))
        process = process.restart(TIMED) if i == 0 else process
    return process


def test_nothing_is_at_stake_before_the_first_restart() -> None:
    assert RateProcess.empty().add(row(100, 90), row(900, 5)).log_e_breach(LIMIT, WIDE) == 0.0


@given(windows, st.integers(0, 99), st.integers(0, 99))
def test_looking_ahead_leaves_the_final_windows_as_they_were(drawn: Drawn, n: int, k: int) -> None:
    final = folded(drawn)
    before = final.log_e_breach(LIMIT, WIDE), final.log_e_within(LIMIT, WIDE)
    final.add(row(n, n), row(k, 0)).restart(STAGE).add(row(n, n), row(k, 0))
    assert (final.log_e_breach(LIMIT, WIDE), final.log_e_within(LIMIT, WIDE)) == before


@given(windows)
def test_window_by_window_equals_all_at_once(drawn: Drawn) -> None:
    canary = np.array([(n, round(n * rate)) for n, _, rate, _ in drawn])
    baseline = np.array([(k, round(k * rate)) for _, k, _, rate in drawn])
    once = RateProcess.empty().restart(START).add(canary[:1], baseline[:1]).restart(TIMED).add(canary[1:], baseline[1:])
    assert folded(drawn).log_e_breach(LIMIT, WIDE) == pytest.approx(once.log_e_breach(LIMIT, WIDE), abs=1e-9)
    assert folded(drawn).log_e_within(LIMIT, WIDE) == pytest.approx(once.log_e_within(LIMIT, WIDE), abs=1e-9)


@given(windows, st.integers(1, 99))
def test_a_window_in_which_one_cohort_is_empty_changes_nothing(drawn: Drawn, n: int) -> None:
    process = folded(drawn)
    for more in (process.add(row(0, 0), row(n, n)), process.add(row(n, n), row(0, 0))):
        assert more.log_e_breach(LIMIT, WIDE) == process.log_e_breach(LIMIT, WIDE)
        assert more.log_e_within(LIMIT, WIDE) == process.log_e_within(LIMIT, WIDE)


def test_the_proof_of_a_stage_rests_on_that_stage_alone() -> None:
    proved = RateProcess.empty().restart(START).add(row(5000, 10), row(5000, 50))
    assert is_within(proved.log_e_within(0.05, WIDE))
    assert is_within(proved.restart(TIMED).log_e_within(0.05, WIDE))
    assert proved.restart(STAGE).log_e_within(0.05, WIDE) == 0.0


def test_a_ratio_forgives_what_it_allows() -> None:
    third_more = row(30_000, 4000), row(30_000, 3000)
    strict, half_more = (RateProcess.empty(r).restart(START).add(*third_more) for r in (1.0, 1.5))
    assert strict.log_e_breach(0, WIDE) > NEEDED
    assert half_more.log_e_breach(0, WIDE) < 0
    assert strict.log_e_within(0, WIDE) < 0
    assert is_within(half_more.log_e_within(0, WIDE))


def test_a_fault_that_comes_late_is_found_by_the_restart_before_it() -> None:
    healthy, fault = (row(20_000, 150), row(20_000, 300)), (row(100, 20), row(900, 10))
    rollout = RateProcess.empty().restart(START).add(*healthy)
    assert rollout.restart(STAGE).add(*fault).log_e_breach(LIMIT, WIDE) > NEEDED
    assert rollout.add(*fault).log_e_breach(LIMIT, WIDE) < 0


@given(windows, st.integers(1, 4))
def test_a_canary_without_errors_never_breaches(drawn: Drawn, pooled: int) -> None:
    flawless = folded([(n, k, 0.0, rate) for n, k, _, rate in drawn])
    assert flawless.log_e_breach(LIMIT, Dispersion(pooled, 1.0, 1.0, canary_buckets=64)) <= 1e-12


@given(windows)
def test_identical_cohorts_never_breach(drawn: Drawn) -> None:
    assert folded([(n, n, rate, rate) for n, _, rate, _ in drawn]).log_e_breach(0, WIDE) <= 1e-12


@given(windows, st.integers(0, 2))
def test_fewer_than_three_buckets_with_errors_never_breach(drawn: Drawn, buckets: int) -> None:
    outage = folded([(n, k, 1.0, 0.0) for n, k, _, _ in drawn])
    assert outage.log_e_breach(LIMIT, Dispersion(1.0, 1.0, 1.0, buckets)) <= 0


@given(windows, st.integers(1, 20), st.integers(1, 200), st.data())
def test_one_more_error_never_speaks_for_its_own_cohort(drawn: Drawn, n: int, k: int, data: st.DataObject) -> None:
    bad, other = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, k - 1))
    process = folded(drawn)
    now, worse, better = (
        process.add(row(n, y), row(k, x)).log_e_breach(LIMIT, WIDE)
        for y, x in ((bad, other), (bad + 1, other), (bad, other + 1))
    )
    assert better - 1e-12 <= now <= worse + 1e-12


@given(windows, st.integers(2, 9))
def test_repeating_every_session_in_its_bucket_leaves_the_evidence_unchanged(drawn: Drawn, times: int) -> None:
    canary, baseline = (np.array([[9, 6], [9, 0], [9, 1], [9, 9]]) * k for k in (1, 10))
    repeated = RateProcess.empty().restart(START)
    for i, (n, k, rate, other) in enumerate(drawn):
        repeated = repeated.add(row(times * n, times * round(n * rate)), row(times * k, times * round(k * other)))
        repeated = repeated.restart(TIMED) if i == 0 else repeated
    once = folded(drawn).log_e_breach(0.005, dispersion(canary, baseline))
    many = repeated.log_e_breach(0.005, dispersion(times * canary, times * baseline))
    assert many == pytest.approx(once, abs=1e-9)


@dataclass(frozen=True)
class Rollout:
    """A simulated 10 % stage of 20 minutes: 5 s windows, 20 canary and 180 baseline requests each, on average."""

    seed: int
    canary_rate: float
    baseline_rate: float = 0.01
    windows: int = 240

    def first_breach(self) -> int | None:
        """The first window at whose end the canary is out."""
        return next((i for i, log_e in enumerate(self.looks()) if log_e >= NEEDED), None)

    def looks(self) -> Iterator[float]:
        """ln E after each window."""
        generator = np.random.default_rng(self.seed)
        due = list(restart_schedule([5.0 * self.windows, 3600]).begun([0], math.inf))
        process, canary, baseline = RateProcess.empty(), np.zeros((BUCKETS, 2)), np.zeros((BUCKETS, 2))
        for i in range(self.windows):
            while due and due[0].at_s <= 5 * i:
                process = process.restart(due.pop(0))
            mine = self._window(generator, 20, self.canary_rate)
            theirs = self._window(generator, 180, self.baseline_rate)
            canary, baseline = canary + mine, baseline + theirs
            process = process.add(mine.sum(axis=0, keepdims=True), theirs.sum(axis=0, keepdims=True))
            yield process.log_e_breach(LIMIT, dispersion(canary, baseline))

    def _window(self, generator: np.random.Generator, requests: int, rate: float) -> Floats:
        counted = generator.poisson(requests / BUCKETS, BUCKETS)
        return np.column_stack((counted, generator.binomial(counted, rate))).astype(np.float64)


def test_healthy_canaries_survive_looks_at_every_window() -> None:
    assert [Rollout(seed, canary_rate=0.01).first_breach() for seed in range(20)] == [None] * 20


def test_canaries_on_their_limit_survive_looks_at_every_window() -> None:
    breaches = [Rollout(seed, canary_rate=0.015).first_breach() for seed in range(20)]
    assert sum(breach is not None for breach in breaches) <= 1


def test_a_canary_that_fails_a_third_of_requests_is_out_within_a_minute() -> None:
    breaches = [Rollout(seed, canary_rate=0.30).first_breach() for seed in range(20)]
    assert all(breach is not None and breach < 12 for breach in breaches)


def test_an_outage_is_out_within_two_windows() -> None:
    breaches = [Rollout(seed, canary_rate=1.0).first_breach() for seed in range(20)]
    assert all(breach is not None and breach < 2 for breach in breaches)
