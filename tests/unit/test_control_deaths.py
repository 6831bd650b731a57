"""Whoever is dead, a rollback is reached from every state, and nothing goes up that must not: in virtual seconds."""

import asyncio
from typing import Any

import pytest

from alerts.cause import Limits
from schemas.decisions import RESUMES_ITSELF
from tests.unit.control_hands import Name
from tests.unit.control_people import Person
from tests.unit.control_stories import Story, say_directly, tell
from tests.unit.control_traffic import Traffic
from tests.unit.control_world import World

STATES: dict[str, dict[str, Any]] = {
    "pending": {"approve": ["start"]},
    "shifting": {},
    "collecting": {},
    "held": {},
    "completed": {"bake": "60s"},
}
"""Where a rollback is possible, and a plan that leads there."""

DEAD: tuple[tuple[Name, ...], ...] = (("judge",), ("alerts",), ("streams",), ("judge", "alerts", "streams"))
IN_FORCE_S = 2.0
"""The slower proxy takes one."""


def all_on_v1(world: World) -> bool:
    runs = [proxy.runs for proxy in world.proxies.values()]
    return all(run is not None and [w.version for w in run.routes["orders"].weights] == ["v1"] for run in runs)


async def come_to(state: str, world: World, person: Person) -> None:
    await person.start(**STATES[state])
    await world.until_state(state if state != "held" else "collecting")
    if state == "held":
        await person.say("hold")
        await world.until_state("held")


@pytest.mark.parametrize("canary", ["serves", "is dead, too"])
@pytest.mark.parametrize("dead", DEAD, ids="+".join)
@pytest.mark.parametrize("state", STATES)
def test_people_roll_back_from_every_state_whoever_is_dead(state: str, dead: tuple[Name, ...], canary: str) -> None:
    """Invariant 5. When the dead come back, they find it done and do nothing but let the canary drain."""

    async def story(world: World, traffic: Traffic, person: Person) -> None:
        await come_to(state, world, person)
        traffic.dead = frozenset({"v2"} if canary != "serves" else ())
        world.kill(*dead)
        await asyncio.sleep(1)
        answer = await (person.undo() if state == "completed" else person.roll_back())
        assert answer == "anna rolled back: why"
        await world.until(lambda: all_on_v1(world), IN_FORCE_S)
        traffic.dead = frozenset()
        for name in dead:
            world.start(name)
        await world.until_state("drained")

    steps = tell(story).steps
    assert steps[-2:] == ["rollback 0", "drained 0"]
    assert steps.count("rollback 0") == 1


@pytest.mark.parametrize("state", STATES)
def test_without_kafka_the_router_itself_takes_it_back_from_every_state(state: str) -> None:
    """Nobody else lives, and the log is out of reach; the ledger has it once it is back."""

    async def story(world: World, traffic: Traffic, person: Person) -> None:
        await come_to(state, world, person)
        if state == "shifting":  # the router has read the start before
            await world.until(lambda: not all_on_v1(world))
        world.kill("judge", "alerts", "streams", "status")
        world.log.away_s = 30.0
        await asyncio.sleep(2)
        await say_directly(world)
        await world.until(lambda: all_on_v1(world), IN_FORCE_S)
        await asyncio.sleep(5)
        assert all_on_v1(world)
        world.log.away_s = 0.0
        for name in ("judge", "alerts", "streams", "status"):
            world.start(name)
        await world.until_state("drained")

    steps = tell(story).steps
    assert steps[-2:] == ["rollback 0", "drained 0"]
    assert steps.count("rollback 0") == 1


HEALTHY = ["start 2000", "proceed 5000", "complete 10000", "retire 10000"]
BROKEN = ["start 2000", "rollback 0", "drained 0"]


async def without_kafka_for_a_while(world: World, traffic: Traffic, person: Person) -> None:
    """It goes on by itself."""
    await person.start()
    for state in ("collecting", "completed"):
        await world.until_state(state)
        world.log.away_s = 30.0
        await asyncio.sleep(3)
        world.log.away_s = 0.0
    await world.until_state("retired")


async def without_a_canary(world: World, traffic: Traffic, person: Person) -> None:
    """No process of it is alive: its share never rises, and on-call knows. Later the judge finds sessions missing."""
    traffic.dead = frozenset({"v2"})
    await person.start()
    await world.until_state("held")
    assert world.entries[-1].reason.code in RESUMES_ITSELF
    await world.until(lambda: [m.cause.severity for m in world.told] == ["page"], 2)
    await asyncio.sleep(20)
    assert [e.kind for e in world.entries] == ["start", "hold"]
    traffic.dead = frozenset()
    await asyncio.sleep(20)
    assert world.chain.standing.share == 2000
    await person.roll_back()
    await world.until_state("drained")


async def with_a_judge_that_is_dead(world: World, traffic: Traffic, person: Person) -> None:
    """Nothing moves, and after two minutes on-call hears that nobody looks."""
    await person.start()
    await world.until_state("collecting")
    world.kill("judge")
    await asyncio.sleep(Limits().blind_s - 5)
    assert [m.cause.kind for m in world.told] == []
    await world.until(lambda: [m.cause.kind for m in world.told] == ["blind"], 10)
    assert [e.kind for e in world.entries] == ["start"]
    world.start("judge")
    await world.until_state("retired")


async def with_a_receiver_that_hangs(world: World, traffic: Traffic, person: Person) -> None:
    """Nobody waits for on-call; they hear it when they listen again."""
    world.pager_hangs = True
    traffic.bad = frozenset({"v2"})
    await person.start()
    await world.until_state("rolled_back")
    await world.until(lambda: all_on_v1(world), IN_FORCE_S)
    await world.until_state("drained")
    assert world.told == []
    world.pager_hangs = False
    await world.until(lambda: {m.cause.kind for m in world.told} >= {"rollback", "drained"}, 60)


async def with_dead_alerts(world: World, traffic: Traffic, person: Person) -> None:
    """On-call hears later what happened meanwhile."""
    traffic.bad = frozenset({"v2"})
    await person.start()
    world.kill("alerts")
    await world.until_state("drained")
    world.start("alerts")
    await world.until(lambda: [m.cause.kind for m in world.told] == ["rollback", "drained"], 5)


@pytest.mark.parametrize(
    ("story", "steps"),
    [
        (without_kafka_for_a_while, HEALTHY),
        (without_a_canary, ["start 2000", "hold 2000", "resume 2000", "hold 2000", "rollback 0", "drained 0"]),
        (with_a_judge_that_is_dead, HEALTHY),
        (with_a_receiver_that_hangs, BROKEN),
        (with_dead_alerts, BROKEN),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_story(story: Story, steps: list[str]) -> None:
    assert tell(story).steps == steps
