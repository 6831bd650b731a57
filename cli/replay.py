"""`davylamp replay`: the judge over a recorded rollout again, as it was or by another plan or policy."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.rollouts import read_log, rollout_named
from cli.terminal import EXIT_REFUSED, EXIT_UNDECIDED, EXIT_WRONG, fail, load

if TYPE_CHECKING:
    from judge.verify import Records
    from transport.recording import Header
    from transport.shelf import Shelf

app = typer.Typer()


@app.command()
def replay(
    recording: Annotated[str, typer.Argument(help="A file of `davylamp record`; or SERVICE, or SERVICE/NUMBER.")],
    policy: Annotated[str | None, typer.Option(help="What if: sequential, kayenta or threshold had judged it.")] = None,
    plan: Annotated[
        Path | None, typer.Option(help="What if: it had been started with this plan, of the same shares.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Stop at this moment: a duration after the start (90s), or a time with its zone.")
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to read the log.")] = 300.0,
) -> None:
    """Judge a recorded rollout again: 0 = every entry is the same to the byte, 1 = some are not; what if: always 0."""
    from cli import replaying  # numpy with it: other commands start without
    from transport.shelf import Shelf

    with Shelf() as shelf:
        header, records = _recorded(recording, timeout_s, shelf)
        try:
            asked = replaying.asked_plan(header, load(plan, EXIT_WRONG) if plan else None, policy)
            moment = replaying.moment(until, header, records)
            text, same = (
                replaying.as_it_was(header, records, moment)
                if asked is None
                else (replaying.under(asked, header, records, moment), True)
            )
        except ValueError as error:
            fail(f"{recording}: {error}", EXIT_WRONG)
    print(text)
    if not same:
        raise typer.Exit(EXIT_REFUSED)


def _recorded(name: str, timeout_s: float, shelf: "Shelf") -> "tuple[Header, Records]":
    try:
        if Path(name).is_file():
            return _of_file(Path(name), shelf)
        return asyncio.run(asyncio.wait_for(_of_log(name, shelf), timeout_s))
    except TimeoutError:
        fail(f"The log was not read to its end within {timeout_s:g} s: is Kafka there?", EXIT_UNDECIDED)
    except (OSError, ValueError) as error:
        fail(f"{name}: {error}", EXIT_WRONG)


def _of_file(path: Path, shelf: "Shelf") -> "tuple[Header, Records]":
    from transport.recording import RecordingFileError, open_recording

    with path.open("rb") as file:
        found = open_recording(file)
        if found.header.what != "windows":
            raise RecordingFileError(
                f"it holds {found.header.what}; a replay needs one of `davylamp record --what windows`"
            )
        for record in found.records:
            shelf.put(record)
        return found.header, shelf.records()


async def _of_log(name: str, shelf: "Shelf") -> "tuple[Header, Records]":
    from judge.recording import header_of

    if "." in name or name.count("/") > 1:  # no service's name
        raise FileNotFoundError("there is no such file")
    service, number = rollout_named(name)
    records = await read_log(service, "davylamp-replay", shelf)
    return header_of(records, service, number), records
