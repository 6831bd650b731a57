"""Restart weights: fixed by the plan, never more than everything."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.stats.restarts import Restart, restart_schedule

DOCUMENT = restart_schedule([600, 1800, 3600])
LATER = 1e9

durations = st.lists(st.floats(0.001, 86400), min_size=1, max_size=20)


def weights(restarts: tuple[Restart, ...], *, opens_stage: bool) -> list[float]:
    return [r.weight for r in restarts if r.opens_stage is opens_stage]


def test_the_document_plan_stakes_everything_over_its_stages_and_twenty_timed_restarts() -> None:
    begun = DOCUMENT.begun([0, 600, 2400], LATER)
    assert weights(begun, opens_stage=True) == pytest.approx([0.60, 0.08, 0.08])
    assert weights(begun, opens_stage=False) == pytest.approx([0.012] * 20)
    assert math.fsum(r.weight for r in begun) == pytest.approx(1)


def test_timed_restarts_end_with_the_planned_duration_however_long_the_rollout_takes() -> None:
    timed = [r.at_s for r in DOCUMENT.begun([1000, 90_000], LATER) if not r.opens_stage]
    assert timed == [1000 + 300.0 * i for i in range(1, 21)]


def test_stages_restart_when_they_really_begin() -> None:
    assert [r.at_s for r in DOCUMENT.begun([1000, 1777], 1800) if r.opens_stage] == [1000, 1777]


def test_only_what_has_begun_by_now_counts() -> None:
    begun = DOCUMENT.begun([0, 650], 650)
    assert [r.at_s for r in begun] == [0, 300, 600, 650]
    assert begun == DOCUMENT.begun([0, 650], LATER)[:4]


def test_a_single_short_stage_has_one_start_and_keeps_the_rest_as_cash() -> None:
    assert restart_schedule([299]).begun([0], LATER) == (Restart(0, 0.60, opens_stage=True),)


@given(durations)
def test_weights_never_sum_to_more_than_everything(stage_durations_s: list[float]) -> None:
    starts = [60.0 * i for i in range(len(stage_durations_s))]
    begun = restart_schedule(stage_durations_s).begun(starts, math.inf)
    assert math.fsum(r.weight for r in begun) <= 1 + 1e-12
    assert all(r.weight > 0 for r in begun)
    assert [r.at_s for r in begun] == sorted(r.at_s for r in begun)


@given(durations, st.floats(0, 1e5), st.floats(0, 1e5))
def test_weights_do_not_depend_on_when_one_looks(stage_durations_s: list[float], a: float, b: float) -> None:
    early, late = (restart_schedule(stage_durations_s).begun([0.0], now_s) for now_s in sorted((a, b)))
    assert late[: len(early)] == early


@pytest.mark.parametrize("stage_durations_s", [[], [600, 0], [-1], [math.inf], [math.nan]])
def test_a_plan_without_durations_has_no_schedule(stage_durations_s: list[float]) -> None:
    with pytest.raises(ValueError, match="a plan has stages of more than 0 s"):
        restart_schedule(stage_durations_s)


@pytest.mark.parametrize("starts", [[], [0, 600, 2400, 6000]])
def test_stages_the_plan_does_not_have_cannot_start(starts: list[float]) -> None:
    with pytest.raises(ValueError, match="the plan has 3"):
        DOCUMENT.begun(starts, LATER)
