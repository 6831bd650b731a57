"""What only a real Kafka can do to the log: transaction markers, topics that are missing, records that vanish."""

import uuid
from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.topics import Topic
from transport.kafka_log import KafkaReader, KafkaWriter, _failure
from transport.log import Batch, ClientLostError, LogError
from transport.settings import KafkaSettings

MISSING = cast("Topic", "there-is-no-such-topic")


@pytest.fixture
def topic(kafka: KafkaSettings) -> Topic:
    """A topic of one test alone, with one partition."""
    name = f"log-{uuid.uuid4().hex}"
    with AdminClient(kafka.librdkafka("test")) as admin:
        admin.create_topics([NewTopic(name, 1, 1)])[name].result()
        while name not in admin.list_topics(timeout=10).topics:  # the broker hears of it a moment later
            pass
    return cast("Topic", name)


def await_end(kafka: KafkaSettings, topic: Topic, end: int) -> None:
    """Return when readers see the partition end at offset `end`."""
    consumer = Consumer(kafka.librdkafka("test") | {"group.id": "unused"})
    while consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1] < end:
        pass
    consumer.close()


async def caught_up(reader: KafkaReader) -> list[bytes | None]:
    """What a reader has read when it has caught up."""
    values: list[bytes | None] = []
    async for batch in reader.batches():
        values.extend(record.value for record in batch.records)
        if batch.caught_up:
            break
    await reader.close()
    return values


async def test_a_reader_catches_up_when_the_last_offset_holds_no_record(kafka: KafkaSettings, topic: Topic) -> None:
    with Producer(kafka.librdkafka("test") | {"transactional.id": uuid.uuid4().hex}) as producer:
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce(topic, b"value")
        producer.commit_transaction(30)
    await_end(kafka, topic, 2)  # the transaction's marker takes the offset after the record's, a moment later
    assert await caught_up(KafkaReader(kafka, "reader", [topic])) == [b"value"]


async def test_a_reader_starts_at_the_first_record_that_is_kept(kafka: KafkaSettings, topic: Topic) -> None:
    writer = KafkaWriter(kafka, "writer")
    for value in (b"1", b"2", b"3"):
        await writer.append(topic, "orders", value)
    with AdminClient(kafka.librdkafka("test")) as admin:
        [deleted] = admin.delete_records([TopicPartition(topic, 0, 2)]).values()
        deleted.result()
    await writer.close()
    assert await caught_up(KafkaReader(kafka, "reader", [topic])) == [b"3"]


async def test_a_reader_of_emptied_topics_catches_up(kafka: KafkaSettings, topic: Topic) -> None:
    writer = KafkaWriter(kafka, "writer")
    await writer.append(topic, "orders", b"1")
    await writer.close()
    with AdminClient(kafka.librdkafka("test")) as admin:
        [deleted] = admin.delete_records([TopicPartition(topic, 0, 1)]).values()
        deleted.result()
    reader = KafkaReader(kafka, "reader", [topic])
    assert await anext(reader.batches()) == Batch((), caught_up=True)
    await reader.close()


async def test_a_reader_of_a_missing_topic_says_so(kafka: KafkaSettings) -> None:
    reader = KafkaReader(kafka, "reader", ["services", MISSING])
    with pytest.raises(LogError, match=f"reading services, {MISSING}: .*[Uu]nknown topic"):
        await anext(reader.batches())
    await reader.close()


async def test_a_writer_to_a_missing_topic_says_so_and_goes_on(kafka: KafkaSettings, topic: Topic) -> None:
    writer = KafkaWriter(kafka, "writer")
    with pytest.raises(LogError, match=f"{MISSING}: .*[Uu]nknown topic"):
        await writer.append(MISSING, "orders", b"1")
    assert (await writer.append(topic, "orders", b"1")).offset == 0
    await writer.close()


async def test_a_value_that_kafka_does_not_take_is_told_at_once(kafka: KafkaSettings, topic: Topic) -> None:
    writer = KafkaWriter(kafka, "writer")
    with pytest.raises(LogError, match=f"{topic}: .*too large"):
        await writer.append(topic, "orders", b"x" * 2_000_000)
    assert (await writer.append(topic, "orders", b"1")).offset == 0
    await writer.close()


def test_a_producer_that_lost_its_order_says_that_this_process_is_of_no_use() -> None:
    assert isinstance(_failure("t", KafkaError(KafkaError._FATAL, "out of order", fatal=True)), ClientLostError)
    assert isinstance(_failure("t", KafkaError(KafkaError._TIMED_OUT)), LogError)
