"""What the command line shows of a decision are the ledger's own numbers."""

import json
from typing import Any

import pytest

from cli.rendering import render_history, render_view, view_of
from schemas.checks import SUCCESSES
from schemas.decisions import CheckResult, LedgerEntry
from status.page import figures
from status.page.text import explanation
from status.views import Overview, RolloutStatus
from tests.page_pictures import snapshot_of
from tests.page_states import OPEN, SERVICE, Name, Scene, scene

NAMES: tuple[Name, ...] = ("rolled_back", "held", "promoted")


def told(held: Scene) -> dict[str, Any]:
    """What the API answers about the scene."""
    overview = Overview()
    for offset, (topic, message) in enumerate(held.records):
        if topic in ("rollout-decisions", "rollouts", "route-changes", "services"):
            overview.read(topic, message.dump(), offset, getattr(message, "at", held.now_ms))
    status = overview.status(SERVICE)
    assert isinstance(status, RolloutStatus)
    found: dict[str, Any] = json.loads(status.dump())
    return found


def entries(found: dict[str, Any]) -> list[LedgerEntry]:
    return [LedgerEntry.model_validate(e, extra="ignore") for e in found["ledger"]]


def quoted(found: dict[str, Any]) -> tuple[CheckResult, ...]:
    return next(e.checks for e in reversed(entries(found)) if e.checks)


@pytest.mark.parametrize("name", NAMES)
def test_explain_shows_each_value_difference_and_bound_that_the_ledger_quotes(name: Name) -> None:
    held = scene(name)
    text = explanation(snapshot_of(held))
    for check in quoted(told(held)):
        if check.kind != "rate":
            continue
        turned = check.check in SUCCESSES
        for number in (check.difference, check.low, check.high):
            assert number is not None
            assert figures.signed(-number if turned else number) in text, (check.check, number)
        for count in (check.baseline, check.canary):
            assert count.rate is not None
            assert figures.plain(figures.percent(1 - count.rate if turned else count.rate)) in text


@pytest.mark.parametrize("name", ["rolled_back", "promoted"])
def test_status_shows_an_ended_rollout_by_the_checks_that_the_ledger_quotes(name: Name) -> None:
    held = scene(name)
    held.look("rolled_back" if name == "rolled_back" else "completed", OPEN, score=50.0)
    found = told(held)
    shown = render_view(view_of(found)).splitlines()
    for check in quoted(found):
        (line,) = (line for line in shown if line[2:].split(" ")[0] == check.check)
        assert f" of {check.canary.n}  " in line
        assert line.endswith(check.verdict)
        if check.kind == "rate":
            assert check.canary.rate is not None
            value = 1 - check.canary.rate if check.check in SUCCESSES else check.canary.rate
            assert f"{100 * value:.2f} % of {check.canary.n}" in line


@pytest.mark.parametrize("name", NAMES)
def test_history_has_each_entry_with_its_share_and_its_sentence_as_it_stands(name: Name) -> None:
    held = entries(told(scene(name)))
    lines = render_history(held).splitlines()
    assert len(lines) == len(held)
    for line, entry in zip(lines, held, strict=True):
        assert f" {figures.share(entry.share).replace(figures.NB, '')} " in line
        assert line.endswith(entry.reason.sentence)
