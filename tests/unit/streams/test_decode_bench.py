"""What the benchmark measures is what it says: the same requests, counted whole."""

from itertools import pairwise

import pytest

from bench import streams_decode
from schemas.windows import CohortWindow
from streams.batches import Batch
from streams.decoding import decode
from streams.encoding import encode_partial
from streams.singles import columns_of
from tests.rows import rows
from tests.telemetry import read, record


def test_batches_and_singles_say_the_same_requests() -> None:
    made = streams_decode.events(250)
    batches = [decode(record(0, 1, value)) for value in streams_decode.batches(made, 100)]
    events = [read(record(0, 1, value))[0][0] for value in streams_decode.singles(made)]
    said = [row for b in batches if isinstance(b, Batch) for row in rows(b.columns)]
    beyond_who = slice(2, None)  # versions send singles in other turns
    assert [row[beyond_who] for row in said] == [row[beyond_who] for row in rows(columns_of(events))]
    assert [len(b.columns) for b in batches if isinstance(b, Batch)] == [100, 100, 50]


def test_producers_of_single_events_stand_among_each_other_and_count_up() -> None:
    made = [read(record(0, 1, value))[0][0] for value in streams_decode.singles(streams_decode.events(400), services=2)]
    sent: dict[str, list[int]] = {}
    for event in made:
        sent.setdefault(event.producer, []).append(event.sequence)
    assert all(sequences == list(range(len(sequences))) for sequences in sent.values())
    assert len(sent) == streams_decode.PRODUCERS
    assert sum(a.producer == b.producer for a, b in pairwise(made)) < 40
    assert {(e.service, e.version) for e in made} == {(f"orders-{i}", v) for i in range(2) for v in ("v1", "v2")}
    assert len({(e.producer, e.service, e.version) for e in made}) == len(sent)


def test_services_that_share_a_topic_have_two_producers_each() -> None:
    made = [
        read(record(0, 1, value))[0][0] for value in streams_decode.batches(streams_decode.events(400), 5, services=20)
    ]
    assert len({(e.service, e.producer) for e in made}) == len({(e.service, e.version) for e in made}) == 40


@pytest.mark.parametrize("size", [1, 100])
def test_everything_is_counted(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[bytes] = []
    monkeypatch.setattr(streams_decode, "encode_partial", lambda told: published.extend(encode_partial(told)))
    monkeypatch.setattr(streams_decode, "EVENTS", 10_000)
    made = streams_decode.events(10_000)
    streams_decode.count(streams_decode.singles(made) if size == 1 else streams_decode.batches(made, size))
    window = CohortWindow.read(published[-1])
    assert len(published) > 1  # after a quarter of a second, which is half of them, and at the end
    assert sum(n for cell in window.cells for n in cell.outcomes.values()) == 10_000
    assert {cell.version for cell in window.cells} == {"v1", "v2"}
