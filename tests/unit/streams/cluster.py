"""A Kafka in memory, as streams meet it: logs that retention cuts, a group that moves partitions, workers on top.

Nothing runs by itself: a schedule says who takes the next step, and a worker may die or freeze between any two. What it
had sent and the log had not taken yet is lost then, or comes later.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, TopicPartition

from streams.checkpoint import Checkpoint
from streams.handover import Handover
from streams.outbox import Outgoing
from streams.owner import Owner, Pace
from streams.publisher import Publisher
from streams.telemetry import TelemetryConsumer
from tests.telemetry import TOPIC, WINDOW_MS, record
from transport.clock import FakeClock
from transport.log import Record

FIRST = 3
"""First offset of every partition."""
NOTHING = -1001
"""librdkafka's offset of a partition that nobody committed."""
DEPTH = 4
"""Of the channel between the consumer's thread and the agent."""


@dataclass
class Cluster:
    """The telemetry, the group's commits, and what streams said."""

    partitions: int
    stamp: Callable[[], int]
    """The broker's time for the next record."""
    logs: list[list[Record]] = field(init=False)
    low: list[int] = field(init=False)
    commits: dict[int, tuple[int, str]] = field(default_factory=dict)
    owners: dict[int, "Worker"] = field(default_factory=dict)
    asked: dict[int, "Worker"] = field(default_factory=dict)
    """Who is to give a partition back, before its new owner may begin."""
    said: list[Outgoing] = field(default_factory=list)
    keys: set[bytes | None] = field(default_factory=set)
    """Of what was said."""

    def __post_init__(self) -> None:
        self.logs = [[] for _ in range(self.partitions)]
        self.low = [FIRST] * self.partitions

    def end(self, partition: int) -> int:
        return FIRST + len(self.logs[partition])

    def append(self, partition: int, value: bytes | None, headers: dict[str, bytes] | None = None) -> None:
        offset, stamp = self.end(partition), self.stamp()
        self.logs[partition].append(record(offset, stamp, value, partition=partition, headers=headers))

    def take(self, sent: Outgoing) -> None:
        """What a producer sent arrives."""
        if sent.topic == TOPIC:
            assert sent.partition is not None
            self.append(sent.partition, sent.value, dict(sent.headers))
        else:
            self.said.append(sent)
            self.keys.add(sent.key)

    def give(self, partition: int, worker: "Worker") -> None:
        """The group moves a partition: an owner that answers lets go first. While one is asked, nothing moves."""
        old = self.owners.get(partition)
        if partition in self.asked or old is worker:
            return
        self.owners[partition] = worker
        if old is None:
            worker.consumer.told.append(("on_assign", partition))
        else:
            self.asked[partition] = old
            old.consumer.told.append(("on_revoke", partition))

    def let_go(self, partition: int, worker: "Worker") -> None:
        """An owner has given a partition back, or will not answer any more: the new one hears of it."""
        if self.asked.get(partition) is worker:
            del self.asked[partition]
            self.owners[partition].consumer.told.append(("on_assign", partition))

    def outlive(self, worker: "Worker", heir: "Worker") -> None:
        """A member's session has ended: its heir gets what it had."""
        for partition in list(self.asked):
            self.let_go(partition, worker)
        for partition, owner in self.owners.items():
            if owner is worker:
                self.owners[partition] = heir
                worker.consumer.told.append(("on_lost", partition))
                if partition not in self.asked:
                    heir.consumer.told.append(("on_assign", partition))

    def checkpoint(self, partition: int) -> Checkpoint:
        """Where a successor goes on."""
        if partition not in self.commits:
            return Checkpoint.earliest(self.low[partition])
        return Checkpoint.parse(*self.commits[partition], WINDOW_MS)


class Message:
    """A record as librdkafka hands it out."""

    def __init__(self, of: Record | None, error: str | None = None) -> None:
        self._record, self._error = of, error

    def __len__(self) -> int:
        return len(self.value() or b"")

    def __getattr__(self, name: str) -> Callable[[], Any]:
        return lambda: getattr(self._record, name)

    def error(self) -> str | None:
        return self._error

    def value(self) -> bytes | None:
        return self._record.value if self._record else None

    def timestamp(self) -> tuple[int, int]:
        assert self._record is not None
        return TIMESTAMP_LOG_APPEND_TIME, self._record.timestamp_ms

    def headers(self) -> list[tuple[str, bytes]]:
        return list(self._record.headers.items()) if self._record else []


class Consumer:
    """A `confluent_kafka.Consumer` of the cluster."""

    def __init__(self, cluster: Cluster, worker: "Worker", dice: Random) -> None:
        self._cluster, self._worker, self._dice = cluster, worker, dice
        self._positions: dict[int, int] = {}
        self.told: deque[tuple[str, int]] = deque()
        """What the group has told this member, which hears of it as it polls."""

    def subscribe(self, _: Sequence[str], **callbacks: Callable[[Any, list[TopicPartition]], None]) -> None:
        self._callbacks = callbacks

    def consume(self, _: int, timeout: float) -> list[Message]:
        if self.told:
            name, partition = self.told.popleft()
            self._callbacks[name](self, [TopicPartition(TOPIC, partition)])
            if name == "on_revoke":
                self._cluster.let_go(partition, self._worker)
            return []
        if not self._positions:
            return []
        partition, position = self._dice.choice(list(self._positions.items()))
        if position < self._cluster.low[partition]:
            return [Message(None, "offset out of range")]
        most = 1 if timeout else self._dice.choice([0, 1, 12])
        found = self._cluster.logs[partition][position - FIRST : position - FIRST + most]
        self._positions[partition] += len(found)
        return [Message(record) for record in found]

    def committed(self, parts: Sequence[TopicPartition], timeout: float) -> list[Any]:
        nothing = NOTHING, None
        commits = [(p, *self._cluster.commits.get(p.partition, nothing)) for p in parts]
        return [
            SimpleNamespace(topic=TOPIC, partition=p.partition, offset=o, metadata=m, error=None) for p, o, m in commits
        ]

    def get_watermark_offsets(self, part: Any, timeout: float) -> tuple[int, int]:
        return self._cluster.low[part.partition], self._cluster.end(part.partition)

    def incremental_assign(self, parts: Sequence[TopicPartition]) -> None:
        self._positions |= {p.partition: p.offset for p in parts}

    def incremental_unassign(self, parts: Sequence[TopicPartition]) -> None:
        for part in parts:
            self._positions.pop(part.partition, None)

    def commit(self, offsets: Sequence[TopicPartition], *, asynchronous: bool) -> None:
        """The group's coordinator refuses a member that has lost its partition; any commit may get lost."""
        for part in offsets:
            mine = self._cluster.owners.get(part.partition) is self._worker
            known, _ = self._cluster.commits.get(part.partition, (part.offset, ""))
            assert not mine or part.offset >= known, (
                f"partition {part.partition} goes back from {known} to {part.offset}"
            )
            if mine and self._dice.random() < 0.9:
                self._cluster.commits[part.partition] = part.offset, part.metadata

    def close(self) -> None:
        """Left open: see `Worker`."""


class Outbox:
    """Sends to the cluster: what is under way arrives in order, later, and at the latest when it is waited for."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._under_way: deque[Outgoing] = deque()

    async def send(self, record: Outgoing) -> None:
        self._under_way.append(record)
        await Step()

    async def acknowledged(self) -> None:
        while self._under_way:
            await Step()
            self.arrive(len(self._under_way))
        await Step()

    def arrive(self, some: int) -> None:
        for _ in range(min(some, len(self._under_way))):
            self._cluster.take(self._under_way.popleft())

    def check(self) -> None:
        """This log takes everything."""

    async def close(self) -> None:
        """Never told to stop."""


class Step:
    """Awaited where a worker does something to the outside: there the schedule may stop it."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Worker:
    """A worker's consumer thread and its agent, which take turns as the schedule says."""

    def __init__(self, cluster: Cluster, instance: str, dice: Random, registered: frozenset[str]) -> None:
        self._dice = dice
        self.outbox = Outbox(cluster)
        self.consumer = Consumer(cluster, self, dice)
        self.telemetry = TelemetryConsumer(self.consumer, TOPIC, WINDOW_MS, lambda: cluster.partitions)
        # A monotonic one: streams look at no other, so a worker's clock that is wrong by an hour can spoil nothing.
        self.clock = FakeClock()
        pace = Pace(TOPIC, WINDOW_MS, dice.choice([0.5, 5.0]), instance)
        self._owner = Owner(Publisher(self.outbox, 3), pace, self.clock, lambda: registered, self.telemetry.commit)
        self._inbox: deque[Handover] = deque()
        self._doing: Coroutine[Any, Any, None] | None = None
        self.telemetry.run(self._inbox.append, lambda: True)  # subscribes; the schedule polls from now on

    def step(self) -> None:
        """A poll of the thread, or what the agent does until it next touches the outside."""
        self.outbox.arrive(self._dice.choice([0, 0, 1, 3]))
        if len(self._inbox) < DEPTH and self._dice.random() < 0.4:
            self.telemetry._poll()
            return
        if self._doing is None:
            self.clock.advance(self._dice.choice([0, 0.02, 0.06, WINDOW_MS / 1000]))
            self._doing = self._owner.handle(self._inbox.popleft()) if self._inbox else self._owner.beat()
        try:
            self._doing.send(None)
        except StopIteration:
            self._doing = None

    def die(self) -> None:
        """Like by kill -9."""
        if self._doing is not None:
            self._doing.close()
