"""Kayenta, Flagger and Argo over the same windows as davylamp's own policy."""

from typing import Any

import numpy as np
import pytest

from judge.policies.cohort_series import CohortSeries, cohort_series
from judge.policies.kayenta.policy import Kayenta, config_of, pairs
from judge.policies.kayenta.policy import refuse_unknown as kayenta_refuses
from judge.policies.kayenta.settings import CanaryConfig, ConfigError, EffectLimits
from judge.policies.port import Assessment, StageTimes
from judge.policies.threshold import argo, flagger
from judge.policies.threshold.conditions import parse_condition
from judge.policies.threshold.fields import RuleError
from judge.policies.threshold.measuring import for_argo, for_flagger, refuse_unknown, value
from judge.policies.threshold.policy import Argo, Flagger, relative_to_baseline
from judge.recorded import Recorded, recorded_state
from schemas.windows import CohortWindow, Metric
from tests.builders import plan
from tests.unit.judge.policies.made_windows import T0, cell, constant, window

PLAN = plan(checks={"error_rate": {"within": "5pp"}})
TIMES = StageTimes(1, (T0,))
BEFORE = StageTimes(1, ())
STATIC = Flagger(flagger.Analysis((flagger.Metric("request-success-rate", minimum=99),), (10, 50), 2, 60.0))
CONDITION = Argo((argo.Metric("error_rate", parse_condition("result < 0.05"), interval_s=10.0),), over_s=10.0)
KAYENTA = Kayenta(slot_ms=10_000)

HEALTHY, BROKEN = (((99, 1), (10, 0)), ((99, 1), (5, 5)))


def series(windows: list[CohortWindow]) -> CohortSeries:
    return cohort_series(windows, "v1", "v2")


def noisy(n: int, canary_rate: float) -> CohortSeries:
    """Seeded windows of 1,000 requests a cohort; the baseline fails 5 %."""
    random = np.random.default_rng(7)
    made = []
    for i in range(n):
        bad = random.binomial(1000, 0.05), random.binomial(1000, canary_rate)
        made.append(window(i, *(cell(v, 1000 - int(b), int(b)) for v, b in zip(("v1", "v2"), bad, strict=True))))
    return series(made)


@pytest.mark.parametrize("policy", [KAYENTA, STATIC, CONDITION, relative_to_baseline(PLAN)])
class TestAnyPolicy:
    def assess(self, policy: Any, windows: list[CohortWindow], times: StageTimes = TIMES) -> Assessment:
        found = policy.assess_series(series(windows), PLAN, times)
        assert isinstance(found, Assessment)
        return found

    def test_nothing_is_said_before_the_first_acknowledgement(self, policy: Any) -> None:
        got = self.assess(policy, constant(60, *BROKEN), BEFORE)
        assert (got.breached_by, got.within, got.suspicious) == (None, False, False)

    def test_without_windows_nothing_is_breached_and_nothing_within(self, policy: Any) -> None:
        got = self.assess(policy, [])
        assert (got.breached_by, got.within) == (None, False)

    def test_a_canary_without_requests_is_never_within(self, policy: Any) -> None:
        assert not self.assess(policy, [window(i, cell("v1", 99, 1)) for i in range(24)]).within

    def test_a_constant_outage_is_a_breach_with_both_cohorts_numbers(self, policy: Any) -> None:
        got = self.assess(policy, constant(120, *BROKEN))
        assert got.breached_by is not None
        assert got.score == 0
        check = next(c for c in got.checks if c.check == got.breached_by)
        assert check.verdict == "breached"
        assert (check.canary.n, check.canary.bad) == (1200, 600)
        assert (check.baseline.n, check.baseline.bad) == (12000, 120)

    def test_the_same_windows_give_the_same_assessment(self, policy: Any) -> None:
        assert self.assess(policy, constant(60, *BROKEN)) == self.assess(policy, constant(60, *BROKEN))


@pytest.mark.parametrize("policy", [KAYENTA, STATIC, CONDITION, relative_to_baseline(PLAN)])
def test_by_the_port_a_policy_says_what_it_says_of_the_series(policy: Any) -> None:
    for windows in (constant(120, *BROKEN), constant(120, *HEALTHY)):
        by_port = recorded_state(Recorded(windows, PLAN)).assess(policy)
        assert by_port == policy.assess_series(series(windows), PLAN, TIMES)


def test_kayenta_passes_what_does_not_differ_and_fails_what_does() -> None:
    same, worse = (KAYENTA.assess_series(noisy(120, rate), PLAN, TIMES) for rate in (0.05, 0.10))
    assert (same.breached_by, same.within, same.score) == (None, True, 100)
    assert (worse.breached_by, worse.within, worse.score) == ("error_rate", False, 0)


def test_kayenta_looks_at_the_values_of_slots_not_at_how_many_requests_they_are() -> None:
    config = config_of(PLAN)
    (few,) = (p for p in pairs(series(constant(24, (9, 1), (9, 1))), config, 60_000) if p.name == "error_rate")
    (many,) = (p for p in pairs(series(constant(24, (9000, 1000), (9, 1))), config, 60_000) if p.name == "error_rate")
    assert few.control.tolist() == many.control.tolist() == [0.1, 0.1]


def test_kayentas_error_is_not_within_here() -> None:
    """One slot a side: the real judge cannot compute it, and passes it with 100."""
    got = Kayenta().assess_series(series(constant(6, (100, 0), (5, 5))), PLAN, TIMES)
    assert got.score == 100
    assert (got.breached_by, got.within) == (None, False)
    error_rate = next(check for check in got.checks if check.check == "error_rate")
    assert (error_rate.verdict, error_rate.why_undecided) == ("undecided", "no_data")


def test_a_canary_that_is_only_one_vote_of_many_is_suspicious() -> None:
    names = ["error_rate", "requests", "tool_success", "latency_p99"]
    config = CanaryConfig.read({"metrics": [{"name": n, "groups": ["g"]} for n in names], "classifier": {}})
    windows = [window(i, cell("v1", 100 + i % 7, 1 + i % 3), cell("v2", 80 + i % 7, 20 + i % 5)) for i in range(60)]
    got = Kayenta(config, slot_ms=5_000).assess_series(series(windows), PLAN, TIMES)
    assert (got.score, got.suspicious, got.breached_by) == (75, True, None)


def test_a_users_own_canary_config_may_name_what_windows_give() -> None:
    tokens = [window(i, cell("v1", 5, metrics={"tokens": Metric(n=5, micro=10)}), cell("v2", 5)) for i in range(2)]
    config = CanaryConfig.read({"metrics": [{"name": "tokens"}, {"name": "latency_p99"}], "classifier": {}})
    kayenta_refuses(series(tokens), config)
    with pytest.raises(ConfigError, match=r"metrics\[0\].name: 'tokens' is none of what windows give: error_rate"):
        kayenta_refuses(series(constant(1, (1, 0), (1, 0))), config)


def test_a_plans_checks_are_kayentas_metrics_each_critical_with_its_relative_margin() -> None:
    checks = {
        "hits": {"kind": "rate", "worse": "lower", "within": "1pp"},
        "tokens": {"kind": "mean", "within": "20%"},
        "speed": {"kind": "mean", "worse": "lower", "within": "20%"},
        "latency_p90": "off",
    }
    config = config_of(plan(checks=checks))
    names = [metric["name"] for metric in config.metrics]
    assert names == ["error_rate", "tool_success", "latency_p99", "hits", "speed", "tokens"]
    found = {name: config.settings(name) for name in names}
    assert all(settings.critical for settings in found.values())
    assert {name: s.direction for name, s in found.items() if s.direction == "decrease"} == {
        "hits": "decrease",
        "speed": "decrease",
    }
    assert found["latency_p99"].allowed == found["latency_p99"].criticals == EffectLimits(1.0, 1.1)
    assert found["speed"].allowed == EffectLimits(0.8, 1.0)
    assert found["tokens"].allowed == EffectLimits(1.0, 1.2)
    assert found["error_rate"].allowed == EffectLimits()


def test_flagger_rolls_back_a_tick_after_the_count_is_full() -> None:
    def at(minutes: int) -> str | None:
        windows = constant(12 * minutes, *BROKEN)
        return STATIC.assess_series(series(windows), PLAN, TIMES).breached_by

    assert [at(m) for m in (1, 2, 3)] == [None, "request-success-rate", "request-success-rate"]
    ticks = flagger.run(STATIC.analysis, for_flagger(series(constant(24, *BROKEN)), STATIC.analysis, T0))
    assert [tick.action for tick in ticks] == ["started", "halted", "halted", "rolled_back"]


def test_a_static_limit_blames_the_canary_for_an_incident_that_both_cohorts_share() -> None:
    incident = series(constant(60, (70, 30), (7, 3)))
    assert STATIC.assess_series(incident, PLAN, TIMES).breached_by == "request-success-rate"
    assert relative_to_baseline(PLAN).assess_series(incident, PLAN, TIMES).breached_by is None


def test_a_limit_against_the_baseline_is_the_plans_margin() -> None:
    metrics = {m.name: m.maximum for m in relative_to_baseline(PLAN).analysis.metrics}
    assert metrics["error_rate.difference"] == 0.05
    assert metrics["tool_success.difference"] == 0.01
    assert metrics["latency_p99.ratio"] == pytest.approx(1.1)


def test_argo_measures_at_its_own_interval_and_after_an_error_in_ten_seconds() -> None:
    metric = argo.Metric("error_rate", parse_condition("result < 0.05"), interval_s=30.0)
    quiet = series([window(0, cell("v1", 9)), *(window(i) for i in range(1, 12))])
    got = argo.run([metric], for_argo(quiet, T0, 10.0))
    assert (got.phase, got.at_s, got.metrics[0].error) == ("Error", 40.0, 5)


def test_argo_looks_back_over_the_range_of_its_query() -> None:
    provider = for_argo(series([window(0, cell("v2", 0, 8)), window(1, cell("v2", 8, 0))]), T0, 5.0)
    assert provider(CONDITION.metrics[0], 0, 5.0) == 1.0
    assert provider(CONDITION.metrics[0], 1, 10.0) == 0.0
    assert for_argo(series(constant(2, *BROKEN)), T0, 10.0)(CONDITION.metrics[0], 0, 10.0) == 0.5
    with pytest.raises(argo.OutOfDataError):
        provider(CONDITION.metrics[0], 2, 15.0)


def test_a_dry_run_metric_never_breaches() -> None:
    dry = Argo((argo.Metric("error_rate", parse_condition("result < 0.05"), interval_s=10.0, dry_run=True),))
    assert dry.assess_series(series(constant(24, *BROKEN)), PLAN, TIMES).breached_by is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("request-success-rate", 50.0),
        ("error_rate", 0.5),
        ("error_rate.difference", 0.49),
        ("error_rate.ratio", 50.0),
        ("requests", 10.0),
        ("tokens", None),
    ],
)
def test_a_metric_is_measured_by_its_name(name: str, expected: float | None) -> None:
    slot = series(constant(1, *BROKEN)).total
    got = value(name, slot)
    assert got is None if expected is None else got == pytest.approx(expected)


def test_latency_is_in_milliseconds() -> None:
    slot = series(constant(1, *HEALTHY, bin_=1000)).total
    found = value("request-duration", slot)
    assert found == value("latency_p99", slot)
    assert found == pytest.approx(2 ** (1000 // 64 - 10) * (1 + 1000 % 64 / 64), rel=1 / 64)


def test_a_ratio_to_nothing_is_no_value() -> None:
    assert value("error_rate.ratio", series(constant(1, (9, 0), (5, 5))).total) is None


@pytest.mark.parametrize("name", ["errors", "error_rate.percent", "difference"])
def test_a_metric_that_windows_cannot_give_is_refused_with_those_they_can(name: str) -> None:
    here = series(constant(1, *HEALTHY))
    refuse_unknown(("error_rate.ratio", "request-duration"), here)
    with pytest.raises(RuleError, match=rf"{name}: these windows give request-success-rate, .*error_rate"):
        refuse_unknown((name,), here)
