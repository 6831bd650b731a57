"""`python -m router` as a process: it starts, it says why it does not, and it ends when it is told to."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer

from router.disk import Acknowledged, Disk
from router.fold import TOPICS, Fold
from router.settings import RouterSettings
from tests.builders import SERVICE, entry
from transport.log import Record
from transport.ports import free_ports

TOKEN = "0123456789abcdef"


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


async def listens(port: int) -> None:
    """Wait until somebody does."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)


async def say_directly(port: int) -> tuple[int | None, str]:
    """`davylamp rollback orders --direct`, as in an emergency: exit code and what it printed."""
    environment = {**os.environ, "DAVYLAMP_DIRECT_TOKEN": TOKEN, "DAVYLAMP_DIRECT_ROUTERS": f"http://127.0.0.1:{port}"}
    command = [sys.executable, "-m", "cli", "rollback", "orders", "--direct", "--reason", "it burns"]
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_it_takes_a_direct_rollback_without_kafka_and_keeps_it_over_a_kill(tmp_path: Path) -> None:
    start = entry("start")
    fold = Fold()
    for topic, message in (("services", SERVICE), ("rollout-decisions", start)):
        fold, _ = fold.read(Record(topic, 0, 0, 1, b"orders", message.dump()))
    Disk(tmp_path).keep(Acknowledged.of(fold, "orders"))
    nobody, xds, direct = free_ports(3)
    settings = {"xds_port": str(xds), "direct_port": str(direct), "direct_token": TOKEN, "data_folder": str(tmp_path)}
    async with router(f"127.0.0.1:{nobody}", **settings) as process:
        await listens(direct)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", xds)
        code, output = await say_directly(direct)
        assert (code, "no proxy is connected to any" in output) == (4, True), output
        await listens(xds)
        process.kill()
    assert [(e.kind, e.rollout) for e in Disk(tmp_path).latches().entries.values()] == [("rollback", 1)]
    async with router(f"127.0.0.1:{nobody}", **settings):
        await listens(xds)
        assert (await say_directly(direct))[1] == output


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
        ({"xds_host": "0.0.0.0"}, "router: xDS without mTLS is served on loopback only, not on 0.0.0.0"),
        ({"xds_port": "http"}, "[router] xds_port"),
        ({"xds_prot": "1"}, "[router] xds_prot"),
        ({"xds_cert": "a", "xds_key": "b"}, "[router] "),
        ({"xds_cert": "a", "xds_key": "b", "xds_ca": "c"}, "router: a and b are no certificate with its key"),
        ({"direct_token": "short"}, "[router] direct_token"),
        ({"direct_token": "x" * 16, "direct_host": "0.0.0.0"}, "router: The direct port without TLS"),
    ],
)
async def test_what_it_cannot_do_is_one_sentence_and_a_failure(settings: dict[str, str], words: str) -> None:
    async with router("127.0.0.1:1", **settings) as process:
        await said(process, words)
        assert await process.wait() == (2 if words.startswith("[router]") else 1)


def test_a_router_has_a_name_of_its_own_and_keeps_to_loopback() -> None:
    settings = RouterSettings()
    assert settings.name.startswith("router@")
    assert (settings.xds_host, settings.xds_port) == ("127.0.0.1", 18000)
