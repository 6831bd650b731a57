"""The machine: which entry comes next, for every state and input."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from judge.policies.port import Assessment, StageTimes
from judge.policies.sequential import Sequential
from judge.proxies import Difference
from judge.rollout.commands import COMMAND_EXPIRES_S
from judge.rollout.machine import Decision, Machine
from judge.rollout.state import ServiceState
from judge.trial import Trial, TrialWindow
from schemas.control import Command, CommandKind
from schemas.decisions import CheckResult, Count, Cut, LedgerEntry, Reason
from schemas.labels import Label
from schemas.windows import Bucket, Cell, CohortWindow
from tests.builders import SEED, SERVICE, entry, opening, plan, route

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

    def begin(self, trial: Trial) -> "Says":
        return self

    def add(self, window: TrialWindow) -> None: ...

    def add_difference(self, difference: Difference) -> None: ...

    def assess(self, still_open: Sequence[TrialWindow], times: StageTimes) -> Assessment:
        self.times.append(times)
        return self.assessment


ORACLE = Says(CALM)


def state(*entries: LedgerEntry, acknowledged: bool = True) -> ServiceState:
    """After these entries; the newest was acknowledged at T0."""
    made = ServiceState("orders")
    made.read_service(SERVICE)
    for offset, item in enumerate(entries):
        made.read_entry(item, offset)
        if acknowledged or item is not entries[-1]:
            made.read_route(route(item.id), 0, offset, T0)
    return made


def close_windows(
    made: ServiceState, seconds: float, *cells: Cell, holes: int = 0, malformed: int = 0, unkept: int = 0
) -> None:
    """Every partition has closed its windows up to T0 + seconds; the last one holds `cells`."""
    window = CohortWindow(
        service="orders",
        source="mcp-requests",
        partition=0,
        partitions=1,
        window_start=T0 + round(seconds * 1000) - 1000,
        window_ms=1000,
        first_offset=0,
        through=1,
        clock_ms=T0 + round(seconds * 1000),
        final=True,
        instance="s",
        cells=cells,
        holes=holes,
        malformed=malformed,
        unkept=unkept,
    )
    made.read_window(window)


def served(version: str, stage: int = 1, rollout: int = 1, sessions: int | None = None) -> Cell:
    """Requests of a cohort's sessions, all fine, and as many new ones as the stage's share says."""
    if sessions is None:
        sessions = 40 if (version, stage) == ("v1", 1) else 10
    label = str(Label.make(SEED, rollout, stage, version, "session"))
    n = max(50, sessions)
    return Cell(version=version, label=label, outcomes={"ok": n}, buckets={0: Bucket(n=n)}, new_sessions=sessions)


def busy(cell: Cell) -> Cell:
    """With more requests."""
    return cell.model_copy(update={"outcomes": {"ok": 400}, "buckets": {0: Bucket(n=400)}})


BOTH = (served("v1"), served("v2"), served("v1", 2), served("v2", 2))


def decide(made: ServiceState, assessment: Assessment = CALM, after_s: float = 1.0) -> Decision:
    cut = Cut(offsets={"cohort-windows-0": 1}, now=T0 + round(after_s * 1000))
    ORACLE.assessment = assessment
    return Machine(ORACLE, "0.1").decide(made, cut)


def ask(
    made: ServiceState, kind: CommandKind = "start", canary: str = "v2", *, at_s: float = 0.0, **fields: Any
) -> None:
    """A person's word, said with the head in sight."""
    known: dict[str, Any] = {
        "id": "c-9",
        "service": "orders",
        "kind": kind,
        "seen": made.chain.head_id,
        "actor": "anna",
        "reason": "why",
    }
    if kind == "start":
        known["opening"] = opening(canary)
    made.read_command(Command.model_validate({**known, **fields}), T0 + round(at_s * 1000))


START = entry("start", now=T0)
PROCEED = entry("proceed", START, now=T0)
ROLLBACK = entry("rollback", START, now=T0)
COMPLETE = entry("complete", PROCEED, now=T0)


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
    assert start.command == "c-9"


def test_a_second_rollout_follows_the_head_and_counts_on() -> None:
    made = state(START, ROLLBACK)
    ask(made, canary="v3")
    start = decide(made).entry
    assert start is not None
    assert (start.rollout, start.after, start.baseline) == (2, ROLLBACK.id, "v1")
    assert start.acknowledged is not None
    assert start.acknowledged.entry == ROLLBACK.id


def test_after_a_promotion_the_old_canary_is_the_baseline() -> None:
    made = state(START, PROCEED, COMPLETE)
    ask(made, canary="v3")
    start = decide(made).entry
    assert start is not None
    assert start.baseline == "v2"


def refusal(made: ServiceState, **decide_at: Any) -> str:
    got = decide(made, **decide_at)
    assert got.entry is None
    assert [o.accepted for o in got.view.outcomes] == [False]
    return got.view.outcomes[0].sentence


def assert_waits_and_expires(made: ServiceState, words: str) -> None:
    """Neither carried out nor refused while it may still come true; refused for good when the time is up."""
    got = decide(made)
    assert got.entry is None
    assert got.view.outcomes == ()
    assert words in refusal(made, after_s=COMMAND_EXPIRES_S + 1)
    made.read_route(route(made.chain.head_id), 0, 99, T0)
    assert "ask again" in refusal(made, after_s=COMMAND_EXPIRES_S + 1)


def test_a_start_of_an_unknown_version_is_refused_and_lists_the_known_ones() -> None:
    made = state()
    ask(made, canary="v9")
    assert "v1, v2, v3" in refusal(made)


def test_a_start_of_the_baseline_is_refused() -> None:
    made = state(START, PROCEED, COMPLETE)
    ask(made, canary="v2")
    assert "is the baseline already" in refusal(made)


def test_a_start_of_an_unknown_service_is_refused() -> None:
    made = ServiceState("orders")
    ask(made)
    assert "service apply" in refusal(made)


def test_a_start_by_somebody_who_saw_another_head_is_refused() -> None:
    made = state(START, ROLLBACK)
    ask(made, canary="v3", seen=START.id)
    assert "moved since you looked" in refusal(made)


@pytest.mark.parametrize("last", [ROLLBACK, COMPLETE])
def test_no_rollout_starts_while_the_last_decision_is_unacknowledged(last: LedgerEntry) -> None:
    made = (
        state(START, ROLLBACK, acknowledged=False)
        if last is ROLLBACK
        else state(START, PROCEED, COMPLETE, acknowledged=False)
    )
    ask(made, canary="v3")
    assert_waits_and_expires(made, "acknowledged the last decision")


def test_a_start_while_a_rollout_runs_is_refused() -> None:
    made = state(START)
    ask(made, canary="v3")
    assert "--replace" in refusal(made)


def test_an_expired_command_is_not_carried_out() -> None:
    made = state()
    ask(made)
    assert "more than 10 s ago" in refusal(made, after_s=COMMAND_EXPIRES_S + 1)


def test_a_command_that_was_carried_out_is_not_carried_out_again() -> None:
    done = entry("start", now=T0, command="c-1")
    made = state(done, entry("rollback", done, now=T0))
    ask(made, id="c-1", again=True)
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
        assert (got.reason.code, got.culprit) == ("breach", "error_rate")
        assert "18 of 60 canary requests failed" in got.reason.sentence
        assert got.checks == (CHECK,)
        assert got.score == 0.0


def test_a_proven_stage_proceeds_at_its_planned_time_and_not_before() -> None:
    made = state(START)
    close_windows(made, 9, *BOTH)
    assert decide(made, WITHIN, after_s=9).entry is None
    close_windows(made, 10, *BOTH)
    got = decide(made, WITHIN, after_s=10).entry
    assert got is not None
    assert (got.kind, got.stage, got.share) == ("proceed", 2, 5000)
    assert got.acknowledged is not None
    assert got.acknowledged.at == T0


def test_the_last_proven_stage_completes() -> None:
    made = state(START, PROCEED)
    close_windows(made, 10, *BOTH)
    got = decide(made, WITHIN, after_s=10).entry
    assert got is not None
    assert (got.kind, got.stage, got.share) == ("complete", 3, 10_000)


def test_stage_time_is_data_time_the_machines_clock_does_not_move_it() -> None:
    made = state(START)
    close_windows(made, 5)
    assert decide(made, WITHIN, after_s=30).entry is None


def test_no_share_rises_on_stale_windows() -> None:
    made = state(START)
    close_windows(made, 20, *BOTH)
    got = decide(made, WITHIN, after_s=20 + 61).entry
    assert got is not None
    assert (got.kind, got.share) == ("hold", 2000)
    assert "No window has closed for 61 s" in got.reason.sentence


def test_no_share_rises_while_a_proxy_that_came_later_has_not_acknowledged() -> None:
    made = state(START)
    close_windows(made, 20)
    made.read_route(route(START.id, acknowledged=False), 0, 9, T0 + 19_000)
    assert decide(made, WITHIN, after_s=20).entry is None


def test_nothing_is_judged_after_the_end() -> None:
    for made in (state(START, ROLLBACK), state(START, PROCEED, COMPLETE)):
        assert decide(made, BREACH).entry is None


def test_the_policy_learns_when_each_stage_was_acknowledged() -> None:
    policy = Says(CALM)
    Machine(policy, "0.1").decide(state(START, PROCEED), Cut(offsets={}, now=T0))
    assert policy.times == [StageTimes(2, (T0, T0), T0)]


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


HOLD = entry("hold", START, now=T0 + 4_000)


def kind_of(got: Decision) -> str | None:
    return got.entry.kind if got.entry else None


def test_missing_data_holds_and_resumes_by_itself_when_it_is_back() -> None:
    hold = entry("hold", START, now=T0 + 70_000, reason=Reason(code="stale", sentence="Nothing."))
    made = state(START, hold)
    close_windows(made, 5, *BOTH)
    assert kind_of(decide(made, WITHIN, after_s=80)) is None
    close_windows(made, 79, *BOTH)
    assert kind_of(decide(made, WITHIN, after_s=80)) == "resume"


def test_any_other_hold_needs_a_person() -> None:
    for code in ("person", "suspicious", "unproven", "deadline", "min_sessions", "would_rollback"):
        made = state(START, entry("hold", START, now=T0 + 4_000, reason=Reason(code=code, sentence="So.")))
        close_windows(made, 100, *BOTH)
        assert kind_of(decide(made, WITHIN, after_s=100)) is None


def test_a_silent_canary_is_held_after_the_gap_that_its_share_makes_normal() -> None:
    made = state(START)
    for second in range(1, 62):
        close_windows(made, second, served("v1", sessions=1))
    got = decide(made, WITHIN, after_s=61).entry
    assert got is not None
    assert (got.kind, got.reason.code) == ("hold", "canary_silent")


def test_no_traffic_at_all_is_held_too() -> None:
    made = state(START)
    close_windows(made, 61)
    got = decide(made, WITHIN, after_s=61).entry
    assert got is not None
    assert got.reason.code == "baseline_silent"


def test_a_hold_stops_the_stages_clock_and_not_the_rollback() -> None:
    made = state(START, HOLD)
    close_windows(made, 50, *BOTH)
    got = decide(made, WITHIN, after_s=50)
    assert got.view.state == "held"
    assert got.view.stage_elapsed_s == 4.0
    assert got.view.held_because == "It is a hold."
    assert kind_of(decide(made, BREACH, after_s=50)) == "rollback"


def test_after_a_resume_the_clock_goes_on_from_where_it_stood() -> None:
    made = state(START, HOLD, entry("resume", HOLD, now=T0 + 44_000))
    close_windows(made, 49, *BOTH)
    assert decide(made, WITHIN, after_s=49).view.stage_elapsed_s == 9.0
    close_windows(made, 50, *BOTH)
    assert kind_of(decide(made, WITHIN, after_s=50)) == "proceed"


def test_a_person_holds_resumes_and_begins_a_stage_anew() -> None:
    made = state(START)
    ask(made, "hold", seen="something older")
    held = decide(made).entry
    assert held is not None
    assert (held.kind, held.actor, held.command, held.share) == ("hold", "anna", "c-9", 2000)
    assert held.reason.sentence == "anna held it: why"
    for kind in ("resume", "retry"):
        made = state(START, HOLD)
        ask(made, kind)
        assert kind_of(decide(made)) == kind


def test_a_retried_stage_starts_its_clock_at_its_own_acknowledgement() -> None:
    made = state(START, HOLD, entry("retry", HOLD, now=T0 + 5_000), acknowledged=False)
    close_windows(made, 50, *BOTH)
    assert decide(made, WITHIN, after_s=50).view.state == "shifting"
    made.read_route(route(made.chain.head_id), 0, 9, T0 + 45_000)
    assert decide(made, WITHIN, after_s=50).view.stage_elapsed_s == 5.0


def test_a_person_promotes_to_the_next_stage_or_to_all() -> None:
    made = state(START)
    ask(made, "promote")
    got = decide(made).entry
    assert got is not None
    assert (got.kind, got.stage, got.share, got.actor) == ("proceed", 2, 5000, "anna")
    made = state(START, HOLD)
    ask(made, "promote", full=True)
    got = decide(made).entry
    assert got is not None
    assert (got.kind, got.stage, got.share) == ("complete", 3, 10_000)


@pytest.mark.parametrize("full", [False, True])
def test_a_persons_promotion_waits_for_no_other_word(full: bool) -> None:  # noqa: FBT001 - a parameter of the test
    start = entry("start", now=T0, opening=opening(approve=["2", "promote"]))
    made = state(start)
    ask(made, "promote", full=full)
    assert kind_of(decide(made)) == ("complete" if full else "proceed")


def test_nobody_promotes_while_a_proxy_has_not_acknowledged_or_after_the_end() -> None:
    made = state(START, acknowledged=False)
    ask(made, "promote")
    assert_waits_and_expires(made, "acknowledged the present route")
    made = state(START, ROLLBACK)
    ask(made, "promote")
    assert "orders is rolled back" in refusal(made)


def test_a_breach_beats_a_persons_word() -> None:
    made = state(START)
    ask(made, "promote", full=True)
    assert kind_of(decide(made, BREACH)) == "rollback"


def test_a_persons_hold_beats_the_gate() -> None:
    made = state(START)
    close_windows(made, 10, *BOTH)
    ask(made, "hold", at_s=9)
    assert kind_of(decide(made, WITHIN, after_s=10)) == "hold"


@pytest.mark.parametrize("kind", ["resume", "retry", "hold", "approve"])
def test_what_is_not_possible_is_refused_with_the_state_it_is_in(kind: CommandKind) -> None:
    made = state(START, ROLLBACK)
    ask(made, kind, approves="start" if kind == "approve" else None)
    assert f"{kind} is not possible: orders is rolled back" in refusal(made)


def test_a_start_that_wants_approval_gives_nobody_to_the_canary_until_somebody_approves() -> None:
    made = state()
    ask(made, opening=opening(approve=["start"]))
    start = decide(made).entry
    assert start is not None
    assert (start.kind, start.stage, start.share) == ("start", 0, 0)
    waiting = state(start)
    got = decide(waiting)
    assert got.entry is None
    assert got.view.state == "pending"
    assert got.view.waiting_for == "Waiting for a person: davylamp approve orders start."
    assert got.view.awaits == "start"
    ask(waiting, "approve", approves="start", id="c-10")
    approved = decide(waiting).entry
    assert approved is not None
    assert (approved.kind, approved.approves, approved.share) == ("approve", "start", 0)
    begun = decide(state(start, approved)).entry
    assert begun is not None
    assert (begun.kind, begun.stage, begun.share) == ("proceed", 1, 2000)
    unheard = decide(state(start, approved, acknowledged=False)).view
    assert (unheard.awaits, unheard.waiting_for) == (None, "Every proxy must acknowledge 0% for v2 first.")


@pytest.mark.parametrize(("wanted", "last"), [("2", START), ("promote", PROCEED)])
def test_an_open_gate_waits_for_the_approval_that_the_plan_wants(wanted: str, last: LedgerEntry) -> None:
    start = entry("start", now=T0, opening=opening(approve=[wanted]))
    chain = [start] if last is START else [start, entry("proceed", start, now=2)]
    made = state(*chain)
    close_windows(made, 10, *BOTH)
    got = decide(made, WITHIN, after_s=10)
    assert got.entry is None
    assert got.view.waiting_for is not None
    assert f"davylamp approve orders {wanted}" in got.view.waiting_for
    assert got.view.awaits == wanted
    assert decide(state(*chain), WITHIN).view.awaits is None, "its gate is not open yet"
    made = state(*chain, entry("approve", chain[-1], now=3, approves=wanted))
    close_windows(made, 10, *BOTH)
    went_on = decide(made, WITHIN, after_s=10)
    assert kind_of(went_on) == ("proceed" if wanted == "2" else "complete")
    assert went_on.view.awaits is None
    assert kind_of(decide(state(*chain), BREACH)) == "rollback"


def test_an_approval_that_nobody_asked_for_or_that_is_given_is_refused() -> None:
    made = state(START)
    ask(made, "approve", approves="2")
    assert "asks for no approval of 2" in refusal(made)
    start = entry("start", now=T0, opening=opening(approve=["2"]))
    made = state(start, entry("approve", start, now=2, approves="2"))
    ask(made, "approve", approves="2")
    assert "2 is approved already" in refusal(made)


def test_who_observes_is_advised_and_nothing_is_applied() -> None:
    start = entry("start", now=T0, opening=opening(observe=True))
    bad = decide(state(start), BREACH).entry
    assert bad is not None
    assert (bad.kind, bad.share, bad.reason.code) == ("hold", 2000, "would_rollback")
    assert bad.reason.sentence.startswith("Observing, so nothing is applied. Error rate 30 %")
    held = state(start, bad)
    assert decide(held, BREACH).entry is None
    assert decide(held, BREACH).view.observe
    good = state(start)
    close_windows(good, 10, *BOTH)
    assert [e.reason.code for e in [decide(good, WITHIN, after_s=10).entry] if e] == ["would_proceed"]
    ask(good, "promote", at_s=9)
    assert kind_of(decide(good, WITHIN, after_s=10)) == "proceed"


def test_a_rolled_back_version_is_refused_until_somebody_insists() -> None:
    made = state(START, ROLLBACK)
    ask(made, canary="v2")
    assert "--again" in refusal(made)
    made = state(START, ROLLBACK)
    ask(made, canary="v2", again=True)
    assert kind_of(decide(made)) == "start"


def test_a_replacing_start_rolls_back_first_and_starts_when_the_proxies_have_acknowledged() -> None:
    made = state(START)
    ask(made, canary="v3", replace=True)
    back = decide(made).entry
    assert back is not None
    assert (back.kind, back.reason.code, back.command, back.actor) == ("rollback", "replaced", "c-9", "anna")
    made.read_entry(back, 7)
    assert decide(made).entry is None
    assert decide(made).view.outcomes == ()
    made.read_route(route(back.id), 0, 8, T0)
    start = decide(made).entry
    assert start is not None
    assert (start.kind, start.rollout, start.canary, start.command) == ("start", 2, "v3", "c-9")


def test_a_frozen_service_starts_nothing_and_a_running_rollout_goes_on() -> None:
    made = state()
    ask(made, "freeze")
    freeze = decide(made).entry
    assert freeze is not None
    assert (freeze.kind, freeze.rollout) == ("freeze", 0)
    made = state(freeze)
    assert decide(made).view.frozen
    ask(made, id="c-11")
    assert "unfreeze" in refusal(made)
    ask(made, "unfreeze", id="c-10")
    assert kind_of(decide(made)) == "unfreeze"
    running = state(START, entry("freeze", START, now=2))
    close_windows(running, 10, *BOTH)
    assert kind_of(decide(running, WITHIN, after_s=10)) == "proceed"


def test_a_rollout_without_end_is_held_once_or_rolled_back_as_the_plan_says() -> None:
    for then, kind in (("hold", "hold"), ("rollback", "rollback")):
        start = entry("start", now=T0, opening=opening(deadline={"after": "1h", "then": then}))
        made = state(start)
        close_windows(made, 3600, *BOTH)
        assert decide(made, CALM, after_s=3599).entry is None or kind_of(decide(made, CALM, after_s=3599)) == "proceed"
        got = decide(made, CALM, after_s=3600).entry
        assert got is not None
        assert (got.kind, got.reason.code) == (kind, "deadline")
    hold = entry("hold", START, now=T0 + 3_600_000, reason=Reason(code="deadline", sentence="Late."))
    start = entry("start", now=T0, opening=opening(deadline={"after": "1h"}))
    hold = entry("hold", start, now=T0 + 3_600_000, reason=Reason(code="deadline", sentence="Late."))
    resumed = state(start, hold, entry("resume", hold, now=T0 + 3_700_000))
    close_windows(resumed, 3701, *BOTH)
    assert kind_of(decide(resumed, CALM, after_s=3701)) == "proceed"


def test_a_rollout_that_is_resumed_after_its_longest_time_is_held_again() -> None:
    day_s = 86_400
    hold = entry("hold", START, now=T0 + 14 * day_s * 1000, reason=Reason(code="deadline", sentence="Late."))
    resumed = state(START, hold, entry("resume", hold, now=T0 + 14 * day_s * 1000 + 1000))
    close_windows(resumed, 14 * day_s + 2, *BOTH)
    got = decide(resumed, WITHIN, after_s=14 * day_s + 2).entry
    assert got is not None
    assert (got.kind, got.reason.code) == ("hold", "deadline")


def test_a_rollout_that_nobody_hears_of_ends_at_a_deadline_that_rolls_back() -> None:
    start = entry("start", now=T0, opening=opening(deadline={"after": "1h", "then": "rollback"}))
    made = state(start)
    stale = decide(made, CALM, after_s=3599).entry
    assert stale is not None
    assert (stale.kind, stale.reason.code) == ("hold", "stale")
    made.read_entry(stale, 7)
    got = decide(made, CALM, after_s=3600).entry
    assert got is not None
    assert (got.kind, got.reason.code) == ("rollback", "deadline")


def test_a_rolled_back_canary_drains_until_the_deadline() -> None:
    back = entry("rollback", START, now=T0)
    made = state(START, back)
    assert decide(made, after_s=899).entry is None
    got = decide(made, after_s=900).entry
    assert got is not None
    assert (got.kind, got.share, got.baseline) == ("drained", 0, "v1")


def test_an_evicted_canary_is_drained_as_soon_as_the_proxies_say_so() -> None:
    back = entry("rollback", START, now=T0, hold_mode="evict")
    assert decide(state(START, back, acknowledged=False)).entry is None
    assert kind_of(decide(state(START, back))) == "drained"


def test_a_completed_rollout_bakes_before_its_old_baseline_is_let_go() -> None:
    made = state(START, PROCEED, COMPLETE)
    assert decide(made, after_s=1799).entry is None
    assert decide(made).view.state == "completed"
    got = decide(made, after_s=1800).entry
    assert got is not None
    assert (got.kind, got.share, got.stage) == ("retire", 10_000, 3)
    assert got.reason.sentence == "v1 is no longer kept."


def test_a_freeze_before_the_proxies_have_acknowledged_100_percent_holds_up_no_bake() -> None:
    """Routers ask for the newest route only, which is the freeze's: nobody ever acknowledges the promotion by itself."""
    freeze = entry("freeze", COMPLETE, now=T0)
    made = state(START, PROCEED, COMPLETE, freeze, acknowledged=False)
    made.acknowledged.pop(COMPLETE.id)
    made.read_route(route(freeze.id), 0, 9, T0 + 5_000)
    assert decide(made, after_s=1804).entry is None
    got = decide(made, after_s=1805).entry
    assert got is not None
    assert (got.kind, got.share) == ("retire", 10_000)


def test_a_person_may_undo_a_promotion_and_the_old_baseline_serves_again() -> None:
    undone = entry("rollback", COMPLETE, now=T0, actor="anna")
    made = state(START, PROCEED, COMPLETE, undone)
    assert made.serving == "v1"
    ask(made, canary="v3")
    got = decide(made).entry
    assert got is not None
    assert got.baseline == "v1"


def test_the_plans_own_rollback_mode_is_written_into_the_entry() -> None:
    start = entry("start", now=T0, opening=opening(rollback={"mode": "evict"}))
    got = decide(state(start), BREACH).entry
    assert got is not None
    assert got.hold_mode == "evict"


def test_a_service_that_is_edited_later_changes_no_running_rollout() -> None:
    made = state(START)
    edited = SERVICE.model_copy(update={"versions": {"v1": SERVICE.versions["v1"]}})
    made.read_service(edited)
    close_windows(made, 10, *BOTH)
    assert made.plan == plan()
    assert kind_of(decide(made, WITHIN, after_s=10)) == "proceed"


def test_a_refused_hold_does_not_come_back_when_somebody_resumes() -> None:
    made = state(START, HOLD)
    ask(made, "hold", at_s=4.5)
    assert "held already" in refusal(made, after_s=5)
    made.read_entry(entry("resume", HOLD, now=T0 + 5_000, command="c-10", actor="ben"), 7)
    assert "meanwhile ben decided" in refusal(made, after_s=6)


def test_the_real_policy_raises_no_share_on_a_stage_that_nobody_was_heard_in() -> None:
    """Stage 1 is proven; stage 2 was acknowledged one millisecond after a window's end and has no request at all."""
    made = state(START, acknowledged=False)
    made.read_route(route(START.id), 0, 0, T0)
    for second in range(1, 11):
        close_windows(made, second, *map(busy, BOTH[:2]))
    machine = Machine(Sequential(), "0.1")
    proceed = machine.decide(made, Cut(offsets={}, now=T0 + 10_000)).entry
    assert proceed is not None
    assert proceed.kind == "proceed"
    made.read_entry(proceed, 1)
    made.read_route(route(proceed.id), 0, 1, T0 + 10_001)
    for second in range(11, 60):
        close_windows(made, second)
        got = machine.decide(made, Cut(offsets={}, now=T0 + second * 1000))
        assert got.entry is None, got.entry
        assert got.view.checks[0].verdict == "undecided"


@pytest.mark.parametrize("silent", ["canary", "baseline"])
def test_the_real_policy_raises_no_share_when_a_cohort_falls_silent(silent: str) -> None:
    """Ticks move the windows on; that is no data."""
    made = state(START)
    cells = BOTH[:2]
    for second in range(1, 4):
        close_windows(made, second, *map(busy, cells))
    speaking = cells[0] if silent == "canary" else cells[1]
    kinds: set[str | None] = set()
    machine = Machine(Sequential(), "0.1")
    for second in range(4, 80):
        close_windows(made, second, speaking)
        got = machine.decide(made, Cut(offsets={}, now=T0 + second * 1000)).entry
        kinds.add(f"{got.kind} {got.reason.code}" if got else None)
    assert kinds == {None, f"hold {silent}_silent"}


def test_a_person_may_hold_what_would_resume_by_itself() -> None:
    silent = entry("hold", START, now=T0 + 4_000, reason=Reason(code="stale", sentence="Nothing."))
    made = state(START, silent)
    ask(made, "hold", at_s=5)
    held = decide(made, after_s=6).entry
    assert held is not None
    assert (held.kind, held.actor) == ("hold", "anna")
