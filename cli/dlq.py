"""`davylamp dlq`: telemetry that nobody could read: look at it, and send it again once somebody can. Asks the log itself."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cli.dead_letters import (
    DEAD_LETTERS,
    DeadLetter,
    Wanted,
    letters,
    render,
    render_line,
    repaired,
    replay_all,
    replayed,
    safe,
)
from cli.terminal import EXIT_UNDECIDED, EXIT_WRONG, fail, seconds
from transport.log import LogError, Position
from transport.settings import KafkaSettings, SettingsError

if TYPE_CHECKING:
    from cli.dlq_sender import KafkaSender
    from transport.kafka_log import KafkaReader

app = typer.Typer(no_args_is_help=True, help="Telemetry that nobody could read.")

T = TypeVar("T")
Since = Annotated[str, typer.Option(help="How far back, like 2h or 3d.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to read the log.")]


@app.command("list")
def show_list(
    since: Since = "1d",
    reason: Annotated[str | None, typer.Option(help="Only this one: not_json, invalid, unknown_version, …")] = None,
    topic: Annotated[str | None, typer.Option(help="Only what came to this topic.")] = None,
    skip: Annotated[int, typer.Option(min=0, help="Leave out the first so many.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="A page.")] = 50,
    timeout_s: Timeout = 60.0,
) -> None:
    """List dead letters, the oldest first in each partition: id, when, where it came from, why nobody can read it."""
    found = _run(_page(since, Wanted(reason=reason, topic=topic), skip + limit + 1), timeout_s)
    for letter in found[skip : skip + limit]:
        print(render_line(letter))
    if len(found) > skip + limit:
        print(f"There are more: --skip {skip + limit}")
    elif not found[skip:]:
        print("none")


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="As the list says it: PARTITION@OFFSET.")],  # noqa: A002 - what it is called
    since: Since = "7d",
    timeout_s: Timeout = 60.0,
) -> None:
    """Show one dead letter with its bytes, of which all that is not printable ASCII is escaped."""
    _require_ids(id)
    found = _run(_page(since, Wanted(frozenset({id})), 1), timeout_s)
    if not found:
        fail(f"{id} is no dead letter of the last {since}.")
    print(render(found[0]))


@app.command("replay")
def send_again(
    ids: Annotated[list[str] | None, typer.Argument(help="PARTITION@OFFSET of each; or name a --reason.")] = None,
    reason: Annotated[str | None, typer.Option(help="All of this reason.")] = None,
    topic: Annotated[str | None, typer.Option(help="Only what came to this topic.")] = None,
    since: Since = "1d",
    mended: Annotated[
        Path | None, typer.Option("--repaired", help="Of one id: send what this file holds in place of what was kept.")
    ] = None,
    timeout_s: Timeout = 60.0,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would be done.")] = False,
) -> None:
    """Send dead letters again to the partition they came from, each once: repaired, or after an upgrade that can read them."""
    if not ids and reason is None:
        fail("Say which: ids, or --reason.", 2)
    _require_ids(*(ids or ()))
    if mended is not None and len(ids or ()) != 1:
        fail("--repaired is what one message was repaired to: name its id.", 2)
    try:
        value = None if mended is None else mended.read_bytes()
        wanted = Wanted(frozenset(ids or ()), reason, topic)
        _run(_send_again(since, wanted, value, yes=yes), timeout_s)
    except (OSError, ValueError) as error:
        fail(str(error), 2)


def _require_ids(*ids: str) -> None:
    """Before Kafka is asked: it may be away, and what it says then is about something else."""
    wrong = [one for one in ids if re.fullmatch(r"[0-9]+@[0-9]+", one) is None]
    if wrong:
        fail(
            f"{', '.join(map(repr, wrong))}: an id is PARTITION@OFFSET, like 3@1042, as davylamp dlq list says it.",
            EXIT_WRONG,
        )


def _kafka() -> KafkaSettings:
    try:
        return KafkaSettings.load("kafka")
    except SettingsError as error:
        fail(str(error), EXIT_WRONG)


def _run(work: Coroutine[Any, Any, T], timeout_s: float) -> T:
    try:
        return asyncio.run(asyncio.wait_for(work, timeout_s))
    except TimeoutError:
        fail(f"The log was not read to its end within {timeout_s:g} s: is Kafka there?", EXIT_UNDECIDED)
    except LogError as error:
        fail(str(error))


async def _page(since: str, wanted: Wanted, most: int) -> list[DeadLetter]:
    found: list[DeadLetter] = []
    async with _reading(since) as reader, aclosing(letters(reader, wanted)) as them:
        async for letter in them:
            found.append(letter)
            if len(found) == most:
                break
    return found


async def _send_again(since: str, wanted: Wanted, value: bytes | None, *, yes: bool) -> None:
    sender = await _sender() if yes else None  # first: what is read from now on nobody else adds to
    done = await _done()
    missing = set(wanted.ids)
    async with _reading(since) as reader, aclosing(letters(reader, wanted)) as them:
        mended = (letter if value is None else repaired(letter, value) async for letter in them)
        async for letter, became in replay_all(mended, done, sender, by_id=bool(wanted.ids)):
            missing.discard(letter.id)
            print(f"{letter.id}  {_said(letter, became)}")
    for one in sorted(missing):
        print(f"{one}  is no dead letter of the last {since}, or of the same message as another")
    if sender is None:
        print("Nothing was sent: --yes does it.")


def _said(letter: DeadLetter, became: Position | str | None) -> str:
    if isinstance(became, Position):
        return f"sent to {letter.topic}-{became.partition}@{became.offset}"
    return safe((became or f"would be sent to {letter.topic}-{letter.partition}").encode())


async def _sender() -> "KafkaSender":
    from cli.dlq_sender import KafkaSender

    sender = KafkaSender.of(_kafka())
    await sender.begin()
    return sender


async def _done() -> frozenset[str]:
    """What was sent again before, for as long as the topic remembers: a letter may be younger than the note of its message."""
    async with _reading(None) as reader:
        return await replayed(reader)


@asynccontextmanager
async def _reading(since: str | None) -> AsyncIterator["KafkaReader"]:
    from transport.kafka_log import KafkaReader

    since_ms = None if since is None else round((time.time() - seconds(since)) * 1000)
    reader = KafkaReader(_kafka(), "davylamp-dlq", [DEAD_LETTERS], since_ms=since_ms)
    try:
        yield reader
    finally:
        await reader.close()
