"""Every sink keeps the port's contract; Kafka's does so with librdkafka's own broker, and without any."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from davylamp_sdk import Emitter, FinishedRequest, KafkaSink, Receipt, RequestEvent, Sink
from davylamp_sdk.testing import MemorySink

NOWHERE = "127.0.0.1:1"
DONE = FinishedRequest(method="ping", outcome="ok", started_at=0, duration_ms=1.0)


def mocked_kafka() -> KafkaSink:
    """A sink to librdkafka's in-process broker; the address is ignored."""
    return KafkaSink(NOWHERE, settings={"test.mock.num.brokers": 1})


def unreachable_kafka(**settings: Any) -> KafkaSink:
    return KafkaSink(NOWHERE, settings={name.replace("_", "."): value for name, value in settings.items()})


every_sink = pytest.mark.parametrize("make_sink", [MemorySink, mocked_kafka])


def settled(sink: Sink) -> Receipt:
    """The sum of all receipts once the sink has nothing left."""
    assert sink.flush(10) == 0
    return sink.poll()


@every_sink
def test_what_is_accepted_is_delivered_and_receipted_once(make_sink: Callable[[], Sink]) -> None:
    sink = make_sink()
    assert all(sink.send(b"p", str(n).encode()) for n in range(10))
    assert settled(sink) == Receipt(delivered=10)
    assert sink.poll() == Receipt()


@every_sink
def test_a_sink_without_messages_has_nothing_to_tell_or_wait_for(make_sink: Callable[[], Sink]) -> None:
    sink = make_sink()
    assert sink.poll() == Receipt()
    assert sink.flush(10) == 0


@every_sink
def test_a_sink_goes_on_after_a_flush(make_sink: Callable[[], Sink]) -> None:
    sink = make_sink()
    for _ in range(3):
        assert sink.send(b"p", b"1")
        assert settled(sink) == Receipt(delivered=1)


def test_kafka_gets_the_producers_key_and_the_event_as_json() -> None:
    broker = Producer({"bootstrap.servers": NOWHERE, "test.mock.num.brokers": 1, "log_level": 0})
    (address,) = [f"{b.host}:{b.port}" for b in broker.list_topics(timeout=10).brokers.values()]
    emitter = Emitter(KafkaSink(address, "telemetry"), service="orders", version="v2", instance="i")
    for _ in range(3):
        emitter.record(DONE)
    emitter.close(timeout_s=10)
    assert emitter.stats().delivered == 3
    messages = consumed(address, "telemetry", 3)
    events = [RequestEvent.model_validate(json.loads(value)) for _, value in messages]
    assert [event.sequence for event in events] == [0, 1, 2]
    assert {key for key, _ in messages} == {events[0].producer.encode()}


def consumed(address: str, topic: str, count: int) -> list[tuple[bytes, bytes]]:
    """The first `count` messages of the topic, whichever partition the key chose."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "none", "log_level": 0})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    found: list[tuple[bytes, bytes]] = []
    while len(found) < count:
        message = consumer.poll(10)
        assert message is not None, f"{len(found)} of {count} messages"
        assert message.error() is None, message.error()
        found.append((message.key(), message.value()))
    consumer.close()
    return found


def test_kafkas_sink_refuses_what_its_bounded_queue_cannot_hold() -> None:
    sink = unreachable_kafka(queue_buffering_max_messages=5)
    assert [sink.send(b"p", b"x") for _ in range(7)] == [True] * 5 + [False] * 2
    assert sink.flush(0) == 5


def test_a_message_that_finds_no_broker_in_time_is_receipted_as_failed(caplog: pytest.LogCaptureFixture) -> None:
    sink = unreachable_kafka(message_timeout_ms=50)
    assert sink.send(b"p", b"x")
    assert settled(sink) == Receipt(failed=1)
    errors = [record.__dict__["error"] for record in caplog.records]
    assert "_TRANSPORT" in errors
    assert len(errors) == len(set(errors))


def test_a_setting_that_librdkafka_does_not_know_shows_with_the_first_message() -> None:
    with pytest.raises(Exception, match=r"no\.such\.setting"):
        unreachable_kafka(no_such_setting=1).send(b"p", b"x")


def test_with_kafka_away_recording_goes_on_in_bounded_memory_and_the_oldest_are_dropped() -> None:
    emitter = Emitter(
        unreachable_kafka(queue_buffering_max_messages=100), service="orders", version="v2", instance="i", capacity=200
    )
    for _ in range(1_000):
        emitter.record(DONE)
    assert emitter.stats().recorded == 1_000
    emitter.close(timeout_s=0.2)
    stats = emitter.stats()
    assert (stats.delivered, stats.recorded) == (0, 1_000)
    assert stats.sent <= 100
    assert stats.failed == stats.sent
    assert stats.dropped == 1_000 - stats.sent


def test_when_kafka_comes_back_the_newest_events_arrive() -> None:
    """The sink has no room until the outage ends; what then arrives is the tail of what was recorded."""

    class Outage(MemorySink):
        def __init__(self) -> None:
            super().__init__()
            self.over = threading.Event()
            self.noticed = threading.Event()

        def send(self, key: bytes, value: bytes) -> bool:
            self.noticed.set()
            return self.over.is_set() and super().send(key, value)

    sink = Outage()
    emitter = Emitter(sink, service="orders", version="v2", instance="i", capacity=50)
    emitter.record(DONE)
    assert sink.noticed.wait(5)
    for _ in range(500):
        emitter.record(DONE)
    sink.over.set()
    sink.wait_for(51)
    emitter.close()
    assert [event.sequence for event in sink.events] == [0, *range(451, 501)]
    assert emitter.stats().dropped == 450
