"""The local Kafka: what it keeps, what it leaves behind, and what it says when it cannot run."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from schemas.topics import Topic
from transport.kafka_log import KafkaReader, KafkaWriter
from transport.local_kafka import LocalKafka, LocalKafkaError
from transport.log import Batch, LogError
from transport.settings import KafkaSettings
from transport.topics import ensure_topics

TOPIC: Topic = "rollout-decisions"

OWNER = """
import sys
from pathlib import Path
from transport.local_kafka import LocalKafka
with LocalKafka(Path(sys.argv[1])) as node:
    print(node.port, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[LocalKafka]:
    """A node of one test alone, not started."""
    node = LocalKafka(tmp_path / "kafka")
    yield node
    node.stop()


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def take(batches: AsyncIterator[Batch], count: int) -> list[bytes | None]:
    """The next values, at least `count`."""
    values: list[bytes | None] = []
    while len(values) < count:
        values.extend(record.value for record in (await anext(batches)).records)
    return values


async def test_readers_and_writers_live_through_a_restart_that_keeps_the_data(
    node: LocalKafka, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(node.start)
    settings, port = KafkaSettings(bootstrap=node.bootstrap), node.port
    ensure_topics(settings)
    writer = KafkaWriter(settings, "writer")
    early, late = (KafkaReader(settings, name, [TOPIC]) for name in ("early", "late"))
    following, from_start = early.batches(), late.batches()
    try:
        await writer.append(TOPIC, "orders", b"before")
        assert await take(following, 1) == [b"before"]
        await asyncio.to_thread(node.stop)
        opened_without_kafka = asyncio.create_task(take(from_start, 2))
        appended_without_kafka = asyncio.create_task(writer.append(TOPIC, "orders", b"meanwhile"))
        await asyncio.to_thread(node.start)
        assert node.port == port
        assert (await appended_without_kafka).offset == 1
        assert await take(following, 1) == [b"meanwhile"]
        assert await opened_without_kafka == [b"before", b"meanwhile"]
        told = [r.__dict__["client"] for r in caplog.records if r.__dict__.get("action") == "log_unreachable"]
        assert told.count("late") == 1, "an outage is told once"
    finally:
        for client in (writer, early, late):
            await client.close()


async def test_the_end_of_the_log_can_be_read_to_after_a_restart_too(node: LocalKafka) -> None:
    """librdkafka's admin client keeps the epoch of the leader that it met first, and is fenced from then on."""
    await asyncio.to_thread(node.start)
    settings = KafkaSettings(bootstrap=node.bootstrap)
    ensure_topics(settings)
    writer, reader = KafkaWriter(settings, "writer"), KafkaReader(settings, "reader", [TOPIC])
    values: list[bytes | None] = []

    async def follow() -> None:
        async for batch in reader.batches():
            values.extend(record.value for record in batch.records)

    following = asyncio.create_task(follow())
    try:
        await writer.append(TOPIC, "orders", b"before")
        await asyncio.wait_for(reader.read_to_end(), 30)
        await asyncio.to_thread(node.stop)
        asked_without_kafka = asyncio.create_task(reader.read_to_end())
        await asyncio.to_thread(node.start)
        await writer.append(TOPIC, "orders", b"after")
        await asyncio.wait_for(reader.read_to_end(), 30)
        assert values == [b"before", b"after"]
        await asyncio.wait_for(asked_without_kafka, 30)
    finally:
        for client in (writer, reader):
            await client.close()
        await following


async def test_without_kafka_clients_can_be_closed_and_nobody_waits_for_ever(node: LocalKafka) -> None:
    await asyncio.to_thread(node.start)
    settings = KafkaSettings(bootstrap=node.bootstrap)
    ensure_topics(settings)
    writer, reader = KafkaWriter(settings, "writer"), KafkaReader(settings, "reader", [TOPIC])
    await writer.append(TOPIC, "orders", b"1")
    assert await take(reader.batches(), 1) == [b"1"]
    await asyncio.to_thread(node.stop)
    lost = asyncio.create_task(writer.append(TOPIC, "orders", b"2"))
    await asyncio.sleep(0)
    await writer.close()
    await reader.close()
    with pytest.raises(LogError, match=TOPIC):
        await lost


def test_a_killed_node_starts_again_and_a_running_one_is_left_alone(node: LocalKafka) -> None:
    starter = threading.Thread(target=node.start)
    starter.start()
    starter.join()  # the node outlives the thread that started it
    first = node.pid
    assert first is not None
    node.start()
    assert node.pid == first
    os.kill(first, signal.SIGKILL)
    while node.pid is not None:
        pass
    node.start()
    with AdminClient({"bootstrap.servers": node.bootstrap}) as admin:
        assert admin.list_topics(timeout=10).brokers
    second = node.pid
    assert second not in (None, first)
    node.stop()
    node.stop()
    assert node.pid is None
    assert is_gone(second or 0)


def test_a_folder_in_use_is_refused_before_it_is_touched(node: LocalKafka, tmp_path: Path) -> None:
    node.start()
    folder = tmp_path / "kafka"
    written = (folder / "server.properties").read_bytes()
    with pytest.raises(LocalKafkaError, match=f"a Kafka runs in {folder}"):
        LocalKafka(folder).start()
    assert (folder / "server.properties").read_bytes() == written
    with AdminClient({"bootstrap.servers": node.bootstrap}) as admin:
        assert admin.list_topics(timeout=10).brokers


def test_a_port_that_is_taken_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        node = LocalKafka(tmp_path, port)
        with pytest.raises(LocalKafkaError, match=f"port {port}: Address already in use: "):
            node.start()
    assert node.pid is None
    assert not (tmp_path / "data").exists()


def test_what_kafka_says_when_it_ends_at_once_is_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("version=1\nnode.id=7\ncluster.id=another\n", encoding="utf-8")
    node = LocalKafka(tmp_path)
    with pytest.raises(LocalKafkaError, match=r"(?s)ended at once:.*node id 7.*broker\.log"):
        node.start()
    assert node.pid is None


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
def test_a_node_does_not_outlive_its_owner(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as owner:
        assert owner.stdout is not None
        port = int(owner.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            owner.kill()
            with contextlib.suppress(
                ConnectionResetError
            ):  # as good an end, where the node had not read all it was sent
                assert connection.recv(1) == b""
