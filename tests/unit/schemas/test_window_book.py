"""How readers merge cohort windows."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.window_book import MAX_SAID, WindowBook
from schemas.windows import Cell, CohortWindow, Metric

SIZE_MS = 100


def window(
    partition: int = 0, start: int = 1000, n: int = 1, *, final: bool = False, through: int = 10, **changes: Any
) -> CohortWindow:
    """`n` requests in one cell; 0 for none."""
    fields: dict[str, Any] = {
        "service": "orders",
        "source": "mcp-requests",
        "partition": partition,
        "partitions": 2,
        "window_start": start,
        "window_ms": SIZE_MS,
        "first_offset": 1,
        "through": through,
        "clock_ms": start + (SIZE_MS if final else through),
        "final": final,
        "instance": "w1",
        "cells": (cell(n),) if n else (),
    }
    return CohortWindow.model_validate(fields | changes)


def final(partition: int = 0, start: int = 1000, n: int = 1, **changes: Any) -> CohortWindow:
    return window(partition, start, n, final=True, **changes)


def cell(n: int) -> Cell:
    return Cell(version=f"v{n}", label="-", outcomes={"ok": n})


def book_of(*windows: CohortWindow) -> WindowBook:
    book = WindowBook()
    for said in windows:
        book.read(said)
    return book


def told(windows: tuple[CohortWindow, ...]) -> list[tuple[int, int, int]]:
    """(window start, partition, requests)."""
    return [(w.window_start, w.partition, sum(c.outcomes["ok"] for c in w.cells)) for w in windows]


def test_an_empty_book_has_no_frontier_and_nothing_to_take() -> None:
    book = WindowBook()
    assert book.frontier() is None
    assert book.take_final() == ()
    assert book.open_windows() == ()


def test_until_every_partition_has_a_final_there_is_no_frontier() -> None:
    book = book_of(final(0), window(1))
    assert book.frontier() is None
    assert book.take_final() == ()
    assert told(book.open_windows()) == [(1000, 0, 1), (1000, 1, 1)]


def test_the_frontier_is_where_the_slowest_partition_is() -> None:
    book = book_of(final(0, 1000), final(0, 1100), final(0, 1200), final(1, 1100))
    assert book.frontier() == 1200


def test_final_windows_are_taken_once_in_order_of_time_then_partition() -> None:
    book = book_of(final(1, 1000, 4), final(1, 1100, 5), final(0, 1000, 2), final(0, 1100, 3))
    assert told(book.take_final()) == [(1000, 0, 2), (1000, 1, 4), (1100, 0, 3), (1100, 1, 5)]
    assert book.take_final() == ()


def test_empty_finals_are_given_too_for_they_say_that_time_has_passed() -> None:
    assert told(book_of(final(0, n=0), final(1, n=0)).take_final()) == [(1000, 0, 0), (1000, 1, 0)]


def test_one_may_take_less_than_the_frontier_and_the_rest_later() -> None:
    book = book_of(final(0, 1000), final(0, 1100), final(1, 1000), final(1, 1100))
    assert told(book.take_final(1100)) == [(1000, 0, 1), (1000, 1, 1)]
    assert told(book.take_final()) == [(1100, 0, 1), (1100, 1, 1)]


@pytest.mark.parametrize("windows", [(), (final(0),), (final(0), final(1))])
def test_nobody_may_take_beyond_the_frontier(windows: tuple[CohortWindow, ...]) -> None:
    with pytest.raises(ValueError, match="final up to"):
        book_of(*windows).take_final(1101)


def test_a_window_that_was_skipped_is_final_once_a_later_one_is() -> None:
    book = book_of(final(0, 1000), final(0, 1100), final(0, 1200), final(1, 1200, 0))
    assert book.frontier() == 1300
    assert told(book.take_final()) == [(1000, 0, 1), (1100, 0, 1), (1200, 0, 1), (1200, 1, 0)]


def test_a_final_wins_over_partials_before_and_after_it() -> None:
    book = book_of(window(0, n=3, through=30), final(0, n=2, through=20), window(0, n=4, through=40), final(1))
    assert told(book.take_final()) == [(1000, 0, 2), (1000, 1, 1)]
    assert book.open_windows() == ()


def test_of_partials_the_one_that_reaches_furthest_wins_whoever_said_it_last() -> None:
    book = book_of(window(n=3, through=30), window(n=2, through=20, instance="zombie"))
    assert told(book.open_windows()) == [(1000, 0, 3)]
    book.read(window(n=4, through=31, instance="zombie"))
    assert told(book.open_windows()) == [(1000, 0, 4)]


def test_a_final_said_again_changes_nothing_before_or_after_it_was_taken() -> None:
    book = book_of(final(0), final(0, instance="zombie"), final(1))
    assert told(book.take_final()) == [(1000, 0, 1), (1000, 1, 1)]
    book.read(final(0))
    assert book.take_final() == ()
    assert book.open_windows() == ()


def test_a_late_partial_of_a_window_that_was_taken_changes_nothing() -> None:
    book = book_of(final(0), final(1))
    book.take_final()
    book.read(window(0, n=9, through=99))
    assert book.open_windows() == ()


def test_open_windows_are_what_is_known_beyond_the_frontier() -> None:
    book = book_of(final(0, 1000), final(1, 1000), final(1, 1100, 7), window(0, 1100, 5), window(1, 1200, 6))
    assert told(book.open_windows()) == [(1100, 0, 5), (1100, 1, 7), (1200, 1, 6)]


def test_final_windows_that_nobody_took_yet_are_not_open() -> None:
    assert book_of(final(0), final(1)).open_windows() == ()


def test_a_partial_that_a_later_final_overtakes_is_void() -> None:
    book = book_of(window(0, 1000, 9), final(0, 1100, 0), window(0, 1000, 9, through=50))
    assert told(book.open_windows()) == [(1100, 0, 0)]


def test_a_window_counts_when_all_its_parts_are_there() -> None:
    book = book_of(final(1), final(0, n=2, part=2, parts=3), final(0, n=3, part=3, parts=3))
    assert book.frontier() is None
    book.read(final(0, n=1, part=1, parts=3))
    whole, _ = book.take_final()
    assert whole.cells == (cell(1), cell(2), cell(3))
    assert (whole.part, whole.parts) == (1, 1)


def test_a_part_that_comes_twice_is_one_part() -> None:
    book = book_of(*[window(part=1, parts=2)] * 2)
    assert book.open_windows() == ()


@pytest.mark.parametrize("changes", [{"instance": "w2"}, {"through": 11}, {"final": True}, {"start": 1100}])
def test_parts_of_different_sayings_do_not_make_a_window(changes: dict[str, Any]) -> None:
    other: dict[str, Any] = {"part": 2, "parts": 2, **changes}
    book = book_of(window(part=1, parts=2), window(**other))
    assert book.open_windows() == ()


def test_a_cell_that_stands_in_several_parts_is_put_together() -> None:
    rest = cell(1).model_copy(update={"bucket_floor": 7})
    histograms = Cell(version="v1", label="-", bucket_floor=7, bucket_histograms={3: {8: 1}})
    metrics = [Cell(version="v1", label="-", metrics={name: Metric(n=1)}) for name in ("tokens", "cost")]
    pieces = [(rest,), (histograms, metrics[0]), (metrics[1], cell(2))]
    book = book_of(final(1), *(final(0, cells=cells, part=i, parts=3) for i, cells in enumerate(pieces, start=1)))
    whole, _ = book.take_final()
    together = {"bucket_histograms": {3: {8: 1}}, "metrics": {"tokens": Metric(n=1), "cost": Metric(n=1)}}
    assert whole.cells == (rest.model_copy(update=together), cell(2))


def test_parts_that_a_final_overtakes_are_forgotten() -> None:
    book = book_of(window(0, part=1, parts=2), final(0, part=1, parts=2, instance="dead"), final(0), final(1))
    assert told(book.take_final()) == [(1000, 0, 1), (1000, 1, 1)]
    assert book._unfinished == {}


def test_a_topic_that_grew_has_no_frontier_until_its_new_partitions_speak() -> None:
    book = book_of(final(0), final(1), window(2, partitions=3))
    assert book.frontier() is None
    book.read(final(2, partitions=3))
    assert book.frontier() == 1100


def test_a_partition_that_starts_late_loses_nothing() -> None:
    book = book_of(final(0, 1000), final(1, 1000))
    book.take_final()
    for said in (final(0, 1100), final(1, 1100), final(2, 1000, 8, partitions=3), final(2, 1100, 9, partitions=3)):
        book.read(said)
    assert told(book.take_final()) == [(1000, 2, 8), (1100, 0, 1), (1100, 1, 1), (1100, 2, 9)]


def test_a_book_is_of_one_telemetry_topic() -> None:
    book = book_of(final(0))
    with pytest.raises(ValueError, match=r"of mcp-requests.orders in the book of mcp-requests"):
        book.read(final(1, source="mcp-requests.orders"))


def test_what_is_forgotten_never_comes_back_and_what_ends_later_stays() -> None:
    book = book_of(final(0, 1000), final(0, 1100), window(1, 1000, 5))
    book.forget(1100)
    book.read(final(0, 1000))
    assert told(book.open_windows()) == [(1100, 0, 1)]
    book.read(final(1, 1100, 7))
    assert told(book.take_final()) == [(1100, 0, 1), (1100, 1, 7)]


def test_of_what_is_settled_only_the_final_is_kept() -> None:
    book = book_of(
        window(0, n=3, through=30), final(0, n=5), window(0, 1100, n=4, through=40), window(1, n=1, through=35)
    )
    assert aligned(book) == [(0, 3, 5), (1, 1, 1), (0, 0, 4)]
    book.settle(1100)
    assert aligned(book) == [(0, 0, 5), (1, 1, 1), (0, 0, 4)]
    book.read(final(1, n=2))
    assert told(book.take_final()) == [(1000, 0, 5), (1000, 1, 2)]


@given(st.randoms(use_true_random=False), st.integers(1, 6))
def test_repetitions_and_interleaved_partitions_change_nothing_of_what_is_taken(
    draws: random.Random, windows: int
) -> None:
    sayings = []
    for partition in (0, 1):
        said = []
        for i in range(windows):
            start = 1000 + i * SIZE_MS
            said += [window(partition, start, n, through=n) for n in range(1, draws.randint(1, 4))]
            said.append(final(partition, start, 5 + i, through=9))
            if draws.random() < 0.5:  # a successor goes on from the last commit
                said += said[draws.randrange(len(said)) :]
        sayings.append(said)

    book = WindowBook()
    taken: list[CohortWindow] = []
    while any(sayings):
        book.read(draws.choice([s for s in sayings if s]).pop(0))
        taken += book.take_final()
    expected = [(1000 + i * SIZE_MS, p, 5 + i) for i in range(windows) for p in (0, 1)]
    assert told(tuple(taken)) == expected
    assert book.open_windows() == ()


def aligned(book: WindowBook) -> list[tuple[int, int, int]]:
    """(partition, requests up to the moment, requests to it or beyond)."""
    pairs = book.aligned_windows()
    return [(b.partition, told((a,))[0][2] if a else 0, told((b,))[0][2]) for a, b in pairs]


def test_what_two_partitions_say_is_compared_at_a_moment_that_both_have_reached() -> None:
    book = book_of(window(0, n=3, through=30), window(1, n=1, through=10), window(1, n=6, through=60))
    assert aligned(book) == [(0, 3, 3), (1, 1, 6)]
    book.read(window(0, n=7, through=70))
    assert aligned(book) == [(0, 3, 7), (1, 6, 6)]


def test_a_partition_that_had_said_nothing_by_then_has_no_first() -> None:
    assert aligned(book_of(window(0, n=3, through=30), window(1, n=6, through=60))) == [(0, 3, 3), (1, 0, 6)]


def test_a_partition_without_cells_holds_nobody_up() -> None:
    assert aligned(book_of(window(0, n=3, through=30), window(1, n=0, through=1))) == [(0, 3, 3), (1, 0, 0)]


def test_of_words_that_a_partition_lags_behind_only_so_many_are_kept_and_the_doubt_is_the_canarys_benefit() -> None:
    said = [window(1, n=n, through=n) for n in range(1, 2 * MAX_SAID)]
    book = book_of(window(0, n=1, through=5), *said)
    assert aligned(book) == [(0, 1, 1), (1, 0, MAX_SAID)]  # the oldest that is kept, for whom it is compared with
    book.read(window(0, n=2, through=MAX_SAID + 3))
    assert aligned(book) == [(0, 2, 2), (1, MAX_SAID + 3, MAX_SAID + 3)]


def test_without_open_windows_there_is_nothing_to_align() -> None:
    assert book_of().aligned_windows() == ()
    assert book_of(final(0), final(1)).aligned_windows() == ()


def test_what_was_taken_is_not_aligned_any_more() -> None:
    book = book_of(window(0, through=30), window(1, through=30), final(0), final(1), window(1, 1100, through=5))
    book.take_final()
    assert aligned(book) == [(1, 1, 1)]


def test_a_shared_outage_is_never_seen_on_one_side_alone() -> None:
    """Each partition holds one cohort and everything fails from 40 on: whatever was read when, the second of the pair
    (the side that is compared with) has failed at least as long as the first."""
    for first in range(10, 100, 10):
        for second in range(10, 100, 10):
            book = book_of(
                *(window(0, n=t, through=t) for t in range(10, first + 1, 10)),
                *(window(1, n=t, through=t) for t in range(10, second + 1, 10)),
            )
            (_, upto, _), (_, _, beyond) = aligned(book)
            assert max(0, upto - 40) <= max(0, beyond - 40)
