"""How commands and services end when a setting is not understood, and at the edges where nothing is understood."""

import importlib
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from cli import reference, stack
from cli.foreign_words import MEANT, Commands
from cli.main import app
from davylamp_sdk import __version__
from transport.kafka_runtime import LocalKafkaError
from transport.ports import free_ports
from transport.settings import TABLES
from transport.topics import TopicsError

TOKEN = "0123456789abcdef"
WRONG = {
    "DAVYLAMP_KAFKA_BOOTSRAP": "kafka:9092",
    "DAVYLAMP_ROUTER_NMAE": "r",
    "DAVYLAMP_ALERTS_X": "1",
    "DAVYLAMP_DIRECT_X": "1",
}
READ = [
    ["topics"],
    ["kafka", "acls"],
    ["kafka", "acls", "--create"],
    ["verify", "orders"],
    ["record", "orders", "-o", "x"],
    ["replay", "orders"],
    ["dlq", "list"],
    ["dlq", "show", "0@1"],
    ["dlq", "replay", "0@1"],
    ["alerts", "try"],
    ["up", "--folder", "x"],
    ["rollback", "orders", "--reason", "x", "--direct"],
]
SERVICES = [
    "streams.app",
    "judge.app",
    "judge.remote",
    "router.__main__",
    "alerts.__main__",
    "status.__main__",
    "streams.otel_bridge",
]


def run(arguments: Sequence[str], **environment: str) -> Result:
    return CliRunner().invoke(app, arguments, env=environment)


@pytest.mark.parametrize("command", READ, ids=" ".join)
def test_a_command_ends_with_2_for_a_setting_that_is_not_understood(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    got = run(command, **WRONG)
    assert (got.exit_code, got.stdout) == (2, "")
    assert "is not known here" in got.stderr


@pytest.mark.parametrize("module", SERVICES)
def test_a_service_ends_with_2_for_a_setting_that_is_not_understood(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = importlib.import_module(module)
    monkeypatch.setattr(service, "start_logging", lambda: None)
    monkeypatch.setenv("DAVYLAMP_STRAEMS_TOPIC", "x")
    with pytest.raises(SystemExit) as ended:
        service.main()
    assert ended.value.code == 2
    assert "DAVYLAMP_STRAEMS_TOPIC is no setting of davylamp's" in capsys.readouterr().err


@pytest.mark.parametrize("error", [TopicsError("Kafka at foo: nobody answers"), LocalKafkaError("no Java: install it")])
def test_a_stack_whose_kafka_is_not_there_ends_with_what_is_wrong(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ensure(_: object) -> None:
        raise error

    monkeypatch.setattr(stack, "ensure_topics", ensure)
    got = run(["up", "--kafka", "foo", "--folder", str(tmp_path), *ports()])
    assert (got.exit_code, got.stderr.splitlines()[-1]) == (1, str(error))


@pytest.mark.parametrize("command", [["status"], ["rollback", "orders", "--reason", "x"], ["doctor", "--no-kafka"]])
@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"DAVYLAMP_TOKEN": "ü"}, "DAVYLAMP_TOKEN is no token"),
        ({"DAVYLAMP_TOKEN": "two\nlines"}, "DAVYLAMP_TOKEN is no token"),
        ({"DAVYLAMP_URL": "http://[::1"}, "http://[::1 is no URL"),
        ({"DAVYLAMP_URL": "127.0.0.1:8642"}, "127.0.0.1:8642 is no URL (it begins with neither http:// nor https://)"),
        ({"DAVYLAMP_URL": "htp://status"}, "htp://status is no URL"),
    ],
)
def test_what_can_be_no_token_and_no_url_is_said(command: list[str], environment: dict[str, str], words: str) -> None:
    got = run(command, **environment)
    assert (got.exit_code, got.stdout, words in got.stderr) == (2, "", True)
    assert ("--direct" in got.stderr) == (command[0] == "rollback")


def test_what_can_be_no_token_of_a_router_is_said_before_anybody_is_asked() -> None:
    got = run(
        ["rollback", "orders", "--reason", "x", "--direct"],
        DAVYLAMP_DIRECT_TOKEN=f"{TOKEN}ü",
        DAVYLAMP_DIRECT_ROUTERS="http://127.0.0.1:9",
    )
    assert got.exit_code == 2
    assert "[direct] token" in got.stderr


def test_a_direct_rollback_waits_for_no_setting_of_others() -> None:
    got = run(
        ["rollback", "orders", "--reason", "x", "--direct", "--rollout", "1"],
        DAVYLAMP_DIRECT_TOKEN=TOKEN,
        DAVYLAMP_DIRECT_ROUTERS="http://127.0.0.1:9",
        DAVYLAMP_KAFAK_BOOTSTRAP="x",
    )
    assert got.exit_code == 1
    assert "is not reachable" in got.stdout


def test_the_command_line_tells_its_version() -> None:
    got = run(["--version"])
    assert (got.exit_code, got.stdout) == (0, f"davylamp {__version__}\n")


def test_every_table_that_is_not_refused_is_in_the_reference() -> None:
    assert set(TABLES) == set(reference.TABLES)


def ports() -> list[str]:
    """Options that name ports which nobody has."""
    options = "--kafka-port", "--xds-port", "--status-port", "--direct-port"
    return [word for option, port in zip(options, free_ports(4), strict=True) for word in (option, str(port))]


@pytest.mark.parametrize("option", ["--kafka-port", "--xds-port", "--status-port", "--direct-port"])
def test_a_port_that_is_none_is_wrong_usage(option: str) -> None:
    assert [run(["up", option, number]).exit_code for number in ("0", "65536")] == [2, 2]


def test_nothing_is_started_where_a_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        got = run(["up", "--kafka", "foo", "--folder", str(tmp_path), *ports(), "--status-port", port])
    assert got.exit_code == 1
    assert got.stderr.splitlines()[0] == f"port {port} (--status-port): Address already in use"


def test_a_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    got = run(["up", "--folder", str(tmp_path / "file")])
    assert (got.exit_code, got.stderr) == (
        2,
        f"--folder {tmp_path}/file cannot be used: File exists: {tmp_path}/file\n",
    )
    (tmp_path / "kafka").write_text("where a folder of its should be")
    got = run(["up", "--folder", str(tmp_path), *ports()])
    assert (got.exit_code, got.stderr.splitlines()[-1]) == (
        1,
        f"--folder {tmp_path} cannot be used: File exists: {tmp_path}/kafka",
    )
    assert run(["check", str(tmp_path / "none.yaml")]).stderr == f"{tmp_path}/none.yaml: No such file or directory\n"


@pytest.mark.parametrize("word", sorted(MEANT))
def test_a_word_of_another_tool_is_answered_with_the_command_that_is_meant(word: str) -> None:
    got = run([word, "orders"])
    assert got.exit_code == 2
    assert MEANT[word].split()[0] in got.stderr
    known = get_command(app)
    assert isinstance(known, Commands)
    assert word not in known.commands
    assert MEANT[word].split()[0].rstrip(",") in {*known.commands, "--help", "--version"}


@pytest.mark.parametrize("command", [[], ["status"], ["dlq", "show"]])
def test_help_is_asked_for_in_short_too(command: list[str]) -> None:
    short, long = (run([*command, word]) for word in ("-h", "--help"))
    assert (short.exit_code, short.stdout) == (0, long.stdout)


@pytest.mark.parametrize("name", ["nothere.json", "a/b/c", "recording.json.gz"])
def test_a_recording_that_is_not_there_is_no_rollout_of_a_service(name: str) -> None:
    got = run(["replay", name, "--timeout", "9"])
    assert (got.exit_code, got.stderr) == (2, f"{name}: there is no such file\n")
    assert run(["replay", "Orders", "--timeout", "60"]).exit_code == 2
