"""What is put aside on disk is read as a list would be."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.records import by_topic
from tests.unit.transport.test_recording import records
from transport.log import Record
from transport.shelf import Shelf

SLICES = st.builds(slice, *[st.none() | st.integers(-9, 9)] * 2)


@settings(max_examples=25)
@given(st.lists(records, max_size=8), SLICES, SLICES)
def test_what_is_read_is_what_was_put_whatever_part_of_it_is_asked_for(
    tmp_path_factory: pytest.TempPathFactory, content: list[Record], part: slice, part_of_it: slice
) -> None:
    folder = tmp_path_factory.mktemp("shelf")
    with Shelf(folder) as shelf:
        for record in content:
            shelf.put(record)
        found = shelf.records()
        for topic, expected in by_topic(content).items():
            assert [*found[topic]] == expected
            assert [*found[topic]][::-1] == [found[topic][-1 - place] for place in range(len(expected))]
            assert [*found[topic][part][part_of_it]] == expected[part][part_of_it]
        assert found.keys() == by_topic(content).keys()
        assert not [*folder.iterdir()]  # nobody has to remove anything


def test_where_there_is_no_room_the_error_is_the_systems(tmp_path: Path) -> None:
    with Shelf(tmp_path / "no such folder") as shelf, pytest.raises(OSError, match="No such file"):
        shelf.put(Record("cohort-windows", 0, 0, 0, None, b""))
