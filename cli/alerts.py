"""`davylamp alerts try`: does what is configured reach whoever it should wake?"""

import asyncio
import socket
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from cli.terminal import EXIT_REFUSED, EXIT_WRONG, fail, user

if TYPE_CHECKING:
    from alerts.cause import Severity
    from alerts.receivers import Receiver
    from alerts.wording import Message

app = typer.Typer(no_args_is_help=True, help="Who is told of what.")

PATIENCE_S = 30.0


@app.callback()
def _named() -> None:
    """`try` is a word of its own, though it is the only one."""


@app.command("try")
def try_receivers(
    severity: Annotated[str, typer.Option(help="page, notice or info: whoever takes it is told.")] = "page",
) -> None:
    """Send a test message to each receiver that the settings name, now; exit 1 if one did not take it."""
    from alerts.__main__ import receivers  # apprise with it: other commands start without
    from alerts.cause import Severity
    from alerts.settings import AlertsSettings
    from transport.settings import SettingsError

    known: tuple[Severity, ...] = get_args(Severity)
    if severity not in known:
        fail(f"{severity} is no severity; known are {', '.join(known)}.", EXIT_WRONG)
    try:
        told = [r for r, severities in receivers(AlertsSettings.load("alerts"))[1:] if severity in severities]
    except SettingsError as error:
        fail(str(error), EXIT_WRONG)
    if not told:
        fail(f"Nobody but the log is told of a {severity}: name a receiver in [alerts] of the settings.")
    if not all(
        asyncio.run(_tell(told, message(next(s for s in known if s == severity), user(), socket.gethostname())))
    ):
        raise typer.Exit(EXIT_REFUSED)


def message(severity: "Severity", who: str, host: str) -> "Message":
    """It says that it is a test before anything else, for it may wake somebody."""
    from alerts.cause import Cause
    from alerts.wording import Message
    from transport.clock import SystemClock

    at_ms = SystemClock().now_ms()
    sentence = f"Nothing happened: {who} typed `davylamp alerts try` on {host}."
    cause = Cause(f"try/{severity}/{at_ms}", "test", severity, "davylamp", 0, 0.0, sentence)
    return Message("happened", cause, at_ms, at_ms, f"[test of {severity}] davylamp", sentence)


async def _tell(told: "list[Receiver]", test: "Message") -> list[bool]:
    return [await _took(receiver, test) for receiver in told]


async def _took(receiver: "Receiver", test: "Message") -> bool:
    from alerts.receivers import ReceiverError

    try:
        async with asyncio.timeout(PATIENCE_S):
            await receiver.send(test)
    except (ReceiverError, TimeoutError) as error:
        print(f"✖ {receiver.name}  {str(error) or f'it has not answered for {PATIENCE_S:g} s'}")
        return False
    print(f"✔ {receiver.name}  took it")
    return True
