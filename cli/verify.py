"""`davylamp verify`: is every decision what its inputs give? Asks the log itself, not the API."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from cli.completion import services
from cli.rollouts import read_log
from cli.terminal import EXIT_REFUSED, EXIT_UNDECIDED, fail
from judge.verdicts import ByPerson, Differs, Expired, OtherVersion, Same, Verdict
from schemas.decisions import LedgerEntry

app = typer.Typer()


@app.command()
def verify(
    service: Annotated[
        str, typer.Argument(help="The service whose decisions are recomputed.", autocompletion=services)
    ],
    rollout: Annotated[int | None, typer.Option(help="Its number; default: every rollout of the service.")] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to read the log.")] = 300.0,
) -> None:
    """Recompute each ledger entry from its cut, byte for byte. 0 = none differs; 1 = some do, or there are none."""
    try:
        verdicts = asyncio.run(asyncio.wait_for(_verify(service, rollout), timeout_s))
    except TimeoutError:
        fail(f"The log was not read to its end within {timeout_s:g} s: is Kafka there?", EXIT_UNDECIDED)
    if not verdicts:
        fail(f"{service} has no ledger entry" + (f" of rollout {rollout}." if rollout is not None else "."))
    print(render_verdicts(verdicts))
    if any(isinstance(verdict, Differs) for verdict in verdicts):
        raise typer.Exit(EXIT_REFUSED)


def render_verdicts(verdicts: Sequence[Verdict]) -> str:
    """A line an entry, then how many there are of each kind."""
    counted = Counter(_word(verdict) for verdict in verdicts)
    total = ", ".join(f"{n} {word}" for word, n in sorted(counted.items()))
    return "\n".join([*map(_line, verdicts), f"{len(verdicts)} entries: {total}"])


def _line(verdict: Verdict) -> str:
    entry = verdict.entry
    line = f"{entry.rollout:>4}  {entry.id[:12]}  {entry.kind:<9} {_word(verdict)}"
    match verdict:
        case Differs(recomputed=None):
            return f"{line}: its cut gives no entry\n      ledger      {_text(entry.dump())}"
        case Differs(recomputed=other) if other is not None:
            return f"{line}\n      ledger      {_text(entry.dump())}\n      recomputed  {_text(other.dump())}"
        case Expired(inputs=inputs):
            return f"{line}: the log no longer holds all of {', '.join(inputs)}"
        case OtherVersion():
            return f"{line}: written by {entry.code_version}"
        case ByPerson():
            return f"{line}: {entry.reason.code if _by_router(entry) else entry.actor}"
        case _:
            return line


def _word(verdict: Verdict) -> str:
    return "by a router" if isinstance(verdict, ByPerson) and _by_router(verdict.entry) else _WORDS[type(verdict)]


def _by_router(entry: LedgerEntry) -> bool:
    """Its own word, for a judge that did not look; a rollback that was said to it directly is a person's."""
    return entry.actor == "router" and entry.reason.code == "blind"


def _text(dumped: bytes) -> str:
    return dumped.decode()


_WORDS: dict[type[Verdict], str] = {
    Same: "same",
    Differs: "differs",
    Expired: "evidence expired",
    OtherVersion: "other version",
    ByPerson: "by a person",
}


async def _verify(service: str, rollout: int | None) -> list[Verdict]:
    from davylamp_sdk import __version__
    from judge.policies.choice import AsPlanned
    from judge.rollout.machine import Machine
    from judge.verify import verify as recomputed
    from transport.shelf import Shelf

    with Shelf() as shelf:
        records = await read_log(service, "davylamp-verify", shelf)
        return recomputed(records, service, rollout, Machine(AsPlanned(), __version__))
