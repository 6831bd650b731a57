"""`davylamp proxy …` against a status API of the test's own."""

import json

import httpx2
import pytest
from typer.testing import CliRunner

from cli import proxies
from cli.client import Client
from cli.main import app
from cli.rendering import render_proxy
from schemas.control import ProxyRoute

FOUND = [
    {"service": "orders", "route": {"proxy": "lb0", "state": "acknowledged", "connected": True}, "routers": ["r1"]},
    {"service": "orders", "route": {"proxy": "lb1", "state": "pending", "connected": False}, "routers": []},
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[httpx2.Request]:
    """What the command line asks; every forgetting is granted except that of `lb9`."""
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        if request.method == "GET":
            return httpx2.Response(200, json=FOUND)
        if json.loads(request.content)["proxy"] == "lb9":
            return httpx2.Response(409, json={"detail": "lb9 lives"})
        return httpx2.Response(200, json={"sentence": "It is forgotten."})

    def made(url: str) -> Client:
        return Client(url, httpx2.MockTransport(answer), actor="ada")

    monkeypatch.setattr(proxies, "connect", made)
    return seen


def run(*arguments: str) -> tuple[int, str]:
    got = CliRunner().invoke(app, ["proxy", *arguments])
    return got.exit_code, got.output


def test_the_list_says_what_each_proxy_runs_and_which_are_unknown(asked: list[httpx2.Request]) -> None:
    assert run("list") == (
        0,
        "✔ orders  lb0  runs the newest route\n? orders  lb1  unknown: no router hears it\n",
    )


def test_the_list_is_also_for_programs(asked: list[httpx2.Request]) -> None:
    code, output = run("list", "--json")
    assert (code, json.loads(output)) == (0, FOUND)


def test_a_proxy_is_forgotten_with_a_reason_and_a_name(asked: list[httpx2.Request]) -> None:
    assert run("forget", "lb1", "--reason", "scaled down") == (0, "It is forgotten.\n")
    assert run("forget", "lb1", "--reason", "moved", "--service", "orders")[0] == 0
    assert [json.loads(r.content) for r in asked] == [
        {"proxy": "lb1", "reason": "scaled down"},
        {"proxy": "lb1", "reason": "moved", "service": "orders"},
    ]
    assert asked[0].url.params["actor"] == "ada"


def test_a_refusal_and_a_missing_reason_end_the_command(asked: list[httpx2.Request]) -> None:
    assert run("forget", "lb9", "--reason", "hm") == (1, "lb9 lives\n")
    code, output = run("forget", "lb1", "--reason", " ")
    assert (code, output) == (2, 'Say why: --reason "…"\n')
    assert run("forget", "lb1")[0] == 2
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"state": "rejected", "detail": "bad weights"}, "✖ orders  lb0  rejected the newest route: bad weights"),
        ({"state": "pending"}, "… orders  lb0  has not acknowledged the newest route"),
    ],
)
def test_a_line_says_why(fields: dict[str, str], line: str) -> None:
    assert render_proxy("orders", ProxyRoute.model_validate({"proxy": "lb0", **fields})) == line
