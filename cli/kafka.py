"""`davylamp kafka`: what a Kafka of your own must allow."""

from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from cli.terminal import EXIT_WRONG, fail
from schemas.names import TopicName
from schemas.topics import load_topics
from transport.acls import COMPONENTS, AclError, Component, apply
from transport.acls import acls as needed
from transport.settings import KafkaSettings, SettingsError

app = typer.Typer(no_args_is_help=True, help="A Kafka of your own: who may do what on it.")


@app.callback()
def kafka() -> None:
    """Keep `acls` a command of its own."""


@app.command()
def acls(
    principal: Annotated[
        list[str] | None, typer.Option(help="COMPONENT=PRINCIPAL, again for each; by default User:davylamp-COMPONENT.")
    ] = None,
    telemetry: Annotated[str, typer.Option(help="The topic that these servers write to.")] = "mcp-requests",
    spans: Annotated[
        str | None, typer.Option(help="The topic of a Collector's spans: what `davylamp run otel-bridge` needs, too.")
    ] = None,
    *,
    create: Annotated[
        bool, typer.Option("--create", help="Create them on the Kafka of DAVYLAMP_KAFKA_…, by whoever that names.")
    ] = False,
) -> None:
    """Print a line for `kafka-acls.sh` for each thing that davylamp's components need, and nothing else."""
    try:
        settings = KafkaSettings.load("kafka")
        topics = (_topic("--telemetry", telemetry), None if spans is None else _topic("--spans", spans))
        wanted = needed(load_topics(), _principals(principal or []), *topics)
        for acl in wanted:
            print(acl.command(settings.bootstrap))
        if create:
            apply(settings, wanted)
    except SettingsError as error:
        fail(str(error), EXIT_WRONG)
    except AclError as error:
        fail(str(error))


def _topic(option: str, name: str) -> str:
    try:
        return TypeAdapter(TopicName).validate_python(name)
    except ValidationError:
        fail(f"{option}: {name!r} is no name of a topic: letters, digits, dots, dashes and underscores.", EXIT_WRONG)


def _principals(given: list[str]) -> dict[Component, str]:
    known: dict[Component, str] = {component: f"User:davylamp-{component}" for component in COMPONENTS}
    for words in given:
        name, _, principal = words.partition("=")
        component = next((c for c in COMPONENTS if c == name), None)
        if component is None or ":" not in principal:
            fail(f"--principal {words}: write it like judge=User:judge; components are {', '.join(COMPONENTS)}", 2)
        known[component] = principal
    return known
