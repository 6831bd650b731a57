"""The consumer of the telemetry: polls, groups by partition, hands over, commits. It lives on one thread.

confluent-kafka serves one thread of a consumer at a time, and a second one that calls `commit()` starves behind
`consume()`: so commits come in through a queue, and this thread makes them. The classic protocol is meant: under
KIP-848 a static member that was killed is refused until the broker ends its session.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaException, TopicPartition

from streams.checkpoint import Checkpoint, ForeignCheckpointError
from streams.handover import Assigned, Handover, Messages, Polled, Revoked
from transport.kafka_log import record_of
from transport.settings import KafkaSettings

logger = logging.getLogger(__name__)

GROUP = "davylamp-streams"

_TIMEOUT_S = 10
_FIRST_S = 0.1
_LINGER_S = 0.005
"""Above 500 messages a second this makes fewer and larger batches; below nobody notices, and of a backlog nobody waits."""
_SLICE = 100
_POLL_MESSAGES = 2000
_CLOSE_S = 5.0
"""So long a consumer that ends may take: a static member has nothing to say to the group, and what is not committed is read again."""
_POLL_BYTES = 512 * 1024
"""Polls are bounded by bytes, for one message may hold hundreds of events."""


class ForeignPartitionsError(Exception):
    """The group gives this worker partitions of a topic that it does not read, also when it has joined anew."""


class AppendTimeError(Exception):
    """The telemetry topic must have message.timestamp.type=LogAppendTime: windows are made of the broker's time."""


def consumer_settings(kafka: KafkaSettings, instance: str) -> dict[str, Any]:
    """What the consumer runs with. Offsets are always explicit; a static member is back at once after a kill -9."""
    return kafka.librdkafka(f"davylamp-streams/{instance}") | {
        "group.id": GROUP,
        "group.instance.id": instance,
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 1000,
        "max.poll.interval.ms": 60_000,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "allow.auto.create.topics": False,
        "isolation.level": "read_committed",
        "fetch.queue.backoff.ms": 5,
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": 16_384,
        "queued.min.messages": 20_000,
        "on_commit": _committed,
        "error_cb": _broker_trouble,
    }


class TelemetryConsumer:
    """Reads the partitions that the group assigns to this worker, from their checkpoints on.

    To a static member that comes back the broker gives what it had, without asking the group's leader (KIP-345), also
    when it subscribes to another topic now: partitions of the one before, whose offsets mean nothing in this one. Such
    an assignment is refused whole, and the worker leaves the group and joins it anew: then the leader is asked.

    All but :meth:`commit` happens on the thread of :meth:`run`. Errors that do not heal by themselves raise out of it.
    """

    def __init__(self, consumer: Any, topic: str, window_ms: int, partitions: Callable[[], int]) -> None:
        """``consumer``: a ``confluent_kafka.Consumer`` with :func:`consumer_settings`, which is closed at the end.

        ``partitions``: how many the topic has, of another client. In a callback of a rebalance this consumer may not be
        asked: after a `list_topics()` there confluent-kafka aborts the process (seen with 2.16.1, ``CallState_get:
        Assertion `cs != NULL' failed``) if one more callback, that of a commit, comes in the same `consume()`.
        """
        self._consumer = consumer
        self._partitions = partitions
        self._topic = topic
        self._window_ms = window_ms
        self._hand: Callable[[Handover], None]
        self._numbers: dict[int, int] = {}
        self._reached: dict[int, int] = {}
        """Offset from which the group reads each on: it never goes back."""
        self._messages: list[Any] = []
        self._due: deque[tuple[int, Checkpoint]] = deque()
        self._refused: list[str] = []
        """Topics of an assignment that was refused: the group is to be left for it."""
        self._joined_anew = False

    def commit(self, partition: int, checkpoint: Checkpoint) -> None:
        """Commit soon; from any thread."""
        self._due.append((partition, checkpoint))

    def run(self, hand: Callable[[Handover], None], halted: Callable[[], bool]) -> None:
        """Poll until ``halted``, which is asked at least ten times a second while nothing comes.

        ``hand`` takes one item after another and may block: that is the backpressure.
        """
        self._hand = hand
        self._join()
        try:
            while not halted():
                self._poll()
                if self._refused:
                    self._join_anew()
        finally:
            self._close()

    def _close(self) -> None:
        """Without a broker librdkafka may wait for one and not return (seen with 2.16.1), and the process could not end."""
        closing = threading.Thread(target=self._consumer.close, name="closing", daemon=True)
        closing.start()
        closing.join(_CLOSE_S)

    def _join(self) -> None:
        self._consumer.subscribe(
            [self._topic],
            on_assign=lambda _, parts: self._assigned(parts),
            on_revoke=lambda _, parts: self._revoked(parts),
            on_lost=lambda _, parts: self._revoked(parts),
        )

    def _join_anew(self) -> None:
        if self._joined_anew:
            raise ForeignPartitionsError(
                f"the group {GROUP} gives partitions of {', '.join(self._refused)} to a worker that reads {self._topic}: "
                "nothing of them was counted; who else is a member of this group?"
            )
        extra = {"action": "foreign_partitions", "topics": self._refused}
        logger.warning("the group gave partitions of another topic: leaving it and joining anew", extra=extra)
        self._refused, self._joined_anew = [], True
        self._consumer.unsubscribe()
        self._join()

    def _poll(self) -> None:
        self._gather()
        self._make_commits()
        by_partition: dict[int, list[Any]] = {}
        for message in self._messages:
            if message.error() is not None:  # fenced, offset out of range, topic gone: end the process on purpose
                raise KafkaException(message.error())
            by_partition.setdefault(message.partition(), []).append(message)
        for partition, messages in by_partition.items():
            if partition in self._numbers:
                self._numbers[partition] += 1
                self._hand(Polled(partition, self._numbers[partition], _columns(messages)))

    def _gather(self) -> None:
        # A rebalance may happen in any of these calls: it takes what was polled of a lost partition off the list.
        self._messages = []
        self._messages += self._consumer.consume(1, _FIRST_S)
        if self._messages and not self._drain():
            time.sleep(_LINGER_S)
            self._drain()

    def _drain(self) -> bool:
        """Take what is there; whether that is as much as a poll may be."""
        size = sum(map(len, self._messages))
        while size < _POLL_BYTES and len(self._messages) < _POLL_MESSAGES:
            more = self._consumer.consume(_SLICE, 0)
            if not more:
                return False
            self._messages += more
            size += sum(map(len, more))
        return True

    def _make_commits(self) -> None:
        due: dict[int, Checkpoint] = {}
        while self._due:
            partition, checkpoint = self._due.popleft()
            due[partition] = checkpoint
        # What the agent closes before it has heard that the partition was lost and won again is true, and may be older
        # than what another worker committed meanwhile: retention may have taken that, and would be said to have.
        newer = {p: c for p, c in due.items() if p in self._numbers and c.offset > self._reached[p]}
        if newer:
            self._reached |= {p: c.offset for p, c in newer.items()}
            offsets = [TopicPartition(self._topic, p, c.offset, c.metadata(self._window_ms)) for p, c in newer.items()]
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _assigned(self, parts: Sequence[TopicPartition]) -> None:
        self._refused = sorted({part.topic for part in parts} - {self._topic})
        if self._refused:  # the group is left when this call is over: in it librdkafka waits for an answer
            self._consumer.incremental_assign([])
            return
        total = self._partitions()
        explicit = []
        for committed in self._consumer.committed(parts, _TIMEOUT_S) if parts else ():
            start, lost = self._start(committed)
            self._numbers[committed.partition], self._reached[committed.partition] = 0, start.offset
            self._hand(Assigned(committed.partition, total, start, lost))
            explicit.append(TopicPartition(self._topic, committed.partition, start.warm_offset))
            self._joined_anew = False
        self._consumer.incremental_assign(explicit)

    def _start(self, committed: TopicPartition) -> tuple[Checkpoint, int]:
        if committed.error is not None:
            raise KafkaException(committed.error)
        low, high = self._consumer.get_watermark_offsets(committed, _TIMEOUT_S)
        if committed.offset < 0:
            # Nobody has read what is gone, or nobody knows any more: the first worker died before its first commit, the
            # group's offsets have expired, or the topic is older than streams. A hold too many that ends by itself in a
            # minute is better than a rollout that is judged by what is left.
            return Checkpoint.earliest(low), low
        checkpoint = Checkpoint.parse(committed.offset, committed.metadata, self._window_ms)
        if checkpoint.offset > high:
            raise ForeignCheckpointError(
                f"{self._topic}-{committed.partition} ends at {high}, before the committed {checkpoint.offset}: "
                "was the topic made anew? Reset the group's offsets to go on"
            )
        return checkpoint.retained(low, self._window_ms), max(0, low - checkpoint.offset)

    def _revoked(self, parts: Sequence[TopicPartition]) -> None:
        mine = [p for p in parts if p.topic == self._topic and p.partition in self._numbers]
        gone = {part.partition for part in mine}
        self._messages[:] = [m for m in self._messages if m.error() is not None or m.partition() not in gone]
        for partition in gone:
            del self._numbers[partition]
            self._hand(Revoked(partition))
        self._consumer.incremental_unassign(mine)  # librdkafka refuses to take away what was never assigned


def _columns(messages: Sequence[Any]) -> Messages:
    kinds, appended_ms = zip(*(message.timestamp() for message in messages), strict=True)
    if kinds.count(TIMESTAMP_LOG_APPEND_TIME) < len(messages):
        raise AppendTimeError(f"{messages[0].topic()}: {AppendTimeError.__doc__}")
    return Messages(
        np.array([message.offset() for message in messages]),
        np.array(appended_ms),
        [message.value() for message in messages],
        lambda i: record_of(messages[i]),
    )


def _committed(error: Any, parts: Sequence[TopicPartition]) -> None:
    if error is not None:  # a refused commit only means that a successor has more to read again
        logger.warning("commit refused", extra={"action": "commit_refused", "why": str(error), "parts": len(parts)})


def _broker_trouble(error: Any) -> None:
    logging.getLogger("librdkafka").warning("broker trouble", extra={"action": "broker_trouble", "why": str(error)})
