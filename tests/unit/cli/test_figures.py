"""What the command line shows of a decision are the ledger's own numbers."""

import json
from functools import cache
from typing import Any, get_args

import pytest

from cli.rendering import render_history, render_view, view_of
from schemas.checks import SUCCESSES
from schemas.decisions import CheckKind, CheckResult, Count, LedgerEntry
from status.page import figures
from status.page.shown import name_of
from status.page.text import explanation
from status.views import Overview, RolloutStatus
from tests.page_pictures import snapshot
from tests.page_states import OPEN, SERVICE, Name, Scene, scene, slow_share

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


@cache
def found(name: Name) -> dict[str, Any]:
    return told(scene(name))


def cells(text: str, check: CheckResult) -> tuple[str, str, str, str]:
    """What `explain` shows of a check: baseline, canary, difference, interval."""
    (line,) = (line for line in text.splitlines() if line[2:18].strip() == name_of(check.check))
    return line[19:27].strip(), line[28:36].strip(), line[37:44].strip(), line[45:60].strip()


def arm(check: CheckResult, count: Count) -> str:
    """One cohort's figure: a rate (of a success its complement), or the value that the ledger has beside it."""
    if check.kind == "latency":
        assert count.value is not None
        return figures.plain(figures.milliseconds(count.value))
    if check.kind == "mean":
        assert count.value is not None
        return figures.plain(figures.mean(count.value))
    assert count.rate is not None
    return figures.plain(figures.percent(1 - count.rate if check.check in SUCCESSES else count.rate))


def compared(check: CheckResult) -> tuple[float, float, float]:
    """Difference and both bounds of it, as people compare: points, or how many times the baseline."""
    assert check.difference is not None
    assert check.low is not None
    assert check.high is not None
    numbers = check.difference, check.low, check.high
    if check.kind == "latency":
        assert check.baseline.value is not None
        assert check.canary.value is not None
        _, low, high = (ratio_of(check, at) for at in numbers)
        return check.canary.value / check.baseline.value, low, high
    if check.ratio != 1 and check.kind != "tools":
        base = check.baseline.value if check.kind == "mean" else check.baseline.rate
        assert base
        point, low, high = (check.ratio + at / base for at in numbers)
        return point, max(0.0, low), max(0.0, high)
    return numbers if check.check not in SUCCESSES else (-numbers[0], -numbers[2], -numbers[1])


def ratio_of(check: CheckResult, difference: float) -> float:
    """How many times slower the canary is, where so many more of its requests than the scene's lognormal ones are slow."""
    wanted, low, high = slow_share(check.check, 1.1) + difference, 0.1, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slow_share(check.check, middle) < wanted else (low, middle)
    return low


@pytest.mark.parametrize("name", NAMES)
def test_explain_shows_each_value_difference_and_bound_that_the_ledger_quotes(name: Name) -> None:
    text, seen = explanation(snapshot(name)), set()
    for check in quoted(found(name)):
        baseline, canary, difference, interval = cells(text, check)
        assert (baseline, canary) == (arm(check, check.baseline), arm(check, check.canary)), check.check
        point, low, high = compared(check)
        if check.kind == "latency":
            assert difference == f"×{point:.3f}"
            ends = [float(end) for end in interval.split(" … ")]
            assert ends == pytest.approx([low, high], rel=0.02), "as near as the bins of the baseline's histogram tell"
        elif difference.startswith("×"):
            assert (difference, interval) == (f"×{point:.3f}", f"{low:.3f} … {high:.3f}"), check.check
        else:
            assert (difference, interval) == (
                figures.signed(point),
                f"{figures.signed(low)} … {figures.signed(high)}",
            ), check.check
        assert difference.startswith("×") == (check.kind in ("latency", "loss", "mean"))
        assert all(culprit in text for culprit in check.culprits)
        seen.add(check.kind)
    assert seen == set(get_args(CheckKind))


@pytest.mark.parametrize("name", ["rolled_back", "promoted"])
def test_status_shows_an_ended_rollout_by_the_checks_that_the_ledger_quotes(name: Name) -> None:
    held = scene(name)
    held.look("rolled_back" if name == "rolled_back" else "completed", OPEN, score=50.0)
    said = told(held)
    shown = render_view(view_of(said)).replace("\n" + 17 * " ", "  ").splitlines()
    for check in quoted(said):
        (line,) = (line for line in shown if line[2:].split(" ")[0] == check.check)
        assert f" of {check.canary.n}  " in line
        assert line.endswith(check.verdict)
        if check.kind == "rate":
            assert check.canary.rate is not None
            value = 1 - check.canary.rate if check.check in SUCCESSES else check.canary.rate
            assert f"{100 * value:.2f} % of {check.canary.n}" in line


@pytest.mark.parametrize("name", NAMES)
def test_history_has_each_entry_with_its_share_and_its_sentence_as_it_stands(name: Name) -> None:
    held = entries(found(name))
    shown = render_history(held).replace("\n  ", " ").splitlines()
    assert len(shown) == len(held)
    for line, entry in zip(shown, held, strict=True):
        assert f" {figures.share(entry.share).replace(figures.NB, '')} " in line
        assert line.endswith(entry.reason.sentence)
