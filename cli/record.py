"""`davylamp record`: a rollout from the log into a file, to be replayed anywhere. Asks the log itself, not the API."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from cli.rollouts import ROLLOUT_HELP, lasted_ms, read_log, read_telemetry, rollout_named
from cli.terminal import EXIT_UNDECIDED, fail

if TYPE_CHECKING:
    from transport.log import Record
    from transport.recording import Header
    from transport.spool import Spool

app = typer.Typer()


@app.command()
def record(
    rollout: Annotated[str, typer.Argument(help=ROLLOUT_HELP)],
    file: Annotated[Path, typer.Option("--output", "-o", help="Where the recording is written.")],
    what: Annotated[str, typer.Option(help="windows: what the judge reads; events: what servers sent.")] = "windows",
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to read the log.")] = 300.0,
    *,
    anonymize: Annotated[
        bool, typer.Option("--anonymize", help="Other names, numbers as they are: it still replays to the byte.")
    ] = False,
) -> None:
    """Write what a rollout's decisions rest on into one file, for `davylamp replay`."""
    if what not in _WRITERS:
        fail(f"--what {what}: known are {', '.join(_WRITERS)}", 2)
    key = secrets.token_bytes(16) if anonymize else None  # nobody keeps it
    service, number = rollout_named(rollout)
    try:
        told = asyncio.run(asyncio.wait_for(_WRITERS[what](service, number, file, key), timeout_s))
        print(f"{file}: {told}, {file.stat().st_size / 1000:.0f} kB")
    except TimeoutError:
        fail(f"The log was not read to its end within {timeout_s:g} s: is Kafka there?", EXIT_UNDECIDED)
    except (OSError, ValueError) as error:
        fail(str(error))


async def _windows(service: str, rollout: int | None, file: Path, key: bytes | None) -> str:
    """By way of files beside the recording, for it may be long."""
    from judge.recording import header_of, records_of
    from transport.recording import write_recording
    from transport.shelf import Shelf

    with Shelf(file.parent) as shelf:
        log = await read_log(service, "davylamp-record", shelf)
        header = header_of(log, service, rollout)
        if key is None:
            count = write_recording(file, header, records_of(log, header))
        else:
            header, count = _renamed(file, header, records_of(log, header), key)
    return f"rollout {header.rollout} of {header.service}, {count} records"


def _renamed(file: Path, header: "Header", records: Iterable["Record"], key: bytes) -> tuple["Header", int]:
    from cli.replaying import MACHINE
    from judge.anonymous import anonymized
    from judge.fold import TOPICS
    from transport.recording import write_recording
    from transport.shelf import Shelf

    with Shelf(file.parent) as shelf:
        for one in records:
            shelf.put(one)
        header, renamed = anonymized(header, shelf.records(), key, MACHINE)
        return header, write_recording(file, header, (r for topic in TOPICS for r in renamed.get(topic, ())))


async def _events(service: str, rollout: int | None, file: Path, key: bytes | None) -> str:
    """Since the rollout began, as far as the log still holds it; by way of files beside the recording, for it may be long."""
    from cli.recorded_telemetry import said_of
    from judge.recording import header_of
    from transport.shelf import Shelf
    from transport.spool import Spool

    with Shelf(file.parent) as shelf:
        records = await read_log(service, "davylamp-record", shelf)
        header = header_of(records, service, rollout)
        lasted = lasted_ms(header, records)
    with TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as folder, Spool(Path(folder)) as spool:
        async with aclosing(read_telemetry(header.definition.telemetry, *lasted)) as sent:
            async for record in sent:
                if said_of(record, service) is not None:
                    spool.put(record)
        return _written(file, header.model_copy(update={"what": "events"}), spool, key)


def _written(file: Path, header: "Header", spool: "Spool", key: bytes | None) -> str:
    from cli.recorded_telemetry import messages_about, renamed
    from judge.pseudonyms import Pseudonyms
    from transport.recording import write_recording

    service = header.service
    if key is None:
        count = write_recording(file, header, spool.records())
    else:
        names = Pseudonyms(key, custom=frozenset(header.plan.checks.custom))
        others = {"plan": names.plan(header.plan), "definition": names.service(header.definition)}
        header = header.model_copy(
            update={**others, "service": names.of("service", service), "anonymized": True},
        )
        count = write_recording(
            file, header, (renamed(*one, names) for one in messages_about(spool.records(), service))
        )
    return f"telemetry of rollout {header.rollout} of {header.service}, {count} messages"


_WRITERS: Mapping[str, Callable[[str, int | None, Path, bytes | None], Awaitable[str]]] = {
    "windows": _windows,
    "events": _events,
}
"""By what is recorded: (service, rollout or None for the newest, file, key by which it gets other names) → what is told."""
