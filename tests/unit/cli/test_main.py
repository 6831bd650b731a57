"""The commands, against a real status API over the log in memory."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
import uvicorn
from typer.main import get_command
from typer.testing import CliRunner, Result

from cli import terminal
from cli.client import ApiError, AwayError, Client, UnansweredError
from cli.completion import services
from cli.main import app
from cli.stack import SERVICES, StackOptions, service_argv
from schemas.control import Command, Outcome, RolloutView
from schemas.decisions import EntryKind, LedgerEntry
from schemas.ledger import ServiceLedger
from schemas.service import Service
from status.app import create_app
from status.feed import TOPICS
from status.settings import StatusSettings
from status.tokens import Role, Token, fingerprint
from tests.builders import entry
from transport.memory_log import MemoryLog
from transport.ports import free_ports
from transport.topics import TopicsError

ROOT = Path(__file__).parents[3]


class Api(NamedTuple):
    """A status API that listens."""

    log: MemoryLog
    url: str

    async def run(self, *arguments: str, **environment: str) -> Result:
        """A command, as a shell would start it."""
        environment |= {"DAVYLAMP_URL": self.url}
        return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)

    async def view(self, state: str, share: int) -> None:
        """The judge says where the rollout stands."""
        head = self.ledger().head_id
        fields = {"service": "orders", "rollout": 1, "state": state, "stage": 1, "stages": 2, "share": share}
        view = RolloutView.model_validate({**fields, "baseline": "v1", "canary": "v2", "head": head, "looked_at": 1})
        await self.log.writer().append("rollouts", "orders", view.dump())

    async def holds(self, *entries: LedgerEntry) -> None:
        """The ledger says so."""
        for item in entries:
            await self.log.writer().append("rollout-decisions", "orders", item.dump())

    async def judge(self) -> None:
        """Carries out every command as a `hold`, a refusal where it says `no`."""
        async for batch in self.log.reader("rollout-commands").batches():
            for record in batch.records:
                command = Command.read(record.value or b"")
                if command.reason == "no":
                    outcome = Outcome(command=command.id, accepted=False, sentence="it is held already")
                    view = RolloutView(service="orders", rollout=1, outcomes=(outcome,), looked_at=1)
                    await self.log.writer().append("rollouts", "orders", view.dump())
                else:
                    await self.holds(entry("hold", self.ledger().head, now=9, command=command.id))

    def ledger(self) -> ServiceLedger:
        """The chain as every reader folds it."""
        chain = ServiceLedger()
        for record in self.log.records("rollout-decisions"):
            chain, _ = chain.read(LedgerEntry.read(record.value or b""), record.offset)
        return chain

    def commands(self) -> list[Command]:
        """What the judge was asked."""
        return [Command.read(record.value or b"") for record in self.log.records("rollout-commands")]


@contextlib.asynccontextmanager
async def listening(**options: Any) -> AsyncIterator[Api]:
    log = MemoryLog()
    (port,) = free_ports(1)
    application = create_app(log.reader(*TOPICS), log.writer(), **options)
    server = uvicorn.Server(uvicorn.Config(application, port=port, log_config=None))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody when it has started
        await asyncio.sleep(0)
    found = Api(log, f"http://127.0.0.1:{port}")
    answering = asyncio.create_task(found.judge())
    yield found
    answering.cancel()
    server.should_exit = True
    await task


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with listening(answer_within_s=10.0) as found:
        yield found


def commands_of(group: Any, name: str = "davylamp") -> Iterator[tuple[str, Any]]:
    yield name, group
    for part, inner in getattr(group, "commands", {}).items():
        yield from commands_of(inner, f"{name} {part}")


def test_no_words_of_a_help_are_taken_for_markup() -> None:
    """Rich leaves out what stands in brackets and begins like a style."""
    told = dict(commands_of(get_command(app)))
    assert "davylamp alerts try" in told
    for name, command in told.items():
        words = [command.help or "", *(getattr(parameter, "help", None) or "" for parameter in command.params)]
        assert not [text for text in words if re.search(r"\[[a-z/]", text)], name


async def test_a_service_file_is_applied(api: Api) -> None:
    got = await api.run("service", "apply", str(ROOT / "examples/orders/service.yaml"))
    assert got.exit_code == 0, got.output
    assert got.stdout == "orders: baseline v1, versions v1, v2, at */mcp\n"
    assert Service.read(api.log.records("services")[0].value or b"").baseline == "v1"


async def test_services_are_listed_and_their_names_completed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.run("service", "apply", str(ROOT / "examples/orders/service.yaml"))
    got = await api.run("service", "list")
    assert got.stdout == "orders: baseline v1, versions v1, v2, at */mcp\n"
    (listed,) = json.loads((await api.run("service", "list", "--json")).stdout)
    assert listed["service"] == "orders"
    monkeypatch.setenv("DAVYLAMP_URL", api.url)
    assert await asyncio.to_thread(services, "or") == ["orders"]
    assert await asyncio.to_thread(services, "x") == []


async def test_a_wrong_file_is_refused_with_every_error_before_anything_moves(api: Api, tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("service: orders\ncanary: v2\nstages: [{share: 10, for: 5}]\nchekcs: {}\n")
    got = await api.run("start", str(file))
    assert got.exit_code == 1
    assert "nothing has moved" in got.stderr
    for place in ("stages.0.share", "stages.0.for", "chekcs"):
        assert place in got.stderr
    assert api.log.records("rollout-commands") == ()


async def test_a_file_that_is_no_yaml_or_not_there_is_named(api: Api, tmp_path: Path) -> None:
    assert "nowhere.yaml" in (await api.run("start", str(tmp_path / "nowhere.yaml"))).stderr
    (tmp_path / "bad.yaml").write_text("a: [")
    assert "bad.yaml" in (await api.run("start", str(tmp_path / "bad.yaml"))).stderr


async def test_a_start_of_an_unknown_service_is_refused_with_the_apis_sentence(api: Api) -> None:
    got = await api.run("start", str(ROOT / "examples/orders/plan.yaml"))
    assert got.exit_code == 1
    assert "service apply" in got.stderr


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        (("start", "complete"), 0),
        (("start", "complete", "retire"), 0),
        (("start", "rollback"), 3),
        (("start", "rollback", "drained"), 3),
    ],
)
async def test_a_watched_rollout_ends_with_a_code_for_pipelines(
    api: Api, kinds: tuple[EntryKind, ...], code: int
) -> None:
    for now, kind in enumerate(kinds, start=1):
        await api.holds(entry(kind, api.ledger().head, now=now))
    got = await api.run("status", "orders", "--watch")
    assert got.exit_code == code, got.output
    assert f"because   It is a {kinds[-1]}." in got.stdout


async def test_a_watch_whose_time_is_up_is_undecided(api: Api) -> None:
    await api.holds(entry("start"))
    await api.view("collecting", 2000)
    got = await api.run("status", "orders", "--watch", "--timeout", "0")
    assert got.exit_code == 4
    assert "orders collecting" in got.stdout


@pytest.mark.parametrize("limit", ["0", "0s", "0m"])
async def test_a_time_limit_is_written_like_every_duration(api: Api, limit: str) -> None:
    await api.holds(entry("start"))
    assert (await api.run("status", "orders", "--watch", "--timeout", limit)).exit_code == 4
    assert (await api.run("status", "orders", "--watch", "--timeout", "soon")).exit_code == 2


async def test_the_last_decision_is_explained_as_the_page_does(api: Api) -> None:
    start = entry("start")
    await api.holds(start, entry("rollback", start, now=2))
    got = await api.run("explain", "orders", NO_COLOR="1")
    assert got.exit_code == 0, got.output
    assert got.stdout.startswith("✖ orders rolled back  v1 → v2, rollout 1\n")
    assert "It is a rollback." in got.stdout
    unknown = await api.run("explain", "nobody")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "service apply" in unknown.stderr


async def test_the_doctor_names_what_is_not_well_and_what_to_type(api: Api) -> None:
    await api.holds(entry("start"))
    await api.view("collecting", 2000)
    got = await api.run("doctor", "--no-kafka")
    assert got.exit_code == 1, got.output
    assert "– orders         requests read: no worker was heard" in got.stdout
    assert "✔ status API" in got.stdout
    assert "✔ versions" in got.stdout
    assert "✔ clock" in got.stdout
    assert "✖ orders         judge looked: " in got.stdout
    assert "→ davylamp run judge" in got.stdout


async def test_what_nobody_knows_is_not_well_to_the_doctor(api: Api) -> None:
    await api.run("service", "apply", str(ROOT / "examples/orders/service.yaml"))
    got = await api.run("doctor", "--no-kafka")
    assert got.exit_code == 4, got.output
    assert "✖" not in got.stdout
    assert got.stdout.endswith("3 things are not known\n")


async def test_the_doctor_looks_at_kafka_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport.topics.topic_problems", lambda _: ["rollouts: it is missing"])
    found = (await api.run("doctor")).stdout.splitlines()
    assert found[:3] == [
        "✔ Kafka          127.0.0.1:9092 answers",
        "✖ topics         rollouts: it is missing",
        "                 → davylamp topics",
    ]

    def away(_: object) -> list[str]:
        raise TopicsError("Kafka at 127.0.0.1:9092: it does not answer")

    monkeypatch.setattr("transport.topics.topic_problems", away)
    assert "✖ Kafka          Kafka at 127.0.0.1:9092: it does not answer" in (await api.run("doctor")).stdout


async def test_the_doctor_of_a_machine_where_nothing_runs_says_what_to_start() -> None:
    got = await asyncio.to_thread(
        CliRunner().invoke, app, ["doctor", "--no-kafka"], env={"DAVYLAMP_URL": "http://127.0.0.1:1"}
    )
    assert got.exit_code == 1
    assert "→ davylamp run status" in got.stdout


async def test_a_status_for_programs_is_what_the_api_says(api: Api) -> None:
    await api.holds(entry("start"))
    one = await api.run("status", "orders", "--json")
    assert json.loads(one.stdout)["ledger"][0]["kind"] == "start"
    assert [found["service"] for found in json.loads((await api.run("status", "--json")).stdout)] == ["orders"]


async def test_the_history_shows_every_entry(api: Api) -> None:
    start = entry("start")
    await api.holds(start, entry("rollback", start, now=2))
    got = await api.run("history", "orders")
    assert [line.split()[3] for line in got.stdout.splitlines() if not line.startswith(" ")] == ["start", "rollback"]
    assert [e["kind"] for e in json.loads((await api.run("history", "orders", "--json")).stdout)] == [
        "start",
        "rollback",
    ]


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (["approve", "orders"], {"kind": "approve", "approves": "2"}),
        (["approve", "orders", "promote"], {"kind": "approve", "approves": "promote"}),
        (["promote", "orders"], {"kind": "promote", "full": False}),
        (["promote", "orders", "--full"], {"kind": "promote", "full": True}),
        (["retry", "orders"], {"kind": "retry"}),
        (["hold", "orders"], {"kind": "hold"}),
        (["resume", "orders", "--seen", "abc"], {"kind": "resume", "seen": "abc"}),
        (["freeze", "orders"], {"kind": "freeze"}),
        (["unfreeze", "orders"], {"kind": "unfreeze"}),
    ],
)
async def test_a_word_reaches_the_judge_and_its_sentence_comes_back(
    api: Api, arguments: list[str], fields: dict[str, Any]
) -> None:
    await api.holds(entry("start"))
    got = await api.run(*arguments, "--reason", "incident 7")
    assert got.exit_code == 0, got.output
    assert got.stdout == "It is a hold.\n"
    (command,) = api.commands()
    assert command.reason == "incident 7"
    assert {name: getattr(command, name) for name in fields} == fields


async def test_a_refused_word_ends_with_the_judges_sentence(api: Api) -> None:
    await api.holds(entry("start"))
    got = await api.run("hold", "orders", "--reason", "no")
    assert (got.exit_code, got.stderr) == (1, "it is held already\n")


async def test_a_word_that_nobody_answers_is_undecided() -> None:
    async with listening(answer_within_s=0.0) as api:
        await api.holds(entry("start"))
        got = await api.run("freeze", "orders", "--reason", "x")
        assert got.exit_code == 4
        assert "has not answered" in got.stderr


@pytest.mark.parametrize(
    "arguments",
    [["promote", "orders"], ["hold", "--reason", "x"], ["resume", "orders", "--reason", " "], ["unfreeze", "orders"]],
)
async def test_a_word_without_service_or_reason_is_wrong_usage(api: Api, arguments: list[str]) -> None:
    assert (await api.run(*arguments)).exit_code == 2
    assert api.commands() == []


@pytest.mark.parametrize("reason", [[], ["--reason", ""], ["--reason", " "]])
@pytest.mark.parametrize("word", ["hold", "freeze"])
async def test_stopping_needs_no_reason(api: Api, word: str, reason: list[str]) -> None:
    await api.holds(entry("start"))
    assert (await api.run(word, "orders", *reason)).exit_code == 0
    assert [(command.kind, command.reason) for command in api.commands()] == [(word, "no reason given")]


async def test_no_reason_is_refused_where_something_is_stopped(api: Api) -> None:
    await api.holds(entry("start"))
    assert (await api.run("resume", "orders", "--reason", "two\nlines")).exit_code == 1
    got = await api.run("rollback", "orders", "--reason", f"two\nlines, a bell \a and {'x' * 600}")
    assert got.exit_code == 0
    assert got.stdout.partition(" rolled back: ")[2] == f"two lines, a bell and {'x' * 600}"[:500] + "\n"


async def test_taking_back_needs_no_reason(api: Api) -> None:
    start = entry("start")
    await api.holds(start)
    assert (await api.run("rollback", "orders")).stdout.endswith(" rolled back: no reason given\n")
    again = entry("start", api.ledger().head, now=3, rollout=2)
    await api.holds(again, entry("complete", again, now=4))
    assert (await api.run("undo", "orders", "--reason", "")).stdout.endswith(" rolled back: no reason given\n")


@pytest.mark.parametrize("command", ["approve orders 2", "promote orders", "resume orders"])
async def test_what_lets_a_canary_go_on_asks_a_person_why(
    api: Api, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a command which some sentence of ours names can be typed as it stands there."""
    await api.holds(entry("start"))
    monkeypatch.setattr(terminal, "_has_person", lambda: True)
    environment = {"DAVYLAMP_URL": api.url}
    got = await asyncio.to_thread(CliRunner().invoke, app, command.split(), input="\nfixed in 7\n", env=environment)
    assert (got.exit_code, "Why?" in got.stderr) == (0, True)
    assert [(said.kind, said.reason) for said in api.commands()] == [(command.partition(" ")[0], "fixed in 7")]


async def test_a_start_says_whether_it_replaces_and_begins_again(api: Api) -> None:
    await api.run("service", "apply", str(ROOT / "examples/orders/service.yaml"))
    plan = str(ROOT / "examples/orders/plan.yaml")
    got = await api.run("start", plan, "--replace", "--again", "--reason", "no")
    assert got.exit_code == 1
    (command,) = api.commands()
    assert (command.replace, command.again, command.reason) == (True, True, "no")


async def test_a_rollback_and_an_undo_need_no_judge(api: Api) -> None:
    start = entry("start")
    await api.holds(start)
    wrong = await api.run("undo", "orders", "--reason", "x")
    assert wrong.exit_code == 1
    assert "davylamp rollback orders" in wrong.stderr
    got = await api.run("rollback", "orders", "--reason", "errors", "--mode", "evict")
    assert got.exit_code == 0
    assert got.stdout.endswith(" rolled back: errors\n")
    head = api.ledger().head
    assert head is not None
    assert (head.kind, head.hold_mode) == ("rollback", "evict")
    assert api.commands() == []


async def test_a_completed_rollout_is_undone(api: Api) -> None:
    start = entry("start")
    await api.holds(start, entry("complete", start, now=2))
    assert (await api.run("undo", "orders", "--reason", "errors")).exit_code == 0
    assert api.ledger().baseline == "v1"


async def test_an_unknown_mode_is_wrong_usage(api: Api) -> None:
    got = await api.run("rollback", "orders", "--reason", "x", "--mode", "slowly")
    assert got.exit_code == 2
    assert "drain, rehome, evict" in got.stderr


def token(name: str, role: Role, secret: str) -> Token:
    return Token(name=name, role=role, token_sha256=fingerprint(secret.encode()))


async def test_the_token_of_the_environment_says_who_is_asking() -> None:
    async with listening(tokens=(token("ci", "operator", "s3"), token("dash", "viewer", "v3"))) as api:
        await api.holds(entry("start"))
        assert (await api.run("status", DAVYLAMP_TOKEN="")).exit_code == 1
        assert (await api.run("status", DAVYLAMP_TOKEN="v3")).exit_code == 0
        refused = await api.run("rollback", "orders", "--reason", "x", DAVYLAMP_TOKEN="v3")
        assert refused.exit_code == 1
        assert "only an operator" in refused.stderr
        assert (await api.run("rollback", "orders", "--reason", "x", DAVYLAMP_TOKEN="s3")).exit_code == 0
        head = api.ledger().head
        assert head is not None
        assert head.actor == "ci"


def test_a_new_token_is_shown_once_and_its_lines_are_settings(tmp_path: Path) -> None:
    got = CliRunner().invoke(app, ["token", "new", "ci", "--role", "operator"])
    assert got.exit_code == 0
    secret = got.stderr.strip().removeprefix("DAVYLAMP_TOKEN=")
    assert secret not in got.stdout
    (tmp_path / "tokens.toml").write_text(got.stdout)
    settings = StatusSettings.load("status", {"DAVYLAMP_CONFIG": str(tmp_path / "tokens.toml")})
    assert settings.tokens == (token("ci", "operator", secret),)


@pytest.mark.parametrize(("name", "role"), [("judge", "viewer"), ("a b", "viewer"), ("ci", "root")])
def test_a_token_that_could_not_be_configured_is_wrong_usage(name: str, role: str) -> None:
    got = CliRunner().invoke(app, ["token", "new", name, "--role", role])
    assert got.exit_code == 2
    assert got.stdout == ""


@pytest.mark.parametrize("file", ["plan.yaml", "service.yaml"])
def test_a_checked_file_is_shown_with_its_defaults(file: str, tmp_path: Path) -> None:
    got = CliRunner().invoke(app, ["check", str(ROOT / "examples/orders" / file)])
    assert got.exit_code == 0
    assert got.stdout.startswith("service: orders\n")
    assert "# default" in got.stdout
    (tmp_path / file).write_text(got.stdout)
    assert CliRunner().invoke(app, ["check", str(tmp_path / file)]).exit_code == 0


@pytest.mark.parametrize("text", ["", "[]", "service: orders", "- canary"])
def test_a_file_that_is_neither_plan_nor_service_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "some.yaml").write_text(text)
    got = CliRunner().invoke(app, ["check", str(tmp_path / "some.yaml")])
    assert got.exit_code == 1
    assert "neither a plan" in got.stderr


async def test_every_service_is_listed(api: Api) -> None:
    await api.run("service", "apply", str(ROOT / "examples/orders/service.yaml"))
    got = await api.run("status")
    assert got.stdout == "– orders  no rollout\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["status"], "davylamp service apply FILE"),
        (["service", "list"], "davylamp service apply FILE"),
        (["proxy", "list"], "davylamp envoy bootstrap"),
    ],
)
async def test_an_empty_list_says_on_stderr_that_it_is_one(api: Api, command: list[str], words: str) -> None:
    got = await api.run(*command)
    assert (got.exit_code, got.stdout, words in got.stderr) == (0, "", True)
    assert json.loads((await api.run(*command, "--json")).stdout) == []


async def test_an_api_that_is_not_there_is_told_with_what_to_do() -> None:
    (port,) = free_ports(1)
    got = await asyncio.to_thread(CliRunner().invoke, app, ["status", "--url", f"http://127.0.0.1:{port}"])
    assert got.exit_code == 1
    assert "davylamp up" in got.stderr


def test_an_unknown_service_process_lists_the_known_ones() -> None:
    got = CliRunner().invoke(app, ["run", "jugde"])
    assert got.exit_code == 2
    assert ", ".join(SERVICES) in got.stderr


def test_every_service_process_has_a_composition_root() -> None:
    for service in SERVICES:
        assert service_argv(service)[1:] == ["-m", service]
        assert (ROOT / service / "__main__.py").exists()


def test_the_stack_tells_every_service_where_kafka_is() -> None:
    environment = StackOptions(kafka="kafka:9092", xds_port=1, status_port=2).service_environment()
    assert environment["DAVYLAMP_KAFKA_BOOTSTRAP"] == "kafka:9092"
    assert environment["DAVYLAMP_ROUTER_XDS_PORT"] == "1"
    assert StackOptions(kafka_port=3).service_environment()["DAVYLAMP_KAFKA_BOOTSTRAP"] == "127.0.0.1:3"


def test_a_rollback_that_nobody_answers_names_the_way_around_the_status_api_and_kafka() -> None:
    away = CliRunner().invoke(app, ["rollback", "orders", "--reason", "it burns", "--url", "http://127.0.0.1:9"])
    assert away.exit_code == 1
    first, second = away.stderr.splitlines()
    assert "is not reachable" in first
    assert second == "Without it, and without Kafka: davylamp rollback orders --direct"
    hold = CliRunner().invoke(app, ["hold", "orders", "--reason", "wait", "--url", "http://127.0.0.1:9"])
    assert "--direct" not in hold.stderr


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_word_that_the_log_does_not_take_is_not_answered(status: int) -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, json={"detail": "The log did not acknowledge it."})

    with Client("http://status", httpx2.MockTransport(answer)) as client, pytest.raises(ApiError) as raised:
        client.say("orders", "rollback", {"reason": "it burns"})
    assert isinstance(raised.value, AwayError if status == 503 else UnansweredError)


def test_what_takes_too_long_may_have_been_done() -> None:
    def sleeps(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ReadTimeout("timed out", request=request)

    with (
        Client("http://status", httpx2.MockTransport(sleeps)) as client,
        pytest.raises(UnansweredError, match="nobody knows whether it was done"),
    ):
        client.say("orders", "hold", {"reason": "wait"})


@pytest.mark.parametrize("command", ["check", "start"])
def test_a_plan_that_contradicts_itself_is_refused_with_the_key(command: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("service: orders\ncanary: v2\nstrict: true\non_unproven_final: proceed\n")
    got = CliRunner().invoke(app, [command, str(file)])
    assert (got.exit_code, got.stdout) == (1, "")
    assert "  on_unproven_final: `strict: true` holds whatever is unproven, so proceed would never happen" in got.stderr
