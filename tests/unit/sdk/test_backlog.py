"""The backlog: bounded, numbered, exact in its counts."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from davylamp_sdk._backlog import Backlog

STEPS = st.lists(st.sampled_from(["put", "take", "close", "discard"]), max_size=60)


def taken_from(backlog: Backlog[str]) -> list[tuple[int, str]]:
    return list(iter(backlog.take, None))


def test_items_leave_in_the_order_they_came_with_their_numbers() -> None:
    backlog: Backlog[str] = Backlog(3)
    for item in "abc":
        backlog.put(item)
    assert taken_from(backlog) == [(0, "a"), (1, "b"), (2, "c")]


def test_a_full_backlog_drops_the_oldest_and_the_numbers_show_the_gap() -> None:
    backlog: Backlog[str] = Backlog(2)
    for item in "abcd":
        backlog.put(item)
    assert taken_from(backlog) == [(2, "c"), (3, "d")]
    assert (backlog.recorded, backlog.dropped) == (4, 2)


def test_a_closed_backlog_still_gives_but_takes_no_more() -> None:
    backlog: Backlog[str] = Backlog(2)
    assert backlog.put("a")
    backlog.close()
    assert not backlog.put("b")
    assert taken_from(backlog) == [(0, "a")]
    assert (backlog.recorded, backlog.dropped) == (2, 1)


def test_discarded_items_count_as_dropped() -> None:
    backlog: Backlog[str] = Backlog(5)
    for item in "abc":
        backlog.put(item)
    backlog.discard()
    assert (len(backlog), backlog.dropped) == (0, 3)
    assert backlog.take() is None


def test_a_backlog_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity is 0"):
        Backlog(0)


@given(capacity=st.integers(1, 5), steps=STEPS)
def test_every_item_is_taken_dropped_or_waiting_and_never_more_wait_than_fit(capacity: int, steps: list[str]) -> None:
    backlog: Backlog[int] = Backlog(capacity)
    taken: list[int] = []
    for step in steps:
        if step == "put":
            backlog.put(0)
        elif step == "take":
            pair = backlog.take()
            taken += [] if pair is None else [pair[0]]
        elif step == "close":
            backlog.close()
        else:
            backlog.discard()
        assert len(backlog) <= capacity
        assert backlog.recorded == len(taken) + backlog.dropped + len(backlog)
    assert taken == sorted(set(taken))


def test_numbers_are_unique_and_without_gaps_when_many_threads_record() -> None:
    backlog: Backlog[int] = Backlog(4_000)
    threads = [threading.Thread(target=lambda: [backlog.put(0) for _ in range(1_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [backlog.take() for _ in range(4_000)] == [(n, 0) for n in range(4_000)]
