"""The simulator makes the traffic it says, and the same from the same seed."""

import numpy as np
import pytest

from judge.trial import TrialWindow
from streams.histogram import bin_index
from tests.unit.judge.simulator import Calls, Fault, Scenario, Traffic, _bins, draw, windows

STAGES = ((0.10, 600.0), (0.50, 600.0))


def calls(seed: int = 1, **fault: float) -> Calls:
    return draw(Scenario(Fault(**fault), stages=STAGES), np.random.default_rng(seed))


def told(scenario: Scenario, seed: int = 1) -> list[TrialWindow]:
    return list(windows(scenario, scenario.trial(), draw(scenario, np.random.default_rng(seed))))


def test_the_same_seed_gives_the_same_windows_and_another_one_others() -> None:
    scenario = Scenario(traffic=Traffic(sessions_per_s=0.5))
    one, same, other = (
        [[c.outcomes for c in window.cells("canary")] for window in told(scenario, seed)] for seed in (1, 1, 2)
    )
    assert one == same != other


def test_sessions_fall_on_the_cohorts_as_the_stages_say() -> None:
    found = calls()
    for stage, (share, _) in enumerate(STAGES, start=1):
        born = found.first & (found.stage == stage)
        assert found.canary[born].mean() == pytest.approx(share, abs=0.02)
        assert born.sum() == pytest.approx(10 * 600, rel=0.05)


def test_a_fault_changes_the_canary_by_what_it_says() -> None:
    found = calls(errors=0.05, tool_failures=0.10, slower=1.5)
    canary, baseline = found.canary, ~found.canary
    assert found.failed[baseline].mean() == pytest.approx(0.005, abs=0.001)
    assert found.failed[canary].mean() == pytest.approx(0.055, abs=0.01)
    assert found.tool_failed[canary].mean() == pytest.approx(0.055 + 0.945 * 0.12, abs=0.02)
    slower = np.median(found.latency_bin[canary]) - np.median(found.latency_bin[baseline])
    assert slower == pytest.approx(np.median(_bins(np.array([150.0]))) - _bins(np.array([100.0]))[0], abs=3)


def test_a_few_sessions_may_bear_all_errors() -> None:
    found = calls(errors=0.005, errors_in=0.01)
    failing = np.unique(found.session[found.canary & found.faulty])
    assert 0 < len(failing) < 0.02 * len(np.unique(found.session[found.canary]))


def test_a_fault_may_come_late() -> None:
    found = calls(errors=0.5, from_s=600)
    early = found.canary & (found.at_s < 600)
    assert found.failed[early].mean() < 0.02
    assert not found.faulty[early].any()
    assert found.failed[found.canary & (found.stage == 2)].mean() > 0.4


def test_windows_hold_every_call_once_in_its_session_s_stage_and_cohort() -> None:
    scenario = Scenario(traffic=Traffic(sessions_per_s=2.0))
    drawn, made = draw(scenario, np.random.default_rng(3)), told(scenario, 3)
    assert [w.end_ms for w in made] == sorted({w.end_ms for w in made})
    for stage in (1, 2):
        for cohort, mine in (("canary", drawn.canary), ("baseline", ~drawn.canary)):
            cells = [
                cell
                for window in made
                for stratum, pair in window.strata.items()
                if stratum.stage == stage
                for cell in pair[cohort].cells  # type: ignore[index]
            ]
            here = mine & (drawn.stage == stage)
            assert sum(sum(c.outcomes.values()) for c in cells) == here.sum()
            assert sum(c.outcomes.get("server_error", 0) for c in cells) == drawn.failed[here].sum()
            assert sum(sum(c.histogram.values()) for c in cells) == here.sum()
            assert sum(b.tf for c in cells for b in c.buckets.values()) == drawn.tool_failed[here].sum()
            assert sum(c.new_sessions for c in cells) == drawn.first[here].sum()


def test_latencies_fall_into_the_streams_own_bins() -> None:
    values = np.random.default_rng(1).lognormal(4, 2, 5000)
    assert np.abs(_bins(values) - bin_index(values)).max() <= 1  # streams round to single precision first
    assert (_bins(values) == bin_index(values)).mean() > 0.999
