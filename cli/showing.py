"""The commands that show something and change nothing."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.completion import Service as Named
from cli.completion import services
from cli.effective import render_effective
from cli.following import BAD_ENDS, GOOD_ENDS, follow
from cli.rendering import render_history, render_line, render_view, view_of
from cli.terminal import (
    DEFAULT_URL,
    EXIT_ROLLED_BACK,
    EXIT_UNDECIDED,
    NO_SERVICE,
    Url,
    ask,
    connect,
    fail,
    for_programs,
    load,
    print_all,
    seconds,
    understand,
)
from davylamp_sdk._message import Message
from schemas.decisions import LedgerEntry
from schemas.plan import Plan
from schemas.service import Service

app = typer.Typer()


@app.command()
def check(file: Path) -> None:
    """Check a plan or a service file as a whole, and print it with every default filled in."""
    content = load(file)
    print(render_effective(understand(_kind(file, content), file, content)))


@app.command()
def status(
    service: Annotated[str | None, typer.Argument(autocompletion=services)] = None,
    url: Url = DEFAULT_URL,
    watch: Annotated[bool, typer.Option("--watch", help="Follow until the rollout ends.")] = False,  # noqa: FBT002 - typer
    timeout_s: Annotated[
        float, typer.Option("--timeout", parser=seconds, metavar="DURATION", help="With --watch: 90s, 15m, 2h.")
    ] = "1d",  # type: ignore[assignment]  # what is parsed
    as_json: Annotated[bool, typer.Option("--json", help="What the API says, for programs.")] = False,  # noqa: FBT002 - typer
) -> None:
    """Show rollouts. With a service: 0 = completed or running, 3 = rolled back, 4 = undecided when --watch ran out.

    --watch waits for an API that is away for a while, once it has answered.
    """
    with connect(url) as client:
        if service is None:
            print_all(ask(client.rollouts), lambda one: render_line(view_of(one)), NO_SERVICE, as_json=as_json)
            return
        found = follow(client, service, timeout_s) if watch else ask(client.rollout, service)
    view = view_of(found)
    print(for_programs(found) if as_json else render_view(view, _reason(found)))
    if view.state in BAD_ENDS:
        raise typer.Exit(EXIT_ROLLED_BACK)
    if watch and view.state not in GOOD_ENDS:
        raise typer.Exit(EXIT_UNDECIDED)


@app.command()
def explain(service: Named, url: Url = DEFAULT_URL) -> None:
    """Explain the last decision in full: the sentence, and every check with its interval and limit."""
    with connect(url) as client:
        print(ask(client.explain, service), end="")


@app.command()
def history(
    service: Named,
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="The whole entries, for programs.")] = False,  # noqa: FBT002 - typer
) -> None:
    """Show every decision ever taken for a service: when, by whom, what, and why."""
    with connect(url) as client:
        found = ask(client.history, service)
    entries = [LedgerEntry.model_validate(e, extra="ignore") for e in found]
    print(for_programs(found) if as_json else render_history(entries))


def _kind(file: Path, content: Any) -> type[Message]:
    keys = set(content) if isinstance(content, dict) else set()
    if "canary" in keys:
        return Plan
    if "versions" not in keys:
        fail(f"{file} is neither a plan (no `canary`) nor a service (no `versions`).")
    return Service


def _reason(found: dict[str, Any]) -> str | None:
    return found["ledger"][-1]["reason"]["sentence"] if found["ledger"] else None
