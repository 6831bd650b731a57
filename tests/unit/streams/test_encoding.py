"""Windows as records: their keys, and large ones in parts."""

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from davylamp_sdk._event import Outcome, RequestEvent
from schemas.window_book import WindowBook
from schemas.windows import Cell, CohortWindow, Metric, ToolCount
from streams.cells import Told
from streams.checkpoint import Checkpoint
from streams.counters import Counters
from streams.encoding import encode, encode_partial, key_of, key_of_partial
from streams.singles import batch_of
from streams.window import Source
from streams.windows import PartitionFold
from tests.telemetry import BASELINE, CANARY, event
from tests.unit.streams.one_by_one import read

histograms = st.dictionaries(st.integers(0, 2047), st.integers(1, 9), max_size=5)
coarse = st.dictionaries(st.integers(0, 511), st.integers(1, 9), max_size=5)
metrics = st.builds(Metric, n=st.integers(0, 9), histogram=histograms)
cells = st.builds(
    Cell,
    version=st.sampled_from(["v1", "v2"]),
    label=st.text("ab", min_size=1, max_size=40),
    histogram=histograms,
    bucket_floor=st.just(7),
    bucket_histograms=st.dictionaries(st.integers(0, 63), coarse, max_size=3),
    metrics=st.dictionaries(st.sampled_from(["tokens", "cost"]), metrics),
)
some_cells = st.lists(cells, max_size=8, unique_by=lambda cell: (cell.version, cell.label))


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


@settings(max_examples=50)
@given(some_cells)
def test_parts_make_the_window_again(found: list[Cell]) -> None:
    parts = [CohortWindow.read(value) for value in encode(window(*found), 300)]
    assert [(p.part, p.parts) for p in parts] == [(i, len(parts)) for i in range(1, len(parts) + 1)]
    assert all(p.cells for p in parts) or len(parts) == 1

    book = WindowBook()
    for part in parts:
        book.read(part.model_copy(update={"partition": 0, "partitions": 1}))
    assert [w.cells for w in book.take_final()] == [tuple(found)]


@settings(max_examples=50)
@given(some_cells)
def test_a_part_holds_more_than_its_share_only_if_it_is_one_piece(found: list[Cell]) -> None:
    for part in (CohortWindow.read(value) for value in encode(window(*found), 300)):
        assert len(part.cells) == 1 or sum(len(c.dump()) for c in part.cells) <= 300


def test_cells_that_fit_are_whole_in_the_order_they_had() -> None:
    found = [Cell(version=f"v{i}", label="-", histogram=dict.fromkeys(range(20), 1)) for i in range(9)]
    parts = [CohortWindow.read(value) for value in encode(window(*found), 1500)]
    assert len(parts) > 1
    assert [c for p in parts for c in p.cells] == found


def test_what_is_said_of_the_window_stands_in_the_first_part_only() -> None:
    said = {"malformed": 1, "unkept": 1, "holes": 2, "duplicates": 3, "dropped": {"i": 4}, "folded": 5}
    whole = window(*(Cell(version=f"v{i}", label="-") for i in range(3))).model_copy(update=said)
    first, *others = [CohortWindow.read(value) for value in encode(whole, 400)]
    nothing = {"malformed": 0, "unkept": 0, "holes": 0, "duplicates": 0, "dropped": {}, "folded": 0}
    assert [part.model_dump(include=set(said)) for part in (first, *others)] == [said, *[nothing] * len(others)]
    assert others

    book = WindowBook()
    for part in (*others, first):  # in any order
        book.read(part.model_copy(update={"partition": 0, "partitions": 1}))
    assert [w.model_dump(include=set(said)) for w in book.take_final()] == [said]


def test_no_part_exceeds_what_kafka_takes() -> None:
    full, coarse = dict.fromkeys(range(2048), 10**6), dict.fromkeys(range(512), 10**6)
    buckets = dict.fromkeys(range(64), coarse)
    metric = Metric(n=1, histogram=full, bucket_histograms=buckets)
    cell = Cell(
        version="v1",
        label="-",
        histogram=full,
        bucket_histograms=buckets,
        metrics={f"m{i}": metric for i in range(8)},
        tools={"\x01" * 117 + f"{i:03}": ToolCount(n=10**9) for i in range(201)},
        lives={since: dict.fromkeys(range(13), 10**6) for since in range(721)},
    )
    values = encode(window(*(cell.model_copy(update={"version": f"v{i}"}) for i in range(3))))
    assert max(map(len, values)) < 900_000
    book = WindowBook()
    for value in values:
        book.read(CohortWindow.read(value).model_copy(update={"partition": 0, "partitions": 1}))
    assert [[c.model_copy(update={"version": "v1"}) for c in w.cells] for w in book.take_final()] == [[cell] * 3]


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)
events = st.builds(
    event,
    sequence=st.integers(0, 99),
    version=st.sampled_from(["v1", "v2", "é\U0001f600\x7f"]),
    assignment=st.sampled_from([None, BASELINE, CANARY, "nonsense"]),
    session=st.sampled_from([None, "a", "b", "c", "d"]),
    tool=st.none() | names,
    outcome=st.sampled_from(get_args(Outcome)),
    duration_ms=st.sampled_from([0.0, 0.5, 42.0, 4e5]),
    started_at=st.sampled_from([0, 1005]),
    first_of_session=st.booleans(),
    tells_ends=st.booleans(),
    session_age_ms=st.none() | st.floats(0, 4e6),
    session_gap_ms=st.none() | st.floats(0, 4e6),
    metrics=st.dictionaries(names, st.sampled_from([0.0, 0.25, 1e9, -1.0]), max_size=3),
)


def told_of(*said: RequestEvent, dropped: int = 0, instance: str = "i") -> Told:
    """The open window of a partition to which all of this came."""
    fold = PartitionFold(Source("mcp-requests", 3, 4, 1000, "w1"), Checkpoint.earliest(0), Counters(), holes=2)
    for offset, one in enumerate(said):
        fold.enter(offset, 1000 + offset)
        read(fold, one, offset, 1000 + offset)
    fold.enter(len(said), 1999)
    read(fold, replace(batch_of(event(producer="another", instance=instance)), dropped=dropped), len(said), 1999)
    (told,) = fold.told()
    return told


@settings(max_examples=50, deadline=None)
@given(st.lists(events, max_size=12), st.integers(0, 9), names)
def test_a_partial_is_written_byte_for_byte_as_its_model_would_be(
    said: list[RequestEvent], dropped: int, instance: str
) -> None:
    told = told_of(*said, dropped=dropped, instance=instance)
    model = CohortWindow.model_validate(told)
    assert encode_partial(told) == (model.dump(),)
    assert key_of_partial(told) == key_of(model)


@pytest.mark.parametrize("n", [2**53 - 1, 2**63 - 1])
def test_a_partial_says_large_numbers_as_its_model_would(n: int) -> None:
    told = told_of(event(metrics={"tokens": 1.0}))
    told["cells"][0]["metrics"]["tokens"]["micro"] = n
    assert encode_partial(told) == (CohortWindow.model_validate(told).dump(),)


def test_a_partial_that_is_too_large_goes_in_parts_as_its_model_would() -> None:
    told = told_of(*(event(sequence=i, version=f"v{i}", assignment=None) for i in range(9)))
    parts = encode_partial(told, 900)
    assert len(parts) > 1
    assert parts == encode(CohortWindow.model_validate(told), 900)
