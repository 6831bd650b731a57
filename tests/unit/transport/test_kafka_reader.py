"""A reader that asks where its log ends, and what it does when nobody answers."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import ListOffsetsResultInfo

from transport import kafka_log
from transport.kafka_log import KafkaReader
from transport.settings import KafkaSettings

FENCED = KafkaException(KafkaError(KafkaError.FENCED_LEADER_EPOCH))


class Asked:
    """Admin clients, each of which answers one question as it is told to; None is no answer at all."""

    def __init__(self, *answers: int | Exception | None) -> None:
        self.answers = list(answers)
        self.made = 0

    def __call__(self, _: Mapping[str, Any]) -> "Asked":
        self.made += 1
        return self

    def list_offsets(self, asked: Mapping[TopicPartition, Any], request_timeout: float) -> dict[TopicPartition, Any]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        futures: dict[TopicPartition, Future[Any]] = {partition: Future() for partition in asked}
        for future in futures.values():
            future.set_running_or_notify_cancel()
            if answer is not None:
                future.set_result(ListOffsetsResultInfo(answer, -1, 0))
        return futures


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> KafkaReader:
    monkeypatch.setattr(kafka_log, "_ASK_S", 0.01)
    monkeypatch.setattr(kafka_log, "_AGAIN_S", 0.0)
    made = KafkaReader(KafkaSettings(), "reader", ["services"])
    made._taken = {("services", 0): 7}
    return made


@pytest.mark.parametrize("first", [None, FENCED], ids=["forgotten", "refused"])
async def test_a_question_that_nobody_answers_is_asked_again_by_a_new_client(
    reader: KafkaReader, first: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(first, 7)
    monkeypatch.setattr(kafka_log, "AdminClient", asked)
    await reader.read_to_end()
    assert asked.made == 2
    assert asked.answers == []


class Deaf:
    """Consumers, the first of which has forgotten its topics for good; what any of them was assigned."""

    def __init__(self) -> None:
        self.made: list[list[tuple[str, int, int]]] = []
        self.closed = 0

    def __call__(self, _: Mapping[str, Any]) -> "Deaf":
        self.made.append([])
        return self

    def assign(self, assigned: Sequence[TopicPartition]) -> None:
        self.made[-1] = [(at.topic, at.partition, at.offset) for at in assigned]

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition("services", 0)]

    def consume(self, *_: float) -> list[Any]:
        return []

    def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
        if len(self.made) == 1:
            raise FORGOTTEN
        return 0, 9

    def close(self) -> None:
        self.closed += 1


FORGOTTEN = KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))


def test_a_consumer_that_gets_no_answer_for_long_is_replaced_where_it_was(
    reader: KafkaReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf, now = Deaf(), [100.0]
    monkeypatch.setattr(kafka_log, "Consumer", deaf)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    reader._consumer, reader._behind, reader._reached = deaf({}), {}, {("services", 0): 7}
    reader._poll()
    now[0] += 2.0
    reader._poll()
    assert len(deaf.made) == 1  # it may come back by itself
    now[0] += 4.0
    reader._poll()
    assert deaf.made[1] == [("services", 0, 7)]
    assert deaf.closed == 1
    assert reader.away_s == 6.0
    reader._poll()
    assert reader.away_s == 0.0
