"""Every sink keeps the port's contract; Kafka's does so with librdkafka's own broker, and without any."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition

from davylamp_sdk import KafkaSink, Sink
from davylamp_sdk._courier import EVENTS_PER_BATCH
from davylamp_sdk._emitter import Emitter
from davylamp_sdk._event import EventBatch, events_in
from davylamp_sdk._sink import Settled
from davylamp_sdk.testing import MemorySink
from tests.unit.sdk.fakes import DONE, IDENTITY

NOWHERE = "127.0.0.1:1"


def mocked_kafka() -> KafkaSink:
    """A sink to librdkafka's in-process broker; the address is ignored."""
    return KafkaSink(NOWHERE, settings={"test.mock.num.brokers": 1})


def unreachable_kafka(**settings: Any) -> KafkaSink:
    return KafkaSink(NOWHERE, settings={name.replace("_", "."): value for name, value in settings.items()})


every_sink = pytest.mark.parametrize("make_sink", [MemorySink, mocked_kafka])


class Receipts:
    """What became of messages, in the order in which it became known."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []

    def of(self, name: str) -> Settled:
        return lambda delivered: self.told.append((name, delivered))


def settle(sink: Sink) -> None:
    sink.flush(10)
    sink.poll()


@every_sink
def test_what_is_accepted_is_delivered_and_settled_once(make_sink: Callable[[], Sink]) -> None:
    sink, receipts = make_sink(), Receipts()
    assert all(sink.send(b"p", str(n).encode(), receipts.of(str(n))) for n in range(10))
    settle(sink)
    assert sorted(receipts.told) == [(str(n), True) for n in range(10)]
    settle(sink)
    assert len(receipts.told) == 10


@every_sink
def test_nothing_is_settled_while_a_message_is_accepted(make_sink: Callable[[], Sink]) -> None:
    sink, receipts = make_sink(), Receipts()
    for n in range(10):
        sink.send(b"p", b"1", receipts.of(str(n)))
        assert receipts.told == []
    settle(sink)


@every_sink
def test_a_sink_without_messages_has_nothing_to_do_or_wait_for(make_sink: Callable[[], Sink]) -> None:
    sink = make_sink()
    sink.poll()
    sink.flush(10)


@every_sink
def test_a_sink_goes_on_after_a_flush(make_sink: Callable[[], Sink]) -> None:
    sink, receipts = make_sink(), Receipts()
    for n in range(3):
        assert sink.send(b"p", b"1", receipts.of(str(n)))
        settle(sink)
    assert receipts.told == [("0", True), ("1", True), ("2", True)]


def test_kafka_gets_the_producers_key_and_batches_as_json() -> None:
    broker = Producer({"bootstrap.servers": NOWHERE, "test.mock.num.brokers": 1, "log_level": 0})
    (address,) = [f"{b.host}:{b.port}" for b in broker.list_topics(timeout=10).brokers.values()]
    emitter = Emitter(KafkaSink(address, "telemetry"), IDENTITY)
    for _ in range(3):
        emitter.record(DONE)
    emitter.close(timeout_s=10)
    assert emitter.stats().delivered == 3
    messages = consumed(address, "telemetry", 3)
    events = [event for _, value in messages for event in events_in(value)]
    assert [event.sequence for event in events] == [0, 1, 2]
    assert {key for key, _ in messages} == {events[0].producer.encode()}


def consumed(address: str, topic: str, events: int) -> list[tuple[bytes, bytes]]:
    """The first messages of the topic that hold so many events, whichever partition the key chose."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "none", "log_level": 0})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    found: list[tuple[bytes, bytes]] = []
    while sum(len(events_in(value)) for _, value in found) < events:
        message = consumer.poll(10)
        assert message is not None, f"{len(found)} messages and no more"
        assert message.error() is None, message.error()
        found.append((message.key(), message.value()))
    consumer.close()
    return found


def test_kafkas_sink_refuses_what_its_bounded_queue_cannot_hold() -> None:
    sink = unreachable_kafka(queue_buffering_max_messages=5)
    receipts = Receipts()
    assert [sink.send(b"p", b"x", receipts.of(str(n))) for n in range(7)] == [True] * 5 + [False] * 2
    sink.flush(0)
    assert receipts.told == []


def test_a_message_that_finds_no_broker_in_time_is_settled_as_lost(caplog: pytest.LogCaptureFixture) -> None:
    sink, receipts = unreachable_kafka(message_timeout_ms=50), Receipts()
    assert sink.send(b"p", b"x", receipts.of("x"))
    settle(sink)
    assert receipts.told == [("x", False)]
    errors = [record.__dict__["error"] for record in caplog.records]
    assert "_TRANSPORT" in errors
    assert len(errors) == len(set(errors))


def test_a_message_that_kafka_would_not_take_is_told_at_once() -> None:
    with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
        unreachable_kafka().send(b"p", b"x" * 2_000_000, Receipts().of("x"))


class FatalError:
    def name(self) -> str:
        return "OUT_OF_ORDER_SEQUENCE_NUMBER"

    def str(self) -> str:
        return "sequence lost"

    def fatal(self) -> bool:
        return True


def test_a_producer_that_has_lost_its_order_is_replaced_and_what_it_held_is_settled_as_lost() -> None:
    """Not waited for on a real broker, which loses its order for nobody: librdkafka's words are said by the test."""
    sink, receipts = unreachable_kafka(), Receipts()
    assert sink.send(b"p", b"1", receipts.of("1"))
    sink._on_error(FatalError())
    sink.poll()
    assert receipts.told == [("1", False)]
    assert sink.send(b"p", b"2", receipts.of("2"))
    sink.flush(0)
    assert receipts.told == [("1", False)]


def test_a_setting_that_librdkafka_does_not_know_shows_with_the_first_message() -> None:
    with pytest.raises(Exception, match=r"no\.such\.setting"):
        unreachable_kafka(no_such_setting=1).send(b"p", b"x", Receipts().of("x"))


def test_with_kafka_away_recording_goes_on_in_bounded_memory_and_the_oldest_are_dropped() -> None:
    emitter = Emitter(unreachable_kafka(queue_buffering_max_messages=1), IDENTITY, capacity=200)
    for _ in range(5_000):
        emitter.record(DONE)
    assert emitter.stats().recorded == 5_000
    emitter.close(timeout_s=0.2)
    stats = emitter.stats()
    assert (stats.delivered, stats.recorded) == (0, 5_000)
    assert stats.sent <= EVENTS_PER_BATCH
    assert stats.failed == stats.sent
    assert stats.dropped == 5_000 - stats.sent


def test_when_kafka_comes_back_the_newest_events_arrive_and_say_how_many_are_missing() -> None:
    """The sink has no room until the outage ends; what then arrives is the tail of what was recorded."""

    class Outage(MemorySink):
        def __init__(self) -> None:
            super().__init__()
            self.over = threading.Event()
            self.noticed = threading.Event()

        def send(self, key: bytes, value: bytes, settled: Settled) -> bool:
            self.noticed.set()
            return self.over.is_set() and super().send(key, value, settled)

    sink = Outage()
    emitter = Emitter(sink, IDENTITY, capacity=50)
    emitter.record(DONE)
    assert sink.noticed.wait(5)
    for _ in range(500):
        emitter.record(DONE)
    sink.over.set()
    sink.wait_for(51)
    emitter.close()
    assert [event.sequence for event in sink.events] == [0, *range(451, 501)]
    assert emitter.stats().dropped == 450
    assert [EventBatch.read(value).dropped for _, value in sink.messages] == [0, 450]
