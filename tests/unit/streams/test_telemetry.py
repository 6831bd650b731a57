"""The telemetry consumer's thread, over a fake consumer."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, KafkaException, TopicPartition

from streams import telemetry as module
from streams.checkpoint import Checkpoint, ForeignCheckpointError
from streams.handover import Assigned, Handover, Polled, Revoked
from streams.telemetry import (
    AppendTimeError,
    ForeignPartitionsError,
    TelemetryConsumer,
    consumer_settings,
)
from transport.settings import KafkaSettings

TOPIC = "mcp-requests"
WINDOW_MS = 100
NOTHING = -1001
"""librdkafka's offset of a partition that nobody committed."""


class FakeMessage:
    def __init__(
        self, partition: int, offset: int, *, size: int = 10, error: Any = None, kind: int = TIMESTAMP_LOG_APPEND_TIME
    ) -> None:
        self._partition, self._offset, self._error, self._kind = partition, offset, error, kind
        self._value = b"x" * size

    def __len__(self) -> int:
        return len(self._value)

    def error(self) -> Any:
        return self._error

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return self._kind, 1000 + self._offset

    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return self._value

    def headers(self) -> None:
        return None


class OddMessage(FakeMessage):
    """Of a producer that named a header in no UTF-8, as confluent-kafka tells of it."""

    def headers(self) -> None:
        raise SystemError("<method 'headers'> returned a result with an exception set")


class Part:
    """What `committed()` answers for a partition."""

    def __init__(self, partition: int, offset: int = NOTHING, metadata: str | None = None, error: Any = None) -> None:
        self.topic, self.partition, self.offset, self.metadata, self.error = TOPIC, partition, offset, metadata, error


class FakeConsumer:
    """Each call of `consume()` takes the next step: messages, or something that happens, and then none come.

    It cannot be asked for its topics: in the callbacks, where they are needed, the real one may not.
    """

    def __init__(self, *steps: Sequence[FakeMessage] | Callable[[], None]) -> None:
        self.steps = list(steps)
        self.commits: dict[int, Part] = {}
        self.range = (0, 1000)
        self.assigned: list[tuple[int, int]] = []
        self.unassigned: list[int] = []
        self.committed_offsets: list[tuple[int, int, str]] = []
        self.closed = False
        self.subscribed = 0

    def subscribe(self, topics: list[str], **callbacks: Callable[[Any, Any], None]) -> None:
        assert topics == [TOPIC]
        self.subscribed += 1
        self.callbacks = callbacks

    def unsubscribe(self) -> None:
        assert self.subscribed == 1, "before it joins anew"

    def consume(self, count: int, timeout: float) -> Sequence[FakeMessage]:
        assert count * timeout in (0, 0.1), "wait for the first message only"
        if not self.steps:
            return []
        step = self.steps.pop(0)
        if callable(step):
            step()
            return []
        return step

    def committed(self, parts: Sequence[TopicPartition], timeout: float) -> list[Part]:
        return [self.commits.get(p.partition, Part(p.partition)) for p in parts]

    def get_watermark_offsets(self, part: Any, timeout: float) -> tuple[int, int]:
        return self.range

    def incremental_assign(self, parts: Sequence[TopicPartition]) -> None:
        self.assigned += [(p.partition, p.offset) for p in parts]

    def incremental_unassign(self, parts: Sequence[TopicPartition]) -> None:
        self.unassigned += [p.partition for p in parts]

    def commit(self, offsets: Sequence[TopicPartition], *, asynchronous: bool) -> None:
        assert asynchronous
        self.committed_offsets += [(p.partition, p.offset, p.metadata) for p in offsets]

    def close(self) -> None:
        self.closed = True

    def rebalance(self, name: str, *partitions: int) -> Callable[[], None]:
        return lambda: self.callbacks[name](self, [TopicPartition(TOPIC, p) for p in partitions])


def run(fake: FakeConsumer, telemetry: TelemetryConsumer | None = None) -> list[Handover]:
    """Let the thread work until its steps are done."""
    handed: list[Handover] = []
    (telemetry or TelemetryConsumer(fake, TOPIC, WINDOW_MS, lambda: 4)).run(handed.append, lambda: not fake.steps)
    return handed


def messages(partition: int, *offsets: int) -> list[FakeMessage]:
    return [FakeMessage(partition, offset) for offset in offsets]


def polled(handed: Sequence[Handover]) -> list[tuple[int, int, list[int]]]:
    """(partition, number, offsets) of each batch."""
    return [(h.partition, h.number, h.messages.offsets.tolist()) for h in handed if isinstance(h, Polled)]


def test_an_assignment_without_a_commit_begins_at_the_first_retained_message() -> None:
    fake = FakeConsumer()
    fake.steps = [fake.rebalance("on_assign", 0, 3)]
    fake.range = (40, 50)
    assert run(fake) == [Assigned(p, 4, Checkpoint.earliest(40), lost=40) for p in (0, 3)]
    assert fake.assigned == [(0, 40), (3, 40)]


def test_of_a_topic_that_begins_at_its_beginning_nothing_is_lost() -> None:
    fake = FakeConsumer()
    fake.steps = [fake.rebalance("on_assign", 0)]
    fake.range = (0, 50)
    assert run(fake) == [Assigned(0, 4, Checkpoint.earliest(0), lost=0)]


def test_an_assignment_goes_on_from_the_commit_one_window_earlier() -> None:
    fake = FakeConsumer()
    fake.steps = [fake.rebalance("on_assign", 0)]
    checkpoint = Checkpoint(70, 1234, 60)
    fake.commits[0] = Part(0, 70, checkpoint.metadata(WINDOW_MS))
    assert run(fake) == [Assigned(0, 4, checkpoint, 0)]
    assert fake.assigned == [(0, 60)]


def test_messages_that_retention_took_unread_are_named() -> None:
    fake = FakeConsumer()
    fake.steps = [fake.rebalance("on_assign", 0)]
    fake.commits[0] = Part(0, 70, Checkpoint(70, 1234, 60).metadata(WINDOW_MS))
    fake.range = (75, 90)
    assert run(fake) == [Assigned(0, 4, Checkpoint(75, 1300, 75), 5)]
    assert fake.assigned == [(0, 75)]


def test_a_commit_beyond_the_end_of_the_log_is_refused() -> None:
    fake = FakeConsumer()
    fake.steps = [fake.rebalance("on_assign", 0)]
    fake.commits[0] = Part(0, 70, Checkpoint(70, 1234, 60).metadata(WINDOW_MS))
    fake.range = (0, 69)
    with pytest.raises(ForeignCheckpointError, match="ends at 69, before the committed 70"):
        run(fake)


def test_a_foreign_commit_is_refused_and_the_consumer_closed() -> None:
    fake = FakeConsumer()
    fake.steps = [fake.rebalance("on_assign", 0)]
    fake.commits[0] = Part(0, 70, "")
    with pytest.raises(ForeignCheckpointError):
        run(fake)
    assert fake.closed


def test_a_commit_that_the_broker_cannot_tell_is_an_error() -> None:
    fake = FakeConsumer()
    fake.steps = [fake.rebalance("on_assign", 0)]
    fake.commits[0] = Part(0, error="not coordinator")
    with pytest.raises(KafkaException, match="not coordinator"):
        run(fake)


NO_STATE_OF_A_CALL = {"committed", "get_watermark_offsets", "incremental_assign", "incremental_unassign"}
"""What a callback of a rebalance may ask of its own consumer. All else that asks the broker (list_topics, list_groups, poll,
consume, close) puts a state of its own in the place of that of the call which runs the callback, and takes it away at its
end (CallState_begin and CallState_end in confluent-kafka's C): the next callback of the same call finds none and aborts the
process, SIGABRT. Nobody can catch that, so it is not even tried here."""


class Overheard:
    """A consumer, and what is asked of it while one of its callbacks runs."""

    def __init__(self, consumer: FakeConsumer) -> None:
        self._consumer = consumer
        self._calls_back = ""
        self.asked: list[tuple[str, str]] = []
        """(callback, what it asked)."""

    def subscribe(self, topics: list[str], **callbacks: Callable[[Any, Any], None]) -> None:
        self._consumer.subscribe(topics, **{name: self._noting(name, call) for name, call in callbacks.items()})

    def _noting(self, name: str, call: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def noting(_: Any, parts: Any) -> None:
            self._calls_back = name
            call(self, parts)
            self._calls_back = ""

        return noting

    def __getattr__(self, name: str) -> Any:
        if self._calls_back:
            self.asked.append((self._calls_back, name))
            assert name in NO_STATE_OF_A_CALL, f"{name}() in {self._calls_back}"
        return getattr(self._consumer, name)


def test_no_callback_of_a_rebalance_asks_the_broker_what_would_abort_the_process() -> None:
    fake = FakeConsumer()
    fake.commits[1] = Part(1, 70, Checkpoint(70, 1234, 60).metadata(WINDOW_MS))
    telemetry = TelemetryConsumer(overheard := Overheard(fake), TOPIC, WINDOW_MS, lambda: 4)
    fake.steps = [
        fake.rebalance("on_assign"),
        fake.rebalance("on_assign", 0, 1),
        messages(0, 5),
        fake.rebalance("on_revoke", 0, 3),
        lambda: fake.callbacks["on_assign"](fake, FOREIGN),
        lambda: fake.callbacks["on_revoke"](fake, FOREIGN),
        fake.rebalance("on_assign", 0),
        fake.rebalance("on_lost", 0, 1),
    ]
    run(fake, telemetry)
    by_callback = {name: {asked for by, asked in overheard.asked if by == name} for name, _ in overheard.asked}
    taken = {"incremental_unassign"}
    assert by_callback == {"on_assign": NO_STATE_OF_A_CALL - taken, "on_revoke": taken, "on_lost": taken}


def test_an_assignment_of_nothing_asks_the_broker_nothing() -> None:
    fake = FakeConsumer()
    fake.steps = [fake.rebalance("on_assign")]
    assert run(fake) == []
    assert fake.assigned == []


FOREIGN = [TopicPartition(TOPIC, 2), TopicPartition("mcp-requests.orders", 1)]
"""What a static member gets that was another topic's before."""


def test_partitions_of_another_topic_are_refused_and_the_group_is_joined_anew() -> None:
    fake = FakeConsumer()

    def leave() -> None:
        assert fake.subscribed == 2
        fake.callbacks["on_revoke"](fake, FOREIGN)

    fake.steps = [
        lambda: fake.callbacks["on_assign"](fake, FOREIGN),
        leave,
        fake.rebalance("on_assign", 0),
        messages(0, 4),
    ]
    handed = run(fake)
    assert [type(h) for h in handed] == [Assigned, Polled]
    assert (fake.assigned, fake.unassigned) == ([(0, 0)], [])


def test_a_worker_that_gets_them_again_at_once_ends_and_says_whose_they_are() -> None:
    fake = FakeConsumer()
    fake.steps = [lambda: fake.callbacks["on_assign"](fake, FOREIGN)] * 3
    with pytest.raises(ForeignPartitionsError, match=r"partitions of mcp-requests\.orders .* reads mcp-requests:"):
        run(fake)
    assert (fake.assigned, fake.subscribed, fake.closed) == ([], 2, True)


def test_partitions_of_another_topic_cost_those_that_it_had_nothing_but_a_second_reading() -> None:
    fake = FakeConsumer()
    fake.steps = [
        fake.rebalance("on_assign", 0),
        messages(0, 1),
        [],
        [],
        lambda: fake.callbacks["on_assign"](fake, FOREIGN[1:]),
        lambda: fake.callbacks["on_revoke"](fake, [TopicPartition(TOPIC, 0), *FOREIGN[1:]]),
        fake.rebalance("on_assign", 0),
        messages(0, 1),
    ]
    assert [type(h) for h in run(fake)] == [Assigned, Polled, Revoked, Assigned, Polled]
    assert fake.unassigned == [0]


def test_what_was_polled_is_handed_over_by_partition_numbered() -> None:
    fake = FakeConsumer()
    fake.steps = [
        fake.rebalance("on_assign", 0, 1),
        messages(0, 1),
        [*messages(1, 7), *messages(0, 2)],
        [],
        [],
        messages(0, 3),
    ]
    assert polled(run(fake)) == [(0, 1, [1, 2]), (1, 1, [7]), (0, 2, [3])]


def test_a_record_is_what_the_broker_said() -> None:
    fake = FakeConsumer()
    fake.steps = [fake.rebalance("on_assign", 0), messages(0, 5)]
    *_, batch = run(fake)
    assert isinstance(batch, Polled)
    (found,) = batch.messages.records()
    assert (found.topic, found.timestamp_ms, found.key, found.value, found.headers) == (
        TOPIC,
        1005,
        b"k",
        b"x" * 10,
        {},
    )


def test_a_record_with_a_header_whose_name_is_not_utf_8_has_none() -> None:
    fake = FakeConsumer()
    fake.steps = [fake.rebalance("on_assign", 0), [OddMessage(0, 5)]]
    *_, batch = run(fake)
    assert isinstance(batch, Polled)
    assert [(r.offset, r.headers) for r in batch.messages.records()] == [(5, {})]


def test_a_poll_is_bounded_by_bytes() -> None:
    fake = FakeConsumer()
    large = [[FakeMessage(0, i, size=300_000)] for i in range(4)]
    fake.steps = [fake.rebalance("on_assign", 0), *large]
    assert polled(run(fake)) == [(0, 1, [0, 1]), (0, 2, [2, 3])]


def test_a_poll_is_bounded_by_messages() -> None:
    fake = FakeConsumer()
    fake.steps = [fake.rebalance("on_assign", 0), *(messages(0, *range(i, i + 500)) for i in range(0, 3000, 500))]
    assert [len(offsets) for _, _, offsets in polled(run(fake))] == [2000, 1000]


def test_what_was_polled_of_a_partition_lost_in_the_same_poll_is_not_handed_over() -> None:
    fake = FakeConsumer()

    def lose_and_win() -> None:
        fake.rebalance("on_revoke", 0)()
        fake.rebalance("on_assign", 0)()

    fake.steps = [
        fake.rebalance("on_assign", 0, 1),
        [*messages(0, 50), *messages(1, 60)],
        lose_and_win,
        messages(0, 0),
    ]
    handed = run(fake)
    assert polled(handed) == [(1, 1, [60]), (0, 1, [0])]
    assert [type(h) for h in handed if h.partition == 0] == [Assigned, Revoked, Assigned, Polled]


@pytest.mark.parametrize("name", ["on_revoke", "on_lost"])
def test_a_lost_partition_is_revoked_once(name: str) -> None:
    fake = FakeConsumer()
    fake.steps = [fake.rebalance("on_assign", 0), fake.rebalance(name, 0), fake.rebalance(name, 0), messages(0, 4)]
    assert [type(h) for h in run(fake)] == [Assigned, Revoked]
    assert fake.unassigned == [0]


def test_commits_are_made_by_the_thread_the_newest_of_each_partition() -> None:
    fake = FakeConsumer()
    telemetry = TelemetryConsumer(fake, TOPIC, WINDOW_MS, lambda: 4)

    def commit() -> None:
        telemetry.commit(0, Checkpoint(5, 1000, 2))
        telemetry.commit(1, Checkpoint(9, 1000, 9))
        telemetry.commit(0, Checkpoint(8, 1100, 5))
        assert fake.committed_offsets == []

    fake.steps = [fake.rebalance("on_assign", 0, 1), commit, [], []]
    run(fake, telemetry)
    assert fake.committed_offsets == [(0, 8, "2,100,1100,5,200"), (1, 9, "2,100,1000,9,200")]


def test_a_commit_of_the_time_before_a_partition_was_lost_and_won_again_does_not_lead_the_group_back() -> None:
    fake = FakeConsumer()
    telemetry = TelemetryConsumer(fake, TOPIC, WINDOW_MS, lambda: 4)

    def another_went_on() -> None:
        fake.rebalance("on_revoke", 0)()
        fake.commits[0] = Part(0, 70, Checkpoint(70, 1234, 60).metadata(WINDOW_MS))

    fake.steps = [
        fake.rebalance("on_assign", 0),
        another_went_on,
        fake.rebalance("on_assign", 0),
        lambda: telemetry.commit(0, Checkpoint(50, 1100, 40)),
        lambda: telemetry.commit(0, Checkpoint(80, 1300, 70)),
        lambda: telemetry.commit(0, Checkpoint(75, 1200, 70)),
        [],
    ]
    run(fake, telemetry)
    assert [offset for _, offset, _ in fake.committed_offsets] == [80]


def test_a_partition_that_is_not_ours_any_more_is_not_committed() -> None:
    fake = FakeConsumer()
    telemetry = TelemetryConsumer(fake, TOPIC, WINDOW_MS, lambda: 4)
    fake.steps = [
        fake.rebalance("on_assign", 0),
        fake.rebalance("on_revoke", 0),
        lambda: telemetry.commit(0, Checkpoint(5, 1000, 2)),
    ]
    run(fake, telemetry)
    assert fake.committed_offsets == []


def test_an_error_from_the_broker_ends_the_thread_and_closes_the_consumer() -> None:
    fake = FakeConsumer()
    fake.steps = [fake.rebalance("on_assign", 0), [FakeMessage(0, 0, error="fenced")]]
    with pytest.raises(KafkaException, match="fenced"):
        run(fake)
    assert fake.closed


def test_a_topic_in_the_producers_time_is_refused() -> None:
    fake = FakeConsumer()
    fake.steps = [fake.rebalance("on_assign", 0), [FakeMessage(0, 0, kind=TIMESTAMP_CREATE_TIME)]]
    with pytest.raises(AppendTimeError, match=r"mcp-requests: .*LogAppendTime"):
        run(fake)


def test_a_thread_that_is_told_to_stop_closes_the_consumer() -> None:
    fake = FakeConsumer()
    assert run(fake) == []
    assert fake.closed


def test_the_consumer_is_a_static_member_under_the_classic_protocol() -> None:
    settings = consumer_settings(KafkaSettings(), "w1")
    assert settings["group.instance.id"] == "w1"
    assert settings["group.protocol"] == "classic"
    assert settings["partition.assignment.strategy"] == "cooperative-sticky"
    assert settings["enable.auto.commit"] is False
    assert settings["auto.offset.reset"] == "error"


def test_the_thread_ends_though_librdkafka_waits_for_a_broker_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, returned = threading.Event(), list[bool]()

    class Waiting(FakeConsumer):
        def close(self) -> None:
            returned.append(broker.wait(5.0))

    monkeypatch.setattr(module, "_CLOSE_S", 0.0)
    fake = Waiting()
    fake.steps = [fake.rebalance("on_assign", 0)]
    assert len(run(fake)) == 1
    assert returned == []
    broker.set()
