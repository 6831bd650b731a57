"""A reader that asks where its log ends, and what it does when nobody answers."""

from collections.abc import Mapping
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
