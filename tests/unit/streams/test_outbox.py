"""The port to the log: both outboxes keep the contract; the Kafka one through a producer's every mood."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.outbox import DeliveryError, KafkaOutbox, MemoryOutbox, Outbox, Outgoing, producer_settings
from transport.settings import KafkaSettings

RECORD = Outgoing("cohort-windows", 2, b"k", b"v", {"h": b"1"})


class FakeMessage:
    def topic(self) -> str:
        return "cohort-windows"


class FakeProducer:
    """A librdkafka producer: queues, and reports deliveries out of `poll()`."""

    def __init__(self, room: int = 100, polls_needed: int = 1) -> None:
        self.room = room
        self.polls_needed = polls_needed
        self.error: str | None = None
        self.queue: list[tuple[dict[str, Any], Callable[[Any, Any], None]]] = []
        self.delivered: list[dict[str, Any]] = []
        self.flushed_s: list[float] = []
        self._polls = 0

    def produce(
        self, topic: str, value: bytes, key: bytes, on_delivery: Callable[[Any, Any], None], **more: Any
    ) -> None:
        if len(self.queue) >= self.room:
            raise BufferError
        self.queue.append(({"topic": topic, "value": value, "key": key, **more}, on_delivery))

    def poll(self, timeout: float) -> int:
        assert timeout == 0, "the event loop must not wait"
        self._polls += 1
        if self._polls % self.polls_needed or not self.queue:
            return 0
        said, report = self.queue.pop(0)
        if self.error is None:
            self.delivered.append(said)
        report(self.error, FakeMessage())
        return 1

    def flush(self, timeout: float) -> int:
        self.flushed_s.append(timeout)
        return 0


def memory() -> tuple[Outbox, Callable[[], None]]:
    outbox = MemoryOutbox()
    return outbox, lambda: setattr(outbox, "refused", "cohort-windows: full")


def kafka() -> tuple[Outbox, Callable[[], None]]:
    producer = FakeProducer()
    return KafkaOutbox(producer), lambda: setattr(producer, "error", "full")


outboxes = pytest.mark.parametrize("make", [memory, kafka])


@outboxes
async def test_what_was_sent_is_acknowledged(make: Callable[[], tuple[Outbox, Callable[[], None]]]) -> None:
    outbox, _ = make()
    await outbox.send(RECORD)
    await outbox.acknowledged()
    await outbox.acknowledged()
    outbox.check()
    await outbox.close()


@outboxes
async def test_after_a_refusal_every_call_says_so(make: Callable[[], tuple[Outbox, Callable[[], None]]]) -> None:
    outbox, refuse = make()
    refuse()
    with pytest.raises(DeliveryError, match="cohort-windows: full"):
        await send_and_wait(outbox)
    with pytest.raises(DeliveryError):
        await outbox.send(RECORD)
    with pytest.raises(DeliveryError):
        await outbox.acknowledged()
    with pytest.raises(DeliveryError):
        outbox.check()


async def send_and_wait(outbox: Outbox) -> None:
    await outbox.send(RECORD)
    await outbox.acknowledged()


async def test_a_record_is_produced_as_it_is() -> None:
    producer = FakeProducer()
    await send_and_wait(KafkaOutbox(producer))
    assert producer.delivered == [
        {"topic": "cohort-windows", "value": b"v", "key": b"k", "headers": {"h": b"1"}, "partition": 2}
    ]


async def test_without_a_partition_the_key_chooses() -> None:
    producer = FakeProducer()
    outbox = KafkaOutbox(producer)
    await outbox.send(Outgoing("mcp-requests.dlq", None, b"k", b"v"))
    await outbox.acknowledged()
    assert "partition" not in producer.delivered[0]


async def test_acknowledged_waits_for_the_last_report() -> None:
    producer = FakeProducer(polls_needed=3)
    outbox = KafkaOutbox(producer)
    for _ in range(4):
        await outbox.send(RECORD)
    await outbox.acknowledged()
    assert len(producer.delivered) == 4


async def test_a_full_queue_only_delays() -> None:
    producer = FakeProducer(room=1, polls_needed=4)
    outbox = KafkaOutbox(producer)
    for _ in range(3):
        await outbox.send(RECORD)
    await outbox.acknowledged()
    assert len(producer.delivered) == 3


async def test_a_refusal_ends_the_wait_for_what_was_sent_with_it() -> None:
    producer = FakeProducer(polls_needed=2)
    outbox = KafkaOutbox(producer)
    await outbox.send(RECORD)
    await outbox.send(RECORD)
    producer.error = "full"
    async with asyncio.timeout(5):
        with pytest.raises(DeliveryError):
            await outbox.acknowledged()


async def test_a_record_that_is_not_even_queued_ends_the_outbox_as_well() -> None:
    class Strict(FakeProducer):
        def produce(self, *_: Any, **__: Any) -> None:
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))

    outbox = KafkaOutbox(Strict())
    for _ in range(2):
        with pytest.raises(DeliveryError, match=r"cohort-windows: .*MSG_SIZE_TOO_LARGE"):
            await outbox.send(RECORD)
    with pytest.raises(DeliveryError):
        await outbox.acknowledged()


@pytest.mark.parametrize("error", [None, KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)])
def test_a_topic_that_a_broker_does_not_know_has_not_no_partitions(error: KafkaError | None) -> None:
    class Knowing(FakeProducer):
        def list_topics(self, topic: str, timeout: float) -> Any:
            assert timeout == 30
            return SimpleNamespace(
                topics={topic: SimpleNamespace(error=error, partitions={} if error else {0: 1, 1: 1})}
            )

    outbox = KafkaOutbox(Knowing())
    if error is None:
        assert outbox.partitions("mcp-requests") == 2
    else:  # a broker that is about to stop may say so: windows of no partitions would be published
        with pytest.raises(KafkaException, match="UNKNOWN_TOPIC_OR_PART"):
            outbox.partitions("mcp-requests")


async def test_closing_flushes_within_a_bound() -> None:
    producer = FakeProducer()
    await KafkaOutbox(producer).close()
    assert producer.flushed_s == [1.0]


def test_the_producer_is_idempotent_and_in_no_hurry_to_give_up() -> None:
    settings = producer_settings(KafkaSettings(), "w")
    assert settings["enable.idempotence"] is True
    assert settings["client.id"] == "w"
    assert settings["delivery.timeout.ms"] == 30_000
