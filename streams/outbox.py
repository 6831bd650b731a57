"""The port to the log: send now, know later."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from confluent_kafka import KafkaException

from transport.kafka_log import partitions
from transport.settings import KafkaSettings

_ANSWER_S = 30.0
_POLL_S = 0.005
_CLOSE_S = 1.0


class DeliveryError(Exception):
    """The log did not take a record; what it was to say is read and said again after a restart."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be sent."""

    topic: str
    partition: int | None
    """None: by the key."""
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes] = field(default_factory=dict)


class Outbox(Protocol):
    """Sends records; those to one partition arrive in the order in which they were sent, each once.

    The first record that the log refuses ends it: from then on every call raises :class:`DeliveryError`, for nobody
    may commit past a record that is not there.
    """

    async def send(self, record: Outgoing) -> None:
        """Queue a record; waits only while the queue is full."""

    async def acknowledged(self) -> None:
        """Return once every record sent so far is in the log."""

    def check(self) -> None:
        """Serve what has come back; never waits."""

    async def close(self) -> None:
        """Deliver what is under way, within a bound."""


class MemoryOutbox:
    """An :class:`Outbox` into a list."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.refused: str | None = None
        """Set it, and the log takes nothing any more."""

    async def send(self, record: Outgoing) -> None:
        self.check()
        self.records.append(record)

    async def acknowledged(self) -> None:
        self.check()

    def check(self) -> None:
        if self.refused is not None:
            raise DeliveryError(self.refused)

    async def close(self) -> None:
        """Nothing is ever under way."""


def producer_settings(kafka: KafkaSettings, client_id: str) -> dict[str, Any]:
    """What the producer runs with: idempotent, hence in order and each record once."""
    return kafka.librdkafka(client_id) | {
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 0,
        "compression.type": "lz4",
        "delivery.timeout.ms": 30_000,
    }


class KafkaOutbox:
    """An :class:`Outbox` over a producer that one event loop owns; delivery reports are served in that loop."""

    def __init__(self, producer: Any) -> None:
        """``producer``: a ``confluent_kafka.Producer`` with :func:`producer_settings`."""
        self._producer = producer
        self._under_way = 0
        self._refused: str | None = None

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Blocks; raises ``KafkaException`` without a broker, and without the topic."""
        return len(partitions(self._producer, topic, _ANSWER_S))

    async def send(self, record: Outgoing) -> None:
        target = {} if record.partition is None else {"partition": record.partition}
        while True:
            self.check()
            try:
                self._producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    headers=dict(record.headers),
                    on_delivery=self._delivered,
                    **target,
                )
            except BufferError:
                await asyncio.sleep(_POLL_S)
                continue
            except KafkaException as error:  # too large, or a producer that has lost its order: it was not even queued
                self._refused = self._refused or f"{record.topic}: {error.args[0]}"
                continue
            self._under_way += 1
            return

    async def acknowledged(self) -> None:
        self.check()
        while self._under_way:
            await asyncio.sleep(_POLL_S)
            self.check()

    def check(self) -> None:
        self._producer.poll(0)
        if self._refused is not None:
            raise DeliveryError(self._refused)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._producer.flush, _CLOSE_S)

    def _delivered(self, error: Any, message: Any) -> None:
        self._under_way -= 1
        if error is not None and self._refused is None:
            self._refused = f"{message.topic()}: {error}"
