"""The emitter: whatever the sink does, the caller does not feel it and every request is accounted for."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from davylamp_sdk import Emitter, FinishedRequest, Receipt, RequestEvent, Sink, Stats
from davylamp_sdk._emitter import EVENTS_PER_ROUND
from davylamp_sdk.testing import FakeClock, MemorySink

NEVER_S = 3_600.0
"""A flush interval that ends only by closing: what a test does in between is then all one round."""

DONE = FinishedRequest(method="tools/call", outcome="ok", started_at=1_700_000_000_000, duration_ms=2.5, tool="search")


def emitter_to(
    sink: Sink, *, capacity: int = 20_000, flush_interval_s: float = 0.001, clock: FakeClock | None = None
) -> Emitter:
    return Emitter(
        sink,
        service="orders",
        version="v2",
        instance="i-1",
        capacity=capacity,
        flush_interval_s=flush_interval_s,
        clock=clock,
    )


def record(emitter: Emitter, times: int) -> None:
    for _ in range(times):
        emitter.record(DONE)


def sequences(sink: MemorySink) -> list[int]:
    return [event.sequence for event in sink.events]


class RoundsSink(MemorySink):
    """Remembers how many messages each round brought, and says when one has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds: list[int] = []
        self.round_ended = threading.Event()

    def poll(self) -> Receipt:
        receipt = super().poll()
        self.rounds.append(receipt.delivered)
        self.round_ended.set()
        return receipt


class HangingSink(RoundsSink):
    """Hangs in `send` until released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.released = threading.Event()

    def send(self, key: bytes, value: bytes) -> bool:
        self.entered.set()
        self.released.wait()
        return super().send(key, value)


class CrampedSink(MemorySink):
    """Has room for so many messages until it is told of more."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.refused = threading.Event()

    def send(self, key: bytes, value: bytes) -> bool:
        if len(self.messages) >= self.room:
            self.refused.set()
            return False
        return super().send(key, value)

    def flush(self, timeout_s: float) -> int:
        return 1 if self.refused.is_set() else 0


class BrokenSink:
    """Raises whatever it is asked."""

    def send(self, key: bytes, value: bytes) -> bool:
        raise OSError("send")

    def poll(self) -> Receipt:
        raise OSError("poll")

    def flush(self, timeout_s: float) -> int:
        raise OSError("flush")


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
    assert sink.rounds == [1, 10]


def test_a_long_backlog_leaves_in_rounds_of_bounded_size(hanging: HangingSink) -> None:
    emitter = emitter_to(hanging)
    record(emitter, 2 * EVENTS_PER_ROUND + 7)
    hanging.released.set()
    hanging.wait_for(2 * EVENTS_PER_ROUND + 7)
    emitter.close()
    assert max(hanging.rounds) == EVENTS_PER_ROUND
    assert sum(hanging.rounds) == 2 * EVENTS_PER_ROUND + 7


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
    sink = CrampedSink(room=3)
    emitter = emitter_to(sink)
    record(emitter, 10)
    assert sink.refused.wait(5)
    assert emitter.stats().dropped == 0
    sink.room = 100
    sink.wait_for(10)
    emitter.close()
    assert sequences(sink) == list(range(10))


def test_what_a_sink_never_has_room_for_is_dropped_in_the_end() -> None:
    sink = CrampedSink(room=3)
    emitter = emitter_to(sink)
    record(emitter, 10)
    emitter.close()
    assert emitter.stats() == Stats(recorded=10, sent=3, delivered=3, dropped=7, failed=0)


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
    record(emitter, 2 * EVENTS_PER_ROUND)
    emitter.close()
    assert emitter.stats().delivered == 2 * EVENTS_PER_ROUND + 1


def test_closing_gives_up_at_its_deadline() -> None:
    clock = FakeClock()

    class SlowSink(RoundsSink):
        def send(self, key: bytes, value: bytes) -> bool:
            clock.advance(1)
            return super().send(key, value)

    sink = SlowSink()
    emitter = emitter_to(sink, flush_interval_s=NEVER_S, clock=clock)
    emitter.record(DONE)
    assert sink.round_ended.wait(5)
    record(emitter, 10)
    emitter.close(timeout_s=2)
    assert emitter.stats() == Stats(recorded=11, sent=3, delivered=3, dropped=8, failed=0)


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
    assert threading.active_count() == before
    assert emitter.stats() == Stats(recorded=1, sent=0, delivered=0, dropped=1, failed=0)


@pytest.mark.parametrize(
    "invalid",
    [
        DONE._replace(method=""),
        DONE._replace(duration_ms=float("nan")),
        DONE._replace(started_at=-1),
        DONE._replace(metrics={"tokens": float("inf")}),
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
    class LossySink(MemorySink):
        def poll(self) -> Receipt:
            return Receipt(delivered=0, failed=super().poll().delivered)

    emitter = emitter_to(LossySink())
    record(emitter, 4)
    emitter.close()
    assert emitter.stats() == Stats(recorded=4, sent=4, delivered=0, dropped=0, failed=4)


def test_what_the_sink_says_nothing_about_until_the_end_is_failed() -> None:
    class SilentSink(MemorySink):
        def poll(self) -> Receipt:
            return Receipt()

        def flush(self, timeout_s: float) -> int:
            return len(self.messages)

    emitter = emitter_to(SilentSink())
    record(emitter, 4)
    emitter.close()
    assert emitter.stats() == Stats(recorded=4, sent=4, delivered=0, dropped=0, failed=4)


def test_receipts_are_collected_though_nothing_more_is_recorded() -> None:
    class LateSink(MemorySink):
        def __init__(self) -> None:
            super().__init__()
            self.polls = 0
            self.told = threading.Event()

        def poll(self) -> Receipt:
            self.polls += 1
            if self.polls < 3:
                return Receipt()
            self.told.set()
            return super().poll()

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


class ScriptedSink:
    """Treats each message as the script says; everything after its end is delivered."""

    def __init__(self, script: list[str]) -> None:
        self._script = iter(script)
        self._delivered = self._failed = 0

    def send(self, key: bytes, value: bytes) -> bool:
        match next(self._script, "deliver"):
            case "refuse":
                return False
            case "raise":
                raise OSError("scripted")
            case "lose":
                self._failed += 1
            case _:
                self._delivered += 1
        return True

    def poll(self) -> Receipt:
        receipt = Receipt(self._delivered, self._failed)
        self._delivered = self._failed = 0
        return receipt

    def flush(self, timeout_s: float) -> int:
        return 0


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
from davylamp_sdk import Emitter, FinishedRequest
from davylamp_sdk.testing import MemorySink

class PrintingSink(MemorySink):
    def send(self, key, value):
        print(value.decode(), flush=True)
        return super().send(key, value)

emitter = Emitter(PrintingSink(), service="orders", version="v2", instance="i", flush_interval_s=3600)
for _ in range(3):
    emitter.record(FinishedRequest("ping", "ok", 0, 1.0))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert [RequestEvent.read(line).sequence for line in done.stdout.splitlines()] == [0, 1, 2]
    assert done.stderr == ""
