"""The status API over the log in memory, and a judge that answers as told."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2

from schemas.control import Command, Outcome, RolloutView
from schemas.decisions import LedgerEntry
from schemas.ledger import ServiceLedger
from status.app import create_app
from status.feed import TOPICS
from tests.builders import SERVICE, entry
from transport.clock import FakeClock
from transport.memory_log import MemoryLog

Answerer = Callable[[Command, ServiceLedger], list[LedgerEntry | Outcome]]


@contextlib.asynccontextmanager
async def api(log: MemoryLog, **options: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the API, once that has read the log to its end."""
    app = create_app(log.reader(*TOPICS), log.writer(), clock=FakeClock(), **options)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            feed = app.state.desk.feed
            await feed.wait_for(lambda _: feed.caught_up or None, 5)
            yield client


@contextlib.asynccontextmanager
async def judge(log: MemoryLog, answerer: Answerer) -> AsyncIterator[None]:
    """Answers every command by entries of the ledger or by refusals in its view."""

    async def answer() -> None:
        reader = log.reader("rollout-commands")
        async for batch in reader.batches():
            for record in batch.records:
                command = Command.read(record.value or b"")
                for said in answerer(command, ledger(log)):
                    await say(log, said)

    task = asyncio.create_task(answer())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def say(log: MemoryLog, said: LedgerEntry | Outcome) -> None:
    """Write what the judge says."""
    if isinstance(said, LedgerEntry):
        await log.writer().append("rollout-decisions", said.service, said.dump())
    else:
        view = RolloutView(service="orders", rollout=0, outcomes=(said,), looked_at=1)
        await log.writer().append("rollouts", "orders", view.dump())


def ledger(log: MemoryLog) -> ServiceLedger:
    """The chain of the service `orders`, as every reader folds it."""
    chain = ServiceLedger()
    for record in log.records("rollout-decisions"):
        chain, _ = chain.read(LedgerEntry.read(record.value or b""), record.offset)
    return chain


def carries_out(command: Command, chain: ServiceLedger) -> list[LedgerEntry | Outcome]:
    """An entry of the command's kind."""
    kind: Any = "proceed" if command.kind == "promote" else command.kind
    fields: dict[str, Any] = {
        "command": command.id,
        "actor": command.actor,
        "approves": command.approves,
        "now": len(chain.entries) + 1,
    }
    if command.opening is not None:
        fields["opening"] = command.opening
    return [entry(kind, chain.head, **fields)]


def refuses(sentence: str) -> Answerer:
    """The same refusal for everything."""
    return lambda command, _: [Outcome(command=command.id, accepted=False, sentence=sentence)]


async def applied(log: MemoryLog, *entries: LedgerEntry) -> None:
    """The service is known, and its ledger holds `entries`."""
    await log.writer().append("services", "orders", SERVICE.dump())
    for item in entries:
        await log.writer().append("rollout-decisions", "orders", item.dump())


def commands(log: MemoryLog) -> list[Command]:
    """What the API has asked the judge."""
    return [Command.read(record.value or b"") for record in log.records("rollout-commands")]


def body(message: Any) -> Any:
    """A message as a request's body."""
    return json.loads(message.dump())
