"""Averages of evidence, over bets, restarts and checks: fair, bounded, and never the work of a few clients."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.stats.evidence import BETS_ABOVE, LogWealth, log_wealth
from judge.stats.mixture import RestartMixture, combine, log_sum_exp, needed_log_e

J = len(BETS_ABOVE)
NOTHING = LogWealth.none(1, J)
log_es = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=7)


def of(canary: tuple[int, int], baseline: tuple[int, int]) -> LogWealth:
    return log_wealth(np.array([[canary]]), np.array([[baseline]]), BETS_ABOVE)


def begun(weight: float = 0.6) -> RestartMixture:
    return RestartMixture.none(1, J).restart(NOTHING, weight)


def log_e(mixture: RestartMixture, wealth: LogWealth, margin: float = 0.005, pooled: float = 1.0) -> float:
    terms = mixture.terms(wealth, np.array([pooled]))
    logs = np.append((terms.at_zero - margin * terms.slope).ravel(), np.log(mixture.cash or 1e-300))
    return log_sum_exp(logs)


OUTAGE = of((200, 150), (1800, 20))
RUINED = of((100_000, 0), (100_000, 50_000))


def test_what_no_restart_has_taken_up_stays_cash() -> None:
    assert log_e(RestartMixture.none(1, J), OUTAGE) == 0.0
    assert begun(0.6).cash == pytest.approx(0.4)
    assert log_e(begun(0.6), RUINED) == pytest.approx(math.log(0.4))


def test_the_formula_with_one_restart() -> None:
    mean = math.log(float(np.exp(OUTAGE.at(0.005)).mean()))
    assert log_e(begun(0.6), OUTAGE) == pytest.approx(math.log(0.6 * math.exp(mean) + 0.4))


def test_each_bet_counts_by_its_part() -> None:
    parts = np.arange(1.0, J + 1) / np.arange(1.0, J + 1).sum()
    weighted = RestartMixture.none(1, J, parts).restart(NOTHING, 0.6)
    mean = float(parts @ np.exp(OUTAGE.at(0.005))[0])
    assert log_e(weighted, OUTAGE) == pytest.approx(math.log(0.6 * mean + 0.4))
    assert log_e(RestartMixture.none(1, J, np.full(J, 1 / J)).restart(NOTHING, 0.6), OUTAGE) == pytest.approx(
        log_e(begun(0.6), OUTAGE)
    )


def test_everything_at_stake_leaves_no_cash() -> None:
    assert begun(1.0).cash == 0
    assert log_e(begun(1.0), RUINED) < -600


def test_a_late_fault_is_found_by_a_restart_and_drowned_without_one() -> None:
    healthy, late = of((20_000, 150), (20_000, 300)), of((100, 20), (900, 10))
    restarted = begun().restart(healthy, 0.08)
    assert log_e(restarted, healthy + late) > needed_log_e(0.05)
    assert log_e(begun(), healthy + late) < 0


def test_a_restart_leaves_the_mixture_it_came_from_alone() -> None:
    mixture = begun()
    before = log_e(mixture, OUTAGE)
    mixture.restart(OUTAGE, 0.08)
    assert log_e(mixture, OUTAGE) == before
    assert mixture.weights.tolist() == [0.6]


def test_dispersion_tempers_the_wealth() -> None:
    quarter = LogWealth(OUTAGE.at_zero / 4, OUTAGE.slope / 4)
    assert log_e(begun(), OUTAGE, pooled=4.0) == pytest.approx(log_e(begun(), quarter))


@pytest.mark.parametrize("weight", [0.0, -0.1, 0.41, math.inf])
def test_more_than_everything_cannot_be_staked(weight: float) -> None:
    with pytest.raises(ValueError, match="sum to at most 1"):
        begun(0.6).restart(NOTHING, weight)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_nobody_wins_on_average_over_two_windows_with_a_restart_between(rate: float) -> None:
    n, margin, total = 3, 0.1, 0.0

    def chance(k: int, p: float) -> float:
        return math.comb(n, k) * p**k * (1 - p) ** (n - k)

    for a, b, c, d in itertools.product(range(n + 1), repeat=4):
        first = of((n, a), (n, b))
        likely = chance(a, rate + margin) * chance(b, rate) * chance(c, rate + margin) * chance(d, rate)
        won = log_e(begun(0.6).restart(first, 0.3), first + of((n, c), (n, d)), margin)
        total += likely * math.exp(won)
    assert 0.5 < total <= 1


@pytest.mark.parametrize("size", [10**9, 10**12])
def test_huge_evidence_does_not_overflow(size: int) -> None:
    worse, better = of((size, size), (size, 0)), of((size, 0), (size, size))
    assert size / 2 < log_e(begun(), worse) < math.inf
    assert log_e(begun(), better) == pytest.approx(math.log(0.4))


@given(st.lists(st.floats(-700, 700), min_size=1, max_size=14))
def test_sums_of_exponentials_are_what_they_say(logs: list[float]) -> None:
    plain = math.log(math.fsum(math.exp(x) for x in logs))
    assert log_sum_exp(np.array(logs)) == pytest.approx(plain)


def test_one_check_alone_is_its_own_combination() -> None:
    needed = needed_log_e(0.05)
    assert combine({"error_rate": needed}, {"error_rate": 1.0}, 0.05).breached
    assert not combine({"error_rate": math.nextafter(needed, 0)}, {"error_rate": 1.0}, 0.05).breached


def test_weak_evidence_of_several_checks_adds_up() -> None:
    shares = {"error_rate": 0.4, "tool_success": 0.3, "latency_p99": 0.3}
    weak = dict.fromkeys(shares, 2.95) | {"tool_success": 3.1}
    together = combine(weak, shares, 0.05)
    assert together.breached
    assert together.worst == "error_rate"
    assert together.log_g == pytest.approx(math.log(0.7 * math.exp(2.95) + 0.3 * math.exp(3.1)))
    assert not any(log_e >= needed_log_e(0.05, shares[check]) for check, log_e in weak.items())


@given(log_es, st.floats(0.001, 0.5))
def test_enough_evidence_by_one_check_is_enough_for_all(log_e: list[float], alpha: float) -> None:
    share = 0.999 / len(log_e)
    together = combine(
        {str(i): value for i, value in enumerate(log_e)}, {str(i): share for i in range(len(log_e))}, alpha
    )
    assert log_e[int(together.worst)] == pytest.approx(max(log_e))
    if max(log_e) > needed_log_e(alpha, share) + 1e-9:
        assert together.breached
    if max(log_e) < needed_log_e(alpha) - 1e-9:
        assert not together.breached


@pytest.mark.parametrize(
    ("log_e", "shares"),
    [
        ({}, {}),
        ({"error_rate": 0.0}, {"loss": 1.0}),
        ({"error_rate": 0.0, "loss": 0.0}, {"error_rate": 0.7, "loss": 0.7}),
    ],
)
def test_shares_that_do_not_fit_the_checks_are_refused(log_e: dict[str, float], shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="do not spread at most 1"):
        combine(log_e, shares, 0.05)


@pytest.mark.parametrize(("alpha", "share"), [(0, 1), (1, 1), (0.05, 0), (0.05, 1.01)])
def test_an_error_rate_lies_between_0_and_1(alpha: float, share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        needed_log_e(alpha, share)
