"""A sender of dead letters to Kafka: each with its note, in a transaction, and nobody beside it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Producer

from cli.dead_letters import Posting
from transport.acls import REPLAYS
from transport.log import LogError, Position
from transport.settings import KafkaSettings

_ANSWER_S = 30.0
_TRANSACTION_S = 10
"""An open transaction holds up who reads the telemetry: one that was left behind does so for so long, or until the next sender."""
_FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})  # noqa: SLF001


def sender_settings(kafka: KafkaSettings) -> dict[str, Any]:
    """What the producer runs with."""
    return kafka.librdkafka("davylamp-dlq") | {
        "transactional.id": REPLAYS,
        "transaction.timeout.ms": _TRANSACTION_S * 1000,
        "acks": "all",
    }


class KafkaSender:
    """A :class:`cli.dead_letters.Sender` over a transactional producer, of whose id the cluster knows one (KIP-98)."""

    def __init__(self, producer: Any) -> None:
        """``producer``: a ``confluent_kafka.Producer`` with :func:`sender_settings`."""
        self._producer = producer

    @classmethod
    def of(cls, kafka: KafkaSettings) -> Self:
        """On Kafka."""
        return cls(Producer(sender_settings(kafka)))

    async def begin(self) -> None:
        """Return once every sender before this one is ended, and whatever it had begun."""
        await _asked(self._producer.init_transactions, _ANSWER_S)

    async def put_all(self, *postings: Posting) -> Sequence[Position]:
        await _asked(self._producer.begin_transaction)
        placed: dict[int, Position] = {}
        try:
            for number, posting in enumerate(postings):
                self._produce(posting, number, placed)
        except LogError:
            await _asked(self._producer.abort_transaction, _ANSWER_S)
            raise
        try:
            await _asked(self._producer.commit_transaction, _ANSWER_S)
        except LogError as error:
            if isinstance(error.__cause__, KafkaException) and error.__cause__.args[0].txn_requires_abort():
                await _asked(self._producer.abort_transaction, _ANSWER_S)
            raise
        return [placed[number] for number in range(len(postings))]

    def _produce(self, posting: Posting, number: int, placed: dict[int, Position]) -> None:
        """Partitions answer in any order: hence the number."""

        def delivered(error: Any, message: Any) -> None:  # an error makes the commit fail as well
            if error is None:
                placed[number] = Position(message.partition(), message.offset(), message.timestamp()[1])

        try:
            self._producer.produce(
                posting.topic,
                posting.value,
                posting.key,
                partition=posting.partition,
                headers=dict(posting.headers),
                on_delivery=delivered,
            )
        except (BufferError, KafkaException) as error:
            raise LogError(f"{posting.topic}-{posting.partition}: {error}") from error


async def _asked(question: Callable[..., Any], *arguments: Any) -> None:
    """In a thread, as it waits for the broker."""
    try:
        await asyncio.to_thread(question, *arguments)
    except KafkaException as error:
        said = error.args[0]
        if said.code() in _FENCED:
            raise LogError("somebody else began to replay dead letters: this one was not sent; ask again") from error
        raise LogError(f"it was not sent: {said.str()}") from error
