"""The emitter: whatever the sink does, the caller does not feel it and every request is accounted for."""

import logging
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from davylamp_sdk import RequestEvent, Sink, Stats, _emitter
from davylamp_sdk._courier import BATCHES_PER_ROUND, EVENTS_PER_BATCH
from davylamp_sdk._emitter import FAILURES, Emitter
from davylamp_sdk._event import Outcome, events_in
from davylamp_sdk._finished import FinishedRequest
from davylamp_sdk._sink import Settled
from davylamp_sdk.testing import FakeClock, MemorySink
from tests.unit.sdk.fakes import DONE, IDENTITY, BrokenSink, CrampedSink, HangingSink, RoundsSink, ScriptedSink

NEVER_S = 3_600.0
"""A flush interval that ends only by closing: what a test does in between is then all one round."""


def emitter_to(
    sink: Sink, *, capacity: int = 20_000, flush_interval_s: float = 0.001, clock: FakeClock | None = None
) -> Emitter:
    return Emitter(sink, IDENTITY, capacity=capacity, flush_interval_s=flush_interval_s, clock=clock)


def record(emitter: Emitter, times: int) -> None:
    for _ in range(times):
        emitter.record(DONE)


def sequences(sink: MemorySink) -> list[int]:
    return [event.sequence for event in sink.events]


@pytest.fixture
def hanging() -> Iterator[HangingSink]:
    sink = HangingSink()
    yield sink
    sink.released.set()


def test_a_recorded_request_becomes_one_event_with_who_said_it() -> None:
    sink = MemorySink()
    emitter = emitter_to(sink)
    emitter.record(DONE._replace(session="ab", assignment="3.1.session.00;v2", metrics={"tokens": 7}))
    (event,) = sink.wait_for(1)
    emitter.close()
    assert event == RequestEvent(
        producer=event.producer,
        sequence=0,
        service="orders",
        version="v2",
        instance="i-1",
        session="ab",
        assignment="3.1.session.00;v2",
        method="tools/call",
        tool="search",
        outcome="ok",
        started_at=1_700_000_000_000,
        duration_ms=2.5,
        metrics={"tokens": 7},
    )


def test_events_are_numbered_in_order_and_keyed_by_their_producer() -> None:
    sink = MemorySink()
    emitter = emitter_to(sink)
    record(emitter, 50)
    emitter.close()
    assert sequences(sink) == list(range(50))
    assert {key for key, _ in sink.messages} == {sink.events[0].producer.encode()}
    assert {event.producer for event in sink.events} == {sink.events[0].producer}


def test_two_emitters_are_two_producers() -> None:
    sinks = MemorySink(), MemorySink()
    for sink in sinks:
        emitter = emitter_to(sink)
        emitter.record(DONE)
        emitter.close()
    assert sinks[0].events[0].producer != sinks[1].events[0].producer


def test_an_event_that_finds_the_emitter_idle_leaves_at_once_and_the_next_ones_wait_for_the_round() -> None:
    sink = RoundsSink()
    emitter = emitter_to(sink, flush_interval_s=NEVER_S)
    emitter.record(DONE)
    assert sink.round_ended.wait(5)
    record(emitter, 10)
    emitter.close()
    assert [count for count in sink.rounds if count] == [1, 10]
    assert len(sink.messages) == 2


def test_a_full_batch_leaves_without_waiting_for_the_round() -> None:
    sink = RoundsSink()
    emitter = emitter_to(sink, flush_interval_s=NEVER_S)
    emitter.record(DONE)
    assert sink.round_ended.wait(5)
    record(emitter, EVENTS_PER_BATCH)
    sink.wait_for(EVENTS_PER_BATCH + 1)
    emitter.close()
    assert [len(events_in(value)) for _, value in sink.messages] == [1, EVENTS_PER_BATCH]


@pytest.mark.parametrize("outcome", FAILURES)
def test_a_failure_takes_what_waits_with_it_before_the_round(outcome: Outcome) -> None:
    sink = RoundsSink()
    emitter = emitter_to(sink, flush_interval_s=NEVER_S)
    emitter.record(DONE)
    assert sink.round_ended.wait(5)
    record(emitter, 9)
    emitter.record(DONE._replace(outcome=outcome))
    sink.wait_for(11)
    emitter.close()
    assert [event.outcome for event in sink.events] == [*["ok"] * 10, outcome]


def test_what_speaks_against_no_release_waits_for_the_round() -> None:
    sink = RoundsSink()
    emitter = emitter_to(sink, flush_interval_s=NEVER_S)
    emitter.record(DONE)
    assert sink.round_ended.wait(5)
    for outcome in set(get_args(Outcome)) - set(FAILURES):
        emitter.record(DONE._replace(outcome=outcome))
    emitter.close()
    assert len(sink.messages) == 2


def test_a_storm_of_failures_leaves_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_emitter, "SPACING_S", NEVER_S)
    sink = RoundsSink()
    emitter = emitter_to(sink, flush_interval_s=NEVER_S)
    for _ in range(100):
        emitter.record(DONE._replace(outcome="server_error"))
        sink.round_ended.wait(5)
    emitter.close()
    assert [len(events_in(value)) for _, value in sink.messages] == [1, 99]


def test_a_long_backlog_leaves_in_rounds_of_bounded_size(hanging: HangingSink) -> None:
    emitter = emitter_to(hanging)
    most = BATCHES_PER_ROUND * EVENTS_PER_BATCH
    record(emitter, 2 * most + 7)
    hanging.released.set()
    hanging.wait_for(2 * most + 7)
    emitter.close()
    assert max(hanging.rounds) <= most
    assert sum(hanging.rounds) == 2 * most + 7


def test_a_full_backlog_drops_the_oldest_counts_it_and_says_so_once(
    hanging: HangingSink, caplog: pytest.LogCaptureFixture
) -> None:
    emitter = emitter_to(hanging, capacity=5)
    emitter.record(DONE)
    assert hanging.entered.wait(5)
    record(emitter, 8)
    assert emitter.stats() == Stats(recorded=9, sent=0, delivered=0, dropped=3, failed=0)
    hanging.released.set()
    emitter.close()
    assert sequences(hanging) == [0, 4, 5, 6, 7, 8]
    assert emitter.stats() == Stats(recorded=9, sent=6, delivered=6, dropped=3, failed=0)
    assert [r.__dict__["action"] for r in caplog.records] == ["telemetry_dropped"]


def test_what_a_sink_has_no_room_for_is_offered_again_in_order() -> None:
    sink = CrampedSink(room=1)
    emitter = emitter_to(sink)
    emitter.record(DONE)
    sink.wait_for(1)
    record(emitter, 9)
    assert sink.refused.wait(5)
    assert emitter.stats().dropped == 0
    sink.room = 100
    sink.wait_for(10)
    emitter.close()
    assert sequences(sink) == list(range(10))


def test_what_a_sink_never_has_room_for_is_dropped_in_the_end() -> None:
    sink = CrampedSink(room=1)
    emitter = emitter_to(sink)
    emitter.record(DONE)
    sink.wait_for(1)
    record(emitter, 9)
    emitter.close()
    assert emitter.stats() == Stats(recorded=10, sent=1, delivered=1, dropped=9, failed=0)


def test_a_sink_that_raises_costs_events_and_one_line_of_log(caplog: pytest.LogCaptureFixture) -> None:
    emitter = emitter_to(BrokenSink())
    record(emitter, 10)
    emitter.close()
    assert emitter.stats() == Stats(recorded=10, sent=0, delivered=0, dropped=0, failed=10)
    assert [r.__dict__["action"] for r in caplog.records] == ["telemetry_sink_failed"]


def test_a_sink_that_hangs_holds_up_neither_recording_nor_closing(hanging: HangingSink) -> None:
    emitter = emitter_to(hanging, capacity=100)
    emitter.record(DONE)
    assert hanging.entered.wait(5)
    record(emitter, 1_000)
    emitter.close(timeout_s=0.01)
    assert emitter.stats() == Stats(recorded=1_001, sent=0, delivered=0, dropped=1_000, failed=0)


def test_closing_sends_what_waits() -> None:
    sink = RoundsSink()
    emitter = emitter_to(sink, flush_interval_s=NEVER_S)
    emitter.record(DONE)
    assert sink.round_ended.wait(5)
    record(emitter, EVENTS_PER_BATCH - 1)
    emitter.close()
    assert emitter.stats().delivered == EVENTS_PER_BATCH


def test_closing_gives_up_at_its_deadline() -> None:
    clock = FakeClock()

    class SlowSink(RoundsSink):
        def send(self, key: bytes, value: bytes, settled: Settled) -> bool:
            clock.advance(1)
            return super().send(key, value, settled)

    sink = SlowSink()
    emitter = emitter_to(sink, flush_interval_s=NEVER_S, clock=clock)
    emitter.record(DONE)
    assert sink.round_ended.wait(5)
    for _ in range(10):
        emitter.record(DONE)
        emitter.record(DONE._replace(method=""))  # ends a batch: one second a request
    emitter.close(timeout_s=2)
    assert emitter.stats() == Stats(recorded=21, sent=3, delivered=3, dropped=8, failed=10)


def test_closing_in_no_time_only_counts() -> None:
    sink = RoundsSink()
    emitter = emitter_to(sink, flush_interval_s=NEVER_S)
    emitter.record(DONE)
    assert sink.round_ended.wait(5)
    record(emitter, 10)
    emitter.close(timeout_s=0)
    assert emitter.stats().dropped == 10


def test_closing_twice_is_closing_once_and_later_records_are_dropped() -> None:
    sink = MemorySink()
    emitter = emitter_to(sink)
    emitter.record(DONE)
    emitter.close()
    emitter.close()
    record(emitter, 2)
    assert emitter.stats() == Stats(recorded=3, sent=1, delivered=1, dropped=2, failed=0)
    assert len(sink.messages) == 1


def test_an_emitter_that_records_nothing_has_no_thread_to_close() -> None:
    before = threading.active_count()
    emitter = emitter_to(MemorySink())
    emitter.close()
    emitter.record(DONE)
    emitter.start()
    assert threading.active_count() == before
    assert emitter.stats() == Stats(recorded=1, sent=0, delivered=0, dropped=1, failed=0)


@pytest.mark.parametrize(
    "invalid",
    [
        DONE._replace(method=""),
        DONE._replace(duration_ms=float("nan")),
        DONE._replace(started_at=-1),
        DONE._replace(metrics=None),  # type: ignore[arg-type]
        None,
    ],
)
def test_an_invalid_event_is_counted_and_the_next_one_goes_its_way(invalid: FinishedRequest) -> None:
    sink = MemorySink()
    emitter = emitter_to(sink)
    emitter.record(invalid)
    emitter.record(DONE)
    emitter.close()
    assert sequences(sink) == [1]
    assert emitter.stats() == Stats(recorded=2, sent=1, delivered=1, dropped=0, failed=1)


def test_what_the_sink_accepts_and_then_loses_is_failed() -> None:
    emitter = emitter_to(ScriptedSink(["lose"] * 4))
    record(emitter, 4)
    emitter.close()
    stats = emitter.stats()
    assert (stats.sent, stats.delivered, stats.failed) == (4, 0, 4)


def test_receipts_are_collected_though_nothing_more_is_recorded() -> None:
    class LateSink(MemorySink):
        def __init__(self) -> None:
            super().__init__()
            self.polls = 0
            self.told = threading.Event()

        def poll(self) -> None:
            self.polls += 1
            if self.polls >= 3:
                super().poll()
                self.told.set()

    sink = LateSink()
    emitter = emitter_to(sink)
    emitter.record(DONE)
    assert sink.told.wait(5)
    emitter.close()
    assert emitter.stats().delivered == 1


def test_a_machine_without_room_for_a_thread_costs_the_caller_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sink = MemorySink()
    emitter = emitter_to(sink)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        record(emitter, 3)
    assert [r.__dict__["action"] for r in caplog.records] == ["telemetry_thread_missing"]
    record(emitter, 1)
    emitter.close()
    assert sequences(sink) == [0, 1, 2, 3]


def test_many_threads_may_record_at_once() -> None:
    sink = MemorySink()
    emitter = emitter_to(sink)
    threads = [threading.Thread(target=record, args=(emitter, 250)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    emitter.close()
    assert sequences(sink) == list(range(1_000))


def looking(look: Callable[[], float]) -> tuple[Emitter, MemorySink]:
    sink = MemorySink()
    return Emitter(sink, IDENTITY, flush_interval_s=0.001, look=look), sink


def test_somebody_is_looked_after_on_the_thread_when_it_is_due_though_nothing_is_recorded() -> None:
    looked = threading.Semaphore(0)

    def look() -> float:
        looked.release()
        return 0.001

    emitter, _ = looking(look)
    emitter.start()
    assert all(looked.acquire(timeout=5) for _ in range(5))
    emitter.close()


@pytest.mark.parametrize("due_s", [math.inf, NEVER_S])
def test_a_look_that_is_never_due_wakes_nobody(due_s: float) -> None:
    looks: list[str] = []

    def look() -> float:
        looks.append(threading.current_thread().name)
        return due_s

    emitter, sink = looking(look)
    emitter.record(DONE)
    sink.wait_for(1)
    emitter.close()
    assert set(looks) == {"davylamp-emitter"}


def test_a_look_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def look() -> float:
        raise LookupError("look")

    emitter, sink = looking(look)
    record(emitter, 3)
    sink.wait_for(3)
    emitter.close()
    assert emitter.stats() == Stats(recorded=3, sent=3, delivered=3, dropped=0, failed=0)
    assert [r.__dict__["action"] for r in caplog.records] == ["telemetry_thread_failed"]


@settings(deadline=None, max_examples=50)
@given(
    script=st.lists(st.sampled_from(["deliver", "refuse", "raise", "lose"]), max_size=30),
    count=st.integers(0, 30),
    capacity=st.integers(1, 30),
)
def test_nothing_is_missing_from_the_books_after_closing(script: list[str], count: int, capacity: int) -> None:
    logging.getLogger("davylamp_sdk").disabled = True
    emitter = emitter_to(ScriptedSink(script), capacity=capacity)
    record(emitter, count)
    emitter.close()
    logging.getLogger("davylamp_sdk").disabled = False
    stats = emitter.stats()
    assert stats.recorded == count == stats.delivered + stats.dropped + stats.failed


def test_a_process_that_just_ends_sends_what_it_has() -> None:
    program = """
from davylamp_sdk import Recorder
from davylamp_sdk.testing import MemorySink

class PrintingSink(MemorySink):
    def send(self, key, value, settled):
        print(value.decode(), flush=True)
        return super().send(key, value, settled)

recorder = Recorder(service="orders", version="v2", sink=PrintingSink())
for _ in range(3):
    recorder.record("ping", duration_ms=1.0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    events = [event for line in done.stdout.splitlines() for event in events_in(line)]
    assert [event.sequence for event in events] == [0, 1, 2]
    assert done.stderr == ""


def test_workers_that_are_forked_before_the_first_request_are_producers_of_their_own() -> None:
    program = """
import os, sys
from davylamp_sdk import Recorder
from davylamp_sdk.testing import MemorySink

sink = MemorySink()
recorder = Recorder(service="orders", version="v2", sink=sink)
children = []
for _ in range(2):
    child = os.fork()
    if child == 0:
        recorder.record("ping", duration_ms=1.0)
        recorder.close()
        os.write(1, sink.events[0].producer.encode() + b"\\n")
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    producers = done.stdout.split()
    assert len(set(producers)) == 2
