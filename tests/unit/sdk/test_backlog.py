"""The backlog: bounded, numbered, exact in its counts."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from davylamp_sdk._backlog import Backlog

STEPS = st.lists(st.sampled_from(["put", "take", "close", "discard"]), max_size=60)
ALL = 1_000_000


def test_items_leave_in_the_order_they_came_with_the_number_of_the_first() -> None:
    backlog: Backlog[str] = Backlog(3)
    for item in "abc":
        backlog.put(item)
    assert backlog.take(ALL) == (0, ["a", "b", "c"])


def test_no_more_are_taken_than_asked_for_and_the_rest_follows() -> None:
    backlog: Backlog[str] = Backlog(3)
    for item in "abc":
        backlog.put(item)
    assert backlog.take(2) == (0, ["a", "b"])
    assert backlog.take(2) == (2, ["c"])
    assert backlog.take(2) == (3, [])


def test_putting_tells_how_many_wait() -> None:
    backlog: Backlog[str] = Backlog(2)
    assert [backlog.put(item) for item in "abc"] == [1, 2, 2]


def test_a_full_backlog_drops_the_oldest_and_the_numbers_show_the_gap() -> None:
    backlog: Backlog[str] = Backlog(2)
    for item in "abcd":
        backlog.put(item)
    assert backlog.take(ALL) == (2, ["c", "d"])
    assert (backlog.recorded, backlog.dropped) == (4, 2)


def test_a_closed_backlog_still_gives_but_takes_no_more() -> None:
    backlog: Backlog[str] = Backlog(2)
    assert backlog.put("a") == 1
    backlog.close()
    assert backlog.put("b") == 0
    assert backlog.take(ALL) == (0, ["a"])
    assert (backlog.recorded, backlog.dropped) == (2, 1)


def test_discarded_items_count_as_dropped() -> None:
    backlog: Backlog[str] = Backlog(5)
    for item in "abc":
        backlog.put(item)
    backlog.discard()
    assert (len(backlog), backlog.dropped) == (0, 3)
    assert backlog.take(ALL) == (3, [])


def test_a_backlog_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity is 0"):
        Backlog(0)


@given(capacity=st.integers(1, 5), steps=STEPS, most=st.integers(1, 3))
def test_every_item_is_taken_dropped_or_waiting_under_its_own_number(
    capacity: int, steps: list[str], most: int
) -> None:
    backlog: Backlog[int] = Backlog(capacity)
    taken: list[tuple[int, int]] = []
    for step in steps:
        if step == "put":
            backlog.put(backlog.recorded)
        elif step == "take":
            first, items = backlog.take(most)
            taken += enumerate(items, first)
        elif step == "close":
            backlog.close()
        else:
            backlog.discard()
        assert len(backlog) <= capacity
        assert backlog.recorded == len(taken) + backlog.dropped + len(backlog)
    numbers = [number for number, _ in taken]
    assert numbers == sorted(set(numbers))
    assert all(number == item for number, item in taken)


def test_numbers_are_unique_and_without_gaps_when_many_threads_record() -> None:
    backlog: Backlog[int] = Backlog(4_000)
    threads = [threading.Thread(target=lambda: [backlog.put(0) for _ in range(1_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert backlog.take(ALL) == (0, [0] * 4_000)
