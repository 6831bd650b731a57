"""The model of control (`tests/unit/test_control_model.py`) with real topics for its log: every process reads for itself.

What time it is stays the model's: of a record Kafka says where it lies and what it holds, the model when it was appended.
Few histories, for each writes and reads some hundred records. To look longer: ``CONTROL_EXAMPLES=50``.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, ClassVar, cast

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from judge.fold import TOPICS
from schemas.topics import Topic
from tests.unit.control_actors import Tape
from tests.unit.test_control_model import Control
from transport.clock import FakeClock
from transport.kafka_log import KafkaReader, KafkaWriter
from transport.log import Batch, Position, Record
from transport.settings import KafkaSettings

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

EXAMPLES = int(os.environ.get("CONTROL_EXAMPLES", "6"))
_TAPES = count(1)


class KafkaTape(Tape):
    """Topics of its own on a real Kafka. A loop of its own, in a thread, does the asking."""

    def __init__(self, clock: FakeClock, kafka: KafkaSettings) -> None:
        super().__init__(clock)
        self.kafka = kafka
        self.prefix = f"model-{os.getpid()}-{next(_TAPES)}-"
        self.appended_ms: dict[tuple[str, int], int] = {}
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        with AdminClient(kafka.librdkafka("model")) as admin:
            for created in admin.create_topics([NewTopic(self.prefix + topic, 1) for topic in TOPICS]).values():
                created.result()
            while not {self.prefix + topic for topic in TOPICS} <= admin.list_topics(timeout=10).topics.keys():
                time.sleep(0.02)  # the broker hears of a topic after the controller has confirmed it
        self._writer = KafkaWriter(kafka, "model")
        self._reels: list[Reel] = []
        self.topics = cast("dict[str, list[Record]]", self.reel())

    def put(self, topic: str, value: bytes) -> Position:
        """Return once Kafka has it."""
        position: Position = self.run(self._writer.append(cast("Topic", self.prefix + topic), "orders", value))
        self.appended_ms[topic, position.offset] = self.clock.now_ms()
        return replace(position, timestamp_ms=self.clock.now_ms())

    def reel(self) -> "Reel":
        self._reels.append(Reel(self))
        return self._reels[-1]

    def run(self, work: Any) -> Any:
        """In the loop of this tape."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def close(self) -> None:
        for reel in self._reels:
            self.run(reel.reader.close())
        self.run(self._writer.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Reel(Mapping[str, Sequence[Record]]):
    """A consumer of its own, which reads from the start to where the topics end whenever somebody looks."""

    def __init__(self, tape: KafkaTape) -> None:
        self._tape = tape
        self._read: dict[str, list[Record]] = {topic: [] for topic in TOPICS}
        self.reader = KafkaReader(tape.kafka, "model", [cast("Topic", tape.prefix + topic) for topic in TOPICS])
        self._batches: AsyncIterator[Batch] = self.reader.batches()

    def __getitem__(self, topic: str) -> Sequence[Record]:
        while sum(map(len, self._read.values())) < len(self._tape.appended_ms):
            for record in self._tape.run(anext(self._batches)).records:
                name = record.topic.removeprefix(self._tape.prefix)
                at_ms = self._tape.appended_ms[name, record.offset]
                self._read[name].append(replace(record, topic=name, timestamp_ms=at_ms))
        return self._read[topic]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


class OnKafka(Control):
    """The same rules, the same invariants."""

    kafka: ClassVar[KafkaSettings]

    def new_tape(self) -> Tape:
        return KafkaTape(self.clock, self.kafka)


def test_two_judges_two_routers_people_and_crashes_agree_over_real_topics(kafka: KafkaSettings) -> None:
    OnKafka.kafka = kafka
    run_state_machine_as_test(
        OnKafka,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
