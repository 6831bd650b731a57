"""The commands by which people speak to a rollout."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from cli import plan
from cli.completion import Mode, Service
from cli.terminal import DEFAULT_URL, NotAnsweredExit, Url, ask, connect, read_file, why
from schemas.names import LONGEST_LINE
from schemas.plan import HoldMode, Plan

app = typer.Typer()

Why = Annotated[
    str, typer.Option("--reason", help="Why; kept in the ledger with your name. Needed; a terminal is asked for it.")
]
Perhaps = Annotated[str, typer.Option("--reason", help="Why, if you like; kept in the ledger with your name.")]
"""Of what makes nothing riskier: nobody who is woken by an incident is kept from it by a missing word."""
Seen = Annotated[str | None, typer.Option(help="Id of the ledger's head as you saw it: refused if it has moved.")]

_DIRECT = "To every router's own port: needs no Kafka, no judge and no status API."

_NO_REASON = "no reason given"

_PLAIN = {
    "retry": "Begin the stage anew.",
    "hold": "Stop the stage's clock; a rollback stays armed.",
    "resume": "Let the stage's clock run again.",
    "freeze": "Let no new rollout start.",
    "unfreeze": "Let rollouts start again.",
}
_CAUTIOUS = frozenset({"hold", "freeze"})


@app.command()
def start(
    file: Path,
    url: Url = DEFAULT_URL,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger with your name.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Roll a running rollout back first.")] = False,  # noqa: FBT002 - typer
    again: Annotated[bool, typer.Option("--again", help="Although this version was rolled back.")] = False,  # noqa: FBT002 - typer
) -> None:
    """Start a rollout by its plan; warn of stages that the service's recent traffic is too little for."""
    wanted = read_file(Plan, file)
    with connect(url) as client:
        print(ask(client.start, wanted, reason=reason, replace=replace, again=again))
        plan.warn(client, wanted)


@app.command()
def approve(
    service: Service,
    what: Annotated[
        str | None, typer.Argument(help="start, a stage's number or promote; default: what comes next.")
    ] = None,
    reason: Why = "",
    url: Url = DEFAULT_URL,
    seen: Seen = None,
) -> None:
    """Give your word for what the plan wants approved."""
    _say(url, service, "approve", why(reason), seen, approves=what)


@app.command()
def promote(
    service: Service,
    reason: Why = "",
    full: Annotated[bool, typer.Option("--full", help="To 100 % at once, not to the next stage.")] = False,  # noqa: FBT002 - typer
    url: Url = DEFAULT_URL,
    seen: Seen = None,
) -> None:
    """Go to the next stage without waiting for the gate."""
    _say(url, service, "promote", why(reason), seen, full=full or None)


@app.command()
def rollback(
    service: Service,
    reason: Perhaps = "",
    mode: Mode = None,
    url: Url = DEFAULT_URL,
    direct: Annotated[bool, typer.Option("--direct", help=_DIRECT)] = False,  # noqa: FBT002 - typer
    router: Annotated[
        list[str] | None,
        typer.Option(help="With --direct: a router's direct port, http://HOST:18001; for each router."),
    ] = None,
    rollout: Annotated[
        int | None, typer.Option(help="With --direct: its number; default: the routers are asked.")
    ] = None,
) -> None:
    """Take a live rollout back, now. Needs no judge."""
    if not direct:
        if router or rollout is not None:
            raise typer.BadParameter("--router and --rollout belong to --direct")
        with _way_around(service):
            _say(url, service, "rollback", _given(reason), None, mode=_known(mode))
        return
    if mode is not None:
        raise typer.BadParameter("--direct uses the plan's own mode")
    from cli.direct import roll_back

    roll_back(service, _given(reason), router or (), rollout)


@app.command()
def undo(service: Service, reason: Perhaps = "", mode: Mode = None, url: Url = DEFAULT_URL) -> None:
    """Take a completed rollout back, while its old baseline is kept. Needs no judge."""
    _say(url, service, "undo", _given(reason), None, mode=_known(mode))


def _plain(word: str) -> Callable[..., None]:
    def command(service: Service, reason: Why = "", url: Url = DEFAULT_URL, seen: Seen = None) -> None:
        _say(url, service, word, why(reason), seen)

    return command


def _cautious(word: str) -> Callable[..., None]:
    def command(service: Service, reason: Perhaps = "", url: Url = DEFAULT_URL, seen: Seen = None) -> None:
        _say(url, service, word, _given(reason), seen)

    return command


for _word, _help in _PLAIN.items():
    app.command(_word, help=_help)(_cautious(_word) if _word in _CAUTIOUS else _plain(_word))


def _known(mode: str | None) -> str | None:
    if mode is not None and mode not in get_args(HoldMode):
        raise typer.BadParameter(f"{mode} is no mode; known are {', '.join(get_args(HoldMode))}")
    return mode


def _say(url: str, service: str, word: str, reason: str, seen: str | None, **more: Any) -> None:
    body = {"reason": reason, "seen": seen, **more}
    with connect(url) as client:
        print(ask(client.say, service, word, {key: value for key, value in body.items() if value is not None}))


@contextlib.contextmanager
def _way_around(service: str) -> Iterator[None]:
    """A rollback that the status API does not answer is an emergency: say what needs neither it nor Kafka."""
    try:
        yield
    except NotAnsweredExit:
        typer.echo(f"Without it, and without Kafka: davylamp rollback {service} --direct", err=True)
        raise


def _given(reason: str) -> str:
    """As the ledger takes it: what stops a canary is not refused for a line break in it, or for its length."""
    words = " ".join("".join(c if c.isprintable() else " " for c in reason).split())
    return words[:LONGEST_LINE] or _NO_REASON
