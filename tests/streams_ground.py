"""A telemetry topic on a real Kafka, workers that count it, a reader that follows them, and the truth beside."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import cast

from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from davylamp_sdk._event import RequestEvent
from schemas.service import Service
from schemas.topics import Topic
from schemas.window_book import WindowBook
from schemas.windows import CohortWindow
from tests.telemetry import BASELINE, CANARY, Said, batch, event, is_tick, read, summed, told, truth
from transport.clock import SystemClock
from transport.kafka_log import KafkaReader, KafkaWriter
from transport.log import Record
from transport.settings import KafkaSettings

SERVICE = "exact"
EVENTS = int(os.environ.get("EXACT_EVENTS", "200000"))
"""Of a counting at its full length."""
PARTITIONS = 4
WINDOW_MS = 1000
HOUR_MS = 3_600_000
PATIENCE_S = 120
A_BATCH = 100


def values(events: int) -> list[bytes]:
    """About so many events: nine in ten in batches, 2 % sent again at once; one message in a hundred is rubbish.

    The clocks of their producers are right, or wrong by an hour.
    """
    dice, made, n, now_ms = Random(11), list[bytes](), 0, SystemClock().now_ms()
    while n < events:
        some = A_BATCH if dice.random() < 0.5 else 1
        rows = [_event(n + i, dice, now_ms) for i in range(some)]
        value = rows[0].dump() if some == 1 else batch(rows, dropped=dice.choice([0, 0, 3])).dump()
        made += [value] * (2 if dice.random() < 0.02 else 1)
        if dice.random() < 0.01:
            made.append(dice.choice([b"{", b"", b'{"v":2}', b"\x00" * 50, value[:-9]]))
        n += some
    return made


def _event(n: int, dice: Random, now_ms: int) -> RequestEvent:
    version, assignment = ("v2", CANARY) if n % 3 == 0 else ("v1", BASELINE)
    return event(
        n,
        service=SERVICE,
        version=version,
        assignment=None if n % 11 == 0 else assignment,
        session=f"session-{dice.randrange(300)}",
        tool=dice.choice(["search", "fetch", "pay"]),
        outcome=dice.choice(["ok", "ok", "ok", "tool_error", "rpc_error", "cancelled"]),
        started_at=now_ms + dice.choice([-HOUR_MS, 0, HOUR_MS]),
        duration_ms=float(dice.randrange(1, 900)),
        session_age_ms=float(dice.randrange(60_000)),
        metrics={"tokens": n / 7} if n % 5 == 0 else {},
    )


def tell(words: str) -> None:
    """A line for whoever runs `pytest -s`."""
    sys.stdout.write(f"\n{words}\n")


def portions(messages: Sequence[bytes], n: int) -> list[list[bytes]]:
    """In so many parts; equal ones in a row may be parted: then one is a duplicate over a crash."""
    size = -(-len(messages) // n)
    return [list(messages[i : i + size]) for i in range(0, len(messages), size)]


class Worker:
    """A process `python -m streams`, or another program that ends up in the same."""

    def __init__(
        self, kafka: KafkaSettings, topic: str, folder: Path, instance: str, window_ms: int, program: str | None = None
    ) -> None:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("DAVYLAMP_")} | {
            "DAVYLAMP_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "DAVYLAMP_STREAMS_TOPIC": topic,
            "DAVYLAMP_STREAMS_WINDOW_S": str(window_ms / 1000),
            "DAVYLAMP_STREAMS_INSTANCE": instance,
            "DAVYLAMP_STREAMS_DATA_FOLDER": str(folder / instance),
        }
        self.instance = instance
        self.log = folder / f"{instance}.log"
        command = [sys.executable, *(["-m", "streams"] if program is None else ["-c", program])]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def worker_program(off_ms: int = 0, *, by_producers_stamps: bool = False) -> str:
    """A worker whose host's clock is off: for itself, and in the stamp of whatever it writes where producers stamp.

    Or one whose check asks for producers' stamps instead of the broker's. All that counts is as it ships.
    """
    return f"""
import time
time_s, time_ns = time.time, time.time_ns
time.time = lambda: time_s() + {off_ms} / 1000
time.time_ns = lambda: time_ns() + {off_ms} * 1_000_000
import confluent_kafka
from streams import app, telemetry
if {by_producers_stamps}:
    telemetry.TIMESTAMP_LOG_APPEND_TIME = confluent_kafka.TIMESTAMP_CREATE_TIME
class Producer(confluent_kafka.Producer):
    def produce(self, *words, **more):
        super().produce(*words, timestamp=int(time.time() * 1000), **more)
app.Producer = Producer
app.main()
"""


@dataclass
class Ground:
    """One topic and what becomes of it."""

    kafka: KafkaSettings
    topic: str
    folder: Path
    window_ms: int = WINDOW_MS
    published: list[CohortWindow] = field(default_factory=list)
    workers: dict[str, Worker] = field(default_factory=dict)
    acknowledged: int = 0
    """Messages."""
    restarts_s: list[float] = field(default_factory=list)
    """From the start of a process to its first word of a message that no process before it can have read."""
    ended: list[str] = field(default_factory=list)
    """What became of workers that ended though nobody had told them to: see :func:`ground`."""
    may_end: bool = False
    """Whether a fault may have made them."""
    programs: dict[str, str] = field(default_factory=dict)
    """Instance → what its process runs instead of `python -m streams`."""
    stamp: Callable[[int], int] = lambda _: 0
    """Partition → stamp of the next message to it, where producers stamp; 0: what time it is."""
    _heard: asyncio.Condition = field(default_factory=asyncio.Condition)
    _sent: int = 0
    _probes: int = 0

    def start(self, instance: str = "w0") -> None:
        program = self.programs.get(instance)
        self.workers[instance] = Worker(self.kafka, self.topic, self.folder, instance, self.window_ms, program)

    async def restart(self, instance: str = "w0") -> None:
        """Kill -9, start again, and wait for its first word of a message that came afterwards."""
        self.workers[instance].kill()
        clock = SystemClock()
        begun = clock.monotonic_s()
        self.start(instance)
        await self.hear(instance)
        self.restarts_s.append(clock.monotonic_s() - begun)

    async def hear(self, instance: str = "w0") -> None:
        """Wait for the word of this very process: of an event that is sent now, to each partition.

        A window of a process before it that had the name may still be on its way; none of them can have read this.
        """
        heard = len(self.published)
        sent = await self.probe()
        await self.until(
            lambda: any(w.instance == instance and w.through > sent[w.partition] for w in self.published[heard:])
        )

    async def until(self, enough: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        """Wait for what is published; a worker that has ended by itself is started again, as its supervisor would."""
        async with asyncio.timeout(within_s):
            while not enough():
                for instance in self.look():
                    self.start(instance)
                async with self._heard:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._heard.wait(), 0.5)

    def look(self) -> list[str]:
        """Note the workers that have ended by themselves."""
        found = {name: worker.process.poll() for name, worker in self.workers.items()}
        gone = {name: code for name, code in found.items() if code is not None}
        self.ended += [f"{name} ended by itself with {code}" for name, code in gone.items()]
        return list(gone)

    async def follow(self) -> None:
        """Read `cohort-windows` for ever."""
        reader = KafkaReader(self.kafka, f"test-{self.topic}", ["cohort-windows"])
        try:
            async for found in reader.batches():
                windows = (CohortWindow.read(r.value or b"") for r in found.records)
                self.published += [w for w in windows if w.source == self.topic]
                async with self._heard:
                    self._heard.notify_all()
        finally:
            await reader.close()

    async def send(self, messages: Sequence[bytes], pace_s: float = 0.0, partitions: int = PARTITIONS) -> None:
        """Messages over the partitions, equal ones in a row to the same; `pace_s` between tens of them."""
        producer = Producer(self.kafka.librdkafka("test-exact") | {"linger.ms": 5, "enable.idempotence": True})
        before = b""
        for i, value in enumerate(messages):
            self._sent += value != before
            place = {"partition": self._sent % partitions, "timestamp": self.stamp(self._sent % partitions)}
            producer.produce(self.topic, value, b"p", **place, on_delivery=self._delivered)
            before = value
            if i % 10 == 0:
                producer.poll(0)
                await asyncio.sleep(pace_s)
        await asyncio.to_thread(producer.flush, PATIENCE_S)

    def lasting(self, portion: Sequence[bytes], seconds: float) -> "asyncio.Task[None]":
        """Send a portion within about so long."""
        return asyncio.create_task(self.send(portion, seconds * 10 / len(portion)))

    async def probe(self) -> dict[int, int]:
        """An event to each partition, and the offset that each log gave it."""
        places: dict[int, int] = {}
        producer = Producer(self.kafka.librdkafka("test-exact"))
        for partition in range(PARTITIONS):
            self._probes += 1
            value = event(self._probes, producer=f"probe-{self.topic}", service=SERVICE).dump()
            told, stamp = partial(self._probed, places), self.stamp(partition)
            producer.produce(self.topic, value, b"p", partition=partition, timestamp=stamp, on_delivery=told)
        assert await asyncio.to_thread(producer.flush, PATIENCE_S) == 0
        return places

    def _probed(self, places: dict[int, int], error: object, message: Message) -> None:
        assert error is None
        self.acknowledged += 1
        places[message.partition()] = message.offset()

    def _delivered(self, error: object, _: object) -> None:
        self.acknowledged += error is None

    async def whole(self, topic: str) -> list[Record]:
        """A topic as far as it goes now."""
        reader, found = KafkaReader(self.kafka, "test-exact-whole", [cast("Topic", topic)]), list[Record]()
        async for some in reader.batches():
            found += some.records
            if some.caught_up:
                break
        await reader.close()
        return found

    async def said(self, log: Sequence[Record]) -> tuple[Said, list[CohortWindow]]:
        """What a reader counts once everything in the log is final."""
        newest = max(r.timestamp_ms for r in log)
        book, read_so_far, taken = WindowBook(), 0, list[CohortWindow]()

        def final() -> bool:
            nonlocal read_so_far
            for window in self.published[read_so_far:]:
                book.read(window)
                taken.extend(book.take_final())
            read_so_far = len(self.published)
            return (book.frontier() or 0) > newest

        await self.until(final)
        return told(taken), taken

    async def assert_exact(self, log: Sequence[Record] | None = None) -> Said:
        """Every cell and counter equals a scalar pass over the log; what was acknowledged is counted or named.

        ``log``: all that was sent, if that is known; ticks may have come since.
        """
        log = await self.whole(self.topic) if log is None else log
        said, _ = await self.said(log)
        assert said == summed(truth((r for r in log if r.partition == p), self.window_ms) for p in range(PARTITIONS))
        messages = [r for r in log if not is_tick(r)]
        assert len(messages) == self.acknowledged
        counted = sum(n for row in said.cells.values() for name, n in row.items() if name.startswith("outcome "))
        duplicates = sum(row.get("duplicates", 0) for row in said.windows.values())
        malformed = sum(row.get("malformed", 0) for row in said.windows.values())
        assert sum(len(read(r)[0]) for r in messages) == counted + duplicates
        dead = [r for r in await self.whole("mcp-requests.dlq") if r.headers.get("topic") == self.topic.encode()]
        places = {(r.headers["partition"], r.headers["offset"]) for r in dead}
        assert len(places) == malformed == sum(not read(r)[0] for r in messages)
        restarts = ", ".join(f"{s:.1f}" for s in self.restarts_s) or "none"
        tell(f"{self.topic}: {counted} counted, {duplicates} duplicates, {malformed} malformed; restarts: {restarts} s")
        return said


@asynccontextmanager
async def ground(
    kafka: KafkaSettings, folder: Path, name: str, window_ms: int = WINDOW_MS, stamps: str = "LogAppendTime"
) -> AsyncIterator[Ground]:
    """A topic of its own, which the service `exact` names as its telemetry; every worker is gone at the end.

    None may have ended by itself, but where a test says that its fault makes them.
    """
    topic = f"exact-{name}"
    with AdminClient(kafka.librdkafka("test-exact")) as admin:
        config = {"message.timestamp.type": stamps, "message.timestamp.after.max.ms": str(1000 * HOUR_MS)}
        for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1, config=config)]).values():
            made.result(20)
    writer = KafkaWriter(kafka, "test-exact")
    fields = {"service": SERVICE, "path": "/exact", "baseline": "v1", "telemetry": topic}
    service = Service.model_validate(fields | {"versions": {"v1": {"endpoints": ["127.0.0.1:1"]}}})
    await writer.append("services", SERVICE, service.dump())
    await writer.close()
    made = Ground(kafka, topic, folder, window_ms)
    following = asyncio.create_task(made.follow())
    try:
        yield made
        made.look()
        tell(f"{topic}: {', '.join(made.ended) or 'no worker ended by itself'}")
        assert made.may_end or made.ended == []
    finally:
        for worker in made.workers.values():
            worker.signal(signal.SIGCONT)
            worker.kill()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
