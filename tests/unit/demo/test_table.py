"""The demo's end: what it prints, and when it says that all ended as it must."""

from typing import Any

import pytest

from demo.run import as_it_must, end_table
from demo.stories import Story
from demo.traffic import Seen

BAD = Story("v2", "rolled_back", 4.54, 14.96, (), "Too many errors.")
GOOD = Story("v3", "completed", 22.3, 8.0, (), "Within.")
SEEN = {
    "sessions": {"v1": 190, "v2": 10, "v3": 82},
    "harmed": {"v1": 9, "v2": 8, "v3": 4},
    "calls": {"v1": 1000, "v2": 60, "v3": 554},
    "failed": {"v1": 10, "v2": 18, "v3": 5},
    "moved": 0,
    "broken": 0,
}


def test_the_table_shows_what_happened_how_fast_and_to_whom() -> None:
    head, bad, good, total = end_table((BAD, GOOD), SEEN)
    assert head.split()[:2] == ["canary", "ended"]
    assert " ".join(bad.split()) == "v2 (fails 30% of calls) rolled back 4.5 s 15.0 ms 8 of 10 0"
    assert " ".join(good.split()) == "v3 (fails 1% of calls) completed 22.3 s 8.0 ms 4 of 82 0"
    assert total == ("282 sessions, 1614 calls in all; 0 calls changed version within a session; 0 sessions broke.")


def test_what_is_not_known_is_a_dash() -> None:
    assert "–" in end_table((Story("v2", "collecting", None, None, (), ""),), SEEN)[1]


@pytest.mark.parametrize(
    ("stories", "change", "fine"),
    [
        ((BAD, GOOD), {}, True),
        ((Story("v2", "completed", 1, 1, (), ""), GOOD), {}, False),
        ((BAD, Story("v3", "collecting", None, None, (), "")), {}, False),
        ((BAD, GOOD), {"moved": 1}, False),
        ((BAD, GOOD), {"broken": 1}, False),
    ],
)
def test_it_ends_well_only_if_both_stories_ended_as_they_must(
    stories: tuple[Story, ...],
    change: dict[str, Any],
    fine: bool,  # noqa: FBT001 - a table
) -> None:
    assert as_it_must(stories, {**SEEN, **change}) is fine


def test_a_call_that_another_version_answers_is_seen() -> None:
    seen = Seen()
    seen.call(None, "v1", ok=True)
    seen.call("v1", "v1", ok=False)
    seen.call("v1", "v2", ok=True)
    assert seen.moved == 1
    assert (seen.calls["v1"], seen.failed["v1"], seen.calls["v2"]) == (2, 1, 1)
