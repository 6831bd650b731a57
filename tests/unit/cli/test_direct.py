"""`davylamp rollback SERVICE --direct` against routers that know a rollout, without Kafka, judge or status API."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from cli import direct as command
from cli.direct import actor, newest, verdict
from cli.main import app
from cli.routers import DirectSettings, Failure, Routers
from router import direct
from router.agent import Router
from router.answers import Knowledge, Latched
from router.direct import create_app
from router.fold import TOPICS
from router.latch import Word
from router.memory import MemoryLoadBalancer
from schemas.control import ProxyRoute
from schemas.decisions import LedgerEntry
from tests.builders import SERVICE, entry
from transport.clock import FakeClock
from transport.log import Batch
from transport.memory_log import MemoryLog

TOKEN = "0123456789abcdef"
A, B = "http://a:18001", "http://b:18001"
START = entry("start")
WORD = Word(service="orders", rollout=1, reason="it burns", actor="ada")


async def router(*entries: LedgerEntry, proxies: tuple[str, ...] = ("lb0",)) -> tuple[Router, MemoryLoadBalancer]:
    log, balancer = MemoryLog(), MemoryLoadBalancer()
    for name in proxies:
        balancer.connect(name)
    await log.writer().append("services", "orders", SERVICE.dump())
    for item in entries:
        await log.writer().append("rollout-decisions", "orders", item.dump())
    made = Router("router-1", log.reader(*TOPICS), log.writer(), balancer, FakeClock())
    await made.handle(Batch((*log.records("services"), *log.records("rollout-decisions")), caught_up=True))
    return made, balancer


class Away(httpx2.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("connection refused", request=request)


def listening(made: Router, token: str = TOKEN) -> httpx2.AsyncBaseTransport:
    return httpx2.ASGITransport(create_app(made, SecretStr(token)))


class Shell:
    """A shell whose routers are these."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, transports: Mapping[str, httpx2.AsyncBaseTransport]) -> None:
        def made(urls: Any, token: SecretStr, ca: Path | None) -> Routers:
            return Routers(urls, token, ca, transports)

        monkeypatch.setattr(command, "Routers", made)
        monkeypatch.setattr(command, "user", lambda: "ada")
        monkeypatch.setattr(direct, "ANSWER_WITHIN_S", 0.0)
        self.environment = {"DAVYLAMP_DIRECT_ROUTERS": ",".join(transports), "DAVYLAMP_DIRECT_TOKEN": TOKEN}

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        call = ["rollback", "orders", "--direct", "--reason", "it burns", *arguments]
        got = CliRunner().invoke(app, call, env=self.environment | environment)
        return got.exit_code, got.output


def canary_weight(balancer: MemoryLoadBalancer, proxy: str = "lb0") -> int:
    runs = balancer.proxies[proxy].runs
    assert runs is not None
    return sum(w.weight for w in runs.routes["orders"].weights if w.version == "v2")


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> tuple[Shell, list[MemoryLoadBalancer]]:
    (first, one), (second, other) = _run(router(START)), _run(router(START, proxies=("lb1",)))
    return Shell(monkeypatch, {A: listening(first), B: listening(second)}), [one, other]


def _run(work: Any) -> Any:
    """Each command has an event loop of its own."""
    import asyncio

    return asyncio.run(work)


def test_every_router_is_told_and_every_proxy_runs_it(two: tuple[Shell, list[MemoryLoadBalancer]]) -> None:
    shell, fleet = two
    assert [canary_weight(fleet[0]), canary_weight(fleet[1], "lb1")] == [2_000, 2_000]
    code, output = shell.run()
    assert code == 0, output
    assert "Rollout 1 of orders is rolled back" in output
    assert f"✔ {A}  in force as entry" in output
    assert [canary_weight(fleet[0]), canary_weight(fleet[1], "lb1")] == [0, 0]


def test_said_again_it_does_nothing_and_succeeds(two: tuple[Shell, list[MemoryLoadBalancer]]) -> None:
    shell, fleet = two
    first, second = shell.run(), shell.run("--rollout", "1")
    assert first == second
    assert canary_weight(fleet[0]) == 0


def test_a_router_that_is_away_fails_the_command_by_name_and_the_others_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, balancer = _run(router(START))
    shell = Shell(monkeypatch, {A: listening(made), B: Away()})
    code, output = shell.run()
    assert code == 1
    assert f"✖ {B}  it is not reachable (connection refused)" in output
    assert f"1 of 2 routers did not confirm ({B})" in output
    assert "davylamp rollback orders --direct --rollout 1" in output
    assert canary_weight(balancer) == 0


def test_a_router_that_knows_only_an_older_rollout_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    rollback = entry("rollback", START)
    made, _ = _run(router(START, rollback, entry("start", rollback)))
    lagging, _ = _run(router(START))
    shell = Shell(monkeypatch, {A: listening(made), B: listening(lagging)})
    code, output = shell.run()
    assert code == 1
    assert "The newest that this router knows of orders is rollout 1, not 2." in output


def test_another_token_is_refused_by_the_router(monkeypatch: pytest.MonkeyPatch) -> None:
    made, balancer = _run(router(START))
    shell = Shell(monkeypatch, {A: listening(made, "another-token-of-16")})
    code, output = shell.run("--rollout", "1")
    assert (code, "[router] direct_token" in output) == (1, True)
    assert canary_weight(balancer) == 2_000


def test_a_token_with_a_space_keeps_nobody_from_a_rollback(monkeypatch: pytest.MonkeyPatch) -> None:
    token = "a token of this field alone"
    made, balancer = _run(router(START))
    shell = Shell(monkeypatch, {A: listening(made, token)})
    code, output = shell.run("--rollout", "1", DAVYLAMP_DIRECT_TOKEN=token)
    assert (code, canary_weight(balancer)) == (0, 0), output


@pytest.mark.parametrize("token", ["ü" * 16, "two\nlines of a token", " at its end "])
def test_what_no_header_can_carry_is_no_token(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    made, _ = _run(router(START))
    code, output = Shell(monkeypatch, {A: listening(made)}).run("--rollout", "1", DAVYLAMP_DIRECT_TOKEN=token)
    assert (code, "[direct] token: a token is of printable ASCII" in " ".join(output.split())) == (2, True), output


def test_a_proxy_that_has_not_acknowledged_leaves_it_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    made, balancer = _run(router(START))
    balancer.connect("mute", None)
    code, output = Shell(monkeypatch, {A: listening(made)}).run()
    assert (code, "does not know it of every proxy: mute" in output) == (4, True)


def test_without_a_number_and_without_an_answer_the_number_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = Shell(monkeypatch, {A: Away()}).run()
    assert (code, "name it with --rollout" in output) == (1, True)


def test_a_service_without_a_rollout_has_nothing_to_roll_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = _run(router())
    code, output = Shell(monkeypatch, {A: listening(made)}).run()
    assert (code, output) == (1, "No router knows a rollout of orders: there is nothing to roll back.\n")


@pytest.mark.parametrize(
    ("missing", "words"), [("DAVYLAMP_DIRECT_ROUTERS", "Which routers?"), ("DAVYLAMP_DIRECT_TOKEN", "token is needed")]
)
def test_what_is_missing_is_asked_for(monkeypatch: pytest.MonkeyPatch, missing: str, words: str) -> None:
    shell = Shell(monkeypatch, {A: Away()})
    del shell.environment[missing]
    code, output = shell.run()
    assert (code, words in output) == (2, True)


def test_a_router_may_be_named_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    made, balancer = _run(router(START))
    shell = Shell(monkeypatch, {A: listening(made), B: Away()})
    assert shell.run("--router", f"{A}/")[0] == 0
    assert canary_weight(balancer) == 0


@pytest.mark.parametrize("arguments", [["--mode", "evict"], ["--rollout", "one"]])
def test_what_does_not_belong_together_is_refused(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    assert Shell(monkeypatch, {A: Away()}).run(*arguments)[0] == 2


def test_a_direct_rollback_needs_no_reason(two: tuple[Shell, list[MemoryLoadBalancer]]) -> None:
    shell, fleet = two
    assert shell.run("--reason", "")[0] == 0
    assert (canary_weight(fleet[0]), canary_weight(fleet[1], "lb1")) == (0, 0)


def test_routers_are_named_with_direct_only() -> None:
    got = CliRunner().invoke(app, ["rollback", "orders", "--reason", "x", "--router", A])
    assert got.exit_code == 2


# Pure.


def latched(**proxies: Any) -> Latched:
    routes = tuple(ProxyRoute(proxy=name, state=state) for name, state in proxies.items())
    return Latched(entry="0" * 32, acknowledged=all(p.state == "acknowledged" for p in routes), proxies=routes)


def test_a_proxy_counts_where_it_is_connected() -> None:
    answers = {A: latched(lb0="acknowledged", lb1="pending"), B: latched(lb1="acknowledged")}
    assert verdict(answers, WORD) is None


def test_without_any_proxy_nothing_is_proven() -> None:
    assert verdict({A: latched(), B: latched()}, WORD) is not None


def test_a_refusal_weighs_more_than_a_missing_proxy() -> None:
    told = verdict({A: latched(lb0="pending"), B: Failure("no")}, WORD)
    assert told is not None
    assert told[1] == 1


def test_the_newest_rollout_that_any_router_knows_is_meant() -> None:
    known = Knowledge(
        router="r",
        service="orders",
        rollout=3,
        phase="running",
        share=1,
        canary="v2",
        latched=False,
        away_s=0,
        proxies=(),
    )
    assert newest({A: known, B: known.model_copy(update={"rollout": 4}), "c": Failure("away")}) == 4
    assert newest({A: Failure("away")}) == 0


@pytest.mark.parametrize(
    ("name", "fits"),
    [("ada", "ada"), ("CORP\\ada", "CORP_ada"), ("judge", "judge@cli"), ("router", "router@cli"), ("", "somebody")],
)
def test_an_emergency_refuses_nobody_for_their_name(name: str, fits: str) -> None:
    assert actor(name) == fits
    assert Word(service="orders", rollout=1, actor=actor(name)).actor == fits


def test_the_settings_list_routers_in_a_file_or_in_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "davylamp.toml"
    file.write_text(f'[direct]\nrouters = ["{A}", "{B}"]\ntoken = "{TOKEN}"\n')
    by_file = DirectSettings.load("direct", {"DAVYLAMP_CONFIG": str(file)})
    by_environment = DirectSettings.load(
        "direct", {"DAVYLAMP_DIRECT_ROUTERS": f"{A}, {B}", "DAVYLAMP_DIRECT_TOKEN": TOKEN}
    )
    assert by_file == by_environment
    assert by_file.routers == (A, B)


async def test_what_is_no_router_is_said_to_be_none() -> None:
    other = httpx2.MockTransport(lambda _: httpx2.Response(200, text="<html>"))
    routers = Routers([A], SecretStr(TOKEN), None, {A: other})
    assert await routers.roll_back(WORD) == {A: Failure("what answered is no router of davylamp")}


async def test_a_router_whose_disk_failed_has_done_it_all_the_same() -> None:
    full = httpx2.MockTransport(lambda _: httpx2.Response(507, json={"detail": "In force, but lost if it restarts"}))
    answers = await Routers([A], SecretStr(TOKEN), None, {A: full}).roll_back(WORD)
    assert answers == {A: Failure("In force, but lost if it restarts", in_force=True)}
    told = verdict({**answers, B: latched(lb0="acknowledged")}, WORD)
    assert told is not None
    assert (told[1], told[0].startswith(f"In force at every router, and kept on no disk of {A}: ")) == (1, True)
    worse = verdict({**answers, B: Failure("away")}, WORD)
    assert worse is not None
    assert worse[0].startswith(f"Not rolled back everywhere: 1 of 2 routers did not confirm ({B})")


async def test_silence_is_no_answer() -> None:
    def silent(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadTimeout("", request=request)

    routers = Routers([A], SecretStr(TOKEN), None, {A: httpx2.MockTransport(silent)})
    assert await routers.roll_back(WORD) == {A: Failure("it did not answer in time: nobody knows whether it heard")}
