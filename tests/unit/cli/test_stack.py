"""What runs under `davylamp up`."""

import asyncio
import logging
import socket
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from cli import stack
from cli.stack import ChildLines, PortsTakenError, Stack, StackOptions, answers, require_free, running
from transport.ports import free_ports
from transport.settings import CONFIG_VARIABLE, KafkaSettings
from transport.supervisor import Backoff, Child, Supervisor
from transport.topics import TopicsError


class Kafka:
    """Lives for some looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    @property
    def pid(self) -> int | None:
        self.looks -= 1
        return 47 if self.looks >= 0 else None


async def test_a_local_kafka_that_ends_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "GONE_WITHIN_S", 0.0)
    kafka = Kafka(looks=3)
    await Stack(cast("Any", None), cast("Any", kafka)).kafka_gone()
    assert kafka.looks == -1


def test_topics_are_made_as_every_service_will_look_for_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "davylamp.toml"
    file.write_text("[kafka]\nreplication_factor = 3\ncontrol_partitions = 3\nbootstrap = 'elsewhere:9092'\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(file))
    monkeypatch.setenv("DAVYLAMP_KAFKA_SECURITY_PROTOCOL", "SSL")
    yours = StackOptions(kafka="kafka:9092").kafka_settings()
    assert yours == KafkaSettings(
        bootstrap="kafka:9092", replication_factor=3, control_partitions=3, security_protocol="SSL"
    )
    assert yours == KafkaSettings.load("kafka", StackOptions(kafka="kafka:9092").service_environment())
    local = StackOptions(kafka_port=9).kafka_settings()
    assert (local.bootstrap, local.control_partitions, local.replication_factor) == ("127.0.0.1:9", 3, 1)


async def test_the_stack_makes_topics_by_those_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DAVYLAMP_KAFKA_REPLICATION_FACTOR", "3")
    asked: list[KafkaSettings] = []

    def ensure(settings: KafkaSettings) -> None:
        asked.append(settings)
        raise TopicsError("enough")

    monkeypatch.setattr(stack, "ensure_topics", ensure)
    with pytest.raises(TopicsError):
        async with running(StackOptions(tmp_path, kafka="kafka:9092")):
            pass
    assert [(s.bootstrap, s.replication_factor) for s in asked] == [("kafka:9092", 3)]


async def test_which_service_ended_and_where_its_last_words_are_stands_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, supervised = ChildLines(tmp_path), logging.getLogger("transport.supervisor")
    supervised.addHandler(lines)
    try:
        async with Supervisor(Backoff(first_s=0.01)) as supervisor:
            supervisor.add(Child("judge", [sys.executable, "-c", "raise SystemExit(3)"]))
            supervisor.add(Child("streams", ["/no/such/program"]))
            told = ""
            while "judge" not in told or "streams" not in told:
                await asyncio.sleep(0)
                told += capsys.readouterr().err
    finally:
        supervised.removeHandler(lines)
    assert f"judge: ended (exit code 3), starting it again in 0.0 s; see {tmp_path}/judge.log" in told.splitlines()
    assert any(line.startswith("streams: ended (") and line.endswith("streams.log") for line in told.splitlines())


def test_a_stack_opens_the_ports_that_its_options_name() -> None:
    assert StackOptions(kafka_port=1, xds_port=2, status_port=3).ports == {
        "--kafka-port": 1,
        "--xds-port": 2,
        "--status-port": 3,
    }
    yours = StackOptions(kafka="kafka:9092", environment={"DAVYLAMP_ROUTER_DIRECT_PORT": "4"})
    assert yours.ports == {"--xds-port": 18000, "--status-port": 8642, "--direct-port": 4}


def test_every_port_that_is_taken_is_named_with_its_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        first, second = (taken.getsockname()[1] for taken in (one, other))
        with pytest.raises(PortsTakenError) as raised:
            require_free({"--xds-port": first, "--kafka-port": 0, "--status-port": second})
    told = str(raised.value).splitlines()
    assert told[:2] == [
        f"port {p} (--{o}-port): Address already in use" for p, o in ((first, "xds"), (second, "status"))
    ]
    assert "Does davylamp run already?" in told[2]


def test_two_options_may_not_name_one_port() -> None:
    (port,) = free_ports(1)
    with pytest.raises(PortsTakenError, match="--status-port"):
        require_free({"--xds-port": port, "--status-port": port})
    require_free({"--xds-port": port})


async def test_a_stack_is_up_once_the_status_api_follows_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "LOOK_EVERY_S", 0.0)
    said = ["", "HTTP/1.1 503 Not yet", "HTTP/1.1 200 OK", "nobody asks any more"]

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{said.pop(0)}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        await answers(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert said == ["nobody asks any more"]
