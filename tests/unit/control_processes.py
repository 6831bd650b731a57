"""The processes of the control tests: each service composed as its entry point does, over a log and proxies in memory."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from alerts.agent import TOPICS as TOLD
from alerts.agent import Alerts
from alerts.cause import Limits
from alerts.delivery import EVERYTHING, Post
from judge.agent import Judge
from judge.fold import TOPICS as JUDGED
from judge.fold import WINDOWS
from router.agent import Router
from router.fold import TOPICS as ROUTED
from router.keeper import Keeper
from router.witness import Witness
from schemas.ledger import ServiceLedger
from status.desk import Desk
from status.feed import TOPICS as SHOWN
from status.feed import Feed
from streams.checkpoint import Checkpoint
from streams.handover import Assigned, Messages, Polled
from streams.owner import Owner, Pace
from streams.publisher import Publisher
from tests.unit.control_actors import MACHINE
from tests.unit.control_hands import Door, Eyes, Hands, Name, Notebook, Pager, Pen, Platter, Windows
from transport.log import Batch

if TYPE_CHECKING:
    from tests.unit.control_world import World

WINDOW_MS = 1_000
ANSWER_WITHIN_S = 5.0
"""People are impatient: they ask again before a proxy that nobody hears is a page."""


@dataclass
class Running:
    """A process, its hands, and the tasks that it consists of."""

    name: Name
    hands: Hands
    task: "asyncio.Task[None] | None" = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    desk: Desk | None = None
    router: Router | None = None
    witness: Witness | None = None
    judge: Judge | None = None
    alerts: Alerts | None = None


def chain_of(running: Running) -> ServiceLedger | None:
    """What a process takes for the ledger of `orders`; None: it does not read it."""
    if running.judge is not None:
        return running.judge._fold.state("orders", 0).chain
    if running.router is not None:
        return running.router._read_fold.ledger.of("orders")
    if running.desk is not None:
        return running.desk.feed.overview.ledger.of("orders")
    if running.alerts is not None:
        return running.alerts._causes.watches["orders"].chain
    return None


async def _judge(world: "World", running: Running) -> None:
    running.judge = judge = Judge(MACHINE, Pen(running.hands), world.clock)
    queue: asyncio.Queue[Batch] = asyncio.Queue(maxsize=4)

    ledger_read = asyncio.Event()

    async def follow() -> None:
        async for batch in Eyes(running.hands, *(topic for topic in JUDGED if topic != WINDOWS)).batches():
            await queue.put(replace(batch, caught_up=False))
            if batch.caught_up:
                ledger_read.set()

    async def follow_windows() -> None:
        await ledger_read.wait()
        async for batch in Eyes(running.hands, WINDOWS).batches():
            await queue.put(batch)

    async def beat() -> None:
        while True:
            await asyncio.sleep(0.25)
            await running.hands.awake()
            await queue.put(Batch((), caught_up=False))

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        group.create_task(follow_windows())
        group.create_task(beat())
        while True:
            await judge.handle(await queue.get())


async def _router(world: "World", running: Running) -> None:
    """Who takes a dead one's place has its name and its disk; two that live at once have names of their own."""
    frozen = sum(former.name == "router" and not former.hands.dead for former in world.former)
    name, pen = f"router-{frozen + 1}", Pen(running.hands)
    keeper = Keeper(Platter(world.folder / name, running.hands), pen)
    running.witness = witness = Witness(name, world.clock.now_ms())
    running.router = Router(name, Eyes(running.hands, *ROUTED), pen, Door(running.hands), world.clock, keeper, witness)
    await running.router.run()


async def _status(world: "World", running: Running) -> None:
    feed = Feed(Eyes(running.hands, *SHOWN))
    running.desk = Desk(feed, Pen(running.hands), world.clock, ANSWER_WITHIN_S)
    await feed.run()


async def _alerts(world: "World", running: Running) -> None:
    post = Post([(Pager(running.hands), EVERYTHING)], Notebook(running.hands), world.clock)
    running.alerts = Alerts(Eyes(running.hands, *TOLD), world.clock, post, Limits())
    await running.alerts.run()


async def _streams(world: "World", running: Running) -> None:
    hands = running.hands

    def commit(_: int, checkpoint: Checkpoint) -> None:
        if not hands.dead and world.running["streams"].hands is hands:  # Kafka takes no commit of whoever was replaced
            world.commit = checkpoint.offset, checkpoint.metadata(WINDOW_MS)
        hands.at_once("window committed")

    pace = Pace("mcp-requests", WINDOW_MS, 0.25, "streams-1")
    owner = Owner(Publisher(Windows(hands), 1), pace, world.clock, lambda: frozenset({"orders"}), commit)
    start = Checkpoint.parse(*world.commit, WINDOW_MS) if world.commit else Checkpoint.earliest(0)
    await owner.handle(Assigned(0, 1, start, 0))

    async def beat() -> None:
        while True:
            await asyncio.sleep(0.1)
            await hands.awake()
            await owner.beat()

    async with asyncio.TaskGroup() as group:
        group.create_task(beat())
        number = 0
        async for batch in Eyes(hands, "mcp-requests").batches():
            records = tuple(r for r in batch.records if r.offset >= start.warm_offset)
            number += bool(records)
            if records:
                await owner.handle(Polled(0, number, Messages.of(records)))


RUN: dict[Name, Callable[["World", Running], Coroutine[Any, Any, None]]] = {
    "judge": _judge,
    "router": _router,
    "status": _status,
    "alerts": _alerts,
    "streams": _streams,
}
