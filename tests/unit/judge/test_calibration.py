"""Is the judge as right as it says? Whole rollouts of simulated traffic, fixed seeds, a look after each window.

Error control: a canary that is as good as the baseline, or exactly on one of its limits, is rolled back in no more runs
than alpha, and none on its limit is proved within it more often than that. Power: faults beyond the limits are found, and
soon: three times the time that a test needs that knows rate and fault (Wald's bound), and one window.
"""

from functools import cache
from typing import Any

import numpy as np
import pytest

from judge.policies.sequential import Sequential
from tests.unit.judge.simulator import Fault, Outcome, Scenario, Traffic, rolled_back, run

POLICY = Sequential()
RUNS = 40
MOST_FALSE = 2
"""Of 40 runs at alpha 5 %."""
CHECKS = {"session_loss": "off", "availability": "off"}
"""The simulator has no lives and no proxies: those checks have tests of their own."""


@cache
def runs(fault: Fault, sessions_per_s: float = 10.0, many: int = RUNS, **more: Any) -> tuple[Outcome, ...]:
    scenario = Scenario(fault, Traffic(sessions_per_s=sessions_per_s, **more), checks=CHECKS)
    return tuple(run(scenario, seed, POLICY) for seed in range(many))


@pytest.mark.parametrize("sessions_per_s", [1.0, 10.0])
def test_a_canary_like_the_baseline_is_never_rolled_back(sessions_per_s: float) -> None:
    assert rolled_back(runs(Fault(), sessions_per_s)) == 0


def test_a_few_principals_who_call_for_long_and_fail_together_are_no_fault() -> None:
    """They move up with the share, and one of them makes as many calls as many sessions do."""
    clustered = runs(Fault(), 0.5, 20, kind="principal", median_calls=30.0, error_rate=0.02, error_correlation=0.3)
    assert rolled_back(clustered) == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault(errors=0.005),
        Fault(errors=0.005, errors_in=0.01),
        Fault(tool_failures=0.01),
        Fault(slower=1.10),
    ],
    ids=["errors", "errors of one session in a hundred", "tool failures", "p99"],
)
def test_a_canary_exactly_on_its_limit_is_rolled_back_in_no_more_than_alpha(fault: Fault) -> None:
    found = runs(fault)
    assert rolled_back(found) <= MOST_FALSE
    assert sum(outcome.within[-1] for outcome in found) <= MOST_FALSE


@pytest.mark.parametrize(
    ("fault", "within_s", "culprits"),
    [
        (Fault(errors=1.0), 60, {"error_rate"}),
        (Fault(errors=0.20), 117, {"error_rate"}),
        (Fault(errors=0.05), 402, {"error_rate"}),
        (Fault(slower=1.5), 1029, {"latency_p99", "latency_p90"}),
        (Fault(tool_failures=0.30), 300, {"tool_success", "tools"}),
    ],
    ids=["outage", "+20 points", "+5 points", "p99 x 1.5", "tools +30 points"],
)
def test_a_fault_is_found_in_every_run_and_soon(fault: Fault, within_s: float, culprits: set[str]) -> None:
    found = runs(fault, many=12)
    assert rolled_back(found) == len(found)
    assert np.median([outcome.breached_at_s or np.inf for outcome in found]) <= within_s
    assert {outcome.culprit for outcome in found} <= culprits


def test_a_fault_that_comes_late_is_found_as_soon() -> None:
    """Ten minutes of health do not drown it: a restart begins afresh."""
    found = runs(Fault(errors=0.20, from_s=600), many=12)
    times = [outcome.breached_at_s for outcome in found]
    assert all(at is not None and 600 < at <= 720 for at in times)


def test_few_sessions_are_harmed_before_a_bad_canary_is_out() -> None:
    assert np.median([outcome.harmed for outcome in runs(Fault(errors=0.20), many=12)]) <= 30


def test_a_healthy_canary_is_proved_in_a_fifth_of_the_runs_in_each_stage() -> None:
    found = runs(Fault(), 10.0)  # named as above, so that they are the same runs
    first, last = (np.mean([outcome.within[stage] for outcome in found]) for stage in (0, 1))
    assert first >= 0.2
    assert last >= 0.2
