"""One suite for every log: what `transport.log` promises, of the log in memory and of a real Kafka."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol, cast

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.partitions import partition_of
from schemas.topics import Topic
from transport.clock import SystemClock
from transport.kafka_log import KafkaReader, KafkaWriter
from transport.log import Batch, LogError, Position, Record, WatchedReader, Writer
from transport.memory_log import MemoryLog
from transport.settings import KafkaSettings

PARTITIONS = 3
SERVICES = [f"service-{n}" for n in range(12)]


class Log(Protocol):
    """A log with two empty topics of three partitions, of one test alone."""

    topics: Sequence[Topic]

    def reader(self, since_ms: int | None = None) -> WatchedReader: ...

    def writer(self) -> Writer: ...

    async def put(self, topic: str, value: bytes | None, key: bytes | None, headers: Mapping[str, bytes]) -> None:
        """Append to partition 0 what a :class:`Writer` does not write."""


class InMemory:
    topics: Sequence[Topic] = ("rollout-decisions", "route-changes")

    def __init__(self) -> None:
        self._log = MemoryLog(PARTITIONS, SystemClock())

    def reader(self, since_ms: int | None = None) -> WatchedReader:
        return self._log.reader(*self.topics, since_ms=since_ms)

    def writer(self) -> Writer:
        return self._log.writer()

    async def put(self, topic: str, value: bytes | None, key: bytes | None, headers: Mapping[str, bytes]) -> None:
        await self._log.put(topic, 0, value, key, headers)


class OnKafka:
    """Topics with names of their own: no other test's records, and none before the first."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self.topics = cast("Sequence[Topic]", [f"conformance-{uuid.uuid4().hex}" for _ in range(2)])
        config = {"message.timestamp.type": "LogAppendTime"}
        with AdminClient(settings.librdkafka("conformance")) as admin:
            for created in admin.create_topics(
                [NewTopic(t, PARTITIONS, 1, config=config) for t in self.topics]
            ).values():
                created.result()
            while not admin.list_topics(timeout=10).topics.keys() >= set(
                self.topics
            ):  # the broker hears of them a moment later
                pass

    def reader(self, since_ms: int | None = None) -> WatchedReader:
        return KafkaReader(self._settings, "conformance-reader", self.topics, since_ms=since_ms)

    def writer(self) -> Writer:
        return KafkaWriter(self._settings, "conformance-writer")

    async def put(self, topic: str, value: bytes | None, key: bytes | None, headers: Mapping[str, bytes]) -> None:
        with Producer(self._settings.librdkafka("conformance")) as producer:
            producer.produce(topic, value, key, partition=0, headers=dict(headers))


class Following:
    """A reader under way; holds every batch to what the port says of it."""

    def __init__(self, reader: WatchedReader) -> None:
        self.reader = reader
        self.records: list[Record] = []
        self.caught_up = False
        self._batches = reader.batches()

    async def batch(self) -> Batch:
        batch = await anext(self._batches)
        news = batch.caught_up and not self.caught_up
        assert batch.records or news, "an empty batch that says nothing"
        assert batch.caught_up or not self.caught_up, "what was caught up is not any more"
        self.records.extend(batch.records)
        self.caught_up = batch.caught_up
        return batch

    async def until(self, count: int) -> list[Record]:
        while len(self.records) < count:
            await self.batch()
        return self.records

    async def until_caught_up(self) -> list[Record]:
        while not self.caught_up:
            await self.batch()
        return self.records

    async def to_the_end(self) -> list[Record]:
        async for batch in self._batches:
            self.records.extend(batch.records)
        return self.records


class Desk:
    """A log with its open readers and writers."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.first, self.second = log.topics
        self._open: list[WatchedReader | Writer] = []

    def follow(self, since_ms: int | None = None) -> Following:
        reader = self.log.reader(since_ms)
        self._open.append(reader)
        return Following(reader)

    def writer(self) -> Writer:
        writer = self.log.writer()
        self._open.append(writer)
        return writer

    async def close(self) -> None:
        for opened in self._open:
            await opened.close()


@pytest.fixture(params=["memory", "kafka"])
def log(request: pytest.FixtureRequest) -> Log:
    return InMemory() if request.param == "memory" else OnKafka(request.getfixturevalue("kafka"))


@pytest.fixture
async def desk(log: Log) -> AsyncIterator[Desk]:
    desk = Desk(log)
    yield desk
    await desk.close()


async def fill(writer: Writer, topic: Topic, values: Sequence[bytes], service: str = "orders") -> list[Position]:
    return [await writer.append(topic, service, value) for value in values]


def by_partition(records: Sequence[Record]) -> dict[tuple[str, int], list[Record]]:
    parted: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in records:
        parted[record.topic, record.partition].append(record)
    return parted


async def test_each_record_comes_once_and_in_the_order_of_its_partition(desk: Desk) -> None:
    writer = desk.writer()
    written: dict[tuple[str, int], list[tuple[int, bytes]]] = defaultdict(list)
    for n in range(60):
        topic, value = desk.log.topics[n % 2], b"%d" % n
        position = await writer.append(topic, SERVICES[n % len(SERVICES)], value)
        written[topic, position.partition].append((position.offset, value))
    records = await desk.follow().until(60)
    read = {at: [(r.offset, r.value) for r in part] for at, part in by_partition(records).items()}
    assert read == written


async def test_records_that_are_appended_at_once_all_come_once(desk: Desk) -> None:
    following, writer = desk.follow(), desk.writer()
    values = [b"%d" % n for n in range(1500)]
    await asyncio.gather(*(writer.append(desk.first, SERVICES[n % 12], value) for n, value in enumerate(values)))
    records = await following.until(1500)
    assert sorted(cast("bytes", r.value) for r in records) == sorted(values)
    assert all(
        [r.offset for r in part] == list(range(part[0].offset, part[0].offset + len(part)))
        for part in by_partition(records).values()
    )


async def test_append_says_where_and_when_the_record_lies(desk: Desk) -> None:
    position = await desk.writer().append(desk.first, "orders", b"value")
    [record] = await desk.follow().until(1)
    assert Position(record.partition, record.offset, record.timestamp_ms) == position
    assert (record.topic, record.key, record.value, dict(record.headers)) == (desk.first, b"orders", b"value", {})


async def test_a_reader_of_late_begins_at_the_first_record_of_that_time(desk: Desk) -> None:
    writer = desk.writer()
    first = await writer.append(desk.first, "orders", b"old")
    late = await writer.append(desk.first, "orders", b"new")
    while late.timestamp_ms == first.timestamp_ms:
        late = await writer.append(desk.first, "orders", b"new")
    following = desk.follow(since_ms=late.timestamp_ms)
    records = await following.until_caught_up()
    assert [(r.offset, r.value) for r in records] == [(late.offset, b"new")]
    await writer.append(desk.second, "orders", b"newer")
    assert [r.value for r in await following.until(2)] == [b"new", b"newer"]


async def test_a_reader_of_what_is_yet_to_come_begins_at_the_end(desk: Desk) -> None:
    writer = desk.writer()
    position = await writer.append(desk.first, "orders", b"old")
    following = desk.follow(since_ms=position.timestamp_ms + 3_600_000)
    assert await following.until_caught_up() == []
    await writer.append(desk.first, "orders", b"new")
    assert [r.value for r in await following.until(1)] == [b"new"]


async def test_key_value_and_headers_come_back_as_they_were(desk: Desk) -> None:
    await desk.log.put(desk.second, b"value", b"key", {"reason": b"malformed", "empty": b""})
    await desk.log.put(desk.second, None, b"tombstone", {})
    await desk.log.put(desk.second, b"", None, {})
    records = await desk.follow().until(3)
    assert [(r.key, r.value, dict(r.headers)) for r in records] == [
        (b"key", b"value", {"reason": b"malformed", "empty": b""}),
        (b"tombstone", None, {}),
        (None, b"", {}),
    ]


async def test_append_times_never_go_back_within_a_partition(desk: Desk) -> None:
    positions = await fill(desk.writer(), desk.first, [b"%d" % n for n in range(20)])
    times = [position.timestamp_ms for position in positions]
    assert times == sorted(times)
    assert times[0] > 0


async def test_append_returns_increasing_offsets(desk: Desk) -> None:
    offsets = [p.offset for p in await fill(desk.writer(), desk.first, [b"a", b"b", b"c", b"d"])]
    assert offsets == [0, 1, 2, 3]


async def test_a_service_always_lies_on_its_murmur2_partition(desk: Desk) -> None:
    writer = desk.writer()
    for topic in desk.log.topics:
        for service in SERVICES:
            position = await writer.append(topic, service, b"")
            assert position.partition == partition_of(service, PARTITIONS)
    records = await desk.follow().until(2 * len(SERVICES))
    assert {r.key: r.partition for r in records} == {s.encode(): partition_of(s, PARTITIONS) for s in SERVICES}


async def test_a_reader_of_empty_topics_catches_up_at_once(desk: Desk) -> None:
    assert await desk.follow().batch() == Batch((), caught_up=True)


async def test_catching_up_takes_every_record_that_was_there(desk: Desk) -> None:
    writer = desk.writer()
    for topic in desk.log.topics:
        for service in SERVICES:
            await fill(writer, topic, [b"1", b"2", b"3"], service)
    records = await desk.follow().until_caught_up()
    assert len(records) == 3 * 2 * len(SERVICES)


async def test_a_reader_catches_up_when_only_one_partition_holds_anything(desk: Desk) -> None:
    await fill(desk.writer(), desk.second, [b"alone"])
    assert [r.value for r in await desk.follow().until_caught_up()] == [b"alone"]


async def test_a_reader_follows_what_is_appended_after_it_caught_up(desk: Desk) -> None:
    following, writer = desk.follow(), desk.writer()
    await following.until_caught_up()
    for n in range(1, 4):
        await writer.append(desk.first, "orders", b"%d" % n)
        assert [r.value for r in await following.until(n)][-1] == b"%d" % n


async def test_a_reader_that_is_opened_later_reads_from_the_start(desk: Desk) -> None:
    writer = desk.writer()
    await fill(writer, desk.first, [b"1", b"2"])
    early = await desk.follow().until(2)
    await fill(writer, desk.first, [b"3"])
    late = await desk.follow().until(3)
    assert late[:2] == early
    assert [r.value for r in late] == [b"1", b"2", b"3"]


async def test_two_readers_see_the_same(desk: Desk) -> None:
    one, other, writer = desk.follow(), desk.follow(), desk.writer()
    await one.until_caught_up()
    for service in SERVICES:
        await fill(writer, desk.first, [b"1", b"2"], service)
    count = 2 * len(SERVICES)
    assert by_partition(await one.until(count)) == by_partition(await other.until(count))


async def test_a_slow_reader_misses_nothing(desk: Desk) -> None:
    following, writer = desk.follow(), desk.writer()
    await following.until_caught_up()
    for n in range(5):
        await asyncio.gather(*(writer.append(desk.first, "orders", b"%d" % (100 * n + i)) for i in range(100)))
    assert [r.offset for r in await following.until(500)] == list(range(500))


async def test_closing_ends_an_iteration_that_waits(desk: Desk) -> None:
    following = desk.follow()
    await following.until_caught_up()
    waiting = asyncio.create_task(following.to_the_end())
    await asyncio.sleep(0)
    await following.reader.close()
    assert await waiting == []


async def test_closing_ends_an_iteration_that_is_behind(desk: Desk) -> None:
    following, writer = desk.follow(), desk.writer()
    await fill(writer, desk.first, [b"1"])
    await following.until(1)
    await fill(writer, desk.first, [b"2"])
    await following.reader.close()
    assert [r.value for r in await following.to_the_end()] == [b"1"]


async def test_a_reader_may_be_closed_twice_and_before_it_reads(desk: Desk) -> None:
    following = desk.follow()
    await fill(desk.writer(), desk.first, [b"1"])
    await following.reader.close()
    await following.reader.close()
    assert await following.to_the_end() == []


async def test_one_closed_reader_leaves_the_others_reading(desk: Desk) -> None:
    closed, open_ = desk.follow(), desk.follow()
    await closed.until_caught_up()
    await closed.reader.close()
    await fill(desk.writer(), desk.first, [b"1"])
    assert [r.value for r in await open_.until(1)] == [b"1"]


async def test_a_closed_writer_says_so_and_may_be_closed_twice(desk: Desk) -> None:
    writer = desk.writer()
    await fill(writer, desk.first, [b"1"])
    await writer.close()
    await writer.close()
    with pytest.raises(LogError, match="closed"):
        await writer.append(desk.first, "orders", b"2")


async def test_what_was_under_way_is_delivered_when_the_writer_closes(desk: Desk) -> None:
    writer = desk.writer()
    await fill(writer, desk.first, [b"1"])
    under_way = [asyncio.create_task(writer.append(desk.first, "orders", b"%d" % n)) for n in range(2, 6)]
    await asyncio.sleep(0)
    await writer.close()
    assert [p.offset for p in await asyncio.gather(*under_way)] == [1, 2, 3, 4]
    assert len(await desk.follow().until_caught_up()) == 5


class Taking:
    """Takes what a reader gives, and is slow about it: a batch is done with only some turns of the loop later."""

    def __init__(self, following: Following) -> None:
        self.done = 0
        self._following = following
        self._task = asyncio.create_task(self._take())

    async def _take(self) -> None:
        while True:
            batch = await self._following.batch()
            for _ in range(20):
                await asyncio.sleep(0)
            self.done += len(batch.records)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def taking(desk: Desk) -> AsyncIterator[Taking]:
    made = Taking(desk.follow())
    yield made
    await made.stop()


def reader_of(taking: Taking) -> WatchedReader:
    return taking._following.reader


async def test_at_the_end_of_a_log_to_which_nobody_writes_there_is_nothing_to_wait_for(taking: Taking) -> None:
    for _ in range(3):
        await asyncio.wait_for(reader_of(taking).read_to_end(), 30)


async def test_what_was_written_before_is_done_with_when_the_end_has_been_read(desk: Desk, taking: Taking) -> None:
    writer = desk.writer()
    for n in range(1, 6):
        for topic in desk.log.topics:
            await writer.append(topic, SERVICES[n], b"%d" % n)
        await asyncio.wait_for(reader_of(taking).read_to_end(), 30)
        assert taking.done == 2 * n


async def test_who_asks_before_the_first_batch_waits_for_all_that_is_there(desk: Desk) -> None:
    await fill(desk.writer(), desk.first, [b"1", b"2", b"3"])
    following = desk.follow()
    asked = asyncio.create_task(following.reader.read_to_end())
    taking = Taking(following)
    await asyncio.wait_for(asked, 30)
    assert taking.done == 3
    await taking.stop()


async def test_who_asks_does_not_wait_for_what_is_written_later(desk: Desk, taking: Taking) -> None:
    async def go_on() -> None:
        writer = desk.writer()
        while True:
            await writer.append(desk.first, "orders", b"more")
            await asyncio.sleep(0)  # a log in memory gives nobody else a turn

    writing = asyncio.create_task(go_on())
    for _ in range(3):
        await asyncio.wait_for(reader_of(taking).read_to_end(), 30)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


async def test_nobody_waits_for_a_reader_that_is_closed(desk: Desk) -> None:
    following = desk.follow()
    asked = asyncio.create_task(following.reader.read_to_end())
    await asyncio.sleep(0)
    await following.reader.close()
    with pytest.raises(LogError, match="closed"):
        await asked
    with pytest.raises(LogError, match="closed"):
        await following.reader.read_to_end()
