"""kill -9 at every write of every service, in every state of a rollout: the story ends as it would have.

Every service runs by its own code over a log and proxies in memory, in virtual time (`control_world.py`). A process is
struck the first time that it comes to a named point while the rollout is in a named state: right before a write, or right
after it, before anybody has heard of it. Another one takes its place. `frozen`: it also wakes up later, and goes on with
what it was about to do, beside its successor.
"""

from collections.abc import Iterator
from functools import cache

import pytest

from tests.unit.control_hands import Blow, Name
from tests.unit.control_stories import ENDS, STORIES, Told, tell
from tests.unit.control_world import Strike

ALL = ("none", "pending", "shifting", "collecting", "held", "rolled_back", "drained", "completed", "retired")
ENTERED = tuple(state for state in ALL if state != "collecting")
"""States that an entry leads to: `collecting` begins with the last proxy's word."""

POINTS: dict[Name, dict[str, tuple[str, ...]]] = {
    "judge": {
        "entry not written": ("none", "pending", "shifting", "collecting", "held", "rolled_back", "completed", "retired"),
        "entry written": ("pending", "shifting", "held", "rolled_back", "drained", "completed", "retired"),
        "view not written": ALL,
        "view written": ALL,
    },
    "router": {
        "route not applied": ALL,
        "route applied, not told": ALL,
        "picture not written": ALL,
        "picture written": ALL,
        "route not kept": ENTERED,
        "route kept": ENTERED,
        "latch not on disk": ("collecting", "rolled_back"),
        "latch on disk, not applied": ("collecting", "rolled_back"),
        "latched rollback not written": ("shifting", "collecting"),
        "latched rollback written": ("rolled_back",),
    },
    "status": {
        "command not written": ("none", "pending", "collecting", "held", "completed", "retired"),
        "command written": ("none", "pending", "collecting", "held", "completed", "retired"),
        "rollback not written": ("pending", "shifting", "collecting", "held", "completed"),
        "rollback written": ("rolled_back",),
    },
    "alerts": {
        "alert not told": ("shifting", "held", "rolled_back", "drained", "completed", "retired"),
        "alert told, not remembered": ("shifting", "held", "rolled_back", "drained", "completed", "retired"),
        "alerts not remembered": ENTERED,
        "alerts remembered": ENTERED,
    },
    "streams": {
        "open window not published": ALL,
        "open window published": ALL,
        "final window not published": ALL,
        "final window published, not committed": ALL,
        "windows not acknowledged": ALL,
        "window committed": ALL,
        "tick not published": ("shifting", "collecting", "held"),
        "tick published": ("shifting", "collecting", "held"),
    },
}  # fmt: skip
"""Every moment before and after a write, and the states in which it comes. A test holds it against what happens."""

WRITERS_OF_THE_LEDGER = ("entry", "route", "picture", "command", "rollback")
"""What a frozen process may hold in its hands that could still do harm when it wakes."""


@cache
def undisturbed(story: str) -> Told:
    """The story as it goes by itself."""
    return tell(STORIES[story])


def strikes() -> Iterator[Strike]:
    for process, points in POINTS.items():
        for point, states in points.items():
            for state in states:
                yield Strike(process, point, state)
                if point.startswith(WRITERS_OF_THE_LEDGER) and "kept" not in point and (point, state) not in BY_LATCH:
                    yield Strike(process, point, state, "frozen")


BY_LATCH = {("route not applied", "collecting"), ("route applied, not told", "collecting")}
"""Only a rollback that was said to the router itself changes routes there: `router/test_two_routers.py` has two of them."""


def name_of(strike: Strike) -> str:
    return f"{strike.process}: {strike.point}, {strike.state}, {strike.blow}"


@pytest.mark.parametrize("story", STORIES)
def test_undisturbed_each_story_ends_as_it_must(story: str) -> None:
    assert undisturbed(story).steps == ENDS[story]


def test_a_story_that_is_told_twice_is_the_same_to_the_millisecond() -> None:
    """Nothing here depends on chance or on the machine's speed: what fails once fails always."""
    first, again = undisturbed("released"), tell(STORIES["released"])
    assert again.steps == first.steps
    assert [(m.step, m.key.split("/")[2], m.at_ms) for m in again.world.told] == [
        (m.step, m.key.split("/")[2], m.at_ms) for m in first.world.told
    ]
    assert [e.decided_at for e in again.world.entries] == [e.decided_at for e in first.world.entries]
    assert again.world.reached == first.world.reached


def test_the_table_names_every_write_that_the_stories_come_to() -> None:
    reached = {place for story in STORIES for place in undisturbed(story).world.reached}
    table = {
        (process, point, s) for process, points in POINTS.items() for point, states in points.items() for s in states
    }
    assert reached == table


@pytest.mark.parametrize("strike", list(strikes()), ids=name_of)
def test_whoever_dies_at_a_write_the_story_ends_as_it_would_have(strike: Strike) -> None:
    place = strike.process, strike.point, strike.state
    story = next(name for name in STORIES if place in undisturbed(name).world.reached)
    told = tell(STORIES[story], strike)
    assert told.world.struck_at == strike
    assert told.steps == ENDS[story]
    _on_call_heard(strike.blow, strike.process, told, undisturbed(story))


def _on_call_heard(blow: Blow, process: Name, told: Told, undisturbed: Told) -> None:
    """The same, once. Alerts' own death may repeat what was told right before, and misses what came and went meanwhile;
    what began for on-call also ends for them."""
    if process != "alerts":
        assert sorted(told.alerts) == sorted(undisturbed.alerts)
        return
    assert set(told.alerts) <= set(undisturbed.alerts)
    facts = {alert for alert in undisturbed.alerts if alert.startswith("happened")}
    assert facts <= set(told.alerts)
    assert len(told.alerts) <= len(undisturbed.alerts) + 1
    began = {alert.split()[1] for alert in told.alerts if alert.startswith("began")}
    assert began == {alert.split()[1] for alert in told.alerts if alert.startswith("ended")}
