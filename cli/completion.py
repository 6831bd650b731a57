"""`davylamp completion`: what a shell needs to complete commands, options, services and modes."""

import os
from typing import Annotated, Literal, get_args

import typer
from typer._completion_classes import completion_init
from typer._completion_shared import get_completion_script

from cli.client import ApiError, Client
from cli.terminal import DEFAULT_URL, URL_VARIABLE, fail, user
from schemas.plan import HoldMode

app = typer.Typer()
completion_init()

PROGRAM = "davylamp"
WITHIN_S = 1.0
"""Nobody waits longer for a Tab."""

Shell = Literal["bash", "zsh", "fish"]


@app.command()
def completion(shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print what makes your shell complete: `eval "$(davylamp completion bash)"` in ~/.bashrc."""
    if shell not in get_args(Shell):
        fail(f"{shell} is no shell that is known; known are {', '.join(get_args(Shell))}.", 2)
    print(get_completion_script(prog_name=PROGRAM, complete_var=f"_{PROGRAM.upper()}_COMPLETE", shell=shell))


def services(incomplete: str) -> list[str]:
    """Those that the status API knows and that begin so; none if it does not answer."""
    try:
        with Client(os.environ.get(URL_VARIABLE, DEFAULT_URL), actor=user(), timeout_s=WITHIN_S) as client:
            known = [one["service"] for one in client.rollouts()]
    except ApiError:
        return []
    return [name for name in known if name.startswith(incomplete)]


def modes(incomplete: str) -> list[str]:
    """What may become of a canary's living sessions."""
    return [mode for mode in get_args(HoldMode) if mode.startswith(incomplete)]


Service = Annotated[str, typer.Argument(help="The service whose rollout is meant.", autocompletion=services)]
Mode = Annotated[
    str | None, typer.Option(help="drain, rehome or evict; default: what the plan says.", autocompletion=modes)
]
