"""People's words from the status service to the proxies and back, a story each: what they are told, and what comes of it."""

import asyncio

import pytest

from tests.unit.control_people import Person
from tests.unit.control_stories import Told, tell
from tests.unit.control_traffic import Traffic
from tests.unit.control_world import World

STARTED = "Canary {} of orders gets 20% of new sessions, compared with baseline {}."


def alerts(told: Told) -> list[str]:
    return [f"{m.step} {m.cause.kind}" for m in told.world.told]


def test_who_observes_a_bad_canary_is_told_and_decides_alone() -> None:
    async def story(world: World, traffic: Traffic, person: Person) -> None:
        traffic.bad = frozenset({"v2"})
        await person.start(observe=True)
        await world.until_state("held")
        await asyncio.sleep(10)
        await person.promote()
        await person.promote(full=True)
        assert world.chain.standing.share == 2000
        await person.say("resume")
        await world.until(
            lambda: [e.kind for e in world.entries] == ["start", "hold", "resume", "hold"]
        )  # it still fails
        await person.roll_back()
        await world.until_state("drained")

    told = tell(story)
    holds = ["hold 2000", "resume 2000", "hold 2000"]
    assert told.steps == ["start 2000", *holds, "rollback 0", "drained 0"]
    assert {e.reason.code for e in told.world.entries if e.kind == "hold"} == {"would_rollback"}
    refused = [answer for answer in told.person.answers if "after a breach" in answer]
    assert len(refused) == 2
    assert all("davylamp rollback orders" in answer for answer in refused)
    assert alerts(told)[:2] == ["began would_rollback", "ended would_rollback"]


def test_who_observes_a_good_canary_promotes_it_step_by_step() -> None:
    async def story(world: World, traffic: Traffic, person: Person) -> None:
        await person.start(observe=True)
        for share in (2000, 5000):
            await world.until_state("held")
            assert world.chain.standing.share == share
            await person.promote()
        await world.until_state("retired")

    told = tell(story)
    assert told.steps == ["start 2000", "hold 2000", "proceed 5000", "hold 5000", "complete 10000", "retire 10000"]
    assert [e.actor for e in told.world.entries if e.kind in ("proceed", "complete")] == ["anna", "anna"]


def test_a_freeze_lets_what_runs_go_on_and_nothing_new_start() -> None:
    async def story(world: World, traffic: Traffic, person: Person) -> None:
        await person.say("freeze")
        await person.start()
        await person.say("unfreeze")
        await person.start()
        await world.until_state("collecting")
        await person.say("freeze")
        await world.until_state("retired")
        await person.start("v3")
        await person.say("freeze")

    told = tell(story)
    assert told.steps == [
        "freeze 0",
        "unfreeze 0",
        "start 2000",
        "freeze 2000",
        "proceed 5000",
        "complete 10000",
        "retire 10000",
    ]
    assert told.person.answers[1] == told.person.answers[5] == "orders is frozen: davylamp unfreeze orders first"
    assert told.person.answers[6] == "orders is frozen already: davylamp unfreeze orders lets rollouts start again"


def test_a_promotion_is_undone_once_and_the_old_baseline_serves_everybody_again() -> None:
    async def story(world: World, traffic: Traffic, person: Person) -> None:
        await person.start()
        await world.until_state("completed")
        await person.undo()
        await world.until(lambda: world.chain.baseline == "v1")
        await person.undo()
        await person.roll_back()
        await world.until_state("drained")
        await person.undo()

    told = tell(story)
    assert told.steps == ["start 2000", "proceed 5000", "complete 10000", "rollback 0", "drained 0"]
    assert told.person.answers[1] == "anna rolled back: why"
    again = "Rollout 1 of orders is already rolled back, and its canary's sessions drain: davylamp start PLAN begins a new one."
    assert told.person.answers[2] == told.person.answers[3] == again
    assert "has drained" in told.person.answers[4]


def test_what_is_retired_is_not_undone() -> None:
    async def story(world: World, traffic: Traffic, person: Person) -> None:
        await person.start()
        await world.until_state("retired")
        await person.undo()

    told = tell(story)
    assert told.steps[-1] == "retire 10000"
    assert "to go back, start a rollout of the version you want" in told.person.answers[-1]


def test_a_rollout_is_replaced_by_another_and_only_one_of_them_ever_goes_up() -> None:
    async def story(world: World, traffic: Traffic, person: Person) -> None:
        await person.start("v2")
        await world.until_state("collecting")
        await person.start("v3", replace=True)
        await world.until_state("retired")

    told = tell(story)
    assert told.steps == ["start 2000", "rollback 0", "start 2000", "proceed 5000", "complete 10000", "retire 10000"]
    first, back, second = told.world.entries[:3]
    assert (back.reason.code, back.command) == ("replaced", second.command)
    assert (first.canary, second.canary, second.baseline) == ("v2", "v3", "v1")
    assert told.person.answers == [STARTED.format("v2", "v1"), STARTED.format("v3", "v1")]


def test_what_cannot_replace_ends_nothing() -> None:
    async def story(world: World, traffic: Traffic, person: Person) -> None:
        await person.start("v2")
        await world.until_state("collecting")
        for canary in ("v1", "v2", "v9"):
            await person.start(canary, replace=True)
        await world.until_state("retired")

    told = tell(story)
    assert told.steps == ["start 2000", "proceed 5000", "complete 10000", "retire 10000"]
    assert [answer.partition(":")[0] for answer in told.person.answers[1:]] == [
        "version v1 is the baseline already, it serves everybody",
        "version v2 is the running canary, which --replace rolls back",
        "version v9 is not among the versions of orders (v1, v2, v3)",
    ]


def test_a_version_that_was_rolled_back_starts_again_only_if_somebody_insists() -> None:
    async def story(world: World, traffic: Traffic, person: Person) -> None:
        traffic.bad = frozenset({"v2"})
        await person.start()
        await world.until_state("drained")
        traffic.bad = frozenset()
        await person.start()
        await person.start(again=True)
        await world.until_state("retired")

    told = tell(story)
    assert told.steps == [
        "start 2000",
        "rollback 0",
        "drained 0",
        "start 2000",
        "proceed 5000",
        "complete 10000",
        "retire 10000",
    ]
    assert told.person.answers[1] == "version v2 was rolled back before: fix it, or start it with --again"


def test_of_two_who_start_at_once_one_is_refused() -> None:
    async def story(world: World, traffic: Traffic, person: Person) -> None:
        await asyncio.gather(person.start("v2"), person.start("v3"))
        await world.until_state("retired")

    told = tell(story)
    assert told.steps == ["start 2000", "proceed 5000", "complete 10000", "retire 10000"]
    started, refused = told.person.answers
    assert started == STARTED.format("v2", "v1")
    assert refused.startswith("a rollout of orders is running")


def test_nothing_is_approved_or_promoted_after_a_rollback() -> None:
    async def story(world: World, traffic: Traffic, person: Person) -> None:
        traffic.bad = frozenset({"v2"})
        await person.start(approve=["promote"])
        await world.until_state("rolled_back")
        await person.approve("promote")
        await person.promote()
        await person.promote(full=True)
        await world.until_state("drained")

    told = tell(story)
    assert told.steps == ["start 2000", "rollback 0", "drained 0"]
    assert [answer.partition(":")[0] for answer in told.person.answers[1:]] == [
        "approve is not possible",
        "promote is not possible",
        "promote is not possible",
    ]


def test_an_approval_is_waited_for_and_then_it_goes_on() -> None:
    async def story(world: World, traffic: Traffic, person: Person) -> None:
        await person.start(approve=["2", "promote"])
        await asyncio.sleep(12)
        assert world.chain.standing.stage == 1
        await person.approve()
        await world.until(lambda: world.chain.standing.stage == 2)
        await asyncio.sleep(12)
        assert world.chain.standing.stage == 2
        await person.approve()
        await world.until_state("retired")

    told = tell(story)
    assert told.steps == [
        "start 2000",
        "approve 2000",
        "proceed 5000",
        "approve 5000",
        "complete 10000",
        "retire 10000",
    ]


@pytest.mark.parametrize("mode", ["drain", "rehome", "evict"])
def test_a_person_says_what_becomes_of_the_canarys_sessions(mode: str) -> None:
    async def story(world: World, traffic: Traffic, person: Person) -> None:
        await person.start()
        await world.until_state("collecting")
        await asyncio.sleep(1)
        await person.roll_back(mode)
        await world.until_state("drained")

    told = tell(story)
    assert told.world.entries[1].hold_mode == mode
    (page,) = [m for m in told.world.told if m.cause.kind == "rollback"]
    words = {"drain": "end by themselves", "rehome": "are moved to v1 at once", "evict": "end at once"}
    assert words[mode] in page.body
