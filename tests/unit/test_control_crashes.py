"""kill -9 at every write of every service, in every state of a rollout: the story ends as it would have.

Every service runs by its own code over a log and proxies in memory, in virtual time (`control_world.py`). A process is
struck the first time that it comes to a named point while the rollout is in a named state: right before a write, or right
after it, before anybody has heard of it. Another one takes its place. `frozen`: it also wakes up later, and goes on with
what it was about to do, beside its successor.
"""

from collections.abc import Iterator
from functools import cache
from typing import get_args

import pytest

from router.disk import Disk
from schemas.control import Command, CommandKind
from schemas.decisions import EntryKind
from schemas.topics import load_topics
from tests.unit.control_hands import Blow, Name, Platter
from tests.unit.control_stories import ENDS, STORIES, Told, tell
from tests.unit.control_world import Strike

ALL = ("none", "pending", "shifting", "collecting", "held", "rolled_back", "drained", "completed", "retired")

POINTS: dict[Name, dict[str, tuple[str, ...]]] = {
    "judge": {
        "start not written": ("none", "rolled_back", "completed"),
        "start written": ("pending", "shifting"),
        "approve not written": ("pending", "collecting"),
        "approve written": ("pending", "shifting"),
        "proceed not written": ("pending", "collecting"),
        "proceed written": ("shifting",),
        "retry not written": ("collecting",),
        "retry written": ("shifting",),
        "hold not written": ("collecting",),
        "hold written": ("held",),
        "hold (would_rollback) not written": ("shifting",),
        "hold (would_rollback) written": ("held",),
        "resume not written": ("held",),
        "resume written": ("shifting",),
        "rollback not written": ("shifting",),
        "rollback written": ("rolled_back",),
        "rollback (replaced) not written": ("collecting",),
        "rollback (replaced) written": ("rolled_back",),
        "drained not written": ("rolled_back",),
        "drained written": ("drained",),
        "complete not written": ("collecting",),
        "complete written": ("completed",),
        "retire not written": ("completed",),
        "retire written": ("retired",),
        "freeze not written": ("completed",),
        "freeze written": ("completed",),
        "unfreeze not written": ("retired",),
        "unfreeze written": ("retired",),
        "view not written": ALL,
        "view written": ALL,
    },
    "router": {
        "route not applied": ALL,
        "route applied, not told": ALL,
        "picture not written": ALL,
        "picture written": ALL,
        "report not written": ("shifting", "collecting"),
        "report written": ("shifting", "collecting"),
        "route not kept": ALL,
        "route kept": ALL,
        "proxies not kept": ("none", "shifting", "rolled_back"),
        "proxies kept": ("none", "shifting", "rolled_back"),
        "other services not forgotten": ("none",),
        "other services forgotten": ("none",),
        "latch not on disk": ("collecting", "rolled_back"),
        "latch on disk, not told": ("collecting", "rolled_back"),
        "rollback (direct) not written": ("shifting", "collecting"),
        "rollback (direct) written": ("rolled_back",),
        "hold (blind) not written": ("collecting",),
        "hold (blind) written": ("held",),
        "rollback (blind) not written": ("collecting",),
        "rollback (blind) written": ("rolled_back",),
    },
    "status": {
        "command not written": ("none", "pending", "shifting", "collecting", "held", "completed", "retired"),
        "command written": ("none", "pending", "shifting", "collecting", "held", "completed", "retired"),
        "rollback not written": ("pending", "shifting", "collecting", "held", "completed"),
        "rollback written": ("rolled_back",),
        "service not written": ("collecting",),
        "service written": ("collecting",),
    },
    "alerts": {
        "alert not told": ("pending", "shifting", "collecting", "held", "rolled_back", "drained", "completed", "retired"),
        "alert told, not remembered": ("pending", "shifting", "collecting", "held", "rolled_back", "drained", "completed", "retired"),
        "alerts not remembered": ALL,
        "alerts remembered": ALL,
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
        "dead letter not published": ("collecting",),
        "dead letter published": ("collecting",),
    },
}  # fmt: skip
"""Every moment before and after a write, and the states in which it comes; entries by their kind, and by their reason where
that is a way of its own. Tests hold it against what happens, and against what the services can write."""

HARMLESS = ("view", "report", "open window", "final window", "tick", "dead letter")
"""What a frozen process may still write when it wakes, whatever has happened meanwhile."""
ALONE = ("rollback (direct) not written",)
"""What nobody else can know while the only router that was told is frozen: `router/test_two_routers.py` tells two."""


@cache
def undisturbed(story: str) -> Told:
    """The story as it goes by itself."""
    return tell(STORIES[story])


def strikes() -> Iterator[Strike]:
    """Whoever is frozen has something in its hands that it goes on with when it wakes."""
    for process, points in POINTS.items():
        for point, states in points.items():
            frozen = point.endswith(("not written", "not applied", "not told")) and not point.startswith(
                HARMLESS + ALONE
            )
            for state in states:
                yield Strike(process, point, state)
                if frozen and process != "alerts":
                    yield Strike(process, point, state, "frozen")


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


def test_the_stories_come_to_every_topic_that_a_service_may_write_and_to_every_word_of_people() -> None:
    worlds = [undisturbed(story).world for story in STORIES]
    said = {Command.read(r.value or b"").kind for world in worlds for r in world.log.records("rollout-commands")}
    may = {(w.split()[0], topic) for topic, spec in load_topics().items() for w in spec.written_by}
    assert {wrote for world in worlds for wrote in world.wrote} == {(who, topic) for who, topic in may if who in POINTS}
    assert said == set(get_args(CommandKind))


def test_the_table_names_every_kind_of_entry_and_every_file_of_a_router() -> None:
    entries = {point.split()[0] for point in POINTS["judge"] if not point.startswith("view")}
    assert entries == set(get_args(EntryKind))
    files = {name for name in vars(Disk) if not name.startswith("_")} - {"latches", "known", "acknowledged"}
    assert files == {name for name in vars(Platter) if not name.startswith("_")}


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
    what began for on-call also ends for them. A judge that dies may miss that a person was waited for, who then came."""
    if process != "alerts":
        waits = [alert.split()[0] for alert in told.alerts if process == "judge" and "approval" in alert]
        due = [alert for alert in undisturbed.alerts if waits or process != "judge" or "approval" not in alert]
        assert sorted(told.alerts) == sorted(due)
        return
    assert set(told.alerts) <= set(undisturbed.alerts)
    facts = {alert for alert in undisturbed.alerts if alert.startswith("happened")}
    assert facts <= set(told.alerts)
    assert len(told.alerts) <= len(undisturbed.alerts) + 1
    began = {alert.split()[1] for alert in told.alerts if alert.startswith("began")}
    assert began == {alert.split()[1] for alert in told.alerts if alert.startswith("ended")}
