"""The courier: consecutive requests in one batch, and books in which nothing is missing."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from davylamp_sdk._backlog import Backlog
from davylamp_sdk._courier import BATCHES_PER_ROUND, EVENTS_PER_BATCH, Courier
from davylamp_sdk._event import EventBatch
from davylamp_sdk._faults import Faults
from davylamp_sdk._finished import FinishedRequest
from davylamp_sdk._sink import Sink
from davylamp_sdk.testing import MemorySink
from tests.unit.sdk.fakes import DONE, IDENTITY, BrokenSink, CrampedSink, ScriptedSink

INVALID = DONE._replace(duration_ms=float("nan"))


class Desk:
    """A courier with everything around it."""

    def __init__(self, sink: Sink, capacity: int = 20_000) -> None:
        self.backlog: Backlog[FinishedRequest] = Backlog(capacity)
        self.faults = Faults()
        self.courier = Courier(sink, self.backlog, self.faults, IDENTITY)

    def record(self, *requests: FinishedRequest) -> None:
        for request in requests:
            self.backlog.put(request)

    def settle(self) -> None:
        """Go on until nothing waits."""
        while len(self.backlog) or self.courier.unsettled:
            self.courier.send_round()

    def balance(self) -> int:
        """What is missing from the books once all is over."""
        return self.backlog.recorded - (
            self.courier.delivered + self.backlog.dropped + self.courier.given_up + self.faults.failed
        )


def for_ever() -> float:
    return 1.0


def countdown(steps: int) -> Callable[[], float]:
    """Time that runs out after so many looks at it."""
    left: Iterator[float] = iter([1.0] * steps)
    return lambda: next(left, 0.0)


def batches(sink: MemorySink) -> list[EventBatch]:
    return [EventBatch.read(value) for _, value in sink.messages]


def test_what_waits_leaves_as_one_batch() -> None:
    sink = MemorySink()
    desk = Desk(sink)
    desk.record(DONE, DONE, DONE)
    assert not desk.courier.send_round()
    (batch,) = batches(sink)
    assert (batch.sequence, len(batch), batch.dropped, batch.service) == (0, 3, 0, "orders")
    assert (desk.courier.sent, desk.courier.delivered) == (3, 3)


def test_the_producer_is_the_key_and_the_same_in_every_batch() -> None:
    sink = MemorySink()
    desk = Desk(sink)
    for _ in range(3):
        desk.record(DONE)
        desk.courier.send_round()
    assert {key.decode() for key, _ in sink.messages} == {batch.producer for batch in batches(sink)}
    assert len({batch.producer for batch in batches(sink)}) == 1


def test_a_batch_holds_so_many_and_a_round_so_many_batches() -> None:
    sink = MemorySink()
    desk = Desk(sink)
    desk.record(*[DONE] * (BATCHES_PER_ROUND * EVENTS_PER_BATCH + 7))
    assert desk.courier.send_round()
    assert [len(batch) for batch in batches(sink)] == [EVENTS_PER_BATCH] * BATCHES_PER_ROUND
    assert not desk.courier.send_round()
    assert len(batches(sink)[-1]) == 7


def test_an_invalid_request_ends_a_batch_and_the_next_one_says_that_it_is_missing() -> None:
    sink = MemorySink()
    desk = Desk(sink)
    desk.record(DONE, DONE, INVALID, DONE, INVALID, INVALID, DONE)
    desk.courier.finish(for_ever)
    assert [(batch.sequence, len(batch), batch.dropped) for batch in batches(sink)] == [(0, 2, 3), (3, 1, 0), (6, 1, 0)]
    assert desk.faults.failed == 3
    assert desk.balance() == 0


def test_nothing_but_invalid_requests_hides_nothing_behind_them() -> None:
    sink = MemorySink()
    desk = Desk(sink)
    desk.record(*[INVALID] * EVENTS_PER_BATCH, DONE)
    desk.courier.finish(for_ever)
    assert [(batch.sequence, batch.dropped) for batch in batches(sink)] == [(EVENTS_PER_BATCH, EVENTS_PER_BATCH)]


def test_what_the_backlog_dropped_is_a_gap_and_told_once() -> None:
    sink = MemorySink()
    desk = Desk(sink, capacity=3)
    desk.record(*[DONE] * 10)
    desk.courier.send_round()
    desk.record(DONE)
    desk.courier.send_round()
    assert [(batch.sequence, len(batch), batch.dropped) for batch in batches(sink)] == [(7, 3, 7), (10, 1, 0)]


def test_a_batch_that_is_lost_is_told_by_the_next_with_what_it_was_to_tell() -> None:
    sink = ScriptedSink(["lose", "lose", "deliver"])
    desk = Desk(sink, capacity=2)
    desk.record(DONE, DONE, DONE)
    for _ in range(3):
        desk.courier.send_round()
        desk.record(DONE)
    assert [json.loads(value)["dropped"] for value in sink.lost] == [1, 3]
    assert [batch.dropped for batch in batches(sink)] == [4]
    desk.courier.finish(for_ever)
    assert desk.balance() == 0


def test_what_the_sink_raised_on_is_told_by_the_next_batch() -> None:
    sink = ScriptedSink(["raise"])
    desk = Desk(sink)
    desk.record(DONE, DONE)
    desk.courier.send_round()
    desk.record(DONE)
    desk.courier.send_round()
    assert [(batch.sequence, batch.dropped) for batch in batches(sink)] == [(2, 2)]


def test_what_the_sink_has_no_room_for_is_offered_again_as_it_is() -> None:
    sink = CrampedSink(room=1)
    desk = Desk(sink)
    desk.record(DONE)
    desk.courier.send_round()
    desk.record(DONE, DONE)
    desk.courier.send_round()
    desk.record(DONE)
    desk.courier.send_round()
    assert desk.courier.unsettled
    sink.room = 9
    desk.courier.send_round()
    assert [(batch.sequence, len(batch)) for batch in batches(sink)] == [(0, 1), (1, 2), (3, 1)]
    assert not desk.courier.unsettled


def test_what_makes_too_large_a_message_is_sent_in_smaller_ones() -> None:
    sink = MemorySink()
    desk = Desk(sink)
    desk.record(*[DONE._replace(error_type=f"{n:04}" + "\u0001" * 116) for n in range(EVENTS_PER_BATCH)])
    desk.record(*[DONE._replace(metrics={f"m{n}": n}) for n in range(100)])
    desk.courier.finish(for_ever)
    sent = batches(sink)
    assert [event.sequence for event in sink.events] == list(range(EVENTS_PER_BATCH + 100))
    assert max(len(batch.metrics) for batch in sent) <= 32
    assert desk.balance() == 0


def test_a_metric_that_is_left_out_is_mentioned_and_costs_no_event(caplog: pytest.LogCaptureFixture) -> None:
    sink = MemorySink()
    desk = Desk(sink)
    desk.record(DONE._replace(metrics={"tokens": float("inf"), "hits": 1.0}))
    desk.courier.send_round()
    assert sink.events[0].metrics == {"hits": 1.0}
    assert desk.faults.failed == 0
    assert [r.__dict__["action"] for r in caplog.records] == ["telemetry_metric_invalid"]


def test_ages_of_sessions_are_filled_in() -> None:
    sink = MemorySink()
    desk = Desk(sink)
    desk.record(DONE._replace(method="initialize", session="a", ended_s=10.0, first_of_session=True))
    desk.record(DONE._replace(session="a", ended_s=11.0))
    desk.courier.send_round()
    first, second = sink.events
    assert (first.first_of_session, first.session_age_ms, first.session_gap_ms) == (True, 2.5, None)
    assert (second.first_of_session, second.session_age_ms, second.session_gap_ms) == (False, 1002.5, 1000.0)


def test_finishing_gives_up_when_time_has_run_out_and_counts_what_is_left() -> None:
    sink = CrampedSink(room=0)
    desk = Desk(sink)
    desk.record(DONE, INVALID, DONE)
    desk.courier.finish(countdown(3))
    desk.backlog.discard()
    assert (desk.courier.given_up, desk.faults.failed) == (2, 1)
    assert desk.balance() == 0


def test_finishing_does_not_turn_in_circles_before_a_sink_that_never_has_room() -> None:
    desk = Desk(CrampedSink(room=0))
    desk.record(DONE)
    desk.courier.finish(for_ever)
    assert desk.courier.given_up == 1


def test_finishing_takes_what_frees_room_while_it_waits() -> None:
    class Draining(CrampedSink):
        def flush(self, timeout_s: float) -> None:
            super().flush(timeout_s)
            self.room += 1

    sink = Draining(room=1)
    desk = Desk(sink)
    for _ in range(3):
        desk.record(DONE, INVALID)
    desk.courier.finish(for_ever)
    assert [batch.sequence for batch in batches(sink)] == [0, 2, 4]
    assert desk.courier.given_up == 0


def test_what_the_sink_says_nothing_about_until_the_end_is_lost() -> None:
    class Silent(MemorySink):
        def poll(self) -> None:
            """Never says what became of anything."""

    desk = Desk(Silent())
    desk.record(DONE, DONE)
    desk.courier.finish(for_ever)
    assert desk.faults.failed == 2
    assert desk.balance() == 0


def test_a_sink_that_raises_on_everything_costs_the_events(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(BrokenSink())
    desk.record(DONE, DONE)
    desk.courier.send_round()
    desk.courier.finish(for_ever)
    assert desk.faults.failed == 2
    assert [r.__dict__["action"] for r in caplog.records] == ["telemetry_sink_failed"]


@settings(max_examples=200)
@given(
    script=st.lists(st.sampled_from(["deliver", "refuse", "raise", "lose"]), max_size=30),
    steps=st.lists(st.sampled_from(["valid", "invalid", "round"]), max_size=60),
    capacity=st.integers(1, 10),
)
def test_every_request_is_delivered_or_told_as_missing_by_what_is(
    script: list[str], steps: list[str], capacity: int
) -> None:
    logging.getLogger("davylamp_sdk").disabled = True
    sink = ScriptedSink(script)
    desk = Desk(sink, capacity)
    for step in [*steps, "settle", "valid", "settle"]:
        if step == "round":
            desk.courier.send_round()
        elif step == "settle":
            desk.settle()
        else:
            desk.record(DONE if step == "valid" else INVALID)
    logging.getLogger("davylamp_sdk").disabled = False
    received = batches(sink)
    numbers = [number for batch in received for number in range(batch.sequence, batch.sequence + len(batch))]
    assert numbers == sorted(set(numbers))
    assert desk.balance() == 0
    if numbers and numbers[-1] == desk.backlog.recorded - 1:
        assert sum(batch.dropped for batch in received) == desk.backlog.recorded - len(numbers)
