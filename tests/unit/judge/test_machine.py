"""The machine: which entry comes next, for every state and input."""

from dataclasses import replace
from typing import Any

import pytest

from judge.evidence import Evidence
from judge.policies.port import Assessment, StageTimes
from judge.rollout.machine import COMMAND_EXPIRES_S, Decision, Machine
from judge.rollout.state import ServiceState
from schemas.control import Command
from schemas.decisions import CheckResult, Count, Cut, LedgerEntry
from schemas.plan import Plan
from schemas.windows import CohortWindow
from tests.builders import SERVICE, entry, opening, route

T0 = 1_700_000_000_000
CALM = Assessment(score=80.0, checks=(), breached_by=None, within=False, suspicious=False)
WITHIN = replace(CALM, within=True)
CHECK = CheckResult(
    check="error_rate",
    verdict="breached",
    baseline=Count(n=600, bad=6),
    canary=Count(n=60, bad=18),
    difference=0.29,
    low=0.11,
    margin=0.05,
    log_e_breach=9.0,
    log_e_within=-9.0,
)
BREACH = Assessment(score=0.0, checks=(CHECK,), breached_by="error_rate", within=False, suspicious=True)


class Says:
    """A policy that says what it is told, and remembers what it was asked."""

    def __init__(self, assessment: Assessment) -> None:
        self.assessment = assessment
        self.times: list[StageTimes] = []

    def assess(self, evidence: Evidence, plan: Plan, times: StageTimes) -> Assessment:
        self.times.append(times)
        return self.assessment


def state(*entries: LedgerEntry, acknowledged: bool = True) -> ServiceState:
    """After these entries; the newest was acknowledged at T0."""
    made = ServiceState("orders")
    made.read_service(SERVICE)
    for offset, item in enumerate(entries):
        made.read_entry(item, offset)
        if acknowledged or item is not entries[-1]:
            made.read_route(route(item.id), 0, offset, T0)
    return made


def close_windows(made: ServiceState, seconds: float) -> None:
    """Every partition has closed its windows up to T0 + seconds, without events."""
    window = CohortWindow(
        service="orders",
        source="mcp-requests",
        partition=0,
        partitions=1,
        window_start=T0 + round(seconds * 1000) - 1000,
        window_ms=1000,
        first_offset=0,
        through=1,
        final=True,
        instance="s",
    )
    made.read_window(window)


def decide(made: ServiceState, assessment: Assessment = CALM, after_s: float = 1.0) -> Decision:
    cut = Cut(offsets={"cohort-windows-0": 1}, now=T0 + round(after_s * 1000))
    return Machine(Says(assessment), "0.1").decide(made, cut)


def ask(
    made: ServiceState, canary: str = "v2", *, at_s: float = 0.0, seen: str | None = None, command: str = "c-9"
) -> None:
    head = made.chain.head_id if seen is None else seen
    made.read_command(
        Command(id=command, service="orders", kind="start", seen=head, actor="anna", opening=opening(canary)),
        T0 + round(at_s * 1000),
    )


START = entry("start")
PROCEED = entry("proceed", START, now=2)
ROLLBACK = entry("rollback", START, now=3)
COMPLETE = entry("complete", PROCEED, now=4)


def test_nothing_happens_without_a_command() -> None:
    got = decide(state())
    assert got.entry is None
    assert got.view.state is None
    assert got.view.baseline == "v1"


def test_a_start_opens_stage_one_with_the_plans_share_and_the_services_baseline() -> None:
    made = state()
    ask(made)
    start = decide(made).entry
    assert start is not None
    assert (start.kind, start.rollout, start.stage, start.share) == ("start", 1, 1, 2000)
    assert (start.baseline, start.canary, start.actor, start.after) == ("v1", "v2", "anna", "")
    assert start.opening is not None
    assert start.opening.service == SERVICE
    assert start.opening.command == "c-9"


def test_a_second_rollout_follows_the_head_and_counts_on() -> None:
    made = state(START, ROLLBACK)
    ask(made, "v3")
    start = decide(made).entry
    assert start is not None
    assert (start.rollout, start.after, start.baseline) == (2, ROLLBACK.id, "v1")
    assert start.acknowledged is not None
    assert start.acknowledged.entry == ROLLBACK.id


def test_after_a_promotion_the_old_canary_is_the_baseline() -> None:
    made = state(START, PROCEED, COMPLETE)
    ask(made, "v3")
    start = decide(made).entry
    assert start is not None
    assert start.baseline == "v2"


def refusal(made: ServiceState, **decide_at: Any) -> str:
    got = decide(made, **decide_at)
    assert got.entry is None
    assert [o.accepted for o in got.view.outcomes] == [False]
    return got.view.outcomes[0].sentence


def test_a_start_of_an_unknown_version_is_refused_and_lists_the_known_ones() -> None:
    made = state()
    ask(made, "v9")
    assert "v1, v2, v3" in refusal(made)


def test_a_start_of_the_baseline_is_refused() -> None:
    made = state(START, PROCEED, COMPLETE)
    ask(made, "v2")
    assert "is the baseline already" in refusal(made)


def test_a_start_of_an_unknown_service_is_refused() -> None:
    made = ServiceState("orders")
    ask(made)
    assert "service apply" in refusal(made)


def test_a_start_by_somebody_who_saw_another_head_is_refused() -> None:
    made = state(START, ROLLBACK)
    ask(made, "v3", seen=START.id)
    assert "moved since you looked" in refusal(made)


@pytest.mark.parametrize("last", [ROLLBACK, COMPLETE])
def test_no_rollout_starts_while_the_last_decision_is_unacknowledged(last: LedgerEntry) -> None:
    made = (
        state(START, ROLLBACK, acknowledged=False)
        if last is ROLLBACK
        else state(START, PROCEED, COMPLETE, acknowledged=False)
    )
    ask(made, "v3")
    assert "not acknowledged" in refusal(made)


def test_a_start_while_a_rollout_runs_is_refused() -> None:
    made = state(START)
    ask(made, "v3")
    assert refusal(made) == "a rollout is running"


def test_an_expired_command_is_not_carried_out() -> None:
    made = state()
    ask(made)
    got = decide(made, after_s=COMMAND_EXPIRES_S + 1)
    assert got.entry is None
    assert got.view.outcomes == ()


def test_a_command_that_was_carried_out_is_not_carried_out_again() -> None:
    made = state(START, ROLLBACK)
    ask(made, "v2", command="c-1")
    assert decide(made).entry is None


def test_until_every_proxy_acknowledges_a_stage_its_clock_does_not_run() -> None:
    made = state(START, acknowledged=False)
    close_windows(made, 100)
    got = decide(made, WITHIN, after_s=100)
    assert got.entry is None
    assert got.view.state == "shifting"
    assert got.view.waiting_for is not None
    assert "acknowledge" in got.view.waiting_for


def test_a_breach_rolls_back_in_both_running_states() -> None:
    for acknowledged in (True, False):
        got = decide(state(START, acknowledged=acknowledged), BREACH).entry
        assert got is not None
        assert (got.kind, got.share, got.stage, got.after) == ("rollback", 0, 1, START.id)
        assert got.reason.code == "breach"
        assert "18 of 60 canary requests failed" in got.reason.sentence
        assert got.checks == (CHECK,)
        assert got.score == 0.0


def test_a_proven_stage_proceeds_at_its_planned_time_and_not_before() -> None:
    made = state(START)
    close_windows(made, 9)
    assert decide(made, WITHIN, after_s=9).entry is None
    close_windows(made, 10)
    got = decide(made, WITHIN, after_s=10).entry
    assert got is not None
    assert (got.kind, got.stage, got.share) == ("proceed", 2, 5000)
    assert got.acknowledged is not None
    assert got.acknowledged.at == T0


def test_the_last_proven_stage_completes() -> None:
    made = state(START, PROCEED)
    close_windows(made, 10)
    got = decide(made, WITHIN, after_s=10).entry
    assert got is not None
    assert (got.kind, got.stage, got.share) == ("complete", 3, 10_000)


def test_stage_time_is_data_time_the_machines_clock_does_not_move_it() -> None:
    made = state(START)
    close_windows(made, 5)
    assert decide(made, WITHIN, after_s=30).entry is None


def test_no_share_rises_on_stale_windows() -> None:
    made = state(START)
    close_windows(made, 20)
    got = decide(made, WITHIN, after_s=20 + 61)
    assert got.entry is None
    assert got.view.waiting_for is not None
    assert "No window has closed for 61 s" in got.view.waiting_for


def test_no_share_rises_while_a_proxy_that_came_later_has_not_acknowledged() -> None:
    made = state(START)
    close_windows(made, 20)
    made.read_route(route(START.id, acknowledged=False), 0, 9, T0 + 19_000)
    assert decide(made, WITHIN, after_s=20).entry is None


def test_nothing_is_decided_after_the_end() -> None:
    for made in (state(START, ROLLBACK), state(START, PROCEED, COMPLETE)):
        assert decide(made, BREACH).entry is None


def test_the_policy_learns_when_each_stage_was_acknowledged() -> None:
    policy = Says(CALM)
    Machine(policy, "0.1").decide(state(START, PROCEED), Cut(offsets={}, now=T0))
    assert policy.times == [StageTimes(2, (T0, T0))]


def test_the_same_state_and_cut_give_the_same_entry_byte_for_byte() -> None:
    first, second = decide(state(START), BREACH).entry, decide(state(START), BREACH).entry
    assert first is not None
    assert second is not None
    assert first.dump() == second.dump()
    assert first.id == first.derived_id()
    assert first.decided_at == first.cut.now


def test_a_view_of_an_ended_rollout_shows_the_entrys_own_checks() -> None:
    back = entry("rollback", START, now=3, checks=(CHECK,), score=0.0)
    view = decide(state(START, back)).view
    assert view.state == "rolled_back"
    assert view.checks == (CHECK,)
    assert view.score == 0.0
