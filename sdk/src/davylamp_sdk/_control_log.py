"""A service's part of the control topics, read from its start and followed: the port, and Kafka behind it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from davylamp_sdk._partitions import partition_of

LEDGER: Final = "rollout-decisions"
VIEWS: Final = "rollouts"

ASK_S: Final = 2.0
"""How long a question to the broker waits for its answer: Kafka being away is noticed, and closing is not held up."""
MOST: Final = 500
END: Final = "_PARTITION_EOF"
HEALING: Final = frozenset(
    {"_ALL_BROKERS_DOWN", "_RESOLVE", "_TIMED_OUT", "_TRANSPORT", "LEADER_NOT_AVAILABLE", "NOT_LEADER_FOR_PARTITION"}
)
"""Errors (librdkafka's names) that reading waits out; after any other it begins anew."""


class Said(NamedTuple):
    """One record."""

    topic: str
    value: bytes


class Heard(NamedTuple):
    """What one look at the log brought."""

    records: Sequence[Said]
    caught_up: bool
    """Both topics have been read up to where they ended when reading began. Once true, always true."""


class ControlLog(Protocol):
    """Used by one thread. Any method may raise: then the reader is closed, and a new one begins from the start."""

    def poll(self, timeout_s: float) -> Heard:
        """What has come since the last call; waits at most about `timeout_s` for the first record."""
        ...

    def close(self) -> None:
        """Let go of everything. Called once, whatever was raised before."""
        ...


class KafkaControlLog:
    """One partition of each topic by manual assignment: no group, no commits.

    `settings` are librdkafka's, laid over ours: TLS, SASL. Raises ``KafkaException`` while Kafka, or a topic, is away.
    """

    def __init__(self, service: str, bootstrap: str, settings: Mapping[str, Any] = MappingProxyType({})) -> None:
        from confluent_kafka import Consumer

        self._consumer: Any = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": f"davylamp-sdk/{service}",
                "group.id": f"davylamp-reader-sdk-{service}",  # an ACL allows to name it; nothing is ever committed
                "enable.auto.commit": False,
                "auto.offset.reset": "error",  # what vanishes while it is being read is read from the start again
                "enable.partition.eof": True,
                "fetch.queue.backoff.ms": 5,
                "allow.auto.create.topics": False,
                "queued.max.messages.kbytes": 8_192,
                "reconnect.backoff.max.ms": 1_000,
                "topic.metadata.refresh.interval.ms": 10_000,  # a stopping broker may say that it knows no topic
                "log_level": 0,
                **settings,
            }
        )
        try:
            self._behind = self._assign(service)
        except BaseException:
            self._consumer.close()
            raise
        self._caught_up = not self._behind

    def poll(self, timeout_s: float) -> Heard:
        messages = self._consumer.consume(1, timeout_s)
        if messages:
            messages += self._consumer.consume(MOST, 0)
        records = [Said(m.topic(), m.value()) for m in messages if self._counts(m) and m.value()]
        self._caught_up = self._caught_up or not self._behind
        return Heard(records, self._caught_up)

    def close(self) -> None:
        self._consumer.close()

    def _assign(self, service: str) -> dict[str, int]:
        """Both partitions from their first retained offset; topic → where it ends now, if it holds anything."""
        from confluent_kafka import KafkaException, TopicPartition

        behind: dict[str, int] = {}
        assignment = []
        for topic in (LEDGER, VIEWS):
            metadata = self._consumer.list_topics(topic, timeout=ASK_S).topics[topic]
            if metadata.error is not None:
                raise KafkaException(metadata.error)
            partition = partition_of(service, len(metadata.partitions))
            low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ASK_S)
            assignment.append(TopicPartition(topic, partition, low))
            if high > low:
                behind[topic] = high
        self._consumer.assign(assignment)
        return behind

    def _counts(self, message: Any) -> bool:
        """Whether it is a record; marks how far its topic has been read. Raises what does not heal by itself."""
        error = message.error()
        if error is not None and error.name() != END:
            if error.name() in HEALING:
                return False
            from confluent_kafka import KafkaException

            raise KafkaException(error)
        reached = message.offset() + (error is None)
        if reached >= self._behind.get(message.topic(), reached + 1):
            del self._behind[message.topic()]
        return error is None
