"""`davylamp kafka acls` prints what a cluster must allow, for the principals that it is told."""

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


def test_an_unknown_component_is_refused_with_the_known_ones() -> None:
    got = RUNNER.invoke(app, ["kafka", "acls", "--principal", "jugde=User:judge"])
    assert got.exit_code == 2
    assert "components are sdk, streams, judge" in got.output
