"""`python -m router` as a process: it starts, it says why it does not, and it ends when it is told to."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer

from router.fold import TOPICS
from router.settings import RouterSettings
from tests.builders import SERVICE
from transport.ports import free_ports


@pytest.fixture
def broker() -> Iterator[str]:
    """Bootstrap servers of librdkafka's in-process broker, with the topics that the router reads."""
    owner = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0})
    for topic in TOPICS:
        owner.produce(topic, SERVICE.dump() if topic == "services" else b"not an entry", SERVICE.service)
    owner.flush(10)
    (node,) = owner.list_topics(timeout=10).brokers.values()
    yield f"{node.host}:{node.port}"
    owner.close()


@asynccontextmanager
async def router(bootstrap: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, "DAVYLAMP_KAFKA_BOOTSTRAP": bootstrap}
    environment["DAVYLAMP_ROUTER_DATA_FOLDER"] = str(Path(tempfile.mkdtemp()))
    environment |= {f"DAVYLAMP_ROUTER_{name.upper()}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "router", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def said(process: asyncio.subprocess.Process, words: str) -> None:
    """Wait until the process has said `words` on stderr."""
    assert process.stderr is not None
    seen = []
    async with asyncio.timeout(30):
        while line := await process.stderr.readline():
            seen.append(line.decode())
            if words in seen[-1]:
                return
    raise AssertionError(f"never said: {seen}")


async def test_it_serves_routes_and_ends_well_when_told_to(broker: str) -> None:
    (port,) = free_ports(1)
    async with router(broker, xds_port=str(port)) as process:
        await said(process, "xds_opened")
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_it_ends_well_while_kafka_is_away() -> None:
    port, nobody = free_ports(2)
    async with router(f"127.0.0.1:{nobody}", xds_port=str(port)) as process:
        await said(process, "log_unreachable")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"xds_host": "0.0.0.0"}, "router: xDS has no mTLS and is served on loopback only, not on 0.0.0.0"),
        ({"xds_port": "http"}, "router: [router] xds_port"),
        ({"xds_prot": "1"}, "router: [router] xds_prot"),
        ({"direct_token": "short"}, "router: [router] direct_token"),
        ({"direct_token": "x" * 16, "direct_host": "0.0.0.0"}, "router: The direct port has no TLS"),
    ],
)
async def test_what_it_cannot_do_is_one_sentence_and_a_failure(settings: dict[str, str], words: str) -> None:
    async with router("127.0.0.1:1", **settings) as process:
        await said(process, words)
        assert await process.wait() == 1


def test_a_router_has_a_name_of_its_own_and_keeps_to_loopback() -> None:
    settings = RouterSettings()
    assert settings.name.startswith("router@")
    assert (settings.xds_host, settings.xds_port) == ("127.0.0.1", 18000)
