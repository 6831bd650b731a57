"""Whoever's messages stand beside each other, and however many are read at once: what is counted is the same."""

import os
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from davylamp_sdk._event import EventBatch, RequestEvent
from schemas.windows import CohortWindow
from streams import digests, window
from streams.checkpoint import Checkpoint
from streams.counters import Counters
from streams.decoding import BadEvent, decode_all
from streams.handover import Messages
from streams.singles import Loose
from streams.window import Source
from streams.windows import PartitionFold
from tests.rows import rows
from tests.telemetry import BASELINE, CANARY, TOPIC, WINDOW_MS, batch, event, record, tick, told, truth
from tests.unit.streams.as_models import partials
from transport.log import Record

EXAMPLES = int(os.environ.get("DAVYLAMP_FUZZ", "2000")) // 400
NOW = 1_700_000_000_000
seeds = st.integers(0, 2**32)
Sent = RequestEvent | EventBatch | bytes


@pytest.fixture(autouse=True, scope="module")
def in_haste() -> Iterator[None]:
    """No digests: they decide nothing and take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "MAX_DIGESTS", 0)
        yield


class Worker:
    """Reads a partition and remembers what it said."""

    def __init__(self, letters: int = 200) -> None:
        self.counters = Counters()
        start = Checkpoint(0, 0, 0, letters)
        self.fold = PartitionFold(Source(TOPIC, 0, 1, WINDOW_MS, "w1"), start, self.counters)
        self.finals: list[CohortWindow] = []
        self.partials: list[CohortWindow] = []
        self.kept: list[tuple[int, BadEvent]] = []

    def poll(self, polled: Sequence[Record]) -> None:
        messages = Messages.of(polled)
        for first, end in self.fold.cut(messages.offsets, messages.appended_ms):
            some, offsets, appended_ms = polled[first:end], messages.offsets[first:end], messages.appended_ms[first:end]
            closed = self.fold.enter(int(offsets[0]), int(appended_ms[0]))
            self.finals += closed.finals(()) if closed else ()
            heard = decode_all(messages.values[first:end], TOPIC, some.__getitem__)
            self.kept += ((some[i].offset, why) for i, why in self.fold.read_all(heard, offsets, appended_ms))

    def tell(self) -> None:
        self.partials += partials(self.fold)


def worker_of(log: Sequence[Record], sizes: Callable[[], int], letters: int = 200) -> Worker:
    """Who polls so many messages at once, and at the end tells what is open and closes it."""
    worker, at = Worker(letters), 0
    while at < len(log):
        n = sizes()
        worker.poll(log[at : at + n])
        at += n
    worker.tell()
    worker.poll([tick(len(log), log[-1].timestamp_ms + WINDOW_MS)])
    return worker


def log_of(sent: Sequence[Sent], every_ms: int = 7) -> list[Record]:
    return [record(i, NOW + i * every_ms, one) for i, one in enumerate(sent)]


def of(producer: int, sequence: int, dice: Random, service: str = "orders") -> RequestEvent:
    """What a producer says under a sequence, if it is always asked with the same die."""
    return event(
        sequence,
        producer=f"p{producer}",
        service=service,
        version=f"v{producer % 3}",
        instance=f"i{producer}",
        session=dice.choice([None, *"stuv"]),
        assignment=dice.choice([None, BASELINE, CANARY]),
        tool=dice.choice([None, "search", "fetch"]),
        outcome=dice.choice(["ok", "ok", "tool_error", "rpc_error", "cancelled", "ended"]),
        duration_ms=dice.choice([0.5, 12.5, 13.0]),
        session_age_ms=dice.choice([None, 0.25, 31_000.5]),
        metrics=dice.choice([{}, {}, {"tokens": 812.0}, {"cost": 1 / 3}]),
    )


def stream_of(producer: int, dice: Random, service: str = "orders") -> list[Sent]:
    """Sequences that count up, now and then one that is sent again, a gap, or one that nobody expects."""
    sent: list[Sent] = []
    sequence = 0
    for _ in range(dice.randint(1, 15)):
        sequence = dice.choice([sequence + 1] * 12 + [sequence, sequence + 5, dice.randrange(2**52)])
        sent.append(of(producer, sequence, Random(f"{producer}/{sequence}"), service))
        if dice.random() < 0.15:
            sent.append(dice.choice(sent))
    return sent


def interleaved(streams: Sequence[Sequence[Sent]], dice: Random) -> list[Sent]:
    """As a topic has them: each stream in its own order."""
    waiting = [list(stream) for stream in streams if stream]
    found: list[Sent] = []
    while waiting:
        stream = dice.choice(waiting)
        found.append(stream.pop(0))
        waiting = [some for some in waiting if some]
    return found


@settings(max_examples=EXAMPLES, deadline=None)
@given(seeds)
def test_events_of_many_producers_are_counted_as_if_they_stood_one_producer_after_the_other(seed: int) -> None:
    dice = Random(seed)
    streams = [stream_of(p, dice, dice.choice(["orders", "stock"])) for p in range(20)]
    mixed, after_each_other = interleaved(streams, dice), [one for stream in streams for one in stream]
    for sent in (mixed, after_each_other):
        log = log_of(sent, every_ms=0)
        assert told(worker_of(log, lambda: 1000).finals) == truth(log)
    assert truth(log_of(mixed, 0)) == truth(log_of(after_each_other, 0))


def some_message(dice: Random) -> Sent:
    """Singles and batches of producers that do either or both, of services that are registered or not; or rubbish."""
    producer, first, service = dice.randrange(9), dice.randrange(12), dice.choice(["orders"] * 6 + ["stock", "a", "b"])
    changes: dict[str, Any] = {
        "version": f"v{dice.randrange(80)}",
        "assignment": dice.choice([None, CANARY, f"7.1.session.{dice.randrange(80):016x};v1"]),
        "tool": f"t{dice.randrange(300)}",
    }
    one = of(producer, first, dice, service).model_copy(update=changes)
    if dice.random() < 0.1:
        return dice.choice([b"{", b"", one.model_copy(update={"service": "Bad Name"}).dump()])
    if producer % 3 and dice.random() < 0.7:
        return one
    more = [of(producer, first + i, dice, service).model_copy(update={"version": one.version}) for i in range(1, 4)]
    return batch([one, *more], dropped=dice.choice([0, 2])) if producer % 3 != 1 else one


@settings(max_examples=EXAMPLES, deadline=None)
@given(seeds)
def test_how_many_messages_are_read_at_once_changes_nothing(seed: int) -> None:
    dice = Random(seed)
    log = log_of([some_message(dice) for _ in range(150)], every_ms=dice.choice([0, 7, 60]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window, "MAX_UNREGISTERED", 2)
        one_by_one = worker_of(log, lambda: 1, letters=30)
        polls = worker_of(log, lambda: dice.choice([1, 5, 40, 150]), letters=30)
    assert polls.finals == one_by_one.finals
    assert polls.partials == one_by_one.partials
    assert polls.kept == one_by_one.kept
    assert (polls.counters, polls.fold.failing) == (one_by_one.counters, one_by_one.fold.failing)


def test_single_events_of_a_poll_are_one_table_a_service_whoever_sent_them() -> None:
    dice = Random(7)
    sent = [of(p, sequence, dice, f"s{p % 2}").dump() for sequence in range(30) for p in range(20)]
    heard = decode_all(sent, TOPIC, lambda i: record(i, 1, sent[i]))
    assert [(some.at, len(some.said)) for some in heard if isinstance(some.said, Loose)] == [(0, 300), (1, 300)]
    assert [len(some.said.runs) for some in heard if isinstance(some.said, Loose)] == [10, 10]


def test_events_of_a_producer_that_writes_batches_as_well_are_told_apart_in_the_order_of_the_log() -> None:
    dice = Random(7)
    of_both, of_other = [of(0, i, dice) for i in range(4)], [of(1, i, dice) for i in range(2)]
    sent: list[RequestEvent | EventBatch] = [
        of_other[0],
        of_both[1],
        batch(of_both[:3]),
        of_both[2],
        of_both[3],
        of_other[1],
    ]
    values = [one.dump() for one in sent]
    heard = decode_all(values, TOPIC, lambda i: record(i, 1, values[i]))
    assert [(some.at, isinstance(some.said, Loose)) for some in heard] == [
        (0, True),
        (1, False),
        (2, False),
        (3, False),
        (4, False),
    ]
    fold = worker_of(log_of(sent), lambda: 6)
    assert fold.counters.duplicates == 2


def test_a_row_that_waits_stands_in_the_log_before_a_table_that_came_first() -> None:
    """A batch and single events of one service: tools are admitted in the order of the log."""
    dice = Random(7)
    tools = [
        of(1, i, dice).model_copy(update={"tool": f"t{i}", "method": "tools/call", "outcome": "ok"}) for i in range(250)
    ]
    in_batches = [one.model_copy(update={"producer": "p2", "tool": f"b{i}"}) for i, one in enumerate(tools)]
    sent: list[Sent] = [one for i in range(0, 250, 2) for one in (tools[i], batch(in_batches[i : i + 2]), tools[i + 1])]
    worker = worker_of(log_of(sent, 0), lambda: len(sent))
    (window_,) = [w for w in worker.finals if w.cells]
    named = {name for cell in window_.cells for name in cell.tools}
    assert named == {f"{kind}{i}" for kind in "tb" for i in range(100)} | {"_other"}


def test_what_is_placed_anew_is_what_it_was() -> None:
    events = [of(1, i, Random(i)) for i in range(20)]
    values = [one.dump() for one in events]
    (heard,) = decode_all(values, TOPIC, lambda i: record(i, 1, values[i]))
    assert isinstance(heard.said, Loose)
    order = np.array(Random(3).sample(range(20), 20))
    (again,) = decode_all([values[i] for i in order.tolist()], TOPIC, lambda i: record(i, 1, values[i]))
    assert isinstance(again.said, Loose)
    assert rows(heard.said.table.ordered(order)) == rows(again.said.table)
