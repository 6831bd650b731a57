"""`davylamp plan`: what a plan will catch and prove at a service's traffic, before it is started."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import Client
from cli.terminal import DEFAULT_URL, EXIT_WRONG, Url, connect, fail, read_file
from schemas.plan import Plan

app = typer.Typer()

_MOST = 1e9
"""More sessions a minute, or requests a session, than anybody has."""


@app.command()
def plan(
    file: Annotated[Path, typer.Argument(help="The plan.")],
    sessions: Annotated[
        float | None,
        typer.Option("--sessions-per-minute", min=0.001, help="New sessions of the service, both cohorts."),
    ] = None,
    calls: Annotated[
        float | None, typer.Option("--calls-per-session", min=1.0, help="Requests that a session makes on average.")
    ] = None,
    rollout: Annotated[
        int | None,
        typer.Option("--from", help="Measure what is not said from the windows of this rollout of the service."),
    ] = None,
    url: Url = DEFAULT_URL,
    timeout_s: Annotated[float, typer.Option("--timeout", help="With --from: seconds to read the log.")] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers, for programs.")] = False,  # noqa: FBT002 - typer
) -> None:
    """Show per stage what it catches and how fast, what it can rule out, and what it cannot prove."""
    from cli.plan_outlook import outlook  # numpy with it: other commands start without
    from cli.plan_reading import traffic_of_rollout
    from cli.plan_rendering import render_outlook
    from cli.plan_traffic import Traffic

    for option, number in (("--sessions-per-minute", sessions), ("--calls-per-session", calls)):
        if number is not None and not number <= _MOST:
            fail(f"{option} {number:g}: write a number of at most {_MOST:g}", EXIT_WRONG)
    wanted = read_file(Plan, file)
    if rollout is not None:
        with connect(url) as client:
            measured = traffic_of_rollout(client, wanted.service, rollout, timeout_s)
        traffic = replace(
            measured,
            sessions_per_minute=sessions or measured.sessions_per_minute,
            calls_per_session=calls or measured.calls_per_session,
        )
    elif sessions is not None and calls is not None:
        traffic = Traffic(sessions, calls)
    else:
        fail("Say --sessions-per-minute and --calls-per-session, or the rollout to measure them by: --from 7", 2)
    stages = outlook(wanted, traffic)
    if as_json:
        shown = {"traffic": asdict(traffic), "stages": [asdict(s) | {"suggested_s": s.suggested_s} for s in stages]}
        print(json.dumps(_plain(shown), indent=2))
        return
    print(render_outlook(wanted, traffic, stages))


def warn(client: Client, wanted: Plan) -> None:
    """A sentence on stderr for each stage that the service's recent traffic is too little for; silent if unknown."""
    from cli.plan_outlook import outlook
    from cli.plan_reading import recent_traffic
    from cli.plan_rendering import warnings

    traffic = recent_traffic(client, wanted.service)
    if traffic is None:
        return
    for sentence in warnings(outlook(wanted, traffic)):
        typer.echo(f"Warning: {sentence}", err=True)


def _plain(value: Any) -> Any:
    """JSON has no infinity: what never happens is null."""
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, frozenset):
        return sorted(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
