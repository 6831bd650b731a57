"""What is a cause, how grave it is, when it begins and how it ends: tables, and a property over every story."""

from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.cause import Again, Began, Cause, Ended, Event, Happened, Limits
from alerts.causes import Causes
from schemas.control import RolloutView, RouteChange
from schemas.decisions import RESUMES_ITSELF, EntryKind, LedgerEntry, Reason
from schemas.ledger import Void
from schemas.plan import HoldMode
from tests.builders import entry, opening
from tests.unit.alerts.fakes import says, view

START = entry("start")
ROLLBACK = entry("rollback", START, now=2)
LIMITS = Limits()


def hold(code: str, after: LedgerEntry = START, now: int = 2, actor: str = "judge") -> LedgerEntry:
    return entry("hold", after, now=now, reason=Reason(code=code, sentence="Why it is held."), actor=actor)


@dataclass
class Story:
    """Reads a story step by step, looking after each as the agent does."""

    causes: Causes = field(default_factory=Causes)
    events: list[Event] = field(default_factory=list)
    offset: int = 0

    def read(self, item: LedgerEntry | RouteChange | RolloutView, at_s: float) -> "Story":
        if isinstance(item, LedgerEntry):
            self.causes, result = self.causes.read_entry(item, self.offset, at_s)
            self.offset += 1
            self.events += [result] if isinstance(result, Happened) else []
        elif isinstance(item, RouteChange):
            self.causes = self.causes.read_route(item, at_s)
        else:
            self.causes = self.causes.read_view(item, at_s)
        return self.look(at_s)

    def look(self, now_s: float) -> "Story":
        self.causes, events = self.causes.look(now_s)
        self.events += events
        return self

    def alive(self, now_s: float, head: LedgerEntry, **proxies: str) -> "Story":
        """Judge and router are heard."""
        self.read(view(round(now_s * 1000) + 1), now_s)
        return self.read(says(head, **(proxies or {"lb0": "acknowledged"})), now_s)

    @property
    def said(self) -> list[tuple[str, str, str]]:
        return [(type(e).__name__, e.cause.kind, e.cause.severity) for e in self.events]

    @property
    def burning(self) -> set[str]:
        return {b.cause.kind for b in self.causes.burning.values()}


def running(*entries: LedgerEntry, at_s: float = 0.0) -> Story:
    """The story up to a head that every proxy runs."""
    story = Story()
    for item in (START, *entries):
        story.read(item, at_s)
    return story.alive(at_s, (START, *entries)[-1])


# Facts


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (["rollback"], [("rollback", "page")]),
        (["complete"], [("complete", "info")]),
        (["complete", "retire"], [("complete", "info"), ("retire", "info")]),
        (["complete", "rollback"], [("complete", "info"), ("undo", "page")]),
        (["rollback", "drained"], [("rollback", "page"), ("drained", "info")]),
        (["complete", "rollback", "drained"], [("complete", "info"), ("undo", "page"), ("drained", "info")]),
        (["proceed", "freeze", "unfreeze"], []),
    ],
)
def test_every_end_of_a_rollout_is_told_and_nothing_on_the_way(
    kinds: list[EntryKind], said: list[tuple[str, str]]
) -> None:
    story, last = Story().read(START, 0), START
    for now, kind in enumerate(kinds, 2):
        last = entry(kind, last, now=now)
        story.read(last, 0)
    assert [(e.cause.kind, e.cause.severity) for e in story.events if isinstance(e, Happened)] == said


def test_a_persons_rollback_names_the_person() -> None:
    story = Story().read(START, 0).read(entry("rollback", START, now=2, actor="ada"), 0)
    assert story.events[0].cause.sentence == (
        "It is a rollback. (by ada) Its living sessions end by themselves within 15m."
    )


@pytest.mark.parametrize(
    ("mode", "plan", "sentence"),
    [
        ("drain", {"deadline": "90s"}, "Its living sessions end by themselves within 1m 30s."),
        ("rehome", {}, "Its living sessions are moved to v1 at once, as after a severe breach."),
        ("rehome", {"mode": "rehome"}, "Its living sessions are moved to v1 at once."),
        ("evict", {}, "Its living sessions end at once and begin anew on v1."),
        (
            "evict",
            {"severe": "evict"},
            "Its living sessions end at once and begin anew on v1, as after a severe breach.",
        ),
    ],
)
def test_a_rollback_says_what_becomes_of_the_canarys_sessions(
    mode: HoldMode, plan: dict[str, str], sentence: str
) -> None:
    start = entry("start", opening=opening(rollback=plan))
    story = Story().read(start, 0).read(entry("rollback", start, now=2, hold_mode=mode), 0)
    assert story.events[0].cause.sentence == f"It is a rollback. {sentence}"


def test_a_void_entry_is_no_cause() -> None:
    causes, _ = running(ROLLBACK).causes.read_entry(ROLLBACK, 9, 1)
    _, result = causes.read_entry(entry("rollback", ROLLBACK, now=9), 10, 1)
    assert isinstance(result, Void)


# Holds


@pytest.mark.parametrize(
    ("code", "actor", "kind", "severity"),
    [
        ("stale", "judge", "no_data", "page"),
        ("canary_silent", "judge", "no_data", "page"),
        ("baseline_silent", "judge", "no_data", "page"),
        ("incomplete", "judge", "no_data", "page"),
        ("telemetry_lost", "judge", "telemetry_lost", "page"),
        ("mismatch", "judge", "mismatch", "page"),
        ("sample_ratio", "judge", "sample_ratio", "page"),
        ("sick_baseline", "judge", "sick_baseline", "notice"),
        ("suspicious", "judge", "held", "notice"),
        ("unproven", "judge", "held", "notice"),
        ("min_sessions", "judge", "held", "notice"),
        ("deadline", "judge", "held", "notice"),
        ("blind", "router", "blind", "page"),
        ("would_rollback", "judge", "would_rollback", "page"),
        ("would_proceed", "judge", "held", "notice"),
        ("something_new", "judge", "held", "notice"),
        ("person", "ada", "held", "info"),
    ],
)
def test_a_hold_is_told_at_once_as_gravely_as_its_reason(code: str, actor: str, kind: str, severity: str) -> None:
    story = running(hold(code, actor=actor))
    assert story.said == [("Began", kind, severity)]
    assert story.events[0].cause.sentence == "Why it is held."


@pytest.mark.parametrize("code", sorted(RESUMES_ITSELF))
def test_every_hold_that_resumes_by_itself_for_want_of_data_pages(code: str) -> None:
    """The judge's own list: a code that is added there must not be forgotten here."""
    ((_, _, severity),) = running(hold(code)).said
    assert severity == "page"


def test_a_resumed_hold_is_resolved_and_says_by_whom() -> None:
    held = hold("stale")
    story = running(held).read(entry("resume", held, now=3), 10)
    assert story.said[-1] == ("Ended", "no_data", "page")
    assert isinstance(story.events[-1], Ended)
    assert story.events[-1].how == "The hold is over: resume by judge."
    assert story.events[-1].at_s == 10


def test_data_that_comes_and_goes_wakes_nobody_twice() -> None:
    """Each absence is a hold of its own. Who is held long is paged for that, and who is calm for half an hour is new again."""
    held = hold("stale")
    story, now = running(held), 3
    for at_s, severity in ((10, "notice"), (1000, "notice"), (3000, "page")):
        back = entry("resume", held, now=now)
        held = hold("canary_silent", after=back, now=now + 1)
        story.read(back, at_s - 5).read(held, at_s)
        assert story.said[-1] == ("Began", "no_data", severity)
        now += 2
    last = entry("resume", held, now=now)
    story.read(last, 3001)
    assert story.said[-1] == ("Ended", "no_data", "page")


@pytest.mark.parametrize("kind", ["proceed", "rollback", "complete", "retry"])
def test_whatever_leaves_the_hold_ends_it(kind: EntryKind) -> None:
    held = hold("unproven_final")
    story = running(held).read(entry(kind, held, now=3), 60)
    assert ("Ended", "held", "notice") in story.said
    assert "held" not in story.burning


@pytest.mark.parametrize("kind", ["approve", "freeze", "unfreeze"])
def test_a_word_that_leaves_it_held_ends_nothing(kind: EntryKind) -> None:
    held = hold("unproven_final")
    word = entry(kind, held, now=3, approves="promote" if kind == "approve" else None)
    assert running(held).read(word, 5).said == [("Began", "held", "notice")]


def test_a_hold_that_lasts_too_long_pages_once_from_its_entry_on() -> None:
    held = hold("unproven_final")
    story = running(held)
    for now_s in range(0, 1000, 5):
        story.alive(now_s, held)
    pages = [e for e in story.events if e.cause.kind == "hold_too_long"]
    assert [type(e) for e in pages] == [Began]
    assert pages[0].cause.since_s == 0
    assert pages[0].cause.sentence == "Held for 15m: Why it is held."


def test_a_second_hold_is_a_cause_of_its_own() -> None:
    first = hold("stale")
    back = entry("resume", first, now=3)
    story = running(first, back, hold("stale", back, now=4))
    assert len({e.cause.key for e in story.events}) == 2
    assert [name for name, _, _ in story.said] == ["Began", "Ended", "Began"]


# Approvals

ASKING = entry("start", opening=opening(approve=["2"]))
"""Of a rollout that needs a word for its second stage."""


def test_people_are_told_once_that_a_rollout_waits_for_their_word_until_somebody_gives_it() -> None:
    start = entry("start", opening=opening(approve=["start"]), stage=0, share=0)
    story = Story().read(start, 0).read(view(1, awaits="start", head=start.id), 1)
    for now_s in range(2, 9):
        story.read(view(now_s, awaits="start", head=start.id), now_s)
    assert story.said == [("Began", "approval", "notice")]
    assert story.events[0].cause.sentence == (
        "v2 gets 20% of new sessions once a person approves it, and no more before."
    )
    story.read(entry("approve", start, now=2, approves="start", actor="ada"), 9)
    assert isinstance(story.events[-1], Ended)
    assert story.events[-1].how == "It waits no longer: approve by ada."


def test_a_gate_that_closes_and_opens_while_people_are_asked_asks_them_once() -> None:
    freeze = entry("freeze", ASKING, now=2)
    story = Story().read(ASKING, 0).read(view(1, awaits="2", head=ASKING.id), 1)
    story.read(view(2, awaits=None, head=ASKING.id), 2).read(view(3, awaits="2", head=ASKING.id), 3)
    story.read(freeze, 4).read(view(5, awaits="2", head=freeze.id), 5)
    assert story.said == [("Began", "approval", "notice")]


def test_a_gate_that_is_closed_when_the_judge_looks_at_a_new_head_asks_nobody() -> None:
    freeze = entry("freeze", ASKING, now=2)
    story = Story().read(ASKING, 0).read(view(1, awaits="2", head=ASKING.id), 1)
    story.read(freeze, 2).read(view(3, awaits=None, head=freeze.id), 3)
    assert story.said == [("Began", "approval", "notice"), ("Ended", "approval", "notice")]


@pytest.mark.parametrize("kind", ["retry", "hold", "proceed", "rollback"])
def test_what_the_judge_said_before_the_rollout_moved_asks_nobody(kind: EntryKind) -> None:
    moved = entry(kind, ASKING, now=2)
    story = Story().read(ASKING, 0).read(moved, 1).read(view(2, awaits="2", head=ASKING.id), 2)
    assert "approval" not in {kind for _, kind, _ in story.said}


# Proxies


def test_a_rejected_route_pages_with_the_proxys_words_until_it_is_acknowledged() -> None:
    story = running().read(says(START, lb0="rejected: no such\n cluster"), 5)
    assert story.said == [("Began", "route_rejected", "page")]
    assert story.events[0].cause.sentence == "Proxy lb0 rejected its route: no such cluster"
    story.read(says(START, lb0="rejected: no such cluster"), 6).read(says(START, lb0="acknowledged"), 7)
    assert story.said[1:] == [("Ended", "route_rejected", "page")]


def test_each_rejected_version_is_a_cause_of_its_own() -> None:
    story = running()
    story.read(says(START, lb0="rejected: a", version="2-1"), 5).read(says(START, lb0="rejected: b", version="3-1"), 6)
    assert [name for name, _, _ in story.said] == ["Began", "Ended", "Began"]


def test_a_rejection_outside_any_rollout_is_told_too() -> None:
    assert Story().read(says("", lb0="rejected: bad endpoint"), 0).said == [("Began", "route_rejected", "page")]


def test_a_route_that_is_not_acknowledged_within_the_limit_pages_and_resolves() -> None:
    more = entry("proceed", START, now=2)
    story = running().read(more, 0)
    for now_s in range(15):
        story.alive(now_s, more, lb0="acknowledged", lb1="pending")
    assert story.said == [("Began", "drift", "page")]
    assert story.events[0].cause.sentence == "1 of 2 proxies (lb1) have not acknowledged 50% for v2 (proceed) for 10s."
    story.alive(15, more, lb0="acknowledged", lb1="acknowledged")
    assert story.said[1:] == [("Ended", "drift", "page")]


def test_a_slow_but_timely_acknowledgement_is_no_drift() -> None:
    more = entry("proceed", START, now=2)
    story = running().read(more, 0)
    for now_s in range(10):
        story.alive(now_s, more, lb0="pending")
    assert story.alive(9.9, more).look(12).said == []


def test_a_rollback_that_no_router_answers_pages_although_the_share_is_to_be_zero() -> None:
    story = running().read(ROLLBACK, 5).look(14).look(15)
    assert story.said[-1] == ("Began", "drift", "page")
    assert "rollback" in story.events[-1].cause.sentence


def test_a_rollback_on_top_of_a_drift_is_told_apart() -> None:
    story = running()
    for now_s in range(1, 20):
        story.alive(now_s, START, lb0="pending")
    story.read(ROLLBACK, 20)
    assert [e.cause.key for e in story.events if isinstance(e, Began)] == ["orders/1/drift", "orders/1/drift_rollback"]


def test_once_a_rollback_is_in_force_a_proxy_that_is_cut_off_is_no_cause() -> None:
    story = running(ROLLBACK)
    for now_s in range(1, 60):
        story.alive(now_s, ROLLBACK, lb0="pending")
    assert story.said == [("Happened", "rollback", "page")]


def test_a_proxy_cut_off_while_the_canary_has_a_share_pages() -> None:
    story = running()
    for now_s in range(1, 30):
        story.alive(now_s, START, lb0="pending")
    assert story.said == [("Began", "drift", "page")]


def test_a_freeze_hides_no_drift() -> None:
    frozen = entry("freeze", START, now=2)
    story = running(frozen)
    for now_s in range(1, 30):
        story.alive(now_s, frozen, lb0="pending")
    assert story.said == [("Began", "drift", "page")]


def test_after_the_bake_a_proxy_that_is_cut_off_is_no_cause_of_a_rollout() -> None:
    done = entry("complete", START, now=2)
    retired = entry("retire", done, now=3)
    story = running(done, retired)
    for now_s in range(1, 60):
        story.alive(now_s, retired, lb0="pending")
    assert story.said == [("Happened", "complete", "info"), ("Happened", "retire", "info")]


def test_a_proxy_that_only_a_silent_router_knew_is_drift_while_another_speaks() -> None:
    story = running().read(says(START, router="r2", lb1="acknowledged"), 0)
    for now_s in range(1, 40):
        story.alive(now_s, START)
    assert story.said == [("Began", "drift", "page")]
    assert "(lb1)" in story.events[0].cause.sentence
    story.read(says(START, lb0="acknowledged", lb1="acknowledged"), 40)
    assert story.burning == set()


def test_a_proxy_whose_router_is_gone_pages_after_ten_seconds_until_it_is_forgotten() -> None:
    story = Story().read(says("", router="old", gone="acknowledged"), 0).read(START, 1000)
    for now_s in range(1000, 1010):
        story.alive(now_s, START)
    assert story.said == []
    story.alive(1010, START)
    assert story.said == [("Began", "drift", "page")]
    assert "(gone)" in story.events[0].cause.sentence
    story.read(says(START, lb0="acknowledged").model_copy(update={"forgotten": {"gone": 3}}), 1011)
    assert story.said[1:] == [("Ended", "drift", "page")]


def test_a_restarted_router_that_does_not_name_a_proxy_any_more_has_not_forgotten_it() -> None:
    story = running().alive(1, START, lb0="acknowledged", lb1="acknowledged")
    for now_s in range(2, 14):
        story.alive(now_s, START, lb0="acknowledged")
    assert story.said == [("Began", "drift", "page")]
    assert "(lb1)" in story.events[0].cause.sentence


# Silences


@pytest.mark.parametrize(("kind", "limit_s"), [("router_silent", LIMITS.router_silent_s), ("blind", LIMITS.blind_s)])
def test_silence_pages_after_its_limit_and_not_before(kind: str, limit_s: float) -> None:
    story = running().look(limit_s - 0.1)
    assert kind not in story.burning
    assert kind in story.look(limit_s).burning


def test_a_heartbeat_that_does_not_move_is_silence() -> None:
    story = running()
    for now_s in range(1, 121):
        story.read(says(START, lb0="acknowledged"), now_s).read(view(1), now_s)
    assert story.said == [("Began", "blind", "page")]
    story.read(view(2), 125)
    assert story.said[1:] == [("Ended", "blind", "page")]
    assert isinstance(story.events[-1], Ended)
    assert story.events[-1].how == "The judge looks again."


def test_a_judge_whose_clock_is_behind_that_of_the_one_before_it_looks_all_the_same() -> None:
    story = running().read(view(9_000_000), 0)
    for now_s in range(10, 200, 10):
        story.read(says(START, lb0="acknowledged"), now_s).read(view(1000 * now_s), now_s)
    assert "blind" not in story.burning


def test_a_judge_that_beats_and_reads_nothing_is_blind_until_it_reads_on() -> None:
    """Its reader gets nothing, whatever its clock says: what counts is how far it has read."""
    story = running()
    for now_s in range(1, 122):
        place = "route-changes-0", 10 + now_s
        story.causes = story.causes.read_route(says(START, lb0="acknowledged"), now_s, place)
        story.read(view(now_s * 1000, judged={"route-changes-0": 11}), now_s)
    assert story.said == [("Began", "blind", "page")]
    story.read(view(122_000, judged={"route-changes-0": 100}), 122)
    assert story.said[1:] == [("Ended", "blind", "page")]


def test_a_judge_that_has_read_all_there_is_may_beat_without_reading() -> None:
    story = running()
    story.causes = story.causes.read_route(says(START, lb0="acknowledged"), 0, ("route-changes-0", 7))
    for now_s in range(1, 200):
        story.read(view(now_s * 1000, judged={"route-changes-0": 8}), now_s)
    assert "blind" not in story.burning


def test_a_plan_that_wants_to_know_sooner_pages_sooner_and_a_patient_one_not_later() -> None:
    for blind_after, limit_s in (("6s", 6.0), ("10m", LIMITS.blind_s)):
        story = Story().read(entry("start", opening=opening(blind_after=blind_after)), 0)
        assert "blind" not in story.look(limit_s - 0.1).burning
        assert "blind" in story.look(limit_s).burning


@pytest.mark.parametrize("first", ["our ears", "the router"])
def test_a_hold_for_a_blind_judge_and_its_silence_are_one_cause_until_both_are_over(first: str) -> None:
    start = entry("start", opening=opening(blind_after="6s"))
    held = hold("blind", start, actor="router")
    story = Story().read(start, 0).read(says(start, lb0="acknowledged"), 0)
    if first == "our ears":
        story.look(6).read(held, 7)
    else:
        story.read(held, 5).look(7)
    assert story.said == [("Began", "blind", "page")]
    story.read(view(8_000), 8)
    assert story.said == [("Began", "blind", "page")]
    story.read(entry("resume", held, now=3), 9)
    assert story.said[1:] == [("Ended", "blind", "page")]
    assert isinstance(story.events[-1], Ended)
    assert story.events[-1].how == "The judge looks again."


def test_silence_after_the_end_of_a_rollout_is_nothing_and_at_its_end_says_so() -> None:
    story = running().look(200)
    assert story.burning == {"router_silent", "blind"}
    story.read(ROLLBACK, 201).read(says(ROLLBACK, lb0="acknowledged"), 201)
    endings = {e.cause.kind: e.how for e in story.events if isinstance(e, Ended)}
    assert endings["blind"] == "Rollout 1 no longer runs: rollback by judge."
    assert story.look(2000).burning == set()


def test_silence_between_rollouts_does_not_count_when_the_next_one_starts() -> None:
    again = entry("start", ROLLBACK, now=3)
    story = running(ROLLBACK).read(again, 5000)
    assert story.look(5009).burning == set()


def test_a_page_that_burns_on_is_told_again_and_a_notice_is_not() -> None:
    held = hold("unproven_final")
    story = running(held)
    for now_s in range(0, 4600, 5):
        story.alive(now_s, held)
    again = [(e.cause.kind, e.cause.since_s) for e in story.events if isinstance(e, Again)]
    assert again == [("hold_too_long", 0), ("hold_too_long", 0)]


def test_after_a_sleep_of_our_own_silence_counts_from_the_waking() -> None:
    story = running()
    story.causes = story.causes.woken(5000, story.causes.burning.values())
    assert story.look(5000).said == []
    assert story.look(5015).said == [("Began", "router_silent", "page")]


def test_what_burnt_before_a_restart_burns_on_until_it_is_heard_otherwise() -> None:
    burning = list(running().look(200).causes.burning.values())
    story = running()
    story.causes = story.causes.woken(260, burning)
    assert story.look(260).said == []
    assert story.burning == {"router_silent", "blind"}
    story.alive(261, START)
    assert {name for name, _, _ in story.said} == {"Ended"}


def test_what_ended_during_a_restart_is_resolved() -> None:
    held = hold("stale")
    burning = list(running(held).causes.burning.values())
    story = Story()
    for item in (START, held, entry("resume", held, now=3)):
        story.causes, _ = story.causes.read_entry(item, 0, 10)
    story.causes = story.causes.woken(100, burning).read_route(says(START, lb0="acknowledged"), 100)
    assert story.look(100).said == [("Ended", "no_data", "page")]


# The property

KINDS: list[EntryKind] = ["start", "hold", "resume", "proceed", "rollback", "complete", "retire", "drained", "freeze"]
CODES = st.sampled_from(["stale", "would_rollback", "unproven_final", "person"])
STATES = st.sampled_from(["acknowledged", "pending", "rejected: no"])


@dataclass(frozen=True)
class Entered:
    kind: EntryKind
    code: str


@dataclass(frozen=True)
class Pictured:
    router: str
    first: str
    second: str
    newest: bool


@dataclass(frozen=True)
class Beat:
    awaits: str | None


@dataclass(frozen=True)
class Passed:
    seconds: float


@dataclass(frozen=True)
class Slept:
    seconds: float


Step = Entered | Pictured | Beat | Passed | Slept

STEPS = st.lists(
    st.one_of(
        st.builds(Entered, st.sampled_from(KINDS), CODES),
        st.builds(Pictured, st.sampled_from(["r1", "r2"]), STATES, STATES, st.booleans()),
        st.builds(Beat, st.sampled_from([None, "2", "promote"])),
        st.builds(Passed, st.sampled_from([1, 9, 16, 130, 901, 1900])),
        st.builds(Slept, st.sampled_from([30, 4000])),
    ),
    max_size=60,
)


@given(steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_each_cause_that_began_burns_or_was_resolved_once_and_none_is_told_twice(steps: list[Step]) -> None:
    story, now_s, before = Story().read(START, 0), 0.0, START
    for number, step in enumerate(steps, 2):
        now_s += 1
        head = story.causes.watches["orders"].chain.entries[-1]
        match step:
            case Entered(kind, code):
                reason = Reason(code=code if kind == "hold" else "test", sentence="So.")
                story.read(entry(kind, head, now=number, reason=reason), now_s)
                before = head
            case Pictured(router, first, second, newest):
                story.read(says(head if newest else before, router=router, lb0=first, lb1=second), now_s)
            case Beat(awaits):
                story.read(view(number, awaits=awaits, head=(head if number % 2 else before).id), now_s)
            case Passed(seconds):
                now_s += seconds
                story.look(now_s)
            case Slept(seconds):
                now_s += seconds
                story.causes = story.causes.woken(now_s, story.causes.burning.values())
                story.look(now_s)
    _check(story)


def _check(story: Story) -> None:
    by_key: dict[str, list[Event]] = defaultdict(list)
    for event in story.events:
        by_key[event.cause.key].append(event)
    for key, events in by_key.items():
        if isinstance(events[0], Happened):
            assert len(events) == 1
            continue
        turns = [e for e in events if not isinstance(e, Again)]
        assert all(isinstance(e, Began if n % 2 == 0 else Ended) for n, e in enumerate(turns))
        assert (len(turns) % 2 == 1) == (key in story.causes.burning)
    assert all(key in by_key for key in story.causes.burning)


def test_causes_are_values() -> None:
    cause = running(hold("stale")).events[0].cause
    assert isinstance(cause, Cause)
    assert cause == running(hold("stale")).events[0].cause
