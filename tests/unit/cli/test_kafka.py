"""`davylamp kafka acls` prints what a cluster must allow, for the principals that it is told."""

import pytest
from typer.testing import CliRunner

from cli.main import app

RUNNER = CliRunner()


def test_each_line_is_a_command_for_one_thing_that_a_component_needs() -> None:
    got = RUNNER.invoke(
        app, ["kafka", "acls", "--principal", "judge=User:CN=judge", "--telemetry", "mcp-requests.orders"]
    )
    assert got.exit_code == 0
    lines = got.stdout.splitlines()
    assert all(line.startswith("kafka-acls.sh --bootstrap-server ") for line in lines)
    assert any("User:CN=judge --operation Write --topic rollout-decisions" in line for line in lines)
    assert any("User:davylamp-sdk --operation Write --topic mcp-requests.orders" in line for line in lines)


def test_what_the_bridge_of_spans_needs_is_printed_where_there_are_spans() -> None:
    plain, bridged = (
        RUNNER.invoke(app, ["kafka", "acls", *more]).stdout.splitlines() for more in ((), ("--spans", "traces"))
    )
    added = [line.partition("--allow-principal ")[2] for line in bridged if line not in plain]
    assert added == [
        "User:davylamp-people --operation Write --topic traces",
        "User:davylamp-otel-bridge --operation Read --group davylamp-otel-bridge --resource-pattern-type prefixed",
        "User:davylamp-otel-bridge --operation Read --topic traces",
        "User:davylamp-otel-bridge --operation Write --topic mcp-requests",
        "User:davylamp-otel-bridge --operation Write --topic mcp-requests.dlq",
        "User:davylamp-otel-bridge --operation Write --transactional-id davylamp-otel-bridge --resource-pattern-type prefixed",
    ]


def test_an_unknown_component_is_refused_with_the_known_ones() -> None:
    got = RUNNER.invoke(app, ["kafka", "acls", "--principal", "jugde=User:judge"])
    assert got.exit_code == 2
    assert "components are sdk, streams, judge" in got.output


@pytest.mark.parametrize("option", ["--telemetry", "--spans"])
def test_what_is_no_topic_is_refused(option: str) -> None:
    got = RUNNER.invoke(app, ["kafka", "acls", option, "x y"])
    assert (got.exit_code, got.stdout) == (2, "")
    assert f"{option}: 'x y' is no name of a topic" in got.stderr
