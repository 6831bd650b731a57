"""A replay under another plan or policy: the same where nothing differs, and the first word that does."""

from typing import Any

import pytest

from judge.course import OtherCourseError, course
from judge.policies.choice import AsPlanned
from judge.rollout.machine import Machine
from judge.unknowable import unknowable
from judge.whatif import WhatIf, what_if
from schemas.plan import Plan
from schemas.windows import CohortWindow
from status.rollback import rollback_entry
from tests.builders import ONLY_ERRORS, opening
from tests.unit.judge.rollouts import Rollout, broken, promoted

MACHINE = Machine(AsPlanned(), "0.1")


def under(rollout: Rollout, number: int = 1, until_ms: int | None = None, **changes: Any) -> WhatIf:
    """The plan that it had, with changes as people write them."""
    (had,) = (e.opening.plan for e in rollout.chain.rollout(number) if e.opening is not None)
    written = had.model_dump(mode="json", exclude_none=True) | changes
    asked = Plan.model_validate(written)
    return what_if(course(rollout.tapes, "orders", number, asked), MACHINE, until_ms)


def stages(*durations: str, min_sessions: int = 5) -> list[dict[str, Any]]:
    shares = ("20%", "50%")
    return [{"share": s, "for": d, "min_sessions": min_sessions} for s, d in zip(shares, durations, strict=True)]


def kinds(found: WhatIf) -> list[str]:
    return [word.recorded.kind for word in found.same]


async def failing(bad: int) -> Rollout:
    """From the first second on `bad` of 800 canary requests fail; both stages are passed all the same."""
    rollout = Rollout()
    await rollout.start(checks={**ONLY_ERRORS, "error_rate": {"within": "20pp"}})
    await rollout.run(40, bad=bad)
    return rollout


@pytest.mark.parametrize("make", [promoted, broken])
async def test_under_its_own_plan_every_word_is_the_same(make: Any) -> None:
    rollout = await make()
    found = under(rollout, policy="sequential")
    assert len(found.same) == found.total == len(rollout.chain.entries)
    assert found.divergence is None
    assert found.later == ()
    assert unknowable(found) == ()


async def test_a_second_rollout_is_replayed_behind_the_first() -> None:
    rollout = await broken()
    rollout.clock.advance(40)
    await rollout.ask("start", opening=opening("v3", checks=ONLY_ERRORS))
    await rollout.run(20)
    found = under(rollout, 2, rollback_below=1.0)
    assert kinds(found) == [e.kind for e in rollout.chain.rollout(2)]


async def test_a_stricter_plan_rolls_back_where_the_recording_went_on_and_says_what_that_spared() -> None:
    rollout = await failing(bad=80)
    assert [e.kind for e in rollout.chain.entries] == ["start", "proceed", "complete"]
    found = under(rollout, checks={**ONLY_ERRORS, "error_rate": {"within": "1pp"}})
    assert kinds(found) == ["start"]
    assert found.divergence is not None
    assert found.divergence.entry is not None
    assert found.divergence.entry.kind == "rollback"
    assert found.divergence.instead_of is not None
    assert found.divergence.instead_of.recorded.kind == "proceed"
    assert found.later == ()
    (sentence,) = unknowable(found)
    assert "of a world where the canary went on" in sentence
    started = rollout.chain.entries[0].decided_at
    assert found.divergence.at_ms - started < 6_000
    canary = [
        c
        for r in rollout.tapes["cohort-windows"]
        if (w := CohortWindow.read(r.value or b"")).final and w.window_end > found.divergence.at_ms
        for c in w.cells
        if c.version == "v2"
    ]
    assert f"{sum(cell.outcomes['server_error'] for cell in canary)} of which failed" in sentence


async def test_a_longer_stage_does_not_rise_and_names_the_share_that_it_would_not_have_given() -> None:
    rollout = await promoted_simply()
    found = under(rollout, stages=stages("15s", "10s"))
    assert kinds(found) == ["start"]
    assert found.divergence is not None
    assert found.divergence.entry is None
    assert found.divergence.waits_for is not None
    assert "of 15 s collected" in found.divergence.waits_for
    (sentence,) = unknowable(found)
    assert "new sessions met the canary at 50%, which the replay would not have given it" in sentence


async def test_a_shorter_stage_rises_where_no_traffic_was_seen() -> None:
    rollout = await promoted_simply()
    found = under(rollout, stages=stages("5s", "10s"))
    assert found.divergence is not None
    assert found.divergence.entry is not None
    assert (found.divergence.entry.kind, found.divergence.entry.share) == ("proceed", 5000)
    (sentence,) = unknowable(found)
    assert sentence.startswith("At 50% no traffic was seen before ")
    assert "it would have shown is not known" in sentence


async def test_a_looser_plan_that_does_not_roll_back_knows_nothing_of_later() -> None:
    found = under(await broken(), checks={**ONLY_ERRORS, "error_rate": {"within": "90pp"}})
    assert found.divergence is not None
    assert found.divergence.entry is None
    assert found.divergence.instead_of is not None
    assert found.divergence.instead_of.recorded.kind == "rollback"
    assert unknowable(found) == (
        "No new session met the canary after this: whether the replay would have rolled it back later is not known.",
    )


async def test_what_is_said_later_holds_only_along_the_recorded_course() -> None:
    rollout = await failing(bad=80)
    found = under(rollout, stages=stages("15s", "30s"))
    assert found.divergence is not None
    assert found.divergence.entry is None
    assert [said.instead_of.recorded.kind for said in found.later if said.instead_of] == ["complete"]


async def test_what_waits_for_a_person_differs_from_what_did_not() -> None:
    rollout = await promoted_simply()
    found = under(rollout, approve=["2"])
    assert found.divergence is not None
    assert found.divergence.entry is None
    assert "Waiting for a person" in (found.divergence.waits_for or "")


async def test_until_a_moment_only_what_came_before_it_counts() -> None:
    rollout = await broken()
    proceed = next(e for e in rollout.chain.entries if e.kind == "proceed")
    found = under(rollout, until_ms=proceed.decided_at, checks={**ONLY_ERRORS, "error_rate": {"within": "90pp"}})
    assert (kinds(found), found.total, found.divergence) == (["start", "hold", "resume", "proceed"], 4, None)


async def test_a_persons_rollback_is_taken_as_given() -> None:
    rollout = Rollout()
    await rollout.start()
    await rollout.run(3)
    said = rollback_entry(
        rollout.chain, actor="anna", reason="hm", hold_mode=None, now_ms=rollout.clock.now_ms(), code_version="0.1"
    )
    await rollout.put("rollout-decisions", said)
    found = under(rollout, policy="kayenta")
    assert kinds(found) == ["start", "rollback"]
    assert found.divergence is None


@pytest.mark.parametrize("policy", ["kayenta", "threshold", {"name": "threshold", "rule": "argo", "interval": "2s"}])
async def test_every_policy_can_be_asked(policy: Any) -> None:
    for rollout in (await promoted(), await failing(bad=300)):
        found = under(rollout, policy=policy)
        assert kinds(found)[0] == "start"
        assert (found.divergence is None) == (len(found.same) == found.total)


async def test_other_shares_would_have_been_another_course() -> None:
    rollout = await promoted_simply()
    other = stages("10s", "10s")
    other[1]["share"] = "40%"
    with pytest.raises(OtherCourseError, match="the recorded shares are 20%, 50%, and nothing is known of 20%, 40%"):
        under(rollout, stages=other)


async def test_a_plan_under_which_a_recorded_word_was_not_possible_is_refused() -> None:
    rollout = await promoted_simply()
    with pytest.raises(OtherCourseError, match="the recorded start is not possible under this plan"):
        under(rollout, approve=["start"])


async def promoted_simply() -> Rollout:
    rollout = Rollout()
    await rollout.start()
    await rollout.run(30)
    assert [e.kind for e in rollout.chain.entries] == ["start", "proceed", "complete"]
    return rollout
