"""The demo's end: what it prints, and when it says that all ended as it must."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from cli.plan_outlook import outlook
from cli.plan_traffic import Traffic
from demo.faults import FAULTS as EVERY
from demo.faults import TABLE, FaultName, does
from demo.run import as_it_must, end_table, what_is_wrong
from demo.scene import SESSIONS_PER_SECOND, demo_plan
from demo.stories import Story, must_end
from demo.traffic import Seen
from judge.rollout.gate import MAX_EXTENSION
from schemas.decisions import Reason
from schemas.plan import Plan
from tests.builders import entry

START = entry("start")
ROLLBACK = entry("rollback", START, reason=Reason(code="breach", sentence="Too many errors."), culprit="error_rate")

BAD = Story("v2", "rolled_back", 4.54, 14.96, (ROLLBACK,), "Too many errors.")
GOOD = Story("v3", "completed", 22.3, 8.0, (), "Within.")
FAULTS: dict[str, FaultName | None] = {"v2": "errors", "v3": None}
SEEN = {
    "sessions": {"v1": 190, "v2": 10, "v3": 82},
    "harmed": {"v1": 9, "v2": 8, "v3": 4},
    "calls": {"v1": 1000, "v2": 60, "v3": 554},
    "failed": {"v1": 10, "v2": 18, "v3": 5},
    "moved": {},
    "broken": 0,
}


def test_the_table_shows_what_happened_how_fast_and_to_whom() -> None:
    head, bad, good, total = end_table((BAD, GOOD), FAULTS, SEEN)
    assert head.split()[:2] == ["canary", "ended"]
    assert " ".join(bad.split()) == "v2 (fails 30% of its calls) rolled back 4.5 s 15.0 ms 8 of 10 0"
    assert " ".join(good.split()) == "v3 (fails 1% of its calls) completed 22.3 s 8.0 ms 4 of 82 0"
    assert total == ("282 sessions, 1614 calls in all; 0 calls changed version within a session; 0 sessions broke.")


def test_what_is_not_known_is_a_dash() -> None:
    assert "–" in end_table((Story("v2", "collecting", None, None, (), ""),), FAULTS, SEEN)[1]


@pytest.mark.parametrize(
    ("stories", "change", "fine"),
    [
        ((BAD, GOOD), {}, True),
        ((replace(BAD, ended="completed"), GOOD), {}, False),
        ((BAD, Story("v3", "collecting", None, None, (), "")), {}, False),
        ((BAD, GOOD), {"moved": {"session": 1}}, False),
        ((BAD, GOOD), {"broken": 1}, False),
    ],
)
def test_it_ends_well_only_if_both_stories_ended_as_they_must(
    stories: tuple[Story, ...],
    change: dict[str, Any],
    fine: bool,  # noqa: FBT001 - a table
) -> None:
    assert as_it_must(stories, FAULTS, {**SEEN, **change}) is fine


def test_a_call_that_another_version_answers_is_seen() -> None:
    seen = Seen()
    for version, ok, took_s in (("v1", True, 0.1), ("v1", False, 0.1), ("v2", True, 0.5), ("v1", True, 0.1)):
        seen.call(version, ok=ok, took_s=took_s)
    seen.client("principal", ["v1", "v1", "v2", "v1"], harmed=True)
    seen.client("session", ["v2", "v2"], harmed=False)
    seen.client("cookie", [], harmed=True)
    assert (seen.calls["v1"], seen.failed["v1"], seen.calls["v2"]) == (3, 1, 1)
    assert (seen.slow["v1"], seen.slow["v2"]) == (0, 1)
    assert (seen.moved, seen.most_moves) == ({"principal": 2}, 2)
    assert (seen.sessions, seen.harmed["v1"]) == ({"v1": 1, "v2": 1}, 1)
    assert seen.kinds == {"principal": 1, "session": 1}


def test_every_fault_stands_in_the_table_with_its_words() -> None:
    assert set(TABLE) == set(EVERY) == set(get_args(FaultName))
    assert all(does(fault) for fault in (None, *EVERY))
    assert all(bool(row.culprits) == (row.ends == "rolled_back") for row in TABLE.values())


def test_a_story_ends_as_it_must_only_by_its_own_culprit() -> None:
    assert must_end(BAD, "errors")
    assert not must_end(BAD, "latency")
    assert not must_end(BAD, "never_deployed")
    assert not must_end(BAD, None)
    assert must_end(GOOD, None)


def test_sessions_may_break_only_where_a_fault_breaks_them() -> None:
    crashed = replace(BAD, entries=(entry("rollback", START, reason=ROLLBACK.reason, culprit="availability"),))
    assert as_it_must((crashed, GOOD), {"v2": "crash", "v3": None}, {**SEEN, "broken": 3})
    assert not as_it_must((crashed, GOOD), {"v2": "crash", "v3": None}, {**SEEN, "broken": 3, "moved": {"session": 1}})


def test_a_demo_that_fails_says_what_did_not_end_as_it_must_and_whether_the_machine_was_busy() -> None:
    held = replace(GOOD, ended="held")
    _, *wrong = what_is_wrong((BAD, held), FAULTS, {**SEEN, "broken": 76}, load=6.2)
    assert [line.partition(":")[0].split()[:3] for line in wrong] == [
        ["v3", "ended", "as"],
        ["76", "sessions", "broke,"],
        ["This", "machine", "is"],
    ]
    assert what_is_wrong((BAD, GOOD), FAULTS, SEEN, load=1.0) == [""]
    (_, moved) = what_is_wrong((BAD, GOOD), FAULTS, {**SEEN, "moved": {"session": 2}}, load=1.0)
    assert moved.startswith("2 calls changed version")


def test_the_quickstarts_plan_is_the_demos() -> None:
    file = Path(__file__).parents[3] / "examples/orders/quick.yaml"
    assert Plan.model_validate(yaml.safe_load(file.read_text(encoding="utf-8"))) == demo_plan("v2")


def test_the_last_stage_proves_a_healthy_canary_even_where_a_slow_machine_lets_half_the_sessions_begin() -> None:
    half = Traffic(
        sessions_per_minute=60 * SESSIONS_PER_SECOND / 2,
        calls_per_session=5.7,
        session_s=2.6,
        error_rate=0.01,
        tool_failure_rate=0.01,
        error_dispersion=1.3,
        tool_dispersion=1.3,
    )
    last = outlook(demo_plan("v3"), half)[-1]
    assert {check.check for check in last.checks} == {"error_rate", "tool_success"}
    assert all(check.proof_s < MAX_EXTENSION * last.planned_s for check in last.checks)
