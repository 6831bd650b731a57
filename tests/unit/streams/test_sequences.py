"""Which events were sent: the same as a set of pairs, however they come."""

from hypothesis import given
from hypothesis import strategies as st

from streams.sequences import BLOCK, Sequences

firsts = st.one_of(st.integers(0, 30), st.integers(BLOCK - 20, BLOCK + 20), st.just(2**53 - 1))
sent = st.tuples(st.sampled_from("ab"), firsts, st.one_of(st.integers(1, 12), st.just(5000)))


def bits(number: int) -> set[int]:
    return {i for i in range(number.bit_length()) if number >> i & 1}


@given(st.lists(sent, max_size=12), sent)
def test_it_knows_what_was_sent_and_nothing_else(log: list[tuple[str, int, int]], asked: tuple[str, int, int]) -> None:
    sequences, truth = Sequences(), set[tuple[str, int]]()
    for producer, first, n in (*log, asked):
        known = {i for i in range(n) if (producer, first + i) in truth}
        assert bits(sequences.among(producer, first, n)) == known
        sequences.add(producer, first, n)
        truth |= {(producer, first + i) for i in range(n)}


def test_nothing_was_sent_at_first() -> None:
    assert Sequences().among("a", 0, 5000) == 0


def test_a_producer_that_counts_up_takes_a_block_of_bits_for_a_thousand_events() -> None:
    sequences = Sequences()
    for first in range(0, 100_000, 500):
        sequences.add("a", first, 500)
    assert len(sequences._blocks) == -(-100_000 // BLOCK)
