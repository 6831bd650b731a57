"""The page as plain text, against files that a person has read: `UPDATE_GOLDEN=1` writes them anew."""

import os
from pathlib import Path
from typing import get_args

import pytest

from schemas.decisions import CheckResult
from status.page.text import WIDTH, explanation
from tests.page_pictures import snapshot, snapshot_of
from tests.page_states import BREACHED, Name, scene

GOLDEN = Path(__file__).parents[3] / "golden" / "text"
STATES = [name for name in get_args(Name) if name != "blind"]


@pytest.mark.parametrize("name", STATES)
def test_an_explanation_reads_as_it_did(name: Name) -> None:
    found = explanation(snapshot(name))
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8")


def test_every_golden_text_is_used() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(STATES)


@pytest.mark.parametrize("name", get_args(Name))
def test_no_line_is_wider_than_a_terminal_nor_carries_colour(name: Name) -> None:
    found = explanation(snapshot(name))
    assert max(map(len, found.splitlines())) <= WIDTH
    assert "\x1b" not in found
    assert "\u00a0" not in found


def test_a_long_name_is_cut_rather_than_the_columns_moved() -> None:
    held = scene("collecting")
    long = BREACHED[0].model_copy(update={"check": "a_metric_with_a_very_long_name_indeed"})
    checks: tuple[CheckResult, ...] = (long,)
    held.look("collecting", checks)
    found = explanation(snapshot_of(held))
    assert "✖ A metric with a…   0.59 %" in found
    assert max(map(len, found.splitlines())) <= WIDTH


def test_what_a_terminal_would_obey_is_not_sent_to_it() -> None:
    held = scene("collecting")
    held.look("collecting", (), waiting_for="\x1b[2Jall is well")
    assert "next: \ufffd[2Jall is well" in explanation(snapshot_of(held))
