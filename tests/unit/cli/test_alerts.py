"""A test message reaches each receiver that is configured, or it is said which one it does not reach."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.webhook import webhook
from transport.ports import free_ports

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
"""On loading apprise's mail plugin."""

RECEIVERS = "DAVYLAMP_ALERTS_RECEIVERS"


@pytest.fixture
def pager() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A webhook and what came to it."""
    with webhook() as hook:
        yield hook


def tried(*receivers: dict[str, Any], arguments: tuple[str, ...] = ()) -> Result:
    return CliRunner().invoke(app, ["alerts", "try", *arguments], env={RECEIVERS: json.dumps(receivers)})


def test_whoever_takes_the_severity_is_told_that_it_is_a_test(pager: tuple[str, list[dict[str, str]]]) -> None:
    url, got = pager
    found = tried({"url": url, "name": "on-call"}, {"url": f"{url}x", "name": "diary", "severities": ["info"]})
    assert (found.exit_code, found.stdout) == (0, "✔ on-call  took it\n"), found.output
    (page,) = got
    assert page["title"] == "[test of page] davylamp"
    assert page["message"].startswith("Nothing happened: ")


def test_a_program_is_told_that_it_is_a_test_by_the_events_type(pager: tuple[str, list[dict[str, str]]]) -> None:
    url, got = pager
    hook = {"url": url.replace("json://", "http://"), "name": "ci", "secret": f"whsec_{'A' * 32}"}
    found = CliRunner().invoke(app, ["alerts", "try"], env={"DAVYLAMP_ALERTS_WEBHOOKS": json.dumps([hook])})
    assert (found.exit_code, found.stdout) == (0, "✔ ci  took it\n"), found.output
    assert [event["type"] for event in got] == ["test.happened"]


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
