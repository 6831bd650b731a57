"""A sender of single records to Kafka, each waited for."""

import asyncio
from typing import Any

from confluent_kafka import KafkaException, Producer

from transport.log import LogError, Position
from transport.settings import KafkaSettings

_ANSWER_S = 30.0


class KafkaSender:
    """A :class:`cli.dead_letters.Sender` over an idempotent producer."""

    def __init__(self, kafka: KafkaSettings) -> None:
        delivery = {"enable.idempotence": True, "acks": "all", "delivery.timeout.ms": round(_ANSWER_S * 1000)}
        self._producer = Producer(kafka.librdkafka("davylamp-dlq") | delivery)

    async def put(
        self, topic: str, partition: int, value: bytes | None, key: bytes | None, headers: dict[str, bytes]
    ) -> Position:
        answers: list[tuple[Any, Any]] = []
        placed: Any

        def delivered(error: Any, message: Any) -> None:
            answers.append((error, message))

        try:
            self._producer.produce(topic, value, key, partition=partition, headers=headers, on_delivery=delivered)
        except (BufferError, KafkaException) as error:
            raise LogError(f"{topic}-{partition}: {error}") from error
        await asyncio.to_thread(self._producer.flush, _ANSWER_S)
        refused, placed = answers[0] if answers else ("no answer", None)
        if refused is not None:
            raise LogError(f"{topic}-{partition}: {refused}")
        return Position(placed.partition(), placed.offset(), placed.timestamp()[1])
