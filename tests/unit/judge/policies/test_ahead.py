"""Open windows are looked at by the few checks that they change; that is to the last bit what all checks say anew."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judge.policies.lane import Against, Asked, Lane, _with
from judge.policies.port import StageTimes
from judge.policies.sequential import Sequential
from judge.trial import TrialWindow
from schemas.windows import Cell
from tests.unit.judge.trials import T0, cell, trial, windows

CHECKS: dict[str, Any] = {"latency_p99": {"min_calls": 20, "refresh": "1s"}, "tools": {"within": "5pp"}}
TRIAL = trial(checks=CHECKS)
SECONDS = 8


def second(version: str, n: int, bad: int) -> Cell:
    """Bad requests are errors, failed calls of one tool of two, and slow."""
    tools = {"search": (n, bad), "fetch": (n, 0)} if n else {}
    latency = {index: k for index, k in ((1000, n - bad), (1200, bad)) if k}
    return cell(version, n, bad, buckets=16, tools=tools, latency=latency)


def anew(lane: Lane[TrialWindow], still_open: Sequence[TrialWindow], times: StageTimes, asked: Asked) -> Against:
    """All checks with all windows, and nothing that is known from a look before."""
    starts = lane._starts(times)
    strata, ends_ms = [lane._strata(window) for window in still_open], [window.end_ms for window in still_open]
    whole = _with(lane.track.standing(starts), ends_ms, strata, starts)
    return lane._against(whole, lane._spread_with(still_open), asked)


def bits(found: Against) -> tuple[object, ...]:
    arrays = found.log_e, found.unbelieved, found.totals, found.spread.pooled, found.spread.believed, found.spread.parts
    return *(array.tobytes() for array in arrays), found.since_ms, found.members, found.lows.tobytes()


rates = st.floats(0, 1)
many = st.integers(0, 80)
drawn = st.lists(st.tuples(many, many, rates, rates), min_size=SECONDS, max_size=SECONDS)


@pytest.mark.parametrize("began_ms", [0, 4_000, 5_500, 6_000, 6_500, 7_000], ids="second stage from {} ms on".format)
@settings(max_examples=15)
@given(drawn, st.integers(1, 2))
def test_a_look_ahead_says_what_all_checks_say_anew(
    began_ms: int, seconds: list[tuple[int, int, float, float]], still_open: int
) -> None:
    cells = [[second("v1", n, round(n * p)), second("v2", k, round(k * q))] for n, k, p, q in seconds]
    made = windows(TRIAL, cells)
    times = StageTimes(2, (T0, T0 + began_ms), T0 + began_ms) if began_ms else StageTimes(1, (T0,), T0)
    comparison = Sequential().begin(TRIAL)
    for window in made[: SECONDS - 2]:
        comparison.add(window)
    lane, beyond = comparison.windows, made[SECONDS - 2 : SECONDS - 2 + still_open]
    asked = comparison._asked(lane, times.stage)
    for _ in range(2):
        assert bits(lane.look(beyond, times, asked)[0]) == bits(anew(lane, beyond, times, asked))


@pytest.mark.parametrize("final", [0, 1, 6])
def test_a_canary_that_fails_in_open_windows_alone_is_out_with_its_tool_named(final: int) -> None:
    healthy = [[second("v1", 80, 0), second("v2", 40, 0)]] * final
    sick = [[second("v1", 80, 0), second("v2", 40, 40)]] * 2
    made, times = windows(TRIAL, [*healthy, *sick]), StageTimes(1, (T0,), T0)
    comparison = Sequential().begin(TRIAL)
    for window in made[:final]:
        comparison.add(window)
    asked = comparison._asked(comparison.windows, 1)
    found = comparison.windows.look(made[final:], times, asked)[0]
    assert bits(found) == bits(anew(comparison.windows, made[final:], times, asked))
    assessment = comparison.assess(made[final:], times)
    assert assessment.breached_by in {"error_rate", "tool_success"}
    tools = next(check for check in assessment.checks if check.check == "tools")
    assert tools.culprits == (("search",) if final else ())


def test_a_plan_whose_checks_all_wait_is_looked_at_too() -> None:
    off = dict.fromkeys(("error_rate", "tool_success", "tools"), "off")
    waiting = trial(checks={**CHECKS, **off})
    made, times = windows(waiting, [[second("v1", 80, 1), second("v2", 40, 9)]] * 4), StageTimes(1, (T0,), T0)
    comparison = Sequential().begin(waiting)
    for window in made[:3]:
        comparison.add(window)
    asked = comparison._asked(comparison.windows, 1)
    final, ahead = (comparison.windows.look(seen, times, asked)[0] for seen in ((), made[3:]))
    assert np.array_equal(final.log_e, ahead.log_e)
