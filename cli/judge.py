"""`davylamp judge`: a policy's verdict over files, for any pipeline. Needs no Kafka and no API."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import EXIT_ROLLED_BACK, EXIT_UNDECIDED, EXIT_WRONG, fail, for_programs

_EXITS = {"pass": 0, "fail": EXIT_ROLLED_BACK, "undecided": EXIT_UNDECIDED}

app = typer.Typer()


@app.command()
def judge(
    file: Annotated[
        Path, typer.Argument(help="A document of the policy's, or with --plan cohort windows; - is stdin.")
    ],
    policy: Annotated[str, typer.Option(help="kayenta, threshold or sequential.")] = "sequential",
    plan: Annotated[
        Path | None, typer.Option(help="The plan: FILE then holds windows, a JSON list or JSON lines.")
    ] = None,
    rule: Annotated[Path | None, typer.Option(help="With --plan: a canary config, Canary or AnalysisTemplate.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="With --plan: default, the one version beside the canary.")
    ] = None,
    rollout: Annotated[
        int | None, typer.Option(help="With --plan: its number; default, the newest in the windows.")
    ] = None,
    telemetry: Annotated[
        str | None, typer.Option(help="With --plan: the service's telemetry topic, where windows are of several.")
    ] = None,
) -> None:
    """Judge what is in files. The verdict is JSON on stdout; 0 = pass, 3 = fail, 4 = undecided, 2 = not understood."""
    from cli.judge_files import judge_document, judge_windows  # numpy with it: other commands start without

    beside = {"--rule": rule, "--baseline": baseline, "--rollout": rollout, "--telemetry": telemetry}
    lost = [option for option, value in beside.items() if value is not None]
    if plan is None and lost:
        fail(f"{', '.join(lost)} means nothing without --plan: add it, or leave it out", EXIT_WRONG)
    try:
        if plan is None:
            report = judge_document(policy, _text(file))
        else:
            rule_text = _text(rule) if rule else None
            report = judge_windows(policy, _text(file), _text(plan), rule_text, baseline, rollout, telemetry)
    except ValueError as error:
        fail(f"{file}: {error}", EXIT_WRONG)
    print(for_programs({"policy": policy, "verdict": report.verdict, **report.content}))
    raise typer.Exit(_EXITS[report.verdict])


def _text(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        fail(f"{file}: {error}", EXIT_WRONG)
