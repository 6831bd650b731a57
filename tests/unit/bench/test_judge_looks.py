"""The policy as its judge looks: at windows that still fill, and in windows of other widths."""

import math

import numpy as np
import pytest

from bench.judge.faults import FAULTS
from bench.judge.looks import Filling, ours_filling, third_session
from bench.judge.rivals import ours
from bench.judge.traffic import SHARES, Cuts, Stream, stream
from bench.judge.variants import LOOKS
from bench.judge.windows import Rollout
from judge.policies.families.rates import errors, tool_failures
from judge.trial import COHORTS

HORIZON_S = 120.0
FAULT = FAULTS["errors+20"]


def cut(window_s: float = 5.0, shares: tuple[float, ...] = SHARES) -> Stream:
    return stream(10.0, FAULT, 0, HORIZON_S, Cuts(window_s, HORIZON_S, shares))


ROLLOUT, FILLING = Rollout(cut()), Filling(cut(1.0))


@pytest.mark.parametrize("width_s", [1.0, 2.0, 10.0])
def test_the_same_requests_fall_into_windows_of_any_width(width_s: float) -> None:
    assert np.array_equal(cut(width_s).table.sum(axis=0), ROLLOUT.stream.table.sum(axis=0))


def test_a_larger_first_stage_takes_more_of_the_same_sessions() -> None:
    more = Rollout(cut(shares=(0.05, *SHARES[1:]))).counts
    assert np.array_equal(more.sum(axis=1)[:, 0], ROLLOUT.counts.sum(axis=1)[:, 0])
    assert more[:, 1, 0].sum() > ROLLOUT.counts[:, 1, 0].sum()


def test_a_window_that_has_ended_holds_what_it_holds_when_it_is_final() -> None:
    for final in ROLLOUT.windows:
        start_s = final.start_ms // 1000
        ended = FILLING.upto(start_s, start_s + 5, 5)
        assert ended is not None
        assert (ended.end_ms, ended.window_ms, [*ended.strata]) == (final.end_ms, 5000, [*final.strata])
        for stratum, pair in final.strata.items():
            for cohort in COHORTS:
                told, known = ended.strata[stratum][cohort], pair[cohort]
                assert np.array_equal(told.buckets, known.buckets)
                assert (errors(told), tool_failures(told)) == (errors(known), tool_failures(known))
                assert [c.tools for c in told.cells] == [c.tools for c in known.cells]


def test_a_window_that_fills_holds_ever_more_and_nothing_before_it_began() -> None:
    requests = []
    for end_s in range(20, 26):
        window = FILLING.upto(20, end_s, 5)
        requests.append(0 if window is None else int(window.buckets("baseline")[:, 0].sum()))
    assert requests[0] == 0
    assert requests == sorted(requests)


def test_who_looks_at_open_windows_is_sooner_by_less_than_a_window() -> None:
    at_ends, each_second = ours(ROLLOUT), ours_filling(ROLLOUT, FILLING)
    assert at_ends.end == each_second.end == "rolled_back"
    assert 0 <= at_ends.at_s - each_second.at_s < 5.0
    assert ours_filling(ROLLOUT, FILLING, late_s=5.0) == each_second


def test_the_third_session_of_the_canary_begins_before_anything_is_believed() -> None:
    at_s = third_session(FILLING, "begun").at_s
    born = ROLLOUT.stream.births[:, 1::2].sum(axis=1).cumsum()
    assert born[math.ceil(at_s / 5) - 1] >= 3 > born[math.ceil(at_s / 5) - 2]
    assert at_s <= third_session(FILLING, "failed").at_s <= ours_filling(ROLLOUT, FILLING).at_s


def test_a_first_stage_of_another_share_is_judged_by_a_plan_that_says_so() -> None:
    trials = dict(change[1:] for change in LOOKS["share5"].changes)
    assert trials["TRIAL"].plan.stages[0].share == 500
