"""Flagger's rule: one tick at a time, and the count that is never taken back."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.policies.threshold.flagger import Analysis, Metric, Tick, is_spent, run, weights

SUCCESS = Metric("request-success-rate", minimum=99)
DURATION = Metric("request-duration", maximum=500, whole=True)
GOOD, BAD, NOTHING = ({"request-success-rate": v} for v in (99.5, 90.0, None))


def analysis(threshold: int = 5, steps: tuple[int, ...] = (10, 20, 30, 40, 50)) -> Analysis:
    return Analysis((SUCCESS,), steps, threshold)


def actions(ticks: tuple[Tick, ...]) -> list[str]:
    return [tick.action for tick in ticks]


def test_the_first_tick_gives_the_canary_traffic_unchecked() -> None:
    assert run(analysis(), []) == (Tick("started", 1, 0),)


def test_a_good_canary_takes_a_step_a_tick_and_is_promoted_after_the_last() -> None:
    ticks = run(analysis(), [GOOD] * 9)
    assert actions(ticks) == ["started", *["advanced"] * 4, "promoting"]
    assert [tick.step for tick in ticks] == [1, 2, 3, 4, 5, 5]


def test_a_bad_canary_is_rolled_back_one_tick_after_the_check_that_filled_the_count() -> None:
    ticks = run(analysis(threshold=5), [BAD] * 9)
    assert actions(ticks) == ["started", *["halted"] * 5, "rolled_back"]
    assert ticks[-1] == Tick("rolled_back", 0, 5, "request-success-rate", "request-success-rate 90 < 99")


def test_the_rollback_needs_no_further_measurement() -> None:
    assert actions(run(analysis(threshold=1), [BAD])) == ["started", "halted", "rolled_back"]


def test_failures_count_over_the_whole_rollout_not_in_a_row() -> None:
    ticks = run(analysis(threshold=2), [BAD, GOOD, GOOD, BAD])
    assert actions(ticks) == ["started", "halted", "advanced", "advanced", "halted", "rolled_back"]


def test_a_value_that_is_missing_fails_like_a_bad_one() -> None:
    for nothing in (NOTHING, {}, {"request-success-rate": math.nan}):
        ticks = run(analysis(threshold=1), [nothing])
        assert ticks[-1].action == "rolled_back"
        assert ticks[-1].reason == "no values found for request-success-rate"


@pytest.mark.parametrize(
    ("metric", "value", "passes"),
    [
        (SUCCESS, 99.0, True),
        (SUCCESS, 98.999, False),
        (DURATION, 500.9, True),
        (DURATION, 501.0, False),
        (Metric("x"), -1e9, True),
        (Metric("x", maximum=1.0), 1.0, True),
        (Metric("x", maximum=1.0), 1.001, False),
        (Metric("x", maximum=1.0), math.inf, False),
    ],
)
def test_a_range_holds_its_ends_and_a_metric_without_one_always_passes(
    metric: Metric, value: float, *, passes: bool
) -> None:
    assert (metric.complaint(value) is None) == passes


def test_the_first_metric_that_fails_is_named() -> None:
    both = Analysis((SUCCESS, DURATION), (50,), 1)
    ticks = run(both, [{"request-success-rate": 100.0, "request-duration": 900.0}])
    assert ticks[-1].metric == "request-duration"


@pytest.mark.parametrize(
    ("step", "steps", "highest", "expected"),
    [
        (10, [], 50, (10, 20, 30, 40, 50)),
        (15, [], 50, (15, 30, 45, 60)),
        (50, [], 0, (50, 100)),
        (60, [], 0, (60, 100)),
        (0, [1, 2, 10, 80], 0, (1, 2, 10, 80)),
        (0, [50, 200], 30, (50, 100)),
        (20, [1, 40], 90, (20, 40)),
        (25, [], -5, (25, 50, 75, 100)),
        (1_000_000, [], 0, (100,)),
    ],
)
def test_the_weights_are_flaggers(step: int, steps: list[int], highest: int, expected: tuple[int, ...]) -> None:
    assert weights(step, steps, highest) == expected


def test_without_any_step_flagger_never_moves() -> None:
    with pytest.raises(ValueError, match="never moves"):
        weights(0, [], 50)


@given(st.integers(1, 6), st.lists(st.sampled_from([99.5, 90.0, None]), max_size=40))
def test_a_rollout_ends_exactly_when_the_count_is_full_or_every_step_was_taken(
    threshold: int, values: list[float | None]
) -> None:
    ticks = run(analysis(threshold), [{"request-success-rate": v} for v in values])
    for before, after in itertools.pairwise(ticks):
        assert not before.ended
        assert (after.action == "rolled_back") == is_spent(analysis(threshold), before)
        assert after.failed_checks - before.failed_checks == (after.action == "halted")
        assert after.step <= before.step + 1
    assert len(ticks) <= len(values) + 2


def next_step_weight(step: int, steps: list[int], weight: int) -> int:
    """Word for word `nextStepWeight` of `pkg/controller/scheduler.go`."""
    if step > 0 or len(steps) == 0:
        return step
    max_step = 100 - weight
    if max_step == 0:
        return 1
    if weight == 0:
        return min(max_step, steps[0])
    for i in range(len(steps) - 1):
        if steps[i] == weight:
            return min(max_step, steps[i + 1] - weight)
    return max_step


def flagger_s_way(step: int, steps: list[int], highest: int) -> list[int] | None:
    """The weights after each tick until it promotes (`advanceCanary`, `runCanary`); None if it never does."""
    end = min(100, steps[-1]) if steps else highest if highest > 0 else 100
    weight, found = 0, list[int]()
    for _ in range(200):
        by = next_step_weight(step, steps, weight)
        if by <= 0:
            return None
        if weight >= end:
            return found
        weight = min(weight + by, 100)
        found.append(weight)
    return None


WEIGHTS = st.sampled_from([0, 1, 5, 10, 20, 50, 60, 99, 100, 150])


@given(
    st.sampled_from([0, 0, 1, 7, 30, 100, 120]), st.lists(WEIGHTS, max_size=4), st.sampled_from([0, 5, 50, 100, 101])
)
def test_whatever_the_weights_they_are_taken_as_flagger_takes_them(step: int, steps: list[int], highest: int) -> None:
    expected = flagger_s_way(step, steps, highest)
    try:
        found: list[int] | None = list(weights(step, steps, highest))
    except ValueError:
        found = None
    assert found == (expected or None)
