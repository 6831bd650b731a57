"""One rate check over a rollout: folding, looking ahead, and what it makes of healthy and sick canaries."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.stats.dispersion import shrunk
from judge.stats.evidence import Floats
from judge.stats.mixture import needed_log_e
from judge.stats.process import Layout, Processes
from judge.stats.restarts import Restart, restart_schedule
from judge.stats.within import is_within

START = Restart(0, 0.60, opens_stage=True)
STAGE = Restart(600, 0.08, opens_stage=True)
TIMED = Restart(300, 0.012, opens_stage=False)
LIMIT, NEEDED = 0.005, needed_log_e(0.05)
BUCKETS = 64

rates = st.floats(0, 1)
windows = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 500), rates, rates), min_size=1, max_size=6)
Drawn = list[tuple[int, int, float, float]]


def row(counted: float, bad: float) -> Floats:
    """One row of one check."""
    return np.array([[[counted, bad]]])


def empty(ratio: float = 1.0) -> Processes:
    return Processes.empty(Layout.of((1, ratio, 1.0)))


def log_e_breach(process: Processes, margin: float = LIMIT, pooled: float = 1.0) -> float:
    return float(process.against(np.array([pooled])).at(np.array([margin]))[0])


def log_e_within(process: Processes, margin: float = LIMIT, pooled: float = 1.0) -> float:
    return float(process.within(np.array([0]), np.array([pooled])).at(np.array([margin]))[0])


def folded(drawn: Drawn, process: Processes | None = None) -> Processes:
    """All windows, with a timed restart after the first."""
    process = process or empty().restart(START)
    for i, (n, k, rate, other) in enumerate(drawn):
        process = process.add(row(n, round(n * rate)), row(k, round(k * other)))
        process = process.restart(TIMED) if i == 0 else process
    return process


def test_nothing_is_at_stake_before_the_first_restart() -> None:
    assert log_e_breach(empty().add(row(100, 90), row(900, 5)), LIMIT) == 0.0


@given(windows, st.integers(0, 99), st.integers(0, 99))
def test_looking_ahead_leaves_the_final_windows_as_they_were(drawn: Drawn, n: int, k: int) -> None:
    final = folded(drawn)
    before = log_e_breach(final, LIMIT), log_e_within(final, LIMIT)
    final.add(row(n, n), row(k, 0)).restart(STAGE).add(row(n, n), row(k, 0))
    assert (log_e_breach(final, LIMIT), log_e_within(final, LIMIT)) == before


@given(windows)
def test_window_by_window_equals_all_at_once(drawn: Drawn) -> None:
    canary = np.array([[(n, round(n * rate))] for n, _, rate, _ in drawn])
    baseline = np.array([[(k, round(k * rate))] for _, k, _, rate in drawn])
    once = empty().restart(START).add(canary[:1], baseline[:1]).restart(TIMED).add(canary[1:], baseline[1:])
    assert log_e_breach(folded(drawn), LIMIT) == pytest.approx(log_e_breach(once, LIMIT), abs=1e-9)
    assert log_e_within(folded(drawn), LIMIT) == pytest.approx(log_e_within(once, LIMIT), abs=1e-9)


@given(windows, st.integers(1, 99))
def test_a_window_in_which_one_cohort_is_empty_changes_nothing(drawn: Drawn, n: int) -> None:
    process = folded(drawn)
    for more in (process.add(row(0, 0), row(n, n)), process.add(row(n, n), row(0, 0))):
        assert log_e_breach(more, LIMIT) == log_e_breach(process, LIMIT)
        assert log_e_within(more, LIMIT) == log_e_within(process, LIMIT)


def test_the_proof_of_a_stage_rests_on_that_stage_alone() -> None:
    proved = empty().restart(START).add(row(5000, 10), row(5000, 50))
    assert is_within(log_e_within(proved, 0.05))
    assert is_within(log_e_within(proved.restart(TIMED), 0.05))
    assert log_e_within(proved.restart(STAGE), 0.05) == 0.0


def test_checks_side_by_side_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(3)
    rows = rng.integers(1, 50, (5, 3, 4)).cumsum(axis=2)[..., [1, 0, 3, 2]]
    together = Processes.empty(Layout.of((1, 1.0, 1.0), (1, 1.5, 1.0), (1, 1.0, 1.0))).restart(START)
    together = together.add(rows[..., :2], rows[..., 2:]).restart(TIMED)
    pooled, margins = np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.01, 0.02])
    for check, ratio in enumerate((1.0, 1.5, 1.0)):
        mine = rows[:, check : check + 1]
        alone = empty(ratio).restart(START).add(mine[..., :2], mine[..., 2:]).restart(TIMED)
        expected = log_e_breach(alone, margins[check], pooled[check])
        assert together.against(pooled).at(margins)[check] == pytest.approx(expected, rel=1e-12)
        expected = log_e_within(alone, margins[check], pooled[check])
        assert together.within(np.arange(3), pooled).at(margins)[check] == pytest.approx(expected, rel=1e-12)


def test_the_members_of_a_check_are_averaged_so_that_one_bad_one_is_not_drowned() -> None:
    fine, bad = [2000, 4, 20_000, 40], [60, 30, 600, 6]
    rows = np.array([[fine, fine, bad]])
    process = Processes.empty(Layout.of((3, 1.0, 1.0))).restart(START).add(rows[..., :2], rows[..., 2:])
    of_members = process.alone().against(np.ones(3)).at(np.full(3, LIMIT))
    averaged = float(process.against(np.ones(1)).at(np.array([LIMIT]))[0])
    mean = np.exp(of_members - of_members.max()).mean()
    assert averaged == pytest.approx(of_members.max() + math.log(mean))
    pooled = rows.sum(axis=1, keepdims=True)
    assert averaged > NEEDED > log_e_breach(empty().restart(START).add(pooled[..., :2], pooled[..., 2:]))


def test_most_evidence_rests_on_the_restart_before_the_fault() -> None:
    healthy, fault = (row(20_000, 150), row(20_000, 300)), (row(100, 20), row(900, 10))
    margin, pooled = np.array([LIMIT]), np.ones(1)
    assert empty().strongest(margin, pooled).tolist() == [0]
    started = empty().restart(START)
    late = started.add(*healthy).restart(STAGE).restart(TIMED).add(*fault)
    assert late.strongest(margin, pooled).tolist() == [1]
    assert started.add(*fault).restart(STAGE).strongest(margin, pooled).tolist() == [0]


def test_a_ratio_forgives_what_it_allows() -> None:
    third_more = row(30_000, 4000), row(30_000, 3000)
    strict, half_more = (empty(r).restart(START).add(*third_more) for r in (1.0, 1.5))
    assert log_e_breach(strict, 0) > NEEDED
    assert log_e_breach(half_more, 0) < 0
    assert log_e_within(strict, 0) < 0
    assert is_within(log_e_within(half_more, 0))


def test_a_fault_that_comes_late_is_found_by_the_restart_before_it() -> None:
    healthy, fault = (row(20_000, 150), row(20_000, 300)), (row(100, 20), row(900, 10))
    rollout = empty().restart(START).add(*healthy)
    assert log_e_breach(rollout.restart(STAGE).add(*fault), LIMIT) > NEEDED
    assert log_e_breach(rollout.add(*fault), LIMIT) < 0


@given(windows, st.integers(1, 4))
def test_a_canary_without_errors_never_breaches(drawn: Drawn, pooled: int) -> None:
    flawless = folded([(n, k, 0.0, rate) for n, k, _, rate in drawn])
    assert log_e_breach(flawless, LIMIT, pooled) <= 1e-12


@given(windows)
def test_identical_cohorts_never_breach(drawn: Drawn) -> None:
    assert log_e_breach(folded([(n, n, rate, rate) for n, _, rate, _ in drawn]), 0) <= 1e-12


@given(windows, st.integers(1, 20), st.integers(1, 200), st.data())
def test_one_more_error_never_speaks_for_its_own_cohort(drawn: Drawn, n: int, k: int, data: st.DataObject) -> None:
    bad, other = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, k - 1))
    process = folded(drawn)
    now, worse, better = (
        log_e_breach(process.add(row(n, y), row(k, x)), LIMIT)
        for y, x in ((bad, other), (bad + 1, other), (bad, other + 1))
    )
    assert better - 1e-12 <= now <= worse + 1e-12


@given(windows, st.integers(2, 9))
def test_repeating_every_session_in_its_bucket_leaves_the_evidence_unchanged(drawn: Drawn, times: int) -> None:
    canary, baseline = (np.array([[9, 6], [9, 0], [9, 1], [9, 9]]) * k for k in (1, 10))
    repeated = empty().restart(START)
    for i, (n, k, rate, other) in enumerate(drawn):
        repeated = repeated.add(row(times * n, times * round(n * rate)), row(times * k, times * round(k * other)))
        repeated = repeated.restart(TIMED) if i == 0 else repeated
    once = log_e_breach(folded(drawn), 0.005, shrunk(canary, baseline).pooled)
    many = log_e_breach(repeated, 0.005, shrunk(times * canary, times * baseline).pooled)
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
        process, canary, baseline = empty(), np.zeros((BUCKETS, 2)), np.zeros((BUCKETS, 2))
        for i in range(self.windows):
            while due and due[0].at_s <= 5 * i:
                process = process.restart(due.pop(0))
            mine = self._window(generator, 20, self.canary_rate)
            theirs = self._window(generator, 180, self.baseline_rate)
            canary, baseline = canary + mine, baseline + theirs
            process = process.add(row(*mine.sum(axis=0)), row(*theirs.sum(axis=0)))
            spread = shrunk(canary, baseline)
            yield log_e_breach(process, LIMIT, spread.pooled) if spread.widespread else 0.0

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
