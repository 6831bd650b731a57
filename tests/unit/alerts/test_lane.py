"""A receiver's queue: nothing twice, nothing lost that still matters, never without bound."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.cause import Again
from alerts.lane import REPEAT_MS, Lane, first_told
from alerts.memory import Told
from alerts.wording import Message
from tests.unit.alerts.fakes import began, cause, ended, happened, told

NOW = 1_700_000_000_000
DAY_MS = 86_400_000


def lane(told: Told | None = None, now_ms: int = NOW, most: int = 200) -> Lane:
    return Lane(told or first_told(now_ms), now_ms, most)


def again(key: str) -> Message:
    return told(Again(cause(key)), NOW)


def drained(some: Lane) -> list[tuple[str, str]]:
    """Everything that waits, delivered in order."""
    out: list[tuple[str, str]] = []
    while (message := some.head) is not None:
        out.append((message.step, message.key))
        some.delivered(message, NOW)
    return out


def test_messages_are_told_in_order_and_once() -> None:
    some = lane()
    for message in (began("a", NOW), began("b", NOW), began("a", NOW), ended("a", NOW), ended("a", NOW)):
        some.offer(message)
    assert drained(some) == [("began", "a"), ("began", "b"), ("ended", "a")]
    some.offer(began("b", NOW))
    assert some.head is None


def test_a_cause_that_comes_back_is_told_again() -> None:
    some = lane()
    for message in (began("a", NOW), ended("a", NOW), began("a", NOW)):
        some.offer(message)
    assert drained(some) == [("began", "a"), ("ended", "a"), ("began", "a")]


def test_nobody_is_told_of_the_end_of_what_they_never_heard_of() -> None:
    some = lane()
    some.offer(ended("a", NOW))
    assert some.head is None


def test_a_reminder_is_pointless_while_the_alert_itself_waits() -> None:
    some = lane()
    for message in (began("a", NOW), again("a"), again("a")):
        some.offer(message)
    assert drained(some) == [("began", "a")]
    some.offer(again("a"))
    some.offer(again("a"))
    assert drained(some) == [("again", "a")]


def test_a_fact_is_told_once_also_after_a_restart() -> None:
    some = lane()
    some.offer(happened("f", NOW))
    assert drained(some) == [("happened", "f")]
    restarted = lane(some.told)
    restarted.offer(happened("f", NOW))
    assert restarted.head is None


@pytest.mark.parametrize(("age_ms", "waits"), [(REPEAT_MS - 1, True), (REPEAT_MS, False), (DAY_MS, False)])
def test_without_a_memory_only_recent_facts_are_told(age_ms: int, waits: bool) -> None:  # noqa: FBT001 - a table
    some = lane()
    some.offer(happened("f", NOW - age_ms))
    assert (some.head is not None) == waits


def test_with_a_memory_what_happened_while_nobody_ran_is_told() -> None:
    before = lane()
    before.read_until(NOW)
    later = lane(before.told, NOW + 5 * REPEAT_MS)
    later.offer(happened("f", NOW + REPEAT_MS))
    assert later.head is not None


def test_what_happened_more_than_a_day_ago_is_history() -> None:
    before = lane()
    later = lane(before.told, NOW + 3 * DAY_MS)
    later.offer(happened("old", NOW + DAY_MS))
    later.offer(happened("new", NOW + 2 * DAY_MS + 1))
    assert drained(later) == [("happened", "new")]


def test_a_fact_that_was_never_delivered_is_told_after_a_restart_however_old() -> None:
    before = lane()
    before.offer(happened("f", NOW))
    before.read_until(NOW)
    before.read_until(NOW + 4 * REPEAT_MS)
    later = lane(before.told, NOW + 4 * REPEAT_MS)
    later.offer(happened("f", NOW))
    assert later.head is not None


def test_what_is_remembered_does_not_grow() -> None:
    some = lane()
    for number in range(1000):
        at_ms = NOW + number * 60_000
        some.offer(happened(f"f{number}", at_ms))
        some.read_until(at_ms)
        drained(some)
    assert len(some.told.done) <= 11
    assert some.told.open == {}


def test_beyond_its_bound_the_oldest_give_way_but_not_the_one_under_way() -> None:
    some = lane(most=3)
    for name in "abcde":
        some.offer(began(name, NOW))
    assert some.dropped == 2
    assert drained(some) == [("began", "a"), ("began", "d"), ("began", "e")]


def test_with_a_beginning_that_gives_way_its_end_goes_too() -> None:
    some = lane(most=3)
    for message in (began("a", NOW), began("b", NOW), ended("b", NOW), began("c", NOW)):
        some.offer(message)
    assert drained(some) == [("began", "a"), ("began", "c")]


def test_a_message_that_is_not_taken_lets_others_pass_and_keeps_its_own_order() -> None:
    some = lane()
    first = began("a", NOW)
    for message in (first, ended("a", NOW), began("b", NOW)):
        some.offer(message)
    some.postpone(first)
    assert drained(some) == [("began", "b"), ("began", "a"), ("ended", "a")]


def test_what_is_open_is_remembered_with_its_beginning() -> None:
    some = lane()
    some.offer(began("orders/1/blind", NOW - 5))
    drained(some)
    some.offer(again("orders/1/blind"))
    message = some.head
    assert message is not None
    some.delivered(message, NOW + 7)
    kept = some.told.open["orders/1/blind"]
    assert (kept.since_ms, kept.told_ms, kept.kind, kept.sentence) == (NOW - 5, NOW + 7, "blind", "It is so.")


STEPS = st.lists(
    st.tuples(st.sampled_from(["began", "ended", "again", "deliver", "fail", "restart"]), st.sampled_from("abc"))
)


@given(steps=STEPS, most=st.integers(2, 3))
@settings(max_examples=500)
def test_each_receiver_hears_beginning_and_end_in_turn(steps: list[tuple[str, str]], most: int) -> None:
    some = lane(most=most)
    heard: list[tuple[str, str]] = []
    make = {"began": began, "ended": ended}
    for what, key in steps:
        if what in make:
            some.offer(make[what](key, NOW))
        elif what == "again":
            some.offer(again(key))
        elif what == "restart":
            some = lane(some.told, most=most)
        elif (message := some.head) is not None:
            if what == "deliver":
                heard.append((message.step, message.key))
                some.delivered(message, NOW)
            else:
                some.postpone(message)
    heard += drained(some)
    for key in "abc":
        turns = [step for step, k in heard if k == key]
        pairs = list(pairwise(turns))
        assert ("ended", "ended") not in pairs
        assert ("began", "began") not in pairs
        assert turns[:1] != ["ended"]


def test_what_may_have_been_told_is_remembered_before_it_is_sent() -> None:
    some = lane()
    some.offer(began("a", NOW))
    assert some.starting(began("a", NOW), NOW)
    assert not some.starting(began("a", NOW), NOW)
    assert set(some.told.telling) == {"a"}
    assert some.told.open == {}
    some.delivered(began("a", NOW), NOW)
    assert (set(some.told.telling), set(some.told.open)) == (set(), {"a"})
    assert not some.starting(again("a"), NOW)


def test_facts_and_ends_leave_nothing_burning_and_are_not_remembered_before() -> None:
    some = lane()
    assert not some.starting(happened("f", NOW), NOW)
    assert not some.starting(ended("a", NOW), NOW)


def test_whoever_died_over_a_telling_tells_it_again_if_it_lasts_and_resolves_it_if_it_is_over() -> None:
    dead = lane()
    dead.offer(began("a", NOW))
    dead.starting(began("a", NOW), NOW)
    lasting, over = lane(dead.told), lane(dead.told)
    lasting.offer(began("a", NOW))
    assert drained(lasting) == [("began", "a")]
    over.offer(ended("a", NOW))
    over.offer(ended("a", NOW))
    assert drained(over) == [("ended", "a")]
    assert over.told.telling == {}
    over.offer(ended("a", NOW))
    assert over.head is None
