"""Stories in virtual time, each from a start to an end, and what every story must keep to."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from judge.fold import LEDGER
from judge.fold import TOPICS as VERIFIED
from judge.verdicts import ByPerson, Same
from judge.verify import verify
from router.fold import Fold
from router.latch import Word
from schemas.decisions import LedgerEntry
from schemas.service import Version
from tests.builders import SERVICE
from tests.unit.control_actors import MACHINE
from tests.unit.control_people import STAGES, Person
from tests.unit.control_time import VirtualLoop
from tests.unit.control_traffic import Traffic
from tests.unit.control_world import Strike, World
from transport.clock import FakeClock
from transport.log import Record


@dataclass
class Told:
    """A story that has ended."""

    world: World
    traffic: Traffic
    person: Person
    records: dict[str, list[Record]]

    @property
    def steps(self) -> list[str]:
        """Kind and share of each entry, of all rollouts."""
        return [f"{e.kind} {e.share}" for e in self.world.entries]

    @property
    def alerts(self) -> list[str]:
        """What on-call was told, and how gravely, in order."""
        return [f"{m.step} {m.cause.kind} ({m.severity})" for m in self.world.told]


Story = Callable[[World, Traffic, Person], Awaitable[object]]


MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where files are quick: a disk would make each of hundreds of stories wait for its renames."""


def tell(story: Story, strike: Strike | None = None) -> Told:
    """Tell a story, with a process struck somewhere in it; then everything must be as it always must be."""
    clock = FakeClock()
    with TemporaryDirectory(dir=MEMORY) as folder, asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        told = runner.run(_tell(story, World(clock, Path(folder), strike)))
    assert_invariants(told)
    return told


async def _tell(story: Story, world: World) -> Told:
    traffic, person = Traffic(world), Person(world)
    clients = asyncio.create_task(traffic.run())
    try:
        await world.begin()
        await story(world, traffic, person)
        frozen = world.struck_at is not None and world.struck_at.blow == "frozen"
        await asyncio.sleep(12 if frozen else 2)  # whoever was frozen is awake by then, what was under way has arrived
        await world.until(lambda: world.route_converged, 20)
        world.agree()
    finally:
        clients.cancel()
        await world.end()
    records: dict[str, list[Record]] = {topic: list(world.log.records(topic)) for topic in VERIFIED}
    return Told(world, traffic, person, records)


def assert_invariants(told: Told) -> None:
    """Design section 8. Invariant 5 is the stories' own; 6 is proven by the model of streams."""
    world = told.world
    assert world.wrongs == [], world.wrongs  # 1, 2, 7, and no proxy ever went back
    assert world.failures() == [], world.failures()
    for before, after in zip(world.entries, world.entries[1:], strict=False):
        _may_follow(before, after)
    fold = Fold()  # 3
    for record in [*told.records["services"], *told.records[LEDGER]]:
        fold, _ = fold.read(record)
    for proxy in world.proxies.values():
        assert proxy.runs is not None
        assert proxy.runs.routes == fold.snapshot.routes
    verdicts = verify(told.records, "orders", None, MACHINE)  # 4
    assert [v.entry for v in verdicts] == list(world.entries)
    assert all(isinstance(v, Same | ByPerson) for v in verdicts), verdicts


def _may_follow(before: LedgerEntry, after: LedgerEntry) -> None:
    """Invariant 1: no share rises after a breach, unless a person says so, nor on missing data or a missing proxy."""
    if after.kind != "rollback":
        assert after.after == before.id
    if after.share <= before.share:
        return
    assert after.acknowledged is not None
    assert after.acknowledged.entry == before.id
    if after.command is None and after.reason.code != "approved":
        assert [check.verdict for check in after.checks] == ["within"]
        assert all(check.canary.n and check.baseline.n for check in after.checks)


# The stories.

LONG = [{**STAGES[0], "for": "60s"}]
"""Longer than the story."""


async def released(world: World, traffic: Traffic, person: Person) -> None:
    """Approved, held for want of data, resumed by itself, released by itself, baked."""
    await person.start(approve=["start"])
    await world.until_state("pending")
    await asyncio.sleep(1.2)
    await person.approve()
    traffic.silent = True
    await world.until_state("held")
    await asyncio.sleep(1.2)
    traffic.silent = False
    await world.until_state("retired")
    await asyncio.sleep(1)


async def broken(world: World, traffic: Traffic, person: Person) -> None:
    """The canary fails: rolled back by itself, drained."""
    traffic.bad = frozenset({"v2"})
    await person.start()
    await world.until_state("drained")
    await asyncio.sleep(1)


async def stopped(world: World, traffic: Traffic, person: Person) -> None:
    """Held, then rolled back, by people."""
    await person.start()
    await world.until_state("collecting")
    await asyncio.sleep(0.5)
    await person.say("hold")
    await world.until_state("held")
    await _take_back(world, person)


def stopped_while(state: str, **plan: Any) -> Story:
    """Rolled back by a person as soon as it is in `state`."""

    async def story(world: World, traffic: Traffic, person: Person) -> None:
        await person.start(**plan)
        await world.until_state(state)
        await _take_back(world, person)

    return story


async def _take_back(world: World, person: Person) -> None:
    await person.roll_back()
    await world.until_state("drained")
    await asyncio.sleep(1)


async def steered(world: World, traffic: Traffic, person: Person) -> None:
    """Every other word that people have: hold, resume, begin anew, promote twice, freeze and unfreeze."""
    await person.start()
    await world.until_state("collecting")
    for word in ("hold", "resume", "retry"):
        await person.say(word)
        await asyncio.sleep(1.2)
    await world.until_state("collecting")
    await person.promote()
    await world.until_state("collecting")
    await person.promote(full=True)
    await world.until_state("completed")
    await person.say("freeze")
    await world.until_state("retired")
    await person.start("v3")
    await person.say("unfreeze")
    await asyncio.sleep(1)


async def undone(world: World, traffic: Traffic, person: Person) -> None:
    """Released by itself, and taken back by a person while it bakes."""
    await person.start()
    await world.until_state("completed")
    await asyncio.sleep(1.2)
    await person.undo()
    await world.until_state("drained")
    await asyncio.sleep(1)


async def replaced(world: World, traffic: Traffic, person: Person) -> None:
    """The one word that the judge answers by two entries: another rollout takes the place of this one."""
    await person.start("v2")
    await world.until_state("collecting")
    await person.start("v3", replace=True)
    await world.until_state("collecting")
    await _take_back(world, person)


async def observed(world: World, traffic: Traffic, person: Person) -> None:
    """The canary fails, and the judge only says what it would do."""
    traffic.bad = frozenset({"v2"})
    await person.start(observe=True)
    await world.until_state("held")
    await asyncio.sleep(1.2)
    await _take_back(world, person)


async def approved(world: World, traffic: Traffic, person: Person) -> None:
    """A stage waits for a person's word; and the next rollout begins while this one bakes."""
    await person.start(approve=["2"])
    await world.until_state("collecting")
    await person.approve("2")
    await world.until_state("collecting")
    await person.promote(full=True)
    await world.until_state("completed")
    await person.start("v3")
    await world.until_state("collecting")
    await _take_back(world, person)


async def tended(world: World, traffic: Traffic, person: Person) -> None:
    """Somebody edits the service, a proxy goes for good and comes back all the same, the other one reports, and there is
    telemetry that nobody can read."""
    await person.start(stages=LONG)
    await world.until_state("collecting")
    await world.log.put("mcp-requests", 0, b"{", b"orders-1/1")
    world.report("lb0")
    moved = Version(endpoints=("127.0.0.1:9003",))
    await person.apply(SERVICE.model_copy(update={"versions": {**SERVICE.versions, "v3": moved}}))
    world.vanish("lb1")
    await asyncio.sleep(1.2)
    world.report("lb0")
    while world.state != "collecting":  # a router that was frozen while it named the proxy names it once more
        await person.forget("lb1")
        await asyncio.sleep(1.2)
    world.come_back("lb1")
    await _take_back(world, person)


def unwatched(on_blind: str) -> Story:
    """The judge is dead: a router does what the plan says, and the judge finds it done."""

    async def story(world: World, traffic: Traffic, person: Person) -> None:
        await person.start(blind_after="3s", on_blind=on_blind, stages=LONG)
        await world.until_state("collecting")
        await asyncio.sleep(0.5)
        world.kill("judge")
        await world.until_state("held", "rolled_back")
        await asyncio.sleep(1)
        world.start("judge")
        if on_blind == "hold":
            await world.until_state("collecting")
            await person.roll_back()
        await world.until_state("drained")
        await asyncio.sleep(1)

    return story


async def direct(world: World, traffic: Traffic, person: Person) -> None:
    """Rolled back at the router while Kafka is away."""
    await person.start()
    await world.until_state("collecting")
    await asyncio.sleep(0.5)
    world.log.away_s = 30.0
    await asyncio.sleep(1)
    await say_directly(world)
    await world.until(lambda: all(_without(proxy.runs, "v2") for proxy in world.proxies.values()))
    await asyncio.sleep(3)
    world.log.away_s = 0.0
    await world.until_state("drained")
    await asyncio.sleep(1)


async def say_directly(world: World) -> None:
    """Say it to the router until it answers: a router that dies under it is started again."""
    word = Word(service="orders", rollout=1, reason="Kafka is away", actor="anna")
    while True:
        running = world.running["router"]
        if running.router is not None and not running.hands.dead:
            asking = asyncio.ensure_future(running.router.roll_back(word))
            gone = asyncio.ensure_future(running.ended.wait())
            await asyncio.wait({asking, gone}, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if asking.done() and asking.exception() is None:
                return
        await asyncio.sleep(0.2)


def _without(runs: object, version: str) -> bool:
    routes = getattr(runs, "routes", {})
    return bool(routes) and all(w.version != version for w in routes["orders"].weights)


STORIES: dict[str, Story] = {
    "broken": broken,
    "stopped while pending": stopped_while("pending", approve=["start"]),
    "stopped while shifting": stopped_while("shifting"),
    "stopped while collecting": stopped_while("collecting"),
    "stopped while held": stopped,
    "tended": tended,
    "direct": direct,
    "replaced": replaced,
    "observed": observed,
    "approved": approved,
    "unwatched, held": unwatched("hold"),
    "unwatched, rolled back": unwatched("rollback"),
    "steered": steered,
    "released": released,
    "undone": undone,
}
"""The short ones first."""

ENDS: dict[str, list[str]] = {
    "released": [
        "start 0",
        "approve 0",
        "proceed 2000",
        "hold 2000",
        "resume 2000",
        "proceed 5000",
        "complete 10000",
        "retire 10000",
    ],
    "broken": ["start 2000", "rollback 0", "drained 0"],
    "stopped while pending": ["start 0", "rollback 0", "drained 0"],
    "stopped while shifting": ["start 2000", "rollback 0", "drained 0"],
    "stopped while collecting": ["start 2000", "rollback 0", "drained 0"],
    "stopped while held": ["start 2000", "hold 2000", "rollback 0", "drained 0"],
    "undone": ["start 2000", "proceed 5000", "complete 10000", "rollback 0", "drained 0"],
    "direct": ["start 2000", "rollback 0", "drained 0"],
    "steered": [
        "start 2000",
        "hold 2000",
        "resume 2000",
        "retry 2000",
        "proceed 5000",
        "complete 10000",
        "freeze 10000",
        "retire 10000",
        "unfreeze 10000",
    ],
    "replaced": ["start 2000", "rollback 0", "start 2000", "rollback 0", "drained 0"],
    "observed": ["start 2000", "hold 2000", "rollback 0", "drained 0"],
    "tended": ["start 2000", "rollback 0", "drained 0"],
    "approved": [
        "start 2000",
        "approve 2000",
        "complete 10000",
        "start 2000",
        "rollback 0",
        "drained 0",
    ],
    "unwatched, held": ["start 2000", "hold 2000", "resume 2000", "rollback 0", "drained 0"],
    "unwatched, rolled back": ["start 2000", "rollback 0", "drained 0"],
}
"""How each ends, whoever dies meanwhile."""
