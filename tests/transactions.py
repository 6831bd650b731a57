"""A Kafka in memory that knows transactions (KIP-98) and a group's places in them (KIP-447).

Who reads what is committed meets a transaction whole or not at all, in the order of the log; nothing behind one that is
still open. Offsets of markers and of what was aborted are gaps.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from transport.log import Batch, Record

State = Literal["open", "committed", "aborted"]
At = tuple[str, int]


@dataclass(eq=False)
class Transaction:
    """What one producer has begun."""

    state: State = "open"
    wrote: set[At] = field(default_factory=set)
    places: dict[At, int] = field(default_factory=dict)
    """Where the group goes on once this is committed."""


@dataclass
class Broker:
    """Logs, the epochs of transactional ids, and one group with its places."""

    refuses: Callable[[str, bytes], bool] = lambda _topic, _value: False
    """What the log does not take."""
    changed: Callable[[], None] = lambda: None
    """Called whenever something else can be read."""
    epochs: dict[str, int] = field(default_factory=dict)
    under_way: dict[str, Transaction] = field(default_factory=dict)
    places: dict[At, int] = field(default_factory=dict)
    members: dict[At, "Member"] = field(default_factory=dict)
    """Whose a partition is."""
    generation: int = 1
    retained: dict[At, int] = field(default_factory=dict)
    """First offset that retention has left."""
    logs: dict[At, list[tuple[Record, Transaction] | None]] = field(default_factory=lambda: defaultdict(list))
    """None: the marker of a transaction's end."""

    def append(self, topic: str, value: bytes, partition: int = 0, headers: Mapping[str, bytes] | None = None) -> None:
        """By somebody without transactions."""
        self.write(topic, partition, value, None, headers or {}, Transaction("committed"))

    def write(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None,
        headers: Mapping[str, bytes],
        within: Transaction,
    ) -> int:
        log = self.logs[topic, partition]
        log.append((Record(topic, partition, len(log), 1000 + len(log), key, value, dict(headers)), within))
        within.wrote.add((topic, partition))
        return len(log) - 1

    def end(self, transaction: Transaction, state: State) -> None:
        transaction.state = state
        for at in transaction.wrote:
            self.logs[at].append(None)
        if state == "committed":
            self.places |= transaction.places
        self.changed()

    def committed(self, topic: str, partition: int = 0) -> list[Record]:
        """What can be read."""
        found = []
        for entry in self.logs[topic, partition]:
            if entry is not None and entry[1].state == "open":
                break
            if entry is not None and entry[1].state == "committed":
                found.append(entry[0])
        return found

    def reader(self, topic: str) -> "CommittedReader":
        return CommittedReader(self, topic)

    def move(self, at: At, member: "Member") -> None:
        """The group gives a partition away: its owner hears of it when it polls next, and then everybody has joined anew."""
        owner = self.members.get(at)
        self.members[at] = member
        if owner is None:
            member.given(at)
        else:
            owner.told.append(at)


class CommittedReader:
    """A :class:`transport.log.Reader` of what can be read now."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker, self._topic = broker, topic

    async def batches(self) -> AsyncIterator[Batch]:
        yield Batch(tuple(self._broker.committed(self._topic)), caught_up=True)

    async def close(self) -> None:
        """Nothing to end."""


class Message:
    """A record as confluent-kafka hands it out."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def __len__(self) -> int:
        return len(self.record.value or b"")

    def __getattr__(self, name: str) -> Callable[[], Any]:
        return lambda: getattr(self.record, name)

    def error(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 1, self.record.timestamp_ms


class Producer:
    """A transactional `confluent_kafka.Producer`: what is queued is sent at the latest by the commit."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.broker, self.name = broker, name
        self.room = 100
        self.answers = True
        """Set to False, and a commit happens but is not answered."""
        self.before_commit: Callable[[], None] = lambda: None
        self._epoch = 0
        self._queue: list[tuple[Any, ...]] = []
        self._transaction: Transaction | None = None
        self._failed: KafkaError | None = None
        self._is_fenced = False
        """It knows that it is, which no producer recovers from."""

    def init_transactions(self, _timeout: float) -> None:
        """Whoever had the name before is ended, and what it had begun."""
        self._epoch = self.broker.epochs[self.name] = self.broker.epochs.get(self.name, 0) + 1
        if (left := self.broker.under_way.pop(self.name, None)) is not None:
            self.broker.end(left, "aborted")

    def begin_transaction(self) -> None:
        if self._is_fenced:
            raise _error(KafkaError._FENCED, fatal=True)
        if self._transaction is not None:
            raise _error(KafkaError._STATE)
        self._transaction = Transaction()

    def produce(
        self,
        topic: str,
        value: bytes,
        key: bytes | None = None,
        partition: int = 0,
        headers: Mapping[str, bytes] | None = None,
        on_delivery: Callable[[Any, Any], None] = lambda *_: None,
    ) -> None:
        if self._transaction is None:
            raise _error(KafkaError._STATE)
        if len(self._queue) >= self.room:
            raise BufferError
        self._queue.append((topic, partition, value, key, headers or {}, on_delivery))

    def poll(self, _timeout: float) -> int:
        self._flush()
        return 0

    def send_offsets_to_transaction(self, offsets: Sequence[TopicPartition], member: Any, _timeout: float) -> None:
        transaction = self._current()
        if member != self.broker.generation:
            raise _error(KafkaError.ILLEGAL_GENERATION, txn_requires_abort=True)
        transaction.places |= {(o.topic, o.partition): o.offset for o in offsets}

    def commit_transaction(self, _timeout: float) -> None:
        self.before_commit()
        self._flush()
        transaction = self._current()
        if self._failed is not None:
            raise _error(self._failed.code(), txn_requires_abort=True)
        self._over(transaction, "committed")
        if not self.answers:
            raise _error(KafkaError._TIMED_OUT, retriable=True)

    def abort_transaction(self, _timeout: float) -> None:
        self._queue, self._failed = [], None
        self._over(self._current(), "aborted")

    def _over(self, transaction: Transaction, state: State) -> None:
        self._transaction = None
        self.broker.under_way.pop(self.name, None)
        self.broker.end(transaction, state)

    def _current(self) -> Transaction:
        if self.broker.epochs.get(self.name) != self._epoch:
            self._is_fenced = True
            raise _error(KafkaError._FENCED, fatal=True)
        if self._transaction is None:
            raise _error(KafkaError._STATE)
        return self._transaction

    def _flush(self) -> None:
        queue, self._queue = self._queue, []
        for topic, partition, value, key, headers, on_delivery in queue:
            transaction = self._current()
            if self.broker.refuses(topic, value):
                self._failed = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
                on_delivery(self._failed, None)
                continue
            self.broker.under_way[self.name] = transaction
            offset = self.broker.write(topic, partition, value, key, headers, transaction)
            entry = self.broker.logs[topic, partition][offset]
            assert entry is not None
            on_delivery(None, Message(entry[0]))


class Member:
    """A consumer of the group, eager: it hears of a rebalance only while it polls (`consume`)."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.told: list[At] = []
        """Partitions that it is to give back."""
        self.positions: dict[At, int] = {}
        self.in_callback: list[str] = []
        """What was called while a callback ran."""
        self._calls_back = False
        self._callbacks: Mapping[str, Callable[[Any, list[TopicPartition]], None]] = {}
        self.closed = False

    def subscribe(self, _topics: Sequence[str], **callbacks: Callable[[Any, list[TopicPartition]], None]) -> None:
        self._callbacks = callbacks

    def given(self, at: At) -> None:
        """The group gives it a partition."""
        if "on_assign" in self._callbacks:
            self._callbacks["on_assign"](self, [TopicPartition(*at)])
        else:
            self.positions[at] = self.broker.places.get(at, 0)

    def committed(self, parts: Sequence[TopicPartition], _timeout: float) -> list[TopicPartition]:
        return [
            TopicPartition(p.topic, p.partition, self.broker.places.get((p.topic, p.partition), -1001)) for p in parts
        ]

    def get_watermark_offsets(self, part: TopicPartition, _timeout: float) -> tuple[int, int]:
        at = part.topic, part.partition
        return self.broker.retained.get(at, 0), len(self.broker.logs[at])

    def assign(self, parts: Sequence[TopicPartition]) -> None:
        self.positions |= {(part.topic, part.partition): part.offset for part in parts}

    def consume(self, count: int, _timeout: float) -> list[Message]:
        self._note("consume")
        while self.told:
            self._give_back(self.told.pop())
        found: list[Message] = []
        for at, position in list(self.positions.items()):
            some = [r for r in self.broker.committed(*at) if r.offset >= position][: count - len(found)]
            found += map(Message, some)
            self.positions[at] = some[-1].offset + 1 if some else position
        return found

    def consumer_group_metadata(self) -> int:
        self._note("consumer_group_metadata")
        return self.broker.generation

    def close(self) -> None:
        self.closed = True

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not expected of this consumer")

    def _give_back(self, at: At) -> None:
        self._calls_back = True
        if "on_revoke" in self._callbacks:
            self._callbacks["on_revoke"](self, [TopicPartition(*at)])
        self._calls_back = False
        self.positions.pop(at)
        self.broker.generation += 1
        self.broker.members[at].given(at)

    def _note(self, name: str) -> None:
        if self._calls_back:
            self.in_callback.append(name)


def _error(code: int, **more: bool) -> KafkaException:
    return KafkaException(
        KafkaError(
            code, None, more.get("fatal", False), more.get("retriable", False), more.get("txn_requires_abort", False)
        )
    )
