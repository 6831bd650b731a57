"""`davylamp envoy`: what a proxy needs so that it can ask the routers for everything else."""

import json
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from cli.terminal import EXIT_WRONG, fail
from router.bootstrap import bootstrap as made_for
from router.bootstrap_tls import ProxyTls
from schemas.service import Endpoint

app = typer.Typer(no_args_is_help=True, help="An Envoy of your own.")


@app.callback()
def envoy() -> None:
    """Keep `bootstrap` a command of its own."""


@app.command()
def bootstrap(
    node: Annotated[str, typer.Option(help="Names the proxy for ever: what it acknowledges is known by it.")],
    listen: Annotated[str, typer.Option(help="Where clients find it, HOST:PORT.")] = "0.0.0.0:10000",
    admin: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of its admin interface, which can stop it: loopback only.")
    ] = 9901,
    router: Annotated[
        list[str] | None,
        typer.Option(help="A router's xDS port, HOST:PORT, again for each; by default 127.0.0.1:18000."),
    ] = None,
    cert: Annotated[
        str | None, typer.Option(help="PEM, as the proxy finds it: its certificate names its node.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="PEM: the certificate's key.")] = None,
    ca: Annotated[str | None, typer.Option(help="PEM: who signs the routers' certificates.")] = None,
) -> None:
    """Print the JSON that `envoy --config-path` takes. Tried with Envoy 1.40."""
    if not node.strip() or not node.isprintable():
        fail("--node: a router serves no proxy without a name; give each one its own, like edge-0.", EXIT_WRONG)
    host, port = _address("--listen", listen)
    routers = [":".join(map(str, _address("--router", one))) for one in router or ["127.0.0.1:18000"]]
    print(json.dumps(made_for(node, port, admin, routers, host, tls=_tls(cert, key, ca)), indent=2))


def _address(option: str, value: str) -> tuple[str, int]:
    try:
        host, _, port = TypeAdapter(Endpoint).validate_python(value).rpartition(":")
    except ValidationError:
        fail(f"{option}: {value!r} is no address; write it like 127.0.0.1:18000.", EXIT_WRONG)
    return host, int(port)


def _tls(cert: str | None, key: str | None, ca: str | None) -> ProxyTls | None:
    if cert is not None and key is not None and ca is not None:
        return ProxyTls(cert, key, ca)
    if (cert, key, ca) != (None, None, None):
        fail("--cert, --key and --ca belong together.", EXIT_WRONG)
    return None
