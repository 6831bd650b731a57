"""`davylamp record`: a rollout from the log into a file, to be replayed anywhere. Asks the log itself, not the API."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.rollouts import ROLLOUT_HELP, lasted_ms, read_log, read_telemetry, rollout_named
from cli.terminal import EXIT_UNDECIDED, fail

if TYPE_CHECKING:
    from judge.verify import Records
    from transport.recording import Header

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
    write = (_ANONYMOUS if anonymize else _WRITERS)[what]
    service, number = rollout_named(rollout)
    try:
        told = asyncio.run(asyncio.wait_for(write(service, number, file), timeout_s))
        print(f"{file}: {told}, {file.stat().st_size / 1000:.0f} kB")
    except TimeoutError:
        fail(f"The log was not read to its end within {timeout_s:g} s: is Kafka there?", EXIT_UNDECIDED)
    except (OSError, ValueError) as error:
        fail(str(error))


async def _windows(service: str, rollout: int | None, file: Path) -> str:
    header, records = await _rollout(service, rollout)
    return _written(file, header, records)


async def _anonymous_windows(service: str, rollout: int | None, file: Path) -> str:
    """By a key that nobody keeps."""
    from cli.replaying import MACHINE
    from judge.anonymous import anonymized

    header, records = await _rollout(service, rollout)
    return _written(file, *anonymized(header, records, secrets.token_bytes(16), MACHINE))


async def _events(service: str, rollout: int | None, file: Path, key: bytes | None = None) -> str:
    """Since the rollout began, as far as the log still holds it; by a `key`, under other names."""
    from cli.recorded_telemetry import renamed, telemetry_of
    from judge.pseudonyms import Pseudonyms
    from judge.recording import header_of
    from transport.recording import write_recording

    records = await read_log(service, "davylamp-record")
    header = header_of(records, service, rollout)
    sent = telemetry_of(await read_telemetry(header.definition.telemetry, *lasted_ms(header, records)), service)
    header = header.model_copy(update={"what": "events"})
    if key is None:
        count = write_recording(file, header, (record for record, _ in sent))
    else:
        names = Pseudonyms(key, custom=frozenset(header.plan.checks.custom))
        others = {"plan": names.plan(header.plan), "definition": names.service(header.definition)}
        header = header.model_copy(
            update={**others, "service": names.of("service", service), "anonymized": True},
        )
        count = write_recording(file, header, (renamed(*one, names) for one in sent))
    return f"telemetry of rollout {header.rollout} of {header.service}, {count} messages"


async def _anonymous_events(service: str, rollout: int | None, file: Path) -> str:
    return await _events(service, rollout, file, secrets.token_bytes(16))


async def _rollout(service: str, rollout: int | None) -> "tuple[Header, Records]":
    from judge.recording import header_of, records_of
    from transport.log import by_topic

    records = await read_log(service, "davylamp-record")
    header = header_of(records, service, rollout)
    return header, by_topic(records_of(records, header))


def _written(file: Path, header: "Header", records: "Records") -> str:
    from judge.verify import TOPICS
    from transport.recording import write_recording

    count = write_recording(file, header, (record for topic in TOPICS for record in records.get(topic, ())))
    return f"rollout {header.rollout} of {header.service}, {count} records"


_WRITERS: Mapping[str, Callable[[str, int | None, Path], Awaitable[str]]] = {"windows": _windows, "events": _events}
"""By what is recorded: (service, rollout or None for the newest, file) → what is told of it."""
_ANONYMOUS: Mapping[str, Callable[[str, int | None, Path], Awaitable[str]]] = {
    "windows": _anonymous_windows,
    "events": _anonymous_events,
}
"""The same under other names."""
