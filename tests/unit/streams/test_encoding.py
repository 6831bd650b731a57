"""Windows as records: their keys, and large ones in parts."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.window_book import WindowBook
from schemas.windows import Cell, CohortWindow
from streams.encoding import PART_BYTES, encode, key_of

cells = st.builds(
    Cell,
    version=st.sampled_from(["v1", "v2"]),
    label=st.text("ab", min_size=1, max_size=40),
    histogram=st.dictionaries(st.integers(0, 2047), st.integers(1, 9), max_size=20),
)


def window(*found: Cell, final: bool = True) -> CohortWindow:
    return CohortWindow(
        service="orders",
        source="mcp-requests",
        partition=3,
        partitions=4,
        window_start=5000,
        window_ms=1000,
        first_offset=7,
        through=9,
        clock_ms=7,
        final=final,
        instance="w1",
        cells=found,
    )


def test_finals_and_each_workers_partials_have_keys_of_their_own() -> None:
    assert key_of(window()) == b"orders|5000|3|final"
    assert key_of(window(final=False)) == b"orders|5000|3|w1"


def test_an_ordinary_window_is_one_message() -> None:
    assert encode(window(Cell(version="v1", label="-"))) == (window(Cell(version="v1", label="-")).dump(),)


@given(st.lists(cells, max_size=12))
def test_parts_hold_whole_cells_in_order_and_make_the_window_again(found: list[Cell]) -> None:
    parts = [CohortWindow.read(value) for value in encode(window(*found), 400)]
    assert [(p.part, p.parts) for p in parts] == [(i, len(parts)) for i in range(1, len(parts) + 1)]
    assert [c for p in parts for c in p.cells] == found
    assert all(p.cells for p in parts) or len(parts) == 1

    book = WindowBook()
    for part in parts:
        book.read(part.model_copy(update={"partition": 0, "partitions": 1}))
    assert [w.cells for w in book.take_final()] == [tuple(found)]


@given(st.lists(cells, min_size=1, max_size=12))
def test_a_part_holds_more_than_its_share_only_if_it_is_one_cell(found: list[Cell]) -> None:
    parts = [CohortWindow.read(value) for value in encode(window(*found), 400)]
    for part in parts:
        assert len(part.cells) == 1 or sum(len(c.dump()) for c in part.cells) <= 400


def test_no_part_exceeds_what_kafka_takes() -> None:
    full = dict.fromkeys(range(2048), 10**6)
    values = encode(window(*(Cell(version=f"v{i}", label="-", histogram=full) for i in range(64))))
    assert len(values) > 1
    assert max(map(len, values)) < PART_BYTES + 1000
