"""What `docs/reference/telemetry.md` tells people who have no SDK is what the contract says."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from davylamp_sdk._event import Outcome, RequestEvent
from davylamp_sdk._units import Units, header_of, session_hash
from schemas.outcomes import ERROR_BAD, ERROR_COUNTED, LATENCY_COUNTED, TOOL_BAD, TOOL_COUNTED

PAGE = (Path(__file__).parents[3] / "docs/reference/telemetry.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(text: str) -> dict[str, list[str]]:
    """The table's cells by each name in the first one."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {name: row[1:] for row in cells for name in re.findall(r"`(\w+)`", row[0])}


def test_the_event_that_is_shown_is_one() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    told = json.loads(shown)
    assert told.items() <= json.loads(RequestEvent.model_validate(told).dump()).items()


def test_every_field_is_told_with_whether_it_is_needed() -> None:
    told = {name: row[0] for name, row in rows(section("Fields")).items()}
    assert told == {name: "yes" if field.is_required() else "" for name, field in RequestEvent.model_fields.items()}


@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_every_outcome_is_told_as_it_is_counted(outcome: Outcome) -> None:
    def told(counted: frozenset[Outcome], bad: frozenset[Outcome]) -> str:
        return "bad" if outcome in bad else "counted" if outcome in counted else "–"

    _, error_rate, tool_success, latency = rows(section("Outcomes"))[outcome]
    assert error_rate == told(ERROR_COUNTED, ERROR_BAD)
    assert tool_success == told(TOOL_COUNTED, TOOL_BAD)
    assert latency == told(LATENCY_COUNTED, frozenset())


def test_the_hashes_that_are_shown_are_those_of_the_sdk() -> None:
    units = Units("correct horse battery staple")
    _, principal = units.of("1.1.principal.00;v1", None, header_of({"authorization": "Bearer 0123456789"}))
    told = section("Whose request it was")
    assert f"`{principal}`" in told
    assert f"`{session_hash('9f86d081884c7d65')}`" in told
