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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from typing import IO

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.window_book import WindowBook
from schemas.windows import CohortWindow
from tests.streams_ground import (
    EVENTS,
    HOUR_MS,
    PARTITIONS,
    PATIENCE_S,
    WINDOW_MS,
    Ground,
    Worker,
    ground,
    portions,
    tell,
    values,
    worker_program,
)
from tests.telemetry import Said, is_tick, summed, truth
from transport.local_kafka import LocalKafka
from transport.log import Record
from transport.settings import KafkaSettings
from transport.topics import ensure_topics

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

SESSION_S = 10
"""After so long the group gives a frozen member's partitions away."""


async def test_one_worker_is_killed_ten_times(kafka: KafkaSettings, tmp_path: Path, messages: list[bytes]) -> None:
    """Each time while it counts. How long it is away is told here; `python -m bench.restart` fails beyond 3 s."""
    async with ground(kafka, tmp_path, "killed") as made:
        made.start()
        for portion in portions(messages, 10):
            sending = made.lasting(portion, 1.0)
            await made.hear()
            await made.restart()
            await sending
        said = await made.assert_exact()
        assert len(made.restarts_s) == 10
        stale = sum(row.get("stale", 0) for row in said.cells.values())
        assert 0 < stale < EVENTS / 2, "of the producers' clocks one in three is an hour behind"


FAULTS = ("kill", "kill", "kill", "freeze", "freeze", "freeze", "stop", "stop", "join")


async def test_workers_are_killed_frozen_told_to_stop_and_joined_by_another(
    kafka: KafkaSettings, tmp_path: Path, messages: list[bytes]
) -> None:
    """Which fault comes next, and whom it strikes, is drawn; the next comes when that process counts again. Thrice one becomes a zombie.

    ``EXACT_SEED`` draws what a run before has drawn.
    """
    seed = int(os.environ.get("EXACT_SEED") or SystemRandom().randrange(1_000_000))
    dice, running = Random(seed), ["w0", "w1"]
    faults = dice.sample(FAULTS, len(FAULTS))
    tell(f"EXACT_SEED={seed}: {', '.join(faults)}")
    async with ground(kafka, tmp_path, "two") as made:
        for instance in running:
            made.start(instance)
        for fault, portion in zip(faults, portions(messages, len(faults)), strict=True):
            instance = "w2" if fault == "join" else dice.choice(running)
            sending = made.lasting(portion, SESSION_S if fault == "freeze" else 1.0)
            if fault != "join":
                await made.hear(instance)
            await befall(made, fault, instance)
            await sending
            await made.hear(instance)
            running = sorted({*running, instance})
        await made.assert_exact()


async def befall(made: Ground, fault: str, instance: str) -> None:
    """One fault: the group gives what a frozen one had to others, and parts it anew when somebody joins or comes back."""
    if fault == "freeze":
        await freeze(made, instance)
        return
    if fault == "kill":
        made.workers[instance].kill()
    elif fault == "stop":
        worker = made.workers.pop(instance)
        worker.signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.process.wait, PATIENCE_S) == 0
    made.start(instance)


async def freeze(made: Ground, instance: str) -> None:
    """Until others have said what is final of all its partitions; then it wakes and does not know.

    Whatever it says of what they have counted, a reader who has heard them counts no more by it.
    """
    through = await until_replaced(made, instance)
    book, thawed = WindowBook(), len(made.published)
    for window in made.published:
        book.read(window)
    book.take_final()
    known = book.open_windows()
    made.workers[instance].signal(signal.SIGCONT)
    await made.hear(instance)
    since = [w for w in made.published[thawed:] if w.instance == instance and w.partition in through]
    late = [w for w in since if w.through <= through[w.partition]]
    for window in late:
        book.read(window)
    assert (book.take_final(), book.open_windows()) == ((), known)
    tell(f"{instance} was frozen with partitions {sorted(through)}: afterwards {len(late)} late words of it")


async def until_replaced(made: Ground, instance: str) -> dict[int, int]:
    """Freeze it until others have said what is final of all its partitions; how far they have come in those."""
    speaker, frozen = {w.partition: w.instance for w in made.published}, len(made.published)
    its = {partition for partition, name in speaker.items() if name == instance}
    made.workers[instance].signal(signal.SIGSTOP)

    def reached() -> dict[int, int]:
        finals = (w for w in made.published[frozen:] if w.final and w.instance != instance)
        return {w.partition: w.through for w in finals if w.partition in its}

    await made.until(lambda: its == reached().keys())
    return reached()


ON_PURPOSE = ("fenced by other consumer", "Message timed out")
"""Why a worker may end that loses its broker."""


async def test_the_broker_is_restarted_and_then_killed(tmp_path: Path, messages: list[bytes]) -> None:
    """Once in order, once by kill -9. What it had acknowledged it has then handed to the kernel, which outlives it.

    A worker whose answer from the group went down with the broker is fenced by its own other self when it asks again
    (a static member), and one whose words no broker has taken for half a minute gives them up: both end on purpose and are
    started again. However long this machine's broker takes to be back, no worker ends for anything else.
    """
    with LocalKafka(tmp_path / "kafka") as node:
        kafka = KafkaSettings(bootstrap=node.bootstrap)
        ensure_topics(kafka)
        async with ground(kafka, tmp_path, "broker") as made:
            made.may_end = True
            made.start()
            faults: list[Callable[[], None]] = [node.stop, partial(kill, node)]
            for fault, portion in zip(faults, portions(messages, 2), strict=True):
                sending = made.lasting(portion, 4.0)
                await made.hear()
                await asyncio.to_thread(fault)
                await asyncio.to_thread(node.start)
                await sending
            await made.assert_exact()
            crashes = [line for line in (tmp_path / "w0.log").read_text().splitlines() if "Crashed reason" in line]
            assert [line for line in crashes if not any(why in line for why in ON_PURPOSE)] == []
            assert len(made.ended) <= len(crashes) <= 2 * len(made.ended)  # its agent says so, its beat may as well


def kill(node: LocalKafka) -> None:
    assert node.pid is not None
    os.kill(node.pid, signal.SIGKILL)
    node.stop()  # waits for its end


OVERLAPS = (("replaced", "kill"), ("freeze", "kill", "broker"), ("stop", "broker"), ("join", "kill", "kill"))
"""A zombie wakes while its successor is dead; nobody and nothing is left for a while; one ends that has nobody to say it to; one comes while
all others go."""


async def test_faults_overlap(tmp_path: Path, messages: list[bytes]) -> None:
    """The next strikes before the one before is over. In which order, whom, and which ends first, is drawn by ``EXACT_SEED``."""
    seed = int(os.environ.get("EXACT_SEED") or SystemRandom().randrange(1_000_000))
    dice, running = Random(seed), ["w0", "w1"]
    overlaps = dice.sample(OVERLAPS, len(OVERLAPS))
    tell(f"EXACT_SEED={seed}: {', '.join(map(' + '.join, overlaps))}")
    with LocalKafka(tmp_path / "kafka") as node:
        kafka = KafkaSettings(bootstrap=node.bootstrap)
        ensure_topics(kafka)
        async with ground(kafka, tmp_path, "overlap") as made:
            made.may_end = True
            for instance in running:
                made.start(instance)
            for kinds, portion in zip(overlaps, portions(messages, len(overlaps)), strict=True):
                for instance in running:
                    await made.hear(instance)
                sending = made.lasting(portion, 2.0)
                await overlap(made, node, dice, kinds)
                await sending
                running = sorted(made.workers)
            await made.assert_exact()


async def overlap(made: Ground, node: LocalKafka, dice: Random, kinds: Sequence[str]) -> None:
    """Some faults at once; who is to be replaced needs somebody who does it, so that one is the first."""
    victims = dice.sample(sorted(made.workers), 2)
    faults = [Fault(made, node, kind, "w2" if kind == "join" else victims.pop()) for kind in kinds if kind != "broker"]
    faults += [
        Fault(made, node, dice.choice(["broker stops", "broker is killed"]), "") for _ in range(kinds.count("broker"))
    ]
    dice.shuffle(faults)
    faults.sort(key=lambda fault: fault.kind != "replaced")
    for fault in faults:
        await fault.strike()
    ends = dice.sample(faults, len(faults))
    for fault in ends:
        await fault.end()
    tell(f"{', '.join(map(str, faults))}; ended: {', '.join(map(str, ends))}")


@dataclass
class Fault:
    """One of those that overlap."""

    made: Ground
    node: LocalKafka
    kind: str
    instance: str
    _leaving: Worker | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.instance}".rstrip()

    async def strike(self) -> None:
        match self.kind:
            case "kill":
                self.made.workers.pop(self.instance).kill()
            case "stop":
                self._leaving = self.made.workers.pop(self.instance)
                self._leaving.signal(signal.SIGTERM)
            case "freeze":
                self.made.workers[self.instance].signal(signal.SIGSTOP)
            case "replaced":
                await until_replaced(self.made, self.instance)
            case "join":
                self.made.start(self.instance)
            case "broker stops":
                await asyncio.to_thread(self.node.stop)
            case "broker is killed":
                await asyncio.to_thread(kill, self.node)

    async def end(self) -> None:
        match self.kind:
            case "kill":
                self.made.start(self.instance)
            case "stop":
                assert self._leaving is not None
                assert await asyncio.to_thread(self._leaving.process.wait, PATIENCE_S) == 0
                self.made.start(self.instance)
            case "freeze" | "replaced":
                self.made.workers[self.instance].signal(signal.SIGCONT)
            case "broker stops" | "broker is killed":
                await asyncio.to_thread(self.node.start)


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
    """All goes to one of four; ticks close the windows of the others, also those of a worker whose clock is an hour ahead."""
    async with ground(kafka, tmp_path, "idle") as made:
        made.programs["w0"] = worker_program(HOUR_MS)
        made.start()
        await made.send(messages, 0.005, partitions=1)
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
