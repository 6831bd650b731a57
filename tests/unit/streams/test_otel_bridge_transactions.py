"""Spans become events once, and their place is never known without them: over a Kafka in memory that knows transactions."""

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException

from cli.dead_letters import DEAD_LETTERS, DeadLetter
from davylamp_sdk._event import RequestEvent
from streams.otel_bridge import LETTERS_AT_ONCE, Bridge, OtelBridgeSettings
from streams.otel_metrics import Tally, render
from tests.transactions import Broker, Member, Producer
from tests.unit.status.test_metrics import samples
from tests.unit.streams.test_otel_bridge import PING, message, span_of
from transport.log import Record

SOURCE, TELEMETRY = "otlp_spans", "mcp-requests"
FIRST, SECOND = ("0a" * 8, "0b" * 8)


class Scene:
    """Two messages of spans in a partition, and bridges."""

    def __init__(self) -> None:
        self.broker = Broker()
        for span in (FIRST, SECOND):
            self.broker.append(SOURCE, message(span_of(says=PING, spanId=span)))

    def bridge(self, instance: str = "b1") -> tuple[Bridge, Member, Producer]:
        member, producer = Member(self.broker), Producer(self.broker, instance)
        return Bridge(member, producer, OtelBridgeSettings()), member, producer

    def owner(self, instance: str = "b1") -> tuple[Bridge, Member, Producer]:
        """A bridge that the group gave the spans to."""
        made = self.bridge(instance)
        self.broker.members.pop((SOURCE, 0), None)
        self.broker.move((SOURCE, 0), made[1])
        return made

    def assert_once(self) -> None:
        sent = [RequestEvent.read(r.value or b"") for r in self.broker.committed(TELEMETRY)]
        assert len(sent) == len({event.sequence for event in sent}) == 2
        assert self.broker.places == {(SOURCE, 0): 2}


def test_events_and_the_place_of_their_spans_are_known_at_one_moment() -> None:
    scene = Scene()
    seen = list[tuple[int, int]]()
    scene.broker.changed = lambda: seen.append(
        (len(scene.broker.committed(TELEMETRY)), scene.broker.places.get((SOURCE, 0), 0))
    )
    scene.owner()[0].step()
    assert seen == [(2, 2)]
    scene.assert_once()


def refused(scene: Scene, _: Producer) -> None:
    scene.broker.refuses = lambda topic, _: topic == TELEMETRY


def fenced(scene: Scene, producer: Producer) -> None:
    producer.before_commit = lambda: Producer(scene.broker, producer.name).init_transactions(0)


def fenced_when_the_log_has_them(scene: Scene, producer: Producer) -> None:
    def fence() -> None:
        producer.poll(0)
        Producer(scene.broker, producer.name).init_transactions(0)

    producer.before_commit = fence


def put_out_of_the_group(scene: Scene, producer: Producer) -> None:
    offsets = producer.send_offsets_to_transaction

    def too_late(*arguments: object) -> None:
        scene.broker.generation += 1  # its session is over, and it has not heard of it
        offsets(*arguments)  # type: ignore[arg-type]

    producer.send_offsets_to_transaction = too_late  # type: ignore[method-assign, assignment]


def put_out_of_the_group_and_back_as_another_member(scene: Scene, producer: Producer) -> None:
    begin = producer.begin_transaction

    def too_late() -> None:
        scene.broker.generation += 1  # librdkafka has heard of it, the bridge has not polled since
        begin()

    producer.begin_transaction = too_late  # type: ignore[method-assign]


FAILURES = (
    refused,
    fenced,
    fenced_when_the_log_has_them,
    put_out_of_the_group,
    put_out_of_the_group_and_back_as_another_member,
)


@pytest.mark.parametrize("fails", FAILURES)
def test_where_it_fails_in_the_middle_nothing_is_known_and_who_is_started_again_sends_it_once(
    fails: Callable[[Scene, Producer], None],
) -> None:
    scene = Scene()
    bridge, _, producer = scene.owner()
    fails(scene, producer)
    with pytest.raises(KafkaException) as raised:
        bridge.step()
    assert raised.value.args[0].code() != KafkaError._STATE
    assert (scene.broker.committed(TELEMETRY), scene.broker.places) == ([], {})
    scene.broker.refuses = lambda *_: False
    scene.owner()[0].step()
    scene.assert_once()


def test_what_it_polled_of_a_partition_that_the_group_takes_in_the_middle_is_sent_by_the_next_owner_alone() -> None:
    scene = Scene()
    bridge, member, _ = scene.owner("b1")
    heir, theirs, _ = scene.bridge("b2")
    polled = member.consume

    def polls(count: int, timeout: float) -> list[object]:
        found = polled(1, timeout)
        if len(found) == 1 and not member.told:
            scene.broker.move((SOURCE, 0), theirs)  # it hears of it in the next poll of the same step
        return list(found)

    member.consume = polls  # type: ignore[method-assign, assignment]
    bridge.step()
    assert scene.broker.committed(TELEMETRY) == []
    heir.step()
    bridge.step()
    scene.assert_once()
    assert member.in_callback == []


@pytest.mark.parametrize(
    ("committed", "retained", "start", "tally", "action"),
    [
        (None, 1, 1, Tally(), []),  # nobody has read what is gone, and nobody asked for it
        (1, 0, 1, Tally(), []),
        (1, 1, 1, Tally(), []),
        (2, 2, 2, Tally(), []),
        (0, 2, 2, Tally(lost=2), ["spans_lost"]),
        (9, 1, 1, Tally(), ["spans_anew"]),
    ],
)
def test_it_reads_on_where_it_was_and_says_what_retention_took(
    committed: int | None, retained: int, start: int, tally: Tally, action: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene()
    scene.broker.places |= {} if committed is None else {(SOURCE, 0): committed}
    scene.broker.retained[SOURCE, 0] = retained
    bridge, member, _ = scene.owner()
    assert (member.positions, bridge.tally) == ({(SOURCE, 0): start}, tally)
    assert [vars(record)["action"] for record in caplog.records] == action


def test_a_bridge_that_is_killed_in_the_middle_holds_up_nobody_once_it_is_started_again() -> None:
    scene = Scene()
    bridge, _, producer = scene.owner()

    def die() -> None:
        producer.poll(0)
        raise SystemExit

    producer.before_commit = die
    with pytest.raises(SystemExit):
        bridge.step()
    scene.broker.append(TELEMETRY, b"another's")
    assert scene.broker.committed(TELEMETRY) == []
    heir, _, _ = scene.owner()
    assert [r.value for r in scene.broker.committed(TELEMETRY)] == [b"another's"]
    scene.broker.logs[TELEMETRY, 0].clear()
    heir.step()
    scene.assert_once()


def letters(scene: Scene) -> list[Record]:
    return scene.broker.committed(DEAD_LETTERS)


def test_a_message_that_is_no_trace_is_kept_with_where_it_came_from_in_the_transaction_that_passes_it() -> None:
    scene = Scene()
    scene.broker.append(SOURCE, b"{")
    bridge, _, producer = scene.owner()
    seen = list[tuple[int, int]]()
    scene.broker.changed = lambda: seen.append((len(letters(scene)), scene.broker.places.get((SOURCE, 0), 0)))
    bridge.step()
    assert seen == [(1, 3)]
    (letter,) = map(DeadLetter.of, letters(scene))
    assert letter is not None
    assert (letter.origin, letter.value, letter.reason[:10]) == (f"{SOURCE}-0@2", b"{", "not_otlp: ")
    assert (bridge.tally.requests, bridge.tally.malformed, bridge.tally.unkept) == (2, 1, 0)
    assert producer.name == "b1"


def test_of_a_flood_not_every_message_is_kept_and_all_are_counted() -> None:
    scene = Scene()
    for _ in range(LETTERS_AT_ONCE + 5):
        scene.broker.append(SOURCE, b"{")
    bridge, _, _ = scene.owner()
    bridge.step()
    found = samples(render(bridge.tally))
    assert len(letters(scene)) == found["davylamp_otel_dead_letters_total"] == LETTERS_AT_ONCE
    assert found['davylamp_otel_messages_lost_total{reason="malformed"}'] == LETTERS_AT_ONCE + 5
    assert found['davylamp_otel_messages_lost_total{reason="unkept"}'] == 5
    assert found['davylamp_otel_spans_total{became="request"}'] == 2


def test_a_letter_that_the_log_does_not_take_ends_the_bridge_and_nothing_is_passed() -> None:
    scene = Scene()
    scene.broker.append(SOURCE, b"{")
    scene.broker.refuses = lambda topic, _: topic == DEAD_LETTERS
    with pytest.raises(KafkaException):
        scene.owner()[0].step()
    assert (scene.broker.committed(TELEMETRY), scene.broker.places) == ([], {})
