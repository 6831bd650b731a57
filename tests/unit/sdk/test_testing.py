"""What ships for the tests of others."""

import threading

import pytest

from davylamp_sdk import RequestEvent
from davylamp_sdk._columns import encode
from davylamp_sdk._finished import Heard, row_of
from davylamp_sdk.testing import FakeClock, MemorySink
from tests.unit.sdk.fakes import DONE, IDENTITY

EVENT = RequestEvent(
    producer="p",
    sequence=0,
    service="s",
    version="v",
    instance="i",
    method="ping",
    outcome="ok",
    started_at=0,
    duration_ms=0,
)


BATCH = encode({**IDENTITY, "producer": "p"}, 7, 0, [row_of(DONE, Heard())] * 3)


def ignore(_delivered: bool) -> None:  # noqa: FBT001 - the port's signature
    """Nobody wants to know."""


def test_a_memory_sink_gives_back_what_was_sent() -> None:
    sink = MemorySink()
    assert sink.send(b"p", EVENT.dump(), ignore)
    assert sink.messages == [(b"p", EVENT.dump())]
    assert sink.events == [EVENT]


def test_waiting_ends_when_enough_have_come() -> None:
    sink = MemorySink()
    sender = threading.Thread(target=lambda: [sink.send(b"p", EVENT.dump(), ignore) for _ in range(3)])
    sender.start()
    assert len(sink.wait_for(3)) == 3
    sender.join()


def test_waiting_in_vain_says_how_many_came() -> None:
    sink = MemorySink()
    sink.send(b"p", EVENT.dump(), ignore)
    with pytest.raises(TimeoutError, match="1 of 2 events came"):
        sink.wait_for(2, timeout_s=0)


def test_what_is_no_event_is_told_when_events_are_read() -> None:
    sink = MemorySink()
    sink.send(b"p", b"{}", ignore)
    with pytest.raises(ValueError, match="RequestEvent"):
        _ = sink.events


def test_the_events_of_a_batch_are_given_one_by_one() -> None:
    sink = MemorySink()
    sink.send(b"p", BATCH, ignore)
    sink.send(b"p", EVENT.dump(), ignore)
    assert [event.sequence for event in sink.wait_for(4, timeout_s=0)] == [7, 8, 9, 0]
    assert sink.events[1].tool == DONE.tool
    assert len(sink.messages) == 2


def test_each_message_is_settled_once() -> None:
    sink = MemorySink()
    told: list[bool] = []
    sink.send(b"p", b"1", told.append)
    sink.send(b"p", b"2", told.append)
    assert told == []
    sink.poll()
    sink.poll()
    assert told == [True, True]
    sink.send(b"p", b"3", told.append)
    sink.flush(0)
    assert told == [True, True, True]


def test_a_fake_clock_moves_both_its_hands_and_only_when_told() -> None:
    clock = FakeClock(1_000)
    before = clock.now_ms(), clock.monotonic_s()
    assert (clock.now_ms(), clock.monotonic_s()) == before
    clock.advance(1.5)
    assert (clock.now_ms() - before[0], clock.monotonic_s() - before[1]) == (1_500, 1.5)
