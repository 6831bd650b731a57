"""`python -m alerts` as a process: it tells, it survives a kill -9 without repeating itself, and it says why it does not start."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer

from alerts.agent import TOPICS
from alerts.unreadable import WINDOWS
from schemas.decisions import Reason
from tests.builders import entry
from transport.ports import free_ports

START = entry("start")
HOLD = entry("hold", START, now=2, reason=Reason(code="stale", sentence="No window has closed for 65 s."))


class Broker:
    """librdkafka's in-process broker with the topics that alerts reads."""

    def __init__(self) -> None:
        self.producer = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0})
        for topic in (*TOPICS, WINDOWS):
            self.write(b"not a message", topic)
        (node,) = self.producer.list_topics(timeout=10).brokers.values()
        self.bootstrap = f"{node.host}:{node.port}"

    def write(self, value: bytes, topic: str = "rollout-decisions") -> None:
        self.producer.produce(topic, value, "orders", timestamp=time.time_ns() // 1_000_000)
        self.producer.flush(10)


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker()
    yield broker
    broker.producer.close()


@asynccontextmanager
async def alerts(bootstrap: str, folder: Path, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, "DAVYLAMP_KAFKA_BOOTSTRAP": bootstrap, "DAVYLAMP_ALERTS_DATA_FOLDER": str(folder)}
    environment |= {f"DAVYLAMP_ALERTS_{name.upper()}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alerts", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def said(process: asyncio.subprocess.Process, words: str) -> list[str]:
    """Everything that the process said on stderr until it said `words`."""
    assert process.stderr is not None
    seen = []
    async with asyncio.timeout(30):
        while line := await process.stderr.readline():
            seen.append(line.decode())
            if words in seen[-1]:
                return seen
    raise AssertionError(f"never said {words}: {seen}")


async def remembered(folder: Path, kind: str) -> None:
    """Wait until the file says that a cause of this kind was told."""
    async with asyncio.timeout(30):
        while kind not in (file.read_text() if (file := folder / "told.json").exists() else ""):  # noqa: ASYNC110 - written by another process
            await asyncio.sleep(0.02)


async def test_it_tells_and_after_a_kill_it_repeats_nothing_and_forgets_nothing(broker: Broker, tmp_path: Path) -> None:
    broker.write(START.dump())
    async with alerts(broker.bootstrap, tmp_path) as process:
        await said(process, "record skipped")
        broker.write(HOLD.dump())
        await said(process, "ALERT orders no_data: No window has closed")
        await remembered(tmp_path, "no_data")
        process.kill()
        await process.wait()
    resume = entry("resume", HOLD, now=3)
    back = entry("rollback", resume, now=4)
    for written in (resume, back):
        broker.write(written.dump())
    async with alerts(broker.bootstrap, tmp_path) as process:
        lines = await said(process, "RESOLVED orders no_data")
        lines += (
            []
            if any("ALERT orders rollback" in line for line in lines)
            else await said(process, "ALERT orders rollback")
        )
    assert not any("ALERT orders no_data" in line for line in lines)


async def test_it_ends_well_while_kafka_is_away_and_its_receiver_is_nowhere(tmp_path: Path) -> None:
    nobody, nowhere = free_ports(2)
    receivers = json.dumps([{"url": f"json://127.0.0.1:{nowhere}"}])
    async with alerts(f"127.0.0.1:{nobody}", tmp_path, receivers=receivers) as process:
        await said(process, "log_unreachable")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"receivers": "mailto://ada:hunter2@x"}, "write it as JSON"),
        ({"receivers": '[{"url": "nonsense://hunter2", "name": "on-call"}]'}, "receiver on-call"),
        ({"hold_too_long": "5"}, "hold_too_long"),
    ],
)
async def test_a_setting_that_is_not_understood_is_a_sentence_without_secrets(
    settings: dict[str, str], words: str, tmp_path: Path
) -> None:
    async with alerts("127.0.0.1:1", tmp_path, **settings) as process:
        assert process.stderr is not None
        text = (await asyncio.wait_for(process.stderr.read(), 30)).decode()
        assert await process.wait() == 2
    last = text.splitlines()[-1]
    assert last.startswith("[alerts] ")
    assert words in last
    assert "hunter2" not in text
