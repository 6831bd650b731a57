"""The memory of sessions: an age only for those that began here, in bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from davylamp_sdk._finished import FinishedRequest, Heard, Kind
from davylamp_sdk._sessions import Sessions
from tests.unit.sdk.fakes import DONE

STAMP = "7.1.principal.0123456789abcdef;v2"


def request(session: str | None, began_s: float, ended_s: float, *, first: bool = False) -> FinishedRequest:
    duration_ms = (ended_s - began_s) * 1000
    return DONE._replace(session=session, ended_s=ended_s, duration_ms=duration_ms, first_of_session=first)


def test_a_session_is_as_old_as_its_first_request_is_ago_and_as_silent_as_its_last() -> None:
    sessions = Sessions()
    assert sessions.hear(request("a", 10.0, 10.5, first=True)) == Heard(first=True, age_ms=500)
    assert sessions.hear(request("a", 11.0, 12.0)) == Heard(age_ms=2000, gap_ms=1500)
    assert sessions.hear(request("a", 12.5, 12.75)) == Heard(age_ms=2750, gap_ms=750)


def test_the_age_less_the_gap_is_the_age_at_which_the_session_was_last_heard() -> None:
    sessions = Sessions()
    sessions.hear(request("a", 0.0, 1.0, first=True))
    before = sessions.hear(request("a", 2.0, 9.0))
    after = sessions.hear(request("a", 3.0, 9.5))
    assert after.age_ms is not None
    assert after.gap_ms is not None
    assert after.age_ms - after.gap_ms == before.age_ms


def test_the_end_of_a_session_has_an_age_and_then_the_session_is_forgotten() -> None:
    sessions = Sessions()
    sessions.hear(request("a", 10.0, 10.5, first=True))
    assert sessions.hear(request("a", 12.0, 12.5)._replace(outcome="ended")) == Heard(age_ms=2500, gap_ms=2000)
    assert len(sessions) == 0
    assert sessions.hear(request("a", 13.0, 13.5)) == Heard()


def test_a_session_that_began_elsewhere_has_no_age_however_often_it_is_heard() -> None:
    sessions = Sessions()
    for at in range(3):
        assert sessions.hear(request("a", at, at + 0.5)) == Heard()
    assert len(sessions) == 0


def test_a_request_without_a_session_has_no_age_and_keeps_its_word_on_being_first() -> None:
    assert Sessions().hear(request(None, 1, 2)) == Heard()
    assert Sessions().hear(request(None, 1, 2, first=True)) == Heard(first=True)


def test_two_sessions_are_not_mixed_up() -> None:
    sessions = Sessions()
    sessions.hear(request("a", 0, 1, first=True))
    sessions.hear(request("b", 5, 6, first=True))
    assert sessions.hear(request("a", 9, 10)) == Heard(age_ms=10_000, gap_ms=9_000)


def test_requests_that_are_noted_out_of_order_make_no_negative_gap() -> None:
    sessions = Sessions()
    sessions.hear(request("a", 0, 1, first=True))
    sessions.hear(request("a", 2, 5))
    assert sessions.hear(request("a", 2, 4.9)).gap_ms == 0
    assert sessions.hear(request("a", 5, 6)).gap_ms == 1_000


def test_the_session_that_is_silent_longest_is_forgotten_first() -> None:
    sessions = Sessions(capacity=2)
    sessions.hear(request("a", 0, 1, first=True))
    sessions.hear(request("b", 1, 2, first=True))
    sessions.hear(request("a", 2, 3))
    sessions.hear(request("c", 3, 4, first=True))
    assert len(sessions) == 2
    assert sessions.hear(request("b", 4, 5)) == Heard()
    assert sessions.hear(request("a", 4, 5)).age_ms == 5_000


def test_a_rejected_request_is_no_sign_of_life() -> None:
    sessions = Sessions()
    sessions.hear(request("a", 0, 1, first=True))
    assert sessions.hear(request("a", 2, 3)._replace(outcome="rejected")) == Heard()
    assert sessions.hear(request("a", 3, 4)).gap_ms == 3_000


@pytest.mark.parametrize("kind", ["principal", "cookie"])
def test_who_has_no_birth_has_no_age_and_is_first_once_under_each_label(kind: Kind) -> None:
    sessions = Sessions()
    asked = DONE._replace(session="a", kind=kind, assignment=STAMP)
    assert [sessions.hear(asked).first for _ in range(3)] == [True, False, False]
    assert sessions.hear(asked._replace(assignment=STAMP.replace("7.1", "7.2"))) == Heard(first=True)
    assert sessions.hear(asked._replace(session="b")).first


@given(
    capacity=st.integers(1, 4),
    heard=st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.sampled_from(["session", "principal"]))),
)
def test_memory_is_bounded_whoever_comes(capacity: int, heard: list[tuple[str, bool, str]]) -> None:
    sessions = Sessions(capacity)
    for at, (session, first, kind) in enumerate(heard):
        sessions.hear(request(session, at, at + 0.5, first=first)._replace(kind=kind))  # type: ignore[arg-type]
        assert len(sessions) <= capacity
