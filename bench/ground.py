"""What benchmarks of streams stand on: a real Kafka, a topic of telemetry, workers as processes, and what these say."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.windows import CohortWindow
from transport.kafka_log import partitions
from transport.local_kafka import LocalKafka
from transport.settings import KafkaSettings
from transport.topics import ensure_topics

WINDOWS = "cohort-windows"


@contextmanager
def node() -> Iterator[tuple[KafkaSettings, Path]]:
    """A Kafka with every topic, and a folder; both are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="davylamp-bench-") as folder, LocalKafka(Path(folder) / "kafka") as started:
        kafka = KafkaSettings(bootstrap=started.bootstrap)
        ensure_topics(kafka)
        yield kafka, Path(folder)


def make_topic(kafka: KafkaSettings, topic: str, partitions: int) -> None:
    """Telemetry in the broker's time."""
    with AdminClient(kafka.librdkafka("bench")) as admin:
        config = {"message.timestamp.type": "LogAppendTime"}
        for made in admin.create_topics([NewTopic(topic, partitions, 1, config=config)]).values():
            made.result(20)


class Worker:
    """A process `python -m streams` with its own name, at its usual settings."""

    def __init__(self, kafka: KafkaSettings, topic: str, folder: Path, instance: str = "bench") -> None:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("DAVYLAMP_")} | {
            "DAVYLAMP_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "DAVYLAMP_STREAMS_TOPIC": topic,
            "DAVYLAMP_STREAMS_INSTANCE": instance,
            "DAVYLAMP_STREAMS_DATA_FOLDER": str(folder / instance),
        }
        with (folder / f"{instance}.log").open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "streams"], env=environ, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        """Of the process. Raises ``RuntimeError`` if it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"a worker ended with {self._process.returncode}")
        return self._process.pid

    def kill(self) -> None:
        """By signal 9."""
        self._process.kill()
        self._process.wait()


@contextmanager
def workers(kafka: KafkaSettings, topic: str, folder: Path, n: int) -> Iterator[list[Worker]]:
    """So many, as many as there are until the end."""
    made = [Worker(kafka, topic, folder, f"{topic}-{number}") for number in range(n)]
    try:
        yield made
    finally:
        for worker in made:
            worker.kill()


class Sender:
    """Sends telemetry as the SDK's producer does, and knows how far the log has it."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        settings = {"linger.ms": 5, "compression.type": "lz4", "acks": "all", "queue.buffering.max.kbytes": 65_536}
        self._producer = Producer(kafka.librdkafka("bench") | settings)
        self._topic = topic
        self.sent = 0
        """Messages."""
        self.acknowledged = 0

    def send(self, key: bytes, value: bytes, partition: int, told: Callable[[Any], None] | None = None) -> None:
        """Waits only while the queue is full; `told` is called with the message as the log has it."""

        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                raise RuntimeError(f"the log refused an event: {error}")
            self.acknowledged += 1
            if told is not None:
                told(message)

        while True:
            try:
                self._producer.produce(self._topic, value, key, partition=partition, on_delivery=delivered)
                break
            except BufferError:
                self._producer.poll(0.01)
        self.sent += 1
        self._producer.poll(0)

    def flush(self) -> None:
        """Return when the log has all."""
        self._producer.flush(60)


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of `cohort-windows`."""

    key: bytes
    value: bytes

    @property
    def final(self) -> bool:
        """Its key says so."""
        return self.key.endswith(b"|final")

    @property
    def window(self) -> CohortWindow:
        """What it says."""
        return CohortWindow.read(self.value)


class Ear:
    """Hears `cohort-windows` from its start."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._consumer = Consumer(
            kafka.librdkafka("bench") | {"group.id": "davylamp-reader-bench", "enable.auto.commit": False}
        )
        self._consumer.assign([TopicPartition(WINDOWS, p, 0) for p in partitions(self._consumer, WINDOWS, 10)])

    def hear(self, wait_s: float = 0.02) -> list[Heard]:
        """What has come since, waiting so long for the first."""
        found: list[Any] = self._consumer.consume(1, wait_s)
        while more := self._consumer.consume(500, 0) if found else []:
            found += more
        return [Heard(m.key(), m.value()) for m in found if m.error() is None]

    def until(self, enough: Callable[[list[Heard]], bool], patience_s: float) -> None:
        """Hear until that is enough. Raises ``TimeoutError``."""
        end = time.monotonic() + patience_s
        while not enough(self.hear()):
            if time.monotonic() > end:
                raise TimeoutError(f"not heard within {patience_s:g} s")

    def close(self) -> None:
        """The end."""
        self._consumer.close()


class Counts:
    """Requests counted so far: of each window and partition what the word that reaches furthest says, a final at last."""

    def __init__(self) -> None:
        self._furthest: dict[tuple[str, int, int], tuple[tuple[int, bool], int]] = {}

    def hear(self, heard: Iterable[Heard]) -> int:
        """All of them, with these."""
        for one in heard:
            window = one.window
            place, reach = (window.service, window.partition, window.window_start), (window.through, window.final)
            furthest, counted = self._furthest.get(place, (reach, 0))
            if reach < furthest:
                continue
            if reach > furthest:
                counted = 0
            here = sum(n for cell in window.cells for n in cell.outcomes.values())
            self._furthest[place] = reach, here + (counted if window.part > 1 else 0)
        return sum(n for _, n in self._furthest.values())
