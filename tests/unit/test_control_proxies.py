"""Proxies that refuse, lag, vanish and come back: each with its end and its time, in virtual seconds."""

import asyncio
from collections.abc import Callable

import pytest

from tests.unit.control_people import Person
from tests.unit.control_stories import Story, tell
from tests.unit.control_traffic import Traffic
from tests.unit.control_world import World

HEALTHY = ["start 2000", "proceed 5000", "complete 10000", "retire 10000"]
AT_ONCE_S = 2.0
"""A router tells at once, and the judge looks four times a second."""
PAGE_S = 10.0
"""So long a proxy may be unknown while the canary has a share."""


async def within(world: World, seconds: float, true: Callable[[], bool]) -> None:
    """It becomes true, and in time."""
    await world.until(true, seconds)


def told(world: World, *alerts: str) -> bool:
    """On-call was told exactly this so far."""
    return [f"{m.step} {m.cause.kind}" for m in world.told] == list(alerts)


async def nothing_rises(world: World, seconds: float) -> None:
    steps = [(e.kind, e.share) for e in world.entries]
    await asyncio.sleep(seconds)
    assert [(e.kind, e.share) for e in world.entries] == steps


def without_canary(world: World, proxy: str) -> bool:
    runs = world.proxies[proxy].runs
    return runs is not None and [w.version for w in runs.routes["orders"].weights] == ["v1"]


async def refuses(world: World, traffic: Traffic, person: Person) -> None:
    """A refusal pages with the proxy's own words; the stage does not begin until it is taken back."""
    world.refuses["lb0"] = "no such cluster"
    await person.start()
    await within(world, AT_ONCE_S, lambda: told(world, "began route_rejected"))
    assert "no such cluster" in world.told[0].body
    assert world.state == "shifting"
    await nothing_rises(world, 8)
    world.accept("lb0")
    await within(world, AT_ONCE_S, lambda: world.state == "collecting")
    await world.until_state("retired")


async def refuses_the_rollback(world: World, traffic: Traffic, person: Person) -> None:
    """The others are rid of the canary at once; on-call hears which one is not, until it is."""
    await person.start()
    await world.until_state("collecting")
    world.refuses["lb0"] = "out of memory"
    await person.roll_back()
    await within(world, AT_ONCE_S, lambda: without_canary(world, "lb1"))
    assert not without_canary(world, "lb0")
    await within(world, PAGE_S + AT_ONCE_S, lambda: "drift" in {m.cause.kind for m in world.told})
    world.accept("lb0")
    await within(world, AT_ONCE_S, lambda: without_canary(world, "lb0"))
    await within(world, AT_ONCE_S, lambda: [m.cause.kind for m in world.told if m.step == "ended"].count("drift") == 1)
    await world.until_state("drained")


async def lags(world: World, traffic: Traffic, person: Person) -> None:
    """Eight seconds are no news; the stage begins when the last proxy has it."""
    world.slow_s = 8.0
    await asyncio.sleep(2)  # the present round
    await person.start()
    await asyncio.sleep(2)
    assert world.state == "shifting"
    await within(world, 9, lambda: world.state == "collecting")
    assert world.told == []
    world.slow_s = 1.0
    await world.until_state("retired")


async def lags_too_long(world: World, traffic: Traffic, person: Person) -> None:
    """More than ten are a page, which ends by itself."""
    world.slow_s = 15.0
    await asyncio.sleep(2)  # the present round
    await person.start()
    await within(world, PAGE_S + AT_ONCE_S, lambda: told(world, "began drift"))
    assert "lb1" in world.told[0].body
    await within(world, 8, lambda: told(world, "began drift", "ended drift"))
    world.slow_s = 1.0
    await world.until_state("retired")


async def vanishes_and_comes_back(world: World, traffic: Traffic, person: Person) -> None:
    """Unknown: nothing rises, on-call hears it after ten seconds; back: it goes on by itself."""
    await person.start()
    await world.until_state("collecting")
    world.vanish("lb1")
    await nothing_rises(world, PAGE_S - 1)
    await within(world, AT_ONCE_S + 1, lambda: told(world, "began drift"))
    await nothing_rises(world, 10)
    world.come_back("lb1")
    await within(world, AT_ONCE_S, lambda: told(world, "began drift", "ended drift"))
    await world.until_state("retired")


async def vanishes_for_good(world: World, traffic: Traffic, person: Person) -> None:
    """A rollback is never held up by a proxy that is gone: it is in force on the others at once, and the page burns on."""
    await person.start()
    await world.until_state("collecting")
    world.vanish("lb1")
    await asyncio.sleep(3)
    await person.roll_back()
    await within(world, AT_ONCE_S, lambda: without_canary(world, "lb0"))
    assert not without_canary(world, "lb1")
    await within(world, PAGE_S + AT_ONCE_S, lambda: "drift" in {m.cause.kind for m in world.told})
    await world.until_state("drained")
    assert not any(m.step == "ended" and m.cause.kind == "drift" for m in world.told)
    world.come_back("lb1")
    await within(world, AT_ONCE_S, lambda: without_canary(world, "lb1"))


async def comes_back_after_the_rollback(world: World, traffic: Traffic, person: Person) -> None:
    """It gets the newest route and nothing older."""
    traffic.bad = frozenset({"v2"})
    await person.start()
    await world.until_state("collecting", "rolled_back")
    world.vanish("lb0")
    await world.until_state("drained")
    assert without_canary(world, "lb1")
    world.come_back("lb0")
    await within(world, AT_ONCE_S, lambda: without_canary(world, "lb0"))


@pytest.mark.parametrize(
    ("story", "steps"),
    [
        (refuses, HEALTHY),
        (refuses_the_rollback, ["start 2000", "rollback 0", "drained 0"]),
        (lags, HEALTHY),
        (lags_too_long, HEALTHY),
        (vanishes_and_comes_back, HEALTHY),
        (vanishes_for_good, ["start 2000", "rollback 0", "drained 0"]),
        (comes_back_after_the_rollback, ["start 2000", "rollback 0", "drained 0"]),
    ],
)
def test_a_proxy_that(story: Story, steps: list[str]) -> None:
    assert tell(story).steps == steps
