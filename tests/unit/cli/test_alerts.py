"""A test message reaches each receiver that is configured, or it is said which one it does not reach."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from transport.ports import free_ports

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
"""On loading apprise's mail plugin."""

RECEIVERS = "DAVYLAMP_ALERTS_RECEIVERS"


@pytest.fixture
def pager() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A webhook and what came to it."""
    got: list[dict[str, str]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the base class's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"json://127.0.0.1:{server.server_port}/", got
        server.shutdown()


def tried(*receivers: dict[str, Any], arguments: tuple[str, ...] = ()) -> Result:
    return CliRunner().invoke(app, ["alerts", "try", *arguments], env={RECEIVERS: json.dumps(receivers)})


def test_whoever_takes_the_severity_is_told_that_it_is_a_test(pager: tuple[str, list[dict[str, str]]]) -> None:
    url, got = pager
    found = tried({"url": url, "name": "on-call"}, {"url": f"{url}x", "name": "diary", "severities": ["info"]})
    assert (found.exit_code, found.stdout) == (0, "✔ on-call  took it\n"), found.output
    (page,) = got
    assert page["title"] == "[test of page] davylamp"
    assert page["message"].startswith("Nothing happened: ")


def test_a_receiver_that_does_not_take_it_is_named_and_without_its_secret() -> None:
    (port,) = free_ports(1)
    found = tried({"url": f"json://ada:hunter2@127.0.0.1:{port}/", "name": "on-call"})
    assert found.exit_code == 1
    assert found.stdout.startswith("✖ on-call  ")
    assert "hunter2" not in found.output


def test_where_nobody_is_configured_that_is_said() -> None:
    found = tried()
    assert found.exit_code == 1
    assert "name a receiver in [alerts]" in found.stderr


@pytest.mark.parametrize(
    ("receivers", "arguments"),
    [([{"url": "nonsense://x", "name": "on-call"}], ()), ([], ("--severity", "loud"))],
)
def test_what_is_not_understood_is_wrong_usage(receivers: list[dict[str, str]], arguments: tuple[str, ...]) -> None:
    assert tried(*receivers, arguments=arguments).exit_code == 2
