"""What people type who come from other tools: it is no command here, and they are told which one they mean."""

from collections.abc import Mapping

import typer
from typer.core import TyperGroup

MEANT: Mapping[str, str] = {
    "abort": "rollback SERVICE",
    "apply": "service apply FILE",
    "dashboard": "up, which serves the page on http://127.0.0.1:8642",
    "describe": "explain SERVICE",
    "get": "status SERVICE --watch",
    "help": "--help",
    "lint": "check FILE",
    "list": "status",
    "ls": "status",
    "pause": "hold SERVICE",
    "validate": "check FILE",
    "version": "--version",
    "wait": "status SERVICE --watch --timeout 1h",
    "watch": "status SERVICE --watch",
}
"""Words of kubectl, Argo Rollouts and others, and what to type after `davylamp`."""


class Commands(TyperGroup):
    """The commands; of one that there is not it says what is meant, as click does of one that is misspelled."""

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> "tuple[str | None, object, list[str]]":  # type: ignore[override]
        """Raises click's usage error."""
        if args and args[0] in MEANT:
            ctx.fail(f"No such command '{args[0]}'. Type: davylamp {MEANT[args[0]]}")
        return super().resolve_command(ctx, args)
