"""Streams on a real Kafka by stamps that nobody's clock would give: they jump by an hour, or span one.

A broker's own stamps go with its clock, which nobody sets here. So here producers stamp, and the workers run by a
program that lets this one check pass: all that counts is what ships. In any other worker a test holds the refusal.
`EXACT_EVENTS=20000` looks shorter; ``EXACT_SEED`` draws what a run before has drawn.
"""

import asyncio
import os
from collections.abc import Sequence
from itertools import count, pairwise
from pathlib import Path
from random import Random, SystemRandom

import pytest
from confluent_kafka import Producer

from streams.app import StreamsSettings
from tests.streams_ground import (
    EVENTS,
    HOUR_MS,
    PARTITIONS,
    PATIENCE_S,
    WINDOW_MS,
    Ground,
    ground,
    portions,
    tell,
    values,
    worker_program,
)
from tests.telemetry import is_tick
from transport.clock import SystemClock
from transport.log import Record
from transport.settings import KafkaSettings

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

MINUTE_MS = 60_000


class Jumping:
    """Stamps of partitions whose clocks are set ahead and back every few messages, each by itself; some stay so."""

    BY_MS = (HOUR_MS, -HOUR_MS, 10 * MINUTE_MS, -10 * MINUTE_MS, MINUTE_MS, -MINUTE_MS, 0, 0)
    """All of these in a drawn order, then again in another."""
    STEPS_MS = (0, 0, 0, 7, 40, 300)
    """From one message to the next."""

    def __init__(self, dice: Random, now_ms: int) -> None:
        self._dice = dice
        self._right_ms = dict.fromkeys(range(PARTITIONS), now_ms)
        self._off_ms = dict.fromkeys(range(PARTITIONS), 0)
        self._messages = dict.fromkeys(range(PARTITIONS), 0)
        """Until the next jump."""
        self._to_come = {partition: list[int]() for partition in range(PARTITIONS)}

    def __call__(self, partition: int) -> int:
        if not self._messages[partition]:
            self._to_come[partition] = self._to_come[partition] or self._dice.sample(self.BY_MS, len(self.BY_MS))
            self._jump(partition, self._to_come[partition].pop())
        self._messages[partition] -= 1
        self._right_ms[partition] += self._dice.choice(self.STEPS_MS)
        return self._right_ms[partition] + self._off_ms[partition]

    def jump(self, off_ms: int) -> None:
        """All at once."""
        for partition in range(PARTITIONS):
            self._jump(partition, off_ms)

    def _jump(self, partition: int, off_ms: int) -> None:
        if self._dice.random() < 0.25:
            self._right_ms[partition] += max(0, self._off_ms[partition])
        self._off_ms[partition] = off_ms
        self._messages[partition] = self._dice.randint(3, 20)


async def test_stamps_jump_by_an_hour(kafka: KafkaSettings, tmp_path: Path, messages: list[bytes]) -> None:
    """Ahead and back, in each partition by itself; workers, one an hour behind and one ahead, are killed between two jumps.

    A partition's clock never goes back: what is stamped earlier than the newest window is counted in that.
    """
    seed = int(os.environ.get("EXACT_SEED") or SystemRandom().randrange(1_000_000))
    tell(f"EXACT_SEED={seed}")
    dice = Random(seed)
    jumping = Jumping(dice, SystemClock().now_ms())
    async with ground(kafka, tmp_path, "jumps", stamps="CreateTime") as made:
        made.stamp = jumping
        for instance, off_ms in ("w0", -HOUR_MS), ("w1", HOUR_MS):
            made.programs[instance] = worker_program(off_ms, by_producers_stamps=True)
            made.start(instance)
        for portion in portions(messages, 5):
            instance = dice.choice(["w0", "w1"])
            sending = made.lasting(portion, 1.0)
            jumping.jump(HOUR_MS)
            await made.hear(instance)
            made.workers[instance].kill()
            jumping.jump(-HOUR_MS)
            made.start(instance)
            await made.hear(instance)
            await sending
        log = await made.whole(made.topic)
        await end(made, log)
        await made.assert_exact(log)
    for partition in range(PARTITIONS):
        assert_jumps([r for r in log if r.partition == partition])


async def end(made: Ground, log: Sequence[Record]) -> None:
    """Let every partition enter a window behind all that the log holds."""
    producer = Producer(made.kafka.librdkafka("test-exact"))
    for partition in range(PARTITIONS):
        stamp = max(r.timestamp_ms for r in log) + 2 * made.window_ms
        headers = {"content-type": b"application/vnd.davylamp.tick"}
        producer.produce(made.topic, b"", partition=partition, timestamp=stamp, headers=headers)
    assert await asyncio.to_thread(producer.flush, PATIENCE_S) == 0


def assert_jumps(log: Sequence[Record]) -> None:
    """Of one partition: by more than an hour both ways, and stamps that are equal."""
    stamps = [r.timestamp_ms for r in log]
    steps = [after - before for before, after in pairwise(stamps)]
    assert min(steps) < -HOUR_MS
    assert max(steps) > HOUR_MS
    assert 0 in steps
    newest, late = 0, 0
    for at in stamps:
        newest = max(newest, at)
        late += at // WINDOW_MS < newest // WINDOW_MS
    minutes = [sum(sign * step >= MINUTE_MS / 2 for step in steps) for sign in (1, -1)]
    ticks = sum(map(is_tick, log))
    tell(
        f"{log[0].topic}-{log[0].partition}: {len(log)} messages, {ticks} of them ticks, in "
        f"{(newest - min(stamps)) / HOUR_MS:.1f} h; {minutes[0]} jumps ahead, {minutes[1]} back, "
        f"{steps.count(0)} stamps as before, {late} earlier than the window that counts them"
    )
    assert late


async def test_an_hours_backlog_is_read_at_full_speed(
    kafka: KafkaSettings, tmp_path: Path, messages: list[bytes]
) -> None:
    """Windows as they ship, an hour of them: 200,000 events are what 55 a second leave behind. Twice the worker is killed.

    One partition is empty, one ends after half an hour.
    """
    window_ms, clock, sent = StreamsSettings().window_ms, SystemClock(), count()
    begin = clock.now_ms() - HOUR_MS - 2 * window_ms
    async with ground(kafka, tmp_path, "backlog", window_ms, stamps="CreateTime") as made:
        made.stamp = lambda _: begin + next(sent) * HOUR_MS // len(messages)
        for portion, partitions in zip(portions(messages, 2), (3, 2), strict=True):
            await made.send(portion, partitions=partitions)
        backlog = await made.whole(made.topic)
        windows = {r.timestamp_ms // window_ms for r in backlog}
        assert max(windows) - min(windows) >= 0.99 * HOUR_MS / window_ms
        assert {r.partition for r in backlog} == {0, 1, 2}
        made.programs["w0"] = worker_program(by_producers_stamps=True)
        begun = clock.monotonic_s()
        for third in (1, 2):
            made.start()
            await until_reached(made, begin + third * HOUR_MS // 3)
            made.workers["w0"].kill()
            assert reached(made) < max(windows) * window_ms, "it was not killed while it read"
        made.start()
        await until_reached(made, max(windows) * window_ms)
        took_s = clock.monotonic_s() - begun
        await made.assert_exact(backlog)
    tell(f"backlog: {len(windows)} windows read in {took_s:.1f} s, with two deaths: {EVENTS / took_s:.0f} events/s")


async def until_reached(made: Ground, moment_ms: int) -> None:
    await made.until(lambda: reached(made) >= moment_ms)


def reached(made: Ground) -> int:
    """Start of the newest window that is published."""
    return max((w.window_start for w in made.published if w.cells), default=0)


async def test_a_topic_in_the_producers_time_is_refused(kafka: KafkaSettings, tmp_path: Path) -> None:
    """Stamps of producers may jump by hours: a worker ends and says what to set, rather than count by them."""
    async with ground(kafka, tmp_path, "create-time", stamps="CreateTime") as made:
        made.start()
        worker = made.workers.pop("w0")
        await made.send(values(200))
        assert await asyncio.to_thread(worker.process.wait, PATIENCE_S) not in (0, None)
        assert "must have message.timestamp.type=LogAppendTime" in worker.log.read_text()
        assert made.published == []
