"""A rollback that is said at any moment of a `proceed`, or of the promotion to 100 %, wins: nothing goes up after it."""

import asyncio
from typing import Literal

import pytest

from tests.unit.control_hands import Name
from tests.unit.control_people import Person
from tests.unit.control_stories import say_directly, tell
from tests.unit.control_traffic import Traffic
from tests.unit.control_world import World

BEFORE: tuple[tuple[Name, str], ...] = (
    ("judge", "{step} not written"),
    ("judge", "view not written"),
    ("judge", "view written"),
    ("streams", "final window not published"),
    ("streams", "final window published, not committed"),
    ("router", "picture not written"),
    ("router", "picture written"),
)
AFTER: tuple[tuple[Name, str], ...] = (
    ("judge", "{step} written"),
    ("judge", "view not written"),
    ("judge", "view written"),
    ("router", "route not applied"),
    ("router", "route applied, not told"),
    ("router", "picture not written"),
    ("router", "picture written"),
    ("streams", "open window published"),
)
Way = Literal["to the status API", "to the router"]


@pytest.mark.parametrize("way", ["to the status API", "to the router"])
@pytest.mark.parametrize("step", ["proceed", "complete"])
@pytest.mark.parametrize(
    ("process", "point", "moment"), [(*m, "before") for m in BEFORE] + [(*m, "after") for m in AFTER]
)
def test_a_rollback_at_any_moment_of_a_step_up_wins(
    process: Name, point: str, moment: str, step: str, way: Way
) -> None:
    entered = "shifting" if step == "proceed" else "completed"
    said: list[str] = []

    async def story(world: World, traffic: Traffic, person: Person) -> None:
        await person.start()
        await world.until(
            lambda: world.state == "collecting" and (step == "proceed" or world.chain.standing.stage == 2)
        )
        seen = world.entries[-1].id

        async def word() -> None:
            said.append(world.state)
            await (person.roll_back(seen=seen) if way == "to the status API" else say_directly(world))

        world.meanwhile[process, point.format(step=step), "collecting" if moment == "before" else entered] = word
        await world.until_state("rolled_back")
        await world.until(lambda: world.route_converged)
        born = traffic.born["v2"]
        await world.until_state("drained")
        assert traffic.born["v2"] == born

    steps = tell(story).steps
    assert said == ["collecting" if moment == "before" else entered]
    up, down = steps[: steps.index("rollback 0")], steps[steps.index("rollback 0") :]
    assert down == ["rollback 0", "drained 0"]
    assert up == ["start 2000", "proceed 5000", "complete 10000"][: len(up)]
    assert len(up) == (1 if step == "proceed" else 2) + (moment == "after")


def test_the_judges_own_proceed_on_its_way_is_void_once_the_rollback_is_there() -> None:
    """It lies in the log, behind the rollback, and changes nothing for anybody."""

    async def story(world: World, traffic: Traffic, person: Person) -> None:
        await person.start()
        await world.until_state("collecting")
        world.meanwhile["judge", "proceed not written", "collecting"] = person.roll_back
        await world.until_state("drained")
        await asyncio.sleep(6)

    told = tell(story)
    written = [record.value or b"" for record in told.records["rollout-decisions"]]
    assert any(b'"kind":"proceed"' in value for value in written)
    assert told.steps == ["start 2000", "rollback 0", "drained 0"]
