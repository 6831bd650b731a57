"""What every policy must do, davylamp's own and those that it is compared with."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judge.policies.choice import AsPlanned
from judge.policies.kayenta.policy import Kayenta
from judge.policies.port import Assessment, Policy, StageTimes
from judge.policies.sequential import Sequential
from judge.policies.threshold import argo, flagger
from judge.policies.threshold.conditions import parse_condition
from judge.policies.threshold.policy import Argo, Flagger, argo_relative_to_baseline, relative_to_baseline
from judge.trial import TrialWindow
from tests.unit.judge.trials import T0, cell, trial, windows

TRIAL = trial()
TIMES = StageTimes(1, (T0,), T0)
STATIC = flagger.Analysis((flagger.Metric("request-success-rate", minimum=90),), (20, 50), 2, 10.0)
CONDITION = argo.Metric("error_rate", parse_condition("result < 0.1"), interval_s=10.0)

POLICIES: dict[str, Policy] = {
    "sequential": Sequential(),
    "as planned": AsPlanned(),
    "kayenta": Kayenta(slot_ms=2_000),
    "flagger": Flagger(STATIC),
    "flagger against the baseline": relative_to_baseline(TRIAL.plan, threshold=2, interval_s=10.0),
    "argo": Argo((CONDITION,), over_s=10.0),
    "argo against the baseline": argo_relative_to_baseline(TRIAL.plan, interval_s=10.0),
}

Row = tuple[int, int, int, int]
"""Baseline requests and errors, canary requests and errors, of one second."""

rows = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40)).map(
        lambda r: (r[0], min(r[1], r[0]), r[2], min(r[3], r[2]))
    ),
    max_size=30,
)


def seconds(found: Sequence[Row], first: int = 1) -> list[TrialWindow]:
    return windows(TRIAL, [(cell("v1", n, bad), cell("v2", k, y)) for n, bad, k, y in found], first)


def assess(policy: Policy, final: Sequence[TrialWindow], times: StageTimes = TIMES, still_open: Any = ()) -> Assessment:
    comparison = policy.begin(TRIAL)
    for window in final:
        comparison.add(window)
    return comparison.assess(still_open, times)


OUTAGE: list[Row] = [(60, 1, 60, 60)] * 60


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> Policy:
    found: Policy = POLICIES[request.param]
    return found


def test_without_data_nothing_is_breached_and_nothing_within(policy: Policy) -> None:
    got = assess(policy, [])
    assert (got.breached_by, got.within, got.suspicious) == (None, False, False)


def test_an_outage_is_a_breach_by_a_check_that_is_shown_and_the_score_is_zero(policy: Policy) -> None:
    got = assess(policy, seconds(OUTAGE))
    assert got.breached_by in {check.check for check in got.checks}
    assert got.score == 0
    assert not got.within


def test_before_the_first_acknowledgement_nothing_counts(policy: Policy) -> None:
    assert assess(policy, seconds(OUTAGE), StageTimes(1, ())).breached_by is None
    late = StageTimes(1, (T0 + 60_000,), T0 + 60_000)
    assert assess(policy, seconds(OUTAGE), late).breached_by is None


def test_a_baseline_alone_proves_nothing(policy: Policy) -> None:
    got = assess(policy, seconds([(60, 1, 0, 0)] * 60))
    assert not got.within


def test_open_windows_never_prove_anything(policy: Policy) -> None:
    assert not assess(policy, [], still_open=seconds([(400, 4, 400, 4)] * 60)).within


@settings(max_examples=25)
@given(rows, st.integers(0, 30))
@pytest.mark.parametrize("name", POLICIES)
def test_a_look_changes_nothing(name: str, found: list[Row], at: int) -> None:
    final, looked = seconds(found), POLICIES[name].begin(TRIAL)
    for number, window in enumerate(final):
        if number == at:
            looked.assess(final[at:], TIMES)
        looked.add(window)
    once = looked.assess((), TIMES)
    assert once == looked.assess((), TIMES) == assess(POLICIES[name], final)


@settings(max_examples=25)
@given(rows)
@pytest.mark.parametrize("name", POLICIES)
def test_what_is_breached_is_not_within_and_every_number_can_be_written_down(name: str, found: list[Row]) -> None:
    got = assess(POLICIES[name], seconds(found))
    assert not (got.within and got.breached_by)
    assert 0 <= got.score <= 100
    assert all(check.dump() for check in got.checks)
