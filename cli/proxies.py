"""The commands about proxies."""

from typing import Annotated, Any

import typer

from cli.rendering import render_proxy
from cli.terminal import DEFAULT_URL, Url, ask, connect, print_all, why
from schemas.control import ProxyRoute

app = typer.Typer(no_args_is_help=True, help="The proxies that exist, and those that will not come back.")

_NO_PROXY = "No proxy is known: davylamp envoy bootstrap prints what one is started with."


@app.command("list")
def show(
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="What the API says, for programs.")] = False,  # noqa: FBT002 - typer
) -> None:
    """Show every proxy, and what it runs of each service. One of which nothing is known lets no share rise."""
    with connect(url) as client:
        found = ask(client.proxies)
    print_all(found, _line, _NO_PROXY, as_json=as_json)


@app.command()
def forget(
    name: Annotated[str, typer.Argument(help="The proxy's node id.")],
    reason: Annotated[
        str, typer.Option("--reason", help="Why; kept in the log with your name. Needed; a terminal is asked for it.")
    ] = "",
    service: Annotated[str | None, typer.Option(help="For this service only; default: all.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Let a proxy that is gone for good block nothing any more. One that lives comes back with its next word."""
    reason = why(reason)
    with connect(url) as client:
        print(ask(client.forget, name, service, reason))


def _line(proxy: dict[str, Any]) -> str:
    return render_proxy(proxy["service"], ProxyRoute.model_validate(proxy["route"], extra="ignore"))
