"""Streams as a process on a real Kafka: killed with -9 in the middle, twice, it still counts each event once."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from davylamp_sdk._event import RequestEvent
from schemas.partitions import partition_of
from schemas.service import Service
from schemas.topics import Topic
from schemas.window_book import WindowBook
from schemas.windows import CohortWindow
from tests.telemetry import BASELINE, CANARY, batch, event, read, summed, told, truth
from transport.kafka_log import KafkaReader, KafkaWriter
from transport.log import Record
from transport.settings import KafkaSettings

COUNTED, IDLE = "counted", "counted-idle"
TELEMETRY = cast(Topic, f"mcp-requests.{COUNTED}")
PARTITIONS = 4
EVENTS = 20_000
WINDOW_MS = 1000
PATIENCE_S = 40
BAD = {
    b"{": b"not_json",
    b"": b"empty",
    b'{"v": 2}': b"unknown_version",
    b"{}": b"invalid",
    batch([event(), event(1)]).dump().replace(b'"ok"', b'"no"'): b"invalid",
    event().dump().replace(b"12.5", b"NaN"): b"invalid",
    event().dump().replace(b"12.5", b"-1"): b"invalid",
    event().dump().replace(b"12.5", b"1e300"): b"invalid",
    event().dump().replace(b"create_invoice", b"x" * 500_000): b"invalid",
}
HOSTILE = ("07.1.session.786db6f38e0cd8b7;v1", ";", "é;v1")
"""Labels that no proxy stamps."""


@dataclass(frozen=True)
class Aftermath:
    """What is left when the worker has been killed, started again, let finish and stopped."""

    telemetry: list[Record]
    published: list[Record]
    dead: list[Record]
    code: int

    def final_windows(self) -> list[CohortWindow]:
        """What a reader folds."""
        return [window for book in books_of(self.published).values() for window in book.take_final()]


class Worker:
    """A process `python -m streams`."""

    def __init__(self, kafka: KafkaSettings, folder: Path, window_ms: int = WINDOW_MS) -> None:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("DAVYLAMP_")} | {
            "DAVYLAMP_KAFKA_BOOTSTRAP": kafka.bootstrap,
            "DAVYLAMP_STREAMS_TOPIC": TELEMETRY,
            "DAVYLAMP_STREAMS_WINDOW_S": str(window_ms / 1000),
            "DAVYLAMP_STREAMS_INSTANCE": "streams-under-test",
            "DAVYLAMP_STREAMS_DATA_FOLDER": str(folder / "data"),
        }
        self.log = folder / "streams.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "streams"], env=environ, stdout=log, stderr=log)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def running(kafka: KafkaSettings, folder: Path) -> Iterator[Worker]:
    worker = Worker(kafka, folder)
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.wait()


@asynccontextmanager
async def reading(kafka: KafkaSettings, topic: Topic) -> AsyncIterator[KafkaReader]:
    reader = KafkaReader(kafka, f"test-{topic}", [topic])
    try:
        yield reader
    finally:
        await reader.close()


async def read_whole(kafka: KafkaSettings, topic: Topic) -> list[Record]:
    """A topic as far as it goes now."""
    records: list[Record] = []
    async with reading(kafka, topic) as reader:
        async for batch in reader.batches():
            records += batch.records
            if batch.caught_up:
                return records
    return records


async def read_windows(kafka: KafkaSettings, enough: Callable[[list[Record]], bool]) -> list[Record]:
    """`cohort-windows` from its start, our two services only, until that is enough."""
    read: list[Record] = []
    async with asyncio.timeout(PATIENCE_S), reading(kafka, "cohort-windows") as reader:
        async for batch in reader.batches():
            read += [r for r in batch.records if (r.key or b"").startswith(COUNTED.encode())]
            if enough(read):
                break
    return read


def window_in(record: Record) -> CohortWindow:
    return CohortWindow.read(record.value or b"")


def books_of(published: list[Record]) -> dict[str, WindowBook]:
    books = {COUNTED: WindowBook(), IDLE: WindowBook()}
    for window in map(window_in, published):
        books[window.service].read(window)
    return books


def made(n: int, **changes: Any) -> RequestEvent:
    version, assignment = ("v2", CANARY) if n % 3 == 0 else ("v1", BASELINE)
    fields: dict[str, Any] = {
        "service": COUNTED,
        "version": "v1" if n % 97 == 0 else version,
        "assignment": [None, *HOSTILE][n // 11 % 4] if n % 11 == 0 else assignment,
        "session": f"session-{n % 37}",
        "outcome": ("ok", "ok", "ok", "tool_error", "rpc_error", "cancelled")[n % 6],
        "duration_ms": float(n % 211),
        "first_of_session": n % 20 == 0,
        "session_age_ms": float(n % 50 * 100),
        "session_gap_ms": None if n % 20 == 0 else 450.0,
        "metrics": {"tokens": n / 7} if n % 2 else {},
    }
    return event(n, **fields | changes)


def messages(numbers: range) -> Iterator[bytes]:
    """Ten events singly, ten in a batch, and so on: one in ten is sent again at once, every 50th is followed by rubbish."""
    for ten in range(numbers.start, numbers.stop, 10):
        if ten % 20 == 0:
            for n in range(ten, ten + 10):
                yield from [made(n).dump()] * (2 if n == ten else 1)
        else:
            sent = batch([made(n, producer="counted-2/1", version="v1") for n in range(ten, ten + 10)], dropped=3)
            yield from [sent.dump()] * (2 if ten % 200 == 10 else 1)
        if ten % 50 == 0:
            yield list(BAD)[ten // 50 % len(BAD)]


def produce(producer: Producer, numbers: range) -> None:
    """Messages over all partitions; a message that is sent again goes to the same one."""
    before, partition = b"", 0
    for value in messages(numbers):
        partition = partition if value == before else (partition + 7) % PARTITIONS
        producer.produce(TELEMETRY, value, b"counted-1/1", partition=partition)
        producer.poll(0)
        before = value
    assert producer.flush(20) == 0


ODD_PRODUCER = """
import asyncio, sys
from aiokafka import AIOKafkaProducer

class Odd(str):
    def encode(self, *_):
        return bytes([255])

async def main(bootstrap, topic):
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait(topic, sys.stdin.buffer.read(), headers=[(Odd("x"), b"1"), ("null", None)])

asyncio.run(main(*sys.argv[1:]))
"""
"""Names a header in no UTF-8, which confluent-kafka cannot; aiokafka's builder in Python can."""


def produce_oddly(kafka: KafkaSettings, value: bytes) -> None:
    command = [sys.executable, "-c", ODD_PRODUCER, kafka.bootstrap, TELEMETRY]
    subprocess.run(
        command, input=value, env=os.environ | {"AIOKAFKA_NO_EXTENSIONS": "1"}, check=True, timeout=PATIENCE_S
    )


async def prepare(kafka: KafkaSettings) -> None:
    """A telemetry topic of our own, and two registered services that use it."""
    with AdminClient(kafka.librdkafka("test-streams")) as admin:
        config = {"message.timestamp.type": "LogAppendTime"}
        for made in admin.create_topics([NewTopic(TELEMETRY, PARTITIONS, 1, config=config)]).values():
            made.result(20)
    writer = KafkaWriter(kafka, "test-streams")
    for name in (COUNTED, IDLE):
        fields = {"service": name, "path": f"/{name}", "baseline": "v1", "telemetry": TELEMETRY}
        service = Service.model_validate(fields | {"versions": {"v1": {"endpoints": ["127.0.0.1:1"]}}})
        await writer.append("services", name, service.dump())
    await writer.close()


async def live_through(kafka: KafkaSettings, folder: Path) -> Aftermath:
    """Twice: kill -9 in the middle of a window, more events while nobody reads. Then a last life, and SIGTERM."""
    await prepare(kafka)
    producer = Producer(kafka.librdkafka("test-streams") | {"linger.ms": 5})
    await asyncio.to_thread(produce_oddly, kafka, made(0, producer="odd-1/1").dump())
    a_sixth = EVENTS // 6 // 200 * 200
    for start in (0, 3 * a_sixth):
        with running(kafka, folder) as worker:
            produce(producer, range(start, start + a_sixth))
            known = {(r.partition, r.offset) for r in await read_windows(kafka, has_final)}
            produce(producer, range(start + a_sixth, start + 2 * a_sixth))
            await read_windows(kafka, partial(has_news, known))
            worker.end(signal.SIGKILL)
        produce(producer, range(start + 2 * a_sixth, start + 3 * a_sixth))
    with running(kafka, folder) as worker:
        produce(producer, range(6 * a_sixth, EVENTS))
        newest = max(r.timestamp_ms for r in await read_whole(kafka, TELEMETRY))
        published = await read_windows(kafka, lambda read: covers(read, newest))
        code = worker.end(signal.SIGTERM)
    dead = [r for r in await read_whole(kafka, "mcp-requests.dlq") if r.headers.get("topic") == TELEMETRY.encode()]
    return Aftermath(await read_whole(kafka, TELEMETRY), published, dead, code)


def has_news(known: set[tuple[int, int]], published: list[Record]) -> bool:
    """A word on a window that has requests and is still open, none of these."""
    news = [window_in(r) for r in published if (r.partition, r.offset) not in known]
    return any(window.cells and not window.final for window in news)


def has_final(published: list[Record]) -> bool:
    return any(window_in(r).final for r in published)


def covers(published: list[Record], newest_ms: int) -> bool:
    return all((book.frontier() or 0) > newest_ms for book in books_of(published).values())


@pytest.fixture(scope="module")
def aftermath(kafka: KafkaSettings, tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    folder = tmp_path_factory.mktemp("streams")
    return asyncio.run(live_through(kafka, folder))


def test_every_event_is_counted_once_through_two_kill_9s(aftermath: Aftermath) -> None:
    true = summed(
        truth((r for r in aftermath.telemetry if r.partition == partition), WINDOW_MS)
        for partition in range(PARTITIONS)
    )
    said = told(aftermath.final_windows())
    assert said == true
    outcomes = sum(n for row in said.cells.values() for name, n in row.items() if name.startswith("outcome "))
    assert outcomes == EVENTS + 1  # the odd one
    assert sum(len(read(r)[0]) for r in aftermath.telemetry) == EVENTS * 11 // 10 + 1
    dropped = sum(row.get("dropped orders-1", 0) for row in said.windows.values())
    assert dropped == 3 * EVENTS // 20


def test_a_window_message_lies_on_the_partition_of_its_service_under_its_key(
    kafka: KafkaSettings, aftermath: Aftermath
) -> None:
    for record in aftermath.published:
        window = window_in(record)
        who = "final" if window.final else "streams-under-test"
        assert record.key == f"{window.service}|{window.window_start}|{window.partition}|{who}".encode()
        assert record.partition == partition_of(window.service, kafka.control_partitions)
        assert window.partitions == PARTITIONS


def test_a_registered_service_that_nobody_calls_gets_windows_that_say_so(aftermath: Aftermath) -> None:
    silent = [w for w in aftermath.final_windows() if w.service == IDLE]
    assert {w.partition for w in silent} == set(range(PARTITIONS))
    assert {w.cells for w in silent} == {()}


def test_what_nobody_can_read_is_kept_with_its_reason_and_place(aftermath: Aftermath) -> None:
    bad = {
        (r.partition, r.offset): r for r in aftermath.telemetry if r.value in BAD and "content-type" not in r.headers
    }
    kept = {(int(r.headers["partition"]), int(r.headers["offset"])): r for r in aftermath.dead}
    assert len(bad) == EVENTS // 50
    assert kept.keys() == bad.keys()
    for place, record in kept.items():
        value = bad[place].value
        assert (record.key, record.value or b"") == (b"counted-1/1", value)
        assert record.headers["reason"].partition(b":")[0] == BAD[value or b""]


def test_a_worker_that_is_told_to_stop_ends_with_code_0(aftermath: Aftermath) -> None:
    assert aftermath.code == 0


def test_a_worker_with_other_windows_than_those_committed_refuses_to_go_on(
    kafka: KafkaSettings, aftermath: Aftermath, tmp_path: Path
) -> None:
    worker = Worker(kafka, tmp_path, window_ms=2 * WINDOW_MS)
    assert worker.process.wait(PATIENCE_S) not in (0, None)
    said = [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]
    assert any("was made with windows of 1000 ms, not 2000 ms" in line.get("exception", "") for line in said)
