"""Streams on a real Kafka under fire: acknowledged = counted + named, in every cell and counter.

`EXACT_EVENTS=20000` looks shorter. Each prints what it counted, and how long a killed worker took to its first word.
"""

import asyncio
import base64
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import IO

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.windows import CohortWindow
from tests.streams_ground import PARTITIONS, PATIENCE_S, WINDOW_MS, Ground, ground, tell, values
from tests.telemetry import Said, is_tick, summed, truth
from transport.clock import SystemClock
from transport.local_kafka import LocalKafka
from transport.log import Record
from transport.settings import KafkaSettings
from transport.topics import ensure_topics

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

EVENTS = int(os.environ.get("EXACT_EVENTS", "200000"))
SESSION_S = 10
"""After so long the group gives a frozen member's partitions away."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """One Kafka for all of these but the one that restarts its own."""
    with LocalKafka(tmp_path_factory.mktemp("kafka")) as started:
        ensure_topics(KafkaSettings(bootstrap=started.bootstrap))
        yield started


@pytest.fixture
def kafka(node: LocalKafka) -> KafkaSettings:
    return KafkaSettings(bootstrap=node.bootstrap)


@pytest.fixture(scope="module")
def messages() -> list[bytes]:
    return values(EVENTS)


def portions(messages: Sequence[bytes], n: int) -> list[list[bytes]]:
    """In so many parts; equal ones in a row may be parted: then one is a duplicate over a crash."""
    size = -(-len(messages) // n)
    return [list(messages[i : i + size]) for i in range(0, len(messages), size)]


async def test_one_worker_is_killed_ten_times(kafka: KafkaSettings, tmp_path: Path, messages: list[bytes]) -> None:
    async with ground(kafka, tmp_path, "killed") as made:
        made.start()
        for portion in portions(messages, 10):
            await made.send(portion, 0.01)
            await made.restart()
        await made.assert_exact()
        assert len(made.restarts_s) == 10


async def test_two_workers_are_killed_frozen_and_told_to_stop(
    kafka: KafkaSettings, tmp_path: Path, messages: list[bytes]
) -> None:
    dice = Random(3)
    async with ground(kafka, tmp_path, "two") as made:
        for instance in ("w0", "w1"):
            made.start(instance)
        for fault, portion in zip(
            ["kill", "freeze", "stop", "kill", "freeze", "kill", "stop", "freeze"], portions(messages, 8), strict=True
        ):
            await made.send(portion, 0.01)
            await befall(made, fault, dice.choice(["w0", "w1"]))
        await made.assert_exact()


async def befall(made: Ground, fault: str, instance: str) -> None:
    """One fault, and what follows it: the other worker takes over what a frozen or stopped one had."""
    worker = made.workers[instance]
    if fault == "kill":
        worker.kill()
        made.start(instance)
    elif fault == "stop":
        worker.signal(signal.SIGTERM)
        worker.process.wait(PATIENCE_S)
        made.start(instance)
    else:
        worker.signal(signal.SIGSTOP)
        await asyncio.sleep(SESSION_S + 3)  # until the group has forgotten it
        worker.signal(signal.SIGCONT)


async def test_the_broker_is_restarted_twice(tmp_path: Path, messages: list[bytes]) -> None:
    with LocalKafka(tmp_path / "kafka") as node:
        kafka = KafkaSettings(bootstrap=node.bootstrap)
        ensure_topics(kafka)
        async with ground(kafka, tmp_path, "broker") as made:
            made.start()
            for portion in portions(messages, 2):
                sending = asyncio.create_task(made.send(portion, 0.02))
                await made.until(lambda: bool(made.published))
                await asyncio.to_thread(node.stop)
                await asyncio.to_thread(node.start)
                await sending
            await made.assert_exact()


PRODUCER = """
import base64, sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1], "linger.ms": 5})
def told(error, message):
    if error is None:
        print("ok", flush=True)
for line in sys.stdin:
    producer.produce(sys.argv[2], base64.b64decode(line), b"p", partition=0, on_delivery=told)
    producer.poll(0.0005)
producer.flush()
"""


async def test_a_producer_is_killed_and_restarted(kafka: KafkaSettings, tmp_path: Path, messages: list[bytes]) -> None:
    """What it was not told is in the log may be there all the same: it is sent again, and is a duplicate if it was soon."""
    async with ground(kafka, tmp_path, "producer") as made:
        made.start()
        at = 0
        for enough in (len(messages) // 3, len(messages) // 3, None):
            at += await asyncio.to_thread(produce_apart, made, messages[at:], enough)
        made.acknowledged = sum(not is_tick(r) for r in await made.whole(made.topic))
        assert made.acknowledged >= at == len(messages)
        await made.assert_exact()


def produce_apart(made: Ground, messages: Sequence[bytes], enough: int | None) -> int:
    """Let a process send until it was told of so many, and kill it then; or until all is sent. How many it was told of."""
    command = [sys.executable, "-c", PRODUCER, made.kafka.bootstrap, made.topic]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    lines = b"".join(base64.b64encode(message) + b"\n" for message in messages)
    writing = threading.Thread(target=write_all, args=(process.stdin, lines))
    writing.start()
    told = 0
    with process.stdout:
        for _ in process.stdout:
            told += 1
            if told == enough:
                process.kill()
    process.wait()
    writing.join()
    return told


def write_all(stdin: IO[bytes], lines: bytes) -> None:
    with suppress(BrokenPipeError), stdin:
        stdin.write(lines)


async def test_retention_takes_what_nobody_has_read(
    kafka: KafkaSettings, tmp_path: Path, messages: list[bytes]
) -> None:
    """The windows say how much, and that they are incomplete, for which the judge holds; what is left is counted."""
    first, second = portions(messages, 2)
    async with ground(kafka, tmp_path, "retention") as made:
        made.start()
        await made.send(first, 0.01)
        for _ in range(2):  # the second time the first one's windows are committed: else they were counted and named
            await made.said(await made.whole(made.topic))
        made.workers.pop("w0").kill()
        await made.send(second)
        whole = await made.whole(made.topic)
        kept = await asyncio.to_thread(let_retention_take, made, whole)
        made.start()
        said, finals = await made.said(whole)
        holes = {w.partition: w for w in finals if w.holes}
        assert sorted(holes) == list(range(PARTITIONS))
        assert all(w.incomplete and w.first_offset == kept[p] for p, w in holes.items())
        lost = [r for r in whole if kept[r.partition] - holes[r.partition].holes <= r.offset < kept[r.partition]]
        assert len(lost) == sum(w.holes for w in holes.values())
        assert said == summed(left_of(p, whole, finals, w) for p, w in holes.items())
        tell(f"{made.topic}: {len(lost)} messages lost and named")


def let_retention_take(made: Ground, whole: Sequence[Record]) -> dict[int, int]:
    """All but the last twenty records of each partition; where each begins then."""
    kept = {p: max(r.offset for r in whole if r.partition == p) - 20 for p in range(PARTITIONS)}
    with AdminClient(made.kafka.librdkafka("test-exact")) as admin:
        for done in admin.delete_records([TopicPartition(made.topic, *at) for at in kept.items()]).values():
            done.result()
    return kept


def left_of(partition: int, whole: Sequence[Record], finals: Sequence[CohortWindow], hole: CohortWindow) -> Said:
    """The truth about a partition without what was lost."""
    begin, end = hole.first_offset - hole.holes, hole.first_offset
    left = [r for r in whole if r.partition == partition and not begin <= r.offset < end]
    closed = max(w.window_end for w in finals if w.partition == partition and w.through <= begin)
    return truth(left, WINDOW_MS, {end: closed})


async def test_partitions_are_idle(kafka: KafkaSettings, tmp_path: Path, messages: list[bytes]) -> None:
    """All goes to one of four; ticks close the windows of the others."""
    async with ground(kafka, tmp_path, "idle") as made:
        made.start()
        await made.send(messages, 0.005, partitions=1)
        await made.assert_exact()


async def test_a_backlog_is_read_at_full_speed(kafka: KafkaSettings, tmp_path: Path, messages: list[bytes]) -> None:
    async with ground(kafka, tmp_path, "backlog") as made:
        await made.send(messages)
        begun = SystemClock().monotonic_s()
        made.start()
        await made.said(await made.whole(made.topic))
        tell(f"backlog: {EVENTS} events counted and final {SystemClock().monotonic_s() - begun:.1f} s after the start")
        await made.assert_exact()


async def test_a_worker_that_is_given_another_topic_counts_that_and_nothing_else(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    """At once after its death, while the group still keeps what it had; and it goes on in the first topic where it was."""
    async with ground(kafka, tmp_path, "before") as before, ground(kafka, tmp_path, "after") as after:
        before.start()
        await before.send(values(3000))
        await before.assert_exact()
        before.workers.pop("w0").kill()
        await after.send(values(400))
        after.start()
        await after.assert_exact()
        after.workers.pop("w0").kill()
        before.start()
        await before.send(values(1000)[:-1])
        await before.assert_exact()
        assert "_AUTO_OFFSET_RESET" not in (tmp_path / "w0.log").read_text()


async def test_a_topic_in_the_producers_time_is_refused(kafka: KafkaSettings, tmp_path: Path) -> None:
    """Stamps of producers may jump by hours: a worker ends and says what to set, rather than count by them."""
    async with ground(kafka, tmp_path, "create-time", **{"message.timestamp.type": "CreateTime"}) as made:
        made.start()
        worker = made.workers.pop("w0")
        await made.send(values(200))
        assert await asyncio.to_thread(worker.process.wait, PATIENCE_S) not in (0, None)
        assert "must have message.timestamp.type=LogAppendTime" in worker.log.read_text()
        assert made.published == []
