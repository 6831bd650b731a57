"""A reader knows a quiet log from one that is out of reach."""

import asyncio
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from transport.kafka_log import KafkaReader
from transport.log import LogError
from transport.settings import KafkaSettings


@pytest.fixture
def owner() -> Iterator[Producer]:
    """Owns librdkafka's in-process broker, which is gone when it is closed."""
    made = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0})
    made.produce("services", b"value")
    made.flush(10)
    yield made
    made.close()


async def follow(reader: KafkaReader) -> int:
    return sum([len(batch.records) async for batch in reader.batches()])


async def test_a_quiet_log_answers_and_one_that_is_gone_is_known_to_be(owner: Producer) -> None:
    (node,) = owner.list_topics(timeout=10).brokers.values()
    reader = KafkaReader(KafkaSettings(bootstrap=f"{node.host}:{node.port}"), "reader", ["services"])
    assert reader.away_s == 0.0
    following = asyncio.create_task(follow(reader))
    await until_away(reader, 1.0)
    while reader.away_s >= 1.0:  # nobody writes, and it answers  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    owner.close()
    await until_away(reader, 4.0)
    await reader.close()
    assert await following == 1


async def test_a_log_that_was_never_there_is_away_from_the_first_question_on() -> None:
    reader = KafkaReader(KafkaSettings(bootstrap="127.0.0.1:1"), "reader", ["services"])
    following = asyncio.create_task(follow(reader))
    await until_away(reader, 2.0)
    await reader.close()
    assert await following == 0


async def test_a_log_that_is_out_of_reach_has_no_end_to_read_to(owner: Producer) -> None:
    (node,) = owner.list_topics(timeout=10).brokers.values()
    reader = KafkaReader(KafkaSettings(bootstrap=f"{node.host}:{node.port}"), "reader", ["services"])
    following = asyncio.create_task(follow(reader))
    await asyncio.wait_for(reader.read_to_end(), 30)
    owner.close()
    asked = asyncio.create_task(reader.read_to_end())
    await until_away(reader, 2.0)
    assert not asked.done()
    await reader.close()
    with pytest.raises(LogError, match="closed"):
        await asked
    assert await following == 1


async def until_away(reader: KafkaReader, seconds: float) -> None:
    async with asyncio.timeout(30):
        while reader.away_s < seconds:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
