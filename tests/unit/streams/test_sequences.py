"""Which events were sent: the same as a set of pairs, however they come."""

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.sequences import BLOCK, Sequences

firsts = st.one_of(st.integers(0, 30), st.integers(BLOCK - 20, BLOCK + 20), st.just(2**53 - 1))
sent = st.tuples(st.sampled_from("ab"), firsts, st.one_of(st.integers(1, 12), st.just(5000)))


def bits(number: int) -> set[int]:
    return {i for i in range(number.bit_length()) if number >> i & 1}


@given(st.lists(st.tuples(sent, st.booleans()), max_size=12))
def test_it_knows_what_was_sent_here_or_before_and_nothing_else(log: list[tuple[tuple[str, int, int], bool]]) -> None:
    before, here = Sequences(), Sequences()
    truth: dict[bool, set[tuple[str, int]]] = {True: set(), False: set()}
    for (producer, first, n), is_here in log:
        sequences, other = (here, before) if is_here else (before, Sequences())
        known = truth[is_here] | (truth[False] if is_here else set())
        assert bits(sequences.add(producer, first, n, other)) == {i for i in range(n) if (producer, first + i) in known}
        truth[is_here] |= {(producer, first + i) for i in range(n)}


def test_a_producer_that_counts_up_takes_a_block_of_bits_for_a_thousand_events() -> None:
    sequences = Sequences()
    for first in range(0, 100_000, 500):
        assert sequences.add("a", first, 500, Sequences()) == 0
    assert len(sequences._blocks) == -(-100_000 // BLOCK)


@pytest.mark.parametrize(("producer", "least", "most"), [("counts up", 0, 0.5), ("has hashes", 150, 300)])
def test_what_an_event_costs_is_what_the_page_about_scale_says(producer: str, least: float, most: float) -> None:
    numbers = range(20_000) if producer == "counts up" else random.Random(1).sample(range(2**53), 20_000)
    sequences, before = Sequences(), Sequences()
    tracemalloc.start()
    for number in numbers:
        sequences.add("a", number, 1, before)
    bytes_an_event = tracemalloc.get_traced_memory()[0] / len(numbers)
    tracemalloc.stop()
    assert least < bytes_an_event < most
