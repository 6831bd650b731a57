"""The facts for programs are those that the page says."""

from typing import get_args

import pytest

from status.facts import facts_of
from status.page import figures
from status.page.facts import facts
from status.page.tools import tools_of
from tests.page_pictures import snapshot
from tests.page_states import Name


@pytest.mark.parametrize("name", get_args(Name))
def test_every_number_of_the_page_is_there(name: Name) -> None:
    shown = snapshot(name)
    found, page = facts_of(shown), str(facts(shown))
    if found.left is not None and found.left.at_most:
        assert figures.count(found.left.at_most) in page
    version = found.left.version if found.left else ""
    if version in found.under_way:
        assert f"{figures.count(found.under_way[version])} request" in page
    assert [tool.name for tool in found.tools] == [tool.name for tool in tools_of(shown)]
    assert ("of sessions assigned by the proxies" in page) == (
        found.ratio is not None and found.ratio.proxies.fits is not None
    )


def test_of_a_service_without_a_rollout_nobody_is_on_a_canary() -> None:
    found = facts_of(snapshot("new"))
    assert (found.rollout, found.ratio, found.left) == (0, None, None)


def test_of_a_canary_that_drains_those_who_are_left_are_told_and_its_worst_tool_is_first() -> None:
    found = facts_of(snapshot("rolled_back"))
    assert found.left is not None
    assert found.left.version == "v9"
    assert found.left.began
    assert found.tools[0].difference == max(t.difference or 0.0 for t in found.tools)
    assert found.ratio is not None
    assert found.ratio.telemetry.fits
    assert set(found.under_way) <= {"v8", "v9"}
