"""What is committed, and what a successor makes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.windows import MAX_DEAD_LETTERS
from streams.checkpoint import Checkpoint, ForeignCheckpointError

numbers = st.integers(0, 2**53)


@given(numbers, numbers, numbers, st.integers(0, 200), st.integers(1, 10**6))
def test_a_checkpoint_survives_the_broker(
    offset: int, clock_ms: int, warm_offset: int, letters: int, window_ms: int
) -> None:
    checkpoint = Checkpoint(offset, clock_ms, warm_offset, letters)
    assert Checkpoint.parse(offset, checkpoint.metadata(window_ms), window_ms) == checkpoint


def test_a_commit_of_an_older_version_did_not_say_how_many_dead_letters_may_be_kept() -> None:
    assert Checkpoint.parse(12, "1,5000,1234,7", 5000) == Checkpoint(12, 1234, 7, MAX_DEAD_LETTERS)


FOREIGN = [None, "", "junk", "1,5000", "2,5000,0,0", "1,5000,0,0,0", "1,5000,x,0", "3,5000,0,0,0", "2,5000,0,0,0,0"]


@pytest.mark.parametrize("metadata", FOREIGN)
def test_foreign_metadata_is_an_error_that_says_what_to_do(metadata: str | None) -> None:
    with pytest.raises(ForeignCheckpointError, match=r"offset 12 .* reset the group's offsets"):
        Checkpoint.parse(12, metadata, 5000)


def test_a_commit_of_other_windows_is_an_error_that_names_both_sizes() -> None:
    with pytest.raises(ForeignCheckpointError, match="windows of 1000 ms, not 5000 ms"):
        Checkpoint.parse(12, Checkpoint(12, 0, 12).metadata(1000), 5000)


def test_without_a_commit_reading_begins_at_the_first_retained_message() -> None:
    assert Checkpoint.earliest(40) == Checkpoint(offset=40, clock_ms=0, warm_offset=40)


def test_where_nothing_unread_is_gone_the_checkpoint_stands() -> None:
    assert Checkpoint(50, 1234, 40).retained(30, 100) == Checkpoint(50, 1234, 40)
    assert Checkpoint(50, 1234, 40).retained(40, 100) == Checkpoint(50, 1234, 40)


def test_where_part_of_the_warm_up_is_gone_the_rest_is_read() -> None:
    assert Checkpoint(50, 1234, 40, 7).retained(45, 100) == Checkpoint(50, 1234, 45, 7)
    assert Checkpoint(50, 1234, 40).retained(50, 100) == Checkpoint(50, 1234, 50)


def test_after_a_hole_the_clock_has_left_the_closed_window() -> None:
    assert Checkpoint(50, 1234, 40, 7).retained(60, 100) == Checkpoint(60, 1300, 60, MAX_DEAD_LETTERS)
