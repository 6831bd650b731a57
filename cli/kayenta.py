"""`davylamp kayenta import`: a canary config becomes a plan, and nothing of it is dropped without a word."""

from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import EXIT_WRONG, fail

app = typer.Typer(no_args_is_help=True, help="For those who come from Kayenta.")


@app.callback()
def kayenta() -> None:
    """For those who come from Kayenta."""


@app.command("import")
def import_config(
    file: Annotated[Path, typer.Argument(help="The canary config, JSON.")],
    canary: Annotated[str, typer.Option(help="The version to release: a canary config names none.")],
    service: Annotated[str | None, typer.Option(help="Default: the config's one application.")] = None,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="METRIC=CHECK, by the metric's name or its query; repeat it.")
    ] = None,
    stage: Annotated[
        Path | None, typer.Option(help="The pipeline stage or standalone request that used it, JSON.")
    ] = None,
) -> None:
    """Write a plan (YAML) on stdout, with what became of each metric; what needs a person's eye goes to stderr too."""
    from cli.kayenta_files import migrated

    try:
        content, told = migrated(
            _text(file), canary, service, mapping or [], _text(stage) if stage else None, source=file.name
        )
    except ValueError as error:
        fail(f"{file}: {error}", EXIT_WRONG)
    print(content, end="")
    for line in told:
        typer.echo(line, err=True)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        fail(f"{file}: {error}", EXIT_WRONG)
