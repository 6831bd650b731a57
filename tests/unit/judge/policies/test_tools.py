"""One tool of ten that fails: found, named, and not paid for tenfold."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from judge.policies.families.tools import MOST, ROSTER_CALLS, Tools
from judge.policies.port import Assessment, StageTimes
from judge.policies.sequential import Sequential
from judge.trial import TrialWindow
from schemas.decisions import CheckResult
from schemas.windows import Cell
from tests.builders import ONLY_ERRORS
from tests.unit.judge.trials import T0, cell, trial, windows

TRIAL = trial(checks={**ONLY_ERRORS, "tools": {"within": "5pp"}})
STAGE_1 = StageTimes(1, (T0,), T0)
NAMES = tuple(f"tool_{i}" for i in range(10))


def calls(version: str, rng: np.random.Generator, n: int, failing: Mapping[str, float], buckets: int = 32) -> Cell:
    """`n` calls of each tool; one in fifty fails where nothing else is said."""
    tools = {name: (n, int(rng.binomial(n, failing.get(name, 0.02)))) for name in (*NAMES, *failing)}
    return cell(version, 10 * n, buckets=buckets, first=int(rng.integers(64)), tools=tools)


def rollout(seconds: int, failing: Mapping[str, float], first: int = 1, buckets: int = 32) -> list[TrialWindow]:
    rng = np.random.default_rng(first)
    as_well = dict.fromkeys(failing, 0.02)
    cells = [[calls("v1", rng, 20, as_well), calls("v2", rng, 4, failing, buckets)] for _ in range(seconds)]
    return windows(TRIAL, cells, first)


def assess(final: Sequence[TrialWindow], still_open: Sequence[TrialWindow] = ()) -> Assessment:
    comparison = Sequential().begin(TRIAL)
    for window in final:
        comparison.add(window)
    return comparison.assess(still_open, STAGE_1)


def check(found: Assessment) -> CheckResult:
    return next(c for c in found.checks if c.check == "tools")


def test_one_tool_of_ten_that_fails_is_found_and_named() -> None:
    got = assess(rollout(40, {"tool_3": 0.5}))
    assert got.breached_by == "tools"
    assert check(got).culprits == ("tool_3",)
    assert check(got).kind == "tools"


def test_without_a_fault_nobody_is_named() -> None:
    got = check(assess(rollout(120, {})))
    assert (got.verdict, got.culprits) == ("undecided", ())
    assert got.log_e_breach < 0


def test_several_culprits_are_named_worst_first() -> None:
    assert check(assess(rollout(60, {"tool_1": 0.4, "tool_7": 0.8}))).culprits == ("tool_7", "tool_1")


def test_open_windows_bring_it_forward() -> None:
    final, ahead = rollout(3, {"tool_3": 0.9}), rollout(20, {"tool_3": 0.9}, first=4)
    assert assess(final).breached_by is None
    assert assess(final, ahead).breached_by == "tools"


def test_failures_of_two_sessions_are_no_failing_tool() -> None:
    got = assess(rollout(60, {"tool_3": 0.9}, buckets=2))
    assert got.breached_by is None
    assert check(got).culprits == ()


def test_a_tool_that_appears_later_is_found_with_the_rest() -> None:
    got = assess([*rollout(10, {}), *rollout(60, {"new": 0.9}, first=11)])
    assert got.breached_by == "tools"
    assert check(got).culprits == ("_other",)


def family() -> Tools:
    found = next(f for f in Sequential().begin(TRIAL).windows.families if f.claim.check == "tools")
    assert isinstance(found, Tools)
    return found


def test_the_roster_is_the_most_called_ones_settled_once_and_by_calls_alone() -> None:
    tools = family()
    first = {f"t{i:02}": (20 - i, 0) for i in range(15)}
    (window,) = windows(TRIAL, [[cell("v1", 200, tools=first), cell("v2", 5, tools={"t00": (1, 1)})]])
    assert tools.fold(window) == {}
    assert tools.roster == tuple(f"t{i:02}" for i in range(MOST))
    (later,) = windows(TRIAL, [[cell("v1", 900, tools={"t14": (900, 0), "t00": (3, 1)})]], first=2)
    (row,) = tools.fold(later).values()
    assert row[0].tolist() == [0, 0, 3, 1]
    assert row[MOST].tolist() == [0, 0, 900, 0]
    assert tools.roster == tuple(f"t{i:02}" for i in range(MOST))


def test_before_it_is_known_who_is_called_nothing_is_judged_by_tool() -> None:
    tools = family()
    (window,) = windows(TRIAL, [[cell("v1", 50, tools={"a": (ROSTER_CALLS - 1, 0)})]])
    assert tools.fold(window) == {}
    assert tools.roster is None


@pytest.mark.parametrize(("tools", "parts"), [(2, 3), (10, 11), (15, 11)])
def test_parts_are_equal_and_sum_to_one(tools: int, parts: int) -> None:
    found = family()
    (window,) = windows(TRIAL, [[cell("v1", 900, tools={f"t{i}": (100, 0) for i in range(tools)})]])
    found.fold(window)
    given = found.spread().parts
    assert given is not None
    assert sum(given) == pytest.approx(1)
    assert sorted(given)[-parts:] == pytest.approx([1 / parts] * parts)
