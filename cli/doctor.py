"""`davylamp doctor`: looks at everything a rollout needs, and names the next command to type."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated

import typer

from cli.client import ApiError, Client
from cli.diagnosis import Finding, apart_s, of_api, of_clock, of_services, of_topics, render_findings
from cli.terminal import DEFAULT_URL, EXIT_REFUSED, EXIT_UNDECIDED, Url, connect
from davylamp_sdk import __version__
from transport.settings import KafkaSettings, SettingsError

app = typer.Typer()


@app.command()
def doctor(
    url: Url = DEFAULT_URL,
    kafka: Annotated[bool, typer.Option("--kafka/--no-kafka", help="Look at Kafka itself, too.")] = True,  # noqa: FBT002 - typer
) -> None:
    """Look at Kafka, topics, telemetry, judge, proxies, clocks, versions. 0 = all well, 1 = something is not, 4 = is not known."""
    with connect(url) as client:
        findings = [*(_kafka() if kafka else ()), *_api(client, url)]
    print(render_findings(findings))
    if any(finding.well is False for finding in findings):
        raise typer.Exit(EXIT_REFUSED)
    if any(finding.well is None for finding in findings):
        raise typer.Exit(EXIT_UNDECIDED)


def _kafka() -> Iterator[Finding]:
    from transport.topics import TopicsError, topic_problems

    try:
        settings = KafkaSettings.load("kafka")
        problems = topic_problems(settings)
    except (SettingsError, TopicsError) as error:
        yield Finding("Kafka", well=False, text=str(error), next="davylamp up, or DAVYLAMP_KAFKA_BOOTSTRAP=host:9092")
        return
    yield Finding("Kafka", well=True, text=f"{settings.bootstrap} answers")
    yield from of_topics(problems)


def _api(client: Client, url: str) -> Iterator[Finding]:
    try:
        asked, told, answered = datetime.now(UTC), client.ready(), datetime.now(UTC)
        version, health = client.version(), client.health()
    except ApiError as error:
        yield Finding("status API", well=False, text=str(error), next="davylamp run status")
        return
    yield from of_api(url, version, __version__)
    if told is not None:
        yield of_clock(apart_s(asked, parsedate_to_datetime(told), answered))
    yield from of_services(health)
