"""`davylamp record`: a rollout from the log into a file, to be replayed anywhere. Asks the log itself, not the API."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from cli.rollouts import ROLLOUT_HELP, read_log, rollout_named
from cli.terminal import EXIT_UNDECIDED, fail

app = typer.Typer()


@app.command()
def record(
    rollout: Annotated[str, typer.Argument(help=ROLLOUT_HELP)],
    file: Annotated[Path, typer.Option("--output", "-o", help="Where the recording is written.")],
    what: Annotated[str, typer.Option(help="windows: what the judge reads.")] = "windows",
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to read the log.")] = 300.0,
) -> None:
    """Write what a rollout's decisions rest on into one file, for `davylamp replay`."""
    if what not in _WRITERS:
        fail(f"--what {what}: known are {', '.join(_WRITERS)}", 2)
    service, number = rollout_named(rollout)
    try:
        told = asyncio.run(asyncio.wait_for(_WRITERS[what](service, number, file), timeout_s))
        print(f"{file}: {told}, {file.stat().st_size / 1000:.0f} kB")
    except TimeoutError:
        fail(f"The log was not read to its end within {timeout_s:g} s: is Kafka there?", EXIT_UNDECIDED)
    except (OSError, ValueError) as error:
        fail(str(error))


async def _windows(service: str, rollout: int | None, file: Path) -> str:
    from judge.recording import header_of, records_of
    from transport.recording import write_recording

    records = await read_log(service, "davylamp-record")
    header = header_of(records, service, rollout)
    written = write_recording(file, header, records_of(records, header))
    return f"rollout {header.rollout} of {service}, {written} records"


_WRITERS: Mapping[str, Callable[[str, int | None, Path], Awaitable[str]]] = {"windows": _windows}
"""By what is recorded: (service, rollout or None for the newest, file) → what is told of it."""
