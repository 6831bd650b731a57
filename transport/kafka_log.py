"""The log on Kafka, by confluent-kafka: one thread a client, since a librdkafka consumer serves one thread at a time."""

import asyncio
import logging
import operator
import threading
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from schemas.partitions import partition_of
from schemas.topics import Topic
from transport.administrator import Refusals
from transport.log import Batch, ClientLostError, LogError, Position, Record
from transport.settings import KafkaSettings

logger = logging.getLogger(__name__)

_WAIT_S = 0.1
"""How long a poll waits for a record: the longest that `close` waits for a poll."""
_ASK_S = 1.0
"""How long a question to the broker waits before it is asked again."""
_PROBE_S = 1.0
"""How long a quiet log is believed to be there: then the broker is asked."""
_ANEW_S = 5.0
"""How long a consumer may be without an answer before another one takes its place."""
_AGAIN_S = 0.2
_ANSWER_S = 30.0
_FLUSH_S = 5.0
_MOST = 500
_END = "_PARTITION_EOF"
_HEALING = frozenset(
    {
        "_ALL_BROKERS_DOWN",
        "_RESOLVE",
        "_TIMED_OUT",
        "_TRANSPORT",
        "LEADER_NOT_AVAILABLE",
        "NOT_LEADER_FOR_PARTITION",
        "REQUEST_TIMED_OUT",
    }
)
"""Errors (librdkafka's names) of a broker that is away or busy electing: to be waited out."""


READER_GROUP = "davylamp-reader-"
"""Prefix of the groups that readers name and never join."""


class KafkaReader:
    """A :class:`transport.log.WatchedReader` by manual assignment: no group, no commits, no rebalance.

    The iteration polls in a thread of its own and asks for the next batch only when the last one has been taken:
    that is the backpressure. What librdkafka fetches meanwhile is bounded by its ``queued.max.messages.kbytes``.
    """

    def __init__(
        self, settings: KafkaSettings, client_id: str, topics: Sequence[Topic], *, since_ms: int | None = None
    ) -> None:
        """With `since_ms` (Unix milliseconds) it begins at the first record of that append time or a later one."""
        self._since_ms = since_ms
        self._plain = settings.librdkafka(client_id) | {"log_level": 0}  # the outage is told once, by us
        self._refusals = Refusals()
        self._config = self._plain | {
            "error_cb": self._refusals,
            "group.id": f"{READER_GROUP}{client_id}",  # librdkafka asks for its coordinator; nothing is ever committed
            "enable.auto.commit": False,
            "auto.offset.reset": "error",  # records that vanish while being read are a hole, never skipped in silence
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 5,
            "fetch.wait.max.ms": 100,
            "allow.auto.create.topics": False,
        }
        self._topics = topics
        self._thread = ThreadPoolExecutor(1, f"read {client_id}")
        self._consumer: Any = None
        self._admin: Any = None
        self._reached: dict[tuple[str, int], int] = {}
        """By assigned partition: first offset not read, by the reading thread."""
        self._taken: dict[tuple[str, int], int] = {}
        """The same, once whoever takes batches has come back for more."""
        self._came_back = asyncio.Condition()
        self._behind: dict[tuple[str, int], int] | None = None
        self._caught_up = False
        self._away = False
        self._answered: float | None = None
        self._began = 0.0
        self._closed = False

    @property
    def away_s(self) -> float:
        answered = self._answered
        return 0.0 if answered is None else time.monotonic() - answered

    async def batches(self) -> AsyncIterator[Batch]:
        loop = asyncio.get_running_loop()
        while not self._closed:
            batch = await loop.run_in_executor(self._thread, self._poll)
            if batch is not None and not self._closed:
                yield batch
            await self._come_back()

    async def read_to_end(self) -> None:
        ends = await self._ends()
        async with self._came_back:
            await self._came_back.wait_for(
                lambda: self._closed or all(self._taken[at] >= end for at, end in ends.items())
            )
        self._require_open()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._come_back()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._release)
        self._thread.shutdown()

    async def _come_back(self) -> None:
        """Nothing is polled meanwhile: what was reached has been taken."""
        self._taken = dict(self._reached)
        async with self._came_back:
            self._came_back.notify_all()

    def _require_open(self) -> None:
        if self._closed:
            raise LogError(f"reading {', '.join(self._topics)}: the reader is closed")

    async def _ends(self) -> dict[tuple[str, int], int]:
        """Where the assigned partitions end now, by a client of its own: the consumer's thread is busy polling."""
        async with self._came_back:
            await self._came_back.wait_for(lambda: self._closed or bool(self._taken))
        asked = {TopicPartition(topic, partition): OffsetSpec.latest() for topic, partition in self._taken}
        while not self._closed:
            self._admin = self._admin or AdminClient(self._plain)
            try:
                async with asyncio.timeout(2 * _ASK_S):  # librdkafka 2.16 sometimes forgets what it was asked early
                    answers = self._admin.list_offsets(asked, request_timeout=_ASK_S)
                    return {
                        (at.topic, at.partition): (await asyncio.wrap_future(f)).offset for at, f in answers.items()
                    }
            except (KafkaException, TimeoutError):  # no answer, whatever the reason, is no answer
                self._admin = None  # it never learns of a new leader's epoch: each later question would be fenced
                await asyncio.sleep(_AGAIN_S)
        self._require_open()
        return {}

    def _poll(self) -> Batch | None:
        self._answered = self._answered or time.monotonic()
        try:
            if self._behind is None:
                self._behind = self._open()
                self._heard()
                return self._batch([])
            records = self._consume(self._behind)
            self._probe()
            return self._batch(records)
        except KafkaException as error:
            reason = error.args[0]
            if reason.name() not in _HEALING:
                raise LogError(f"reading {', '.join(self._topics)}: {reason.str()}") from error
            self._tell(reason)
            return None

    def _batch(self, records: list[Record]) -> Batch | None:
        news = not self._caught_up and not self._behind
        self._caught_up = self._caught_up or news
        return Batch(tuple(records), self._caught_up) if records or news else None

    def _open(self) -> dict[tuple[str, int], int]:
        """Assign every partition from its first offset to read; return where those with something to read end now."""
        if self._consumer is None:
            self._consumer = Consumer(self._config)
        behind: dict[tuple[str, int], int] = {}
        assignment: list[TopicPartition] = []
        for topic in self._topics:
            for partition in partitions(self._consumer, topic, _ASK_S):
                low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_ASK_S)
                start = low if self._since_ms is None else self._first_since(topic, partition, self._since_ms, high)
                assignment.append(TopicPartition(topic, partition, start))
                if high > start:
                    behind[topic, partition] = high
        self._reached = {(at.topic, at.partition): at.offset for at in assignment}
        self._consumer.assign(assignment)
        return behind

    def _first_since(self, topic: Topic, partition: int, since_ms: int, high: int) -> int:
        """The offset of the first record that is not older, or the end. Asking is by timestamp in place of an offset."""
        (found,) = self._consumer.offsets_for_times([TopicPartition(topic, partition, since_ms)], timeout=_ASK_S)
        if found.error is not None:
            raise KafkaException(found.error)
        return int(found.offset) if found.offset >= 0 else high

    def _consume(self, behind: dict[tuple[str, int], int]) -> list[Record]:
        """Take what is there, waiting for the first only: no batching delay.

        A partition is caught up when its last record has come or its end is told: the end because the last offsets may
        hold no records (compacted away, transaction markers), the record because a busy partition never tells its end.
        """
        messages = self._consumer.consume(1, _WAIT_S)
        if messages:
            messages += self._consumer.consume(_MOST, 0)
        counted = [message for message in messages if self._counts(message)]
        for message in counted:
            self._advance(behind, message)
        records = [record_of(message) for message in counted if message.error() is None]
        if counted:
            self._heard()
        return records

    def _advance(self, behind: dict[tuple[str, int], int], message: Message) -> None:
        """Note how far its partition is read, and strike that out where it reaches the end that it had."""
        at, reached = (message.topic(), message.partition()), message.offset() + (message.error() is None)
        self._reached[at] = reached
        if reached >= behind.get(at, reached + 1):
            del behind[at]

    def _heard(self) -> None:
        self._answered, self._away = time.monotonic(), False

    def _probe(self) -> None:
        """A broker that is gone or frozen looks like one to which nobody writes: ask for the end of a partition.

        No answer, whatever the reason, is no answer: what does not heal by itself is found by reading.
        """
        if self.away_s < _PROBE_S:
            return
        try:
            self._consumer.get_watermark_offsets(self._consumer.assignment()[0], timeout=_ASK_S, cached=False)
        except KafkaException as error:
            self._tell(error.args[0])
            self._begin_anew()
        else:
            self._heard()

    def _begin_anew(self) -> None:
        """Read on by another consumer.

        After an outage of most of a minute readers were seen to hear nothing a minute and a half after the broker was back.
        The likely cause: a broker that is about to stop answers that it knows none of the topics, and librdkafka asks
        for them again after `topic.metadata.refresh.interval.ms`, five minutes by default.
        """
        now = time.monotonic()
        if min(self.away_s, now - self._began) < _ANEW_S:
            return
        self._began = now
        self._consumer.close()
        self._consumer = Consumer(self._config)
        self._consumer.assign([TopicPartition(*at, offset) for at, offset in self._reached.items()])

    def _counts(self, message: Message) -> bool:
        """Whether it is a record or the end of a partition. Raises what does not heal by itself."""
        error = message.error()
        if error is None or error.name() == _END:
            return True
        if error.name() not in _HEALING:
            raise KafkaException(error)
        self._tell(error)
        return False

    def _tell(self, reason: KafkaError) -> None:
        if not self._away:
            if self._behind is None and self._consumer is not None:
                self._consumer.poll(0)  # nothing is assigned: it has no record, but may say why it was turned away
            why = self._refusals.explain(reason)
            extra = {"action": "log_unreachable", "client": self._config["client.id"], "reason": why}
            logger.warning("Kafka is not reachable: waiting for it", extra=extra)
        self._away = True

    def _release(self) -> None:
        if self._consumer is not None:
            self._consumer.close()


class KafkaWriter:
    """A :class:`transport.log.Writer` over an idempotent producer."""

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        self._partitions: dict[str, int] = {}
        self._producer = Producer(
            settings.librdkafka(client_id)
            | {"enable.idempotence": True, "acks": "all", "linger.ms": 0, "delivery.timeout.ms": 30_000}
        )
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"write {client_id}", daemon=True)
        self._thread.start()

    async def append(self, topic: Topic, service: str, value: bytes) -> Position:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Position] = loop.create_future()

        def delivered(error: KafkaError | None, message: Message) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, done, topic, error, message)

        try:
            if topic not in self._partitions:
                self._partitions[topic] = await asyncio.to_thread(self._count_partitions, topic)
            if self._closed.is_set():
                raise LogError(f"{topic}: the writer is closed")
            partition = partition_of(service, self._partitions[topic])
            self._producer.produce(topic, value, service.encode(), partition=partition, on_delivery=delivered)
        except BufferError as error:
            raise LogError(f"{topic}: {error}") from error
        except KafkaException as error:
            raise _failure(topic, error.args[0]) from error
        return await done

    async def close(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            await asyncio.to_thread(self._drain)

    def _count_partitions(self, topic: str) -> int:
        return len(partitions(self._producer, topic, _ANSWER_S))

    def _serve(self) -> None:
        """Run the delivery callbacks: librdkafka runs them in the thread that polls."""
        while not self._closed.is_set():
            self._producer.poll(_WAIT_S)

    def _drain(self) -> None:
        """Deliver within a bound and give up the rest, so that nobody waits for it for ever."""
        self._thread.join()
        self._producer.flush(_FLUSH_S)
        self._producer.purge()
        self._producer.flush(_ASK_S)
        self._producer.close()


def partitions(client: Any, topic: str, timeout_s: float) -> Sequence[int]:
    """The partitions of a topic. Raises :class:`confluent_kafka.KafkaException`; also for a topic that is missing."""
    metadata = client.list_topics(topic, timeout=timeout_s).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    return sorted(metadata.partitions)


def record_of(message: Message) -> Record:
    """A message of librdkafka that is no error, as the port has it."""
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        _headers_of(message),
    )


_headers = operator.methodcaller("headers")
"""Asks a message for its headers. Where a name is not UTF-8, confluent-kafka (2.16 is seen to) returns a broken list and
leaves an error set. Called like this, CPython notices and raises `SystemError`; called as `message.headers()`, it skips
that check once the call is hot, and the process ends in a segmentation fault."""


def _headers_of(message: Message) -> dict[str, bytes]:
    """None at all where a name is not UTF-8: none of ours is, and whoever may write could end every reader."""
    try:
        return {name: value or b"" for name, value in _headers(message) or ()}
    except SystemError:
        return {}


def _settle(done: "asyncio.Future[Position]", topic: str, error: KafkaError | None, message: Message) -> None:
    if done.done():
        return
    if error is not None:
        done.set_exception(_failure(topic, error))
    else:
        done.set_result(Position(message.partition(), message.offset(), message.timestamp()[1]))


def _failure(topic: str, error: KafkaError) -> LogError | ClientLostError:
    """An idempotent producer that has lost its order (librdkafka's fatal errors) refuses everything from then on."""
    return (ClientLostError if error.fatal() else LogError)(f"{topic}: {error.str()}")
