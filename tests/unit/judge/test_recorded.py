"""A rollout from a file is what the judge would have known of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judge.policies.sequential import Sequential
from judge.recorded import Recorded, RecordingError, recorded_series, recorded_state
from judge.rollout.state import ServiceState
from schemas.decisions import Acknowledgement
from schemas.windows import Bucket, Cell, CohortWindow, ToolCount
from tests.builders import entry, plan
from tests.unit.judge.policies.made_windows import T0, WINDOW_MS, cell, constant, window

PLAN = plan()
outcomes = st.tuples(st.integers(0, 40), st.integers(0, 10))


def live_state(windows: list[CohortWindow]) -> ServiceState:
    """As the judge folds it: a start in the ledger, acknowledged when the first window opens."""
    state = ServiceState("orders")
    start = entry("start")
    state.read_entry(start, 0)
    state.acknowledged[start.id] = Acknowledgement(entry=start.id, partition=0, offset=0, at=T0)
    for each in windows:
        state.read_window(each)
    return state


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(outcomes, outcomes), min_size=1, max_size=12))
def test_the_assessment_is_the_live_judges(counts: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    windows = [window(i, cell("v1", *one), cell("v2", *other)) for i, (one, other) in enumerate(counts)]
    live, recorded = live_state(windows), recorded_state(Recorded(windows, PLAN, "v1"))
    assert recorded.times == live.times
    policy = Sequential()
    assert recorded.assess(policy) == live.assess(policy)


def test_a_stage_begins_with_the_first_window_that_holds_a_session_of_it() -> None:
    windows = [*constant(3, (9, 1), (9, 1)), window(3, cell("v1", 9, stage=2), cell("v2", 9, stage=2))]
    state = recorded_state(Recorded(windows, PLAN))
    assert state.times.stage == 2
    assert state.times.started_ms == (T0, T0 + 3 * WINDOW_MS)
    assert state.chain.standing.share == PLAN.stages[1].share


def test_a_recording_that_begins_late_has_had_its_first_stages() -> None:
    state = recorded_state(Recorded([window(0, cell("v1", 9, stage=2), cell("v2", 9, stage=2))], PLAN))
    assert state.times.started_ms == (T0, T0)


def test_windows_of_other_services_are_passed_over() -> None:
    other = window(0, cell("v1", 50, 50), cell("v7", 50)).model_copy(update={"service": "weather", "partitions": 9})
    alone, among = (recorded_state(Recorded([*more, *constant(3, (9, 1), (9, 1))], PLAN)) for more in ([], [other]))
    assert alone.assess(Sequential()) == among.assess(Sequential())
    with pytest.raises(RecordingError, match="no final window of orders"):
        recorded_series(Recorded([other], PLAN))


def test_of_windows_of_several_telemetry_topics_one_has_to_be_named() -> None:
    own = [each.model_copy(update={"source": "mcp-requests.orders"}) for each in constant(3, (9, 1), (9, 1))]
    strays = [each.model_copy(update={"partitions": 4}) for each in constant(3, (9, 1), (1, 9))]
    both = [*strays, *own]
    with pytest.raises(
        RecordingError, match=r"topic is orders's\? The windows are of mcp-requests, mcp-requests\.orders"
    ):
        recorded_state(Recorded(both, PLAN))
    named = Recorded(both, PLAN, telemetry="mcp-requests.orders")
    assert recorded_series(named) == recorded_series(Recorded(own, PLAN))
    assert recorded_state(named).assess(Sequential()) == recorded_state(Recorded(own, PLAN)).assess(Sequential())
    assert recorded_state(named).heard.book.frontier() == T0 + 3 * WINDOW_MS


def test_approvals_are_taken_for_given() -> None:
    waits = plan(approve=["start", "2"])
    assert recorded_state(Recorded(constant(2, (9, 1), (9, 1)), waits)).chain.standing.stage == 1


def test_the_newest_rollout_is_judged_unless_another_is_named() -> None:
    windows = [window(0, cell("v1", 5, rollout=4), cell("v2", 5, rollout=4), cell("v1", 7, rollout=9))]
    assert recorded_state(Recorded(windows, PLAN, "v1", 4)).under(Sequential()).evidence.sessions("canary") == 1
    assert recorded_state(Recorded(windows, PLAN, "v1")).under(Sequential()).evidence.sessions("canary") == 0
    assert recorded_series(Recorded(windows, PLAN, "v1", 4)).total.baseline.value("requests") == 5


def test_the_one_version_beside_the_canary_is_the_baseline() -> None:
    assert recorded_state(Recorded(constant(1, (9, 1), (9, 1)), PLAN)).own_baseline == "v1"


def impossible(buckets: dict[int, Bucket], tools: dict[str, ToolCount] | None = None) -> Cell:
    return cell("v2", 5).model_copy(update={"buckets": buckets, "tools": tools or {}})


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        ([], "no final window"),
        ([window(0, cell("v1", 5), final=False)], "no final window"),
        ([window(0, cell("v1", 5), partitions=2)], "no final window"),
        ([window(0, cell("v2", 5))], "no other version beside v2"),
        ([window(0, cell("v1", 5), cell("v2", 5), cell("v3", 5))], "The windows name v1, v3 beside v2"),
        ([window(0, impossible({0: Bucket(n=5, err=6)}))], r"cells\[0\].buckets.0: 6 errors of 5 requests"),
        ([window(0, impossible({}, {"a": ToolCount(n=1, bad=2)}))], r"cells\[0\].tools.a: 2 failed calls of 1"),
        ([window(0, cell("v1", 5, stage=3), cell("v2", 5))], "the windows name stage 3, the plan has 2"),
    ],
)
def test_windows_that_do_not_fit_the_plan_are_refused(windows: list[CohortWindow], words: str) -> None:
    with pytest.raises(RecordingError, match=words):
        recorded_state(Recorded(windows, PLAN))
