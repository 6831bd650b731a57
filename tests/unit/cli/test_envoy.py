"""`davylamp envoy …`."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from router.bootstrap import bootstrap
from router.bootstrap_tls import ProxyTls

ROOT = Path(__file__).parents[3]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["envoy", "bootstrap", *arguments])


def made(*arguments: str) -> Any:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_example_is_what_the_command_prints() -> None:
    assert (ROOT / "examples/envoy.json").read_text(encoding="utf-8") == run("--node", "lb0").stdout


def test_every_option_is_where_it_belongs() -> None:
    routers = ("--router", "router-a:18000", "--router", "10.0.0.7:18001")
    files = ("--cert", "/c.crt", "--key", "/c.key", "--ca", "/ca.pem")
    found = made("--node", "edge-0", "--listen", "10.0.0.1:8443", "--admin", "9000", *routers, *files)
    assert found == bootstrap(
        "edge-0",
        8443,
        9000,
        ("router-a:18000", "10.0.0.7:18001"),
        "10.0.0.1",
        tls=ProxyTls("/c.crt", "/c.key", "/ca.pem"),
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--node", "lb0", "--listen", "10000"), "--listen: '10000' is no address; write it like 127.0.0.1:18000."),
        (("--node", "lb0", "--router", "router-a"), "--router: 'router-a' is no address"),
        (("--node", "lb0", "--cert", "/c.crt"), "--cert, --key and --ca belong together."),
        (("--node", "lb0", "--key", "/c.key", "--ca", "/ca.pem"), "--cert, --key and --ca belong together."),
        ((), "Missing option '--node'"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_printed(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "wrong", [["--node", ""], ["--node", " "], ["--node", "a", "--admin", "99999999"], ["--node", "a", "--admin", "0"]]
)
def test_what_no_proxy_could_use_is_refused(wrong: list[str]) -> None:
    got = run(*wrong)
    assert (got.exit_code, got.stdout) == (2, "")
