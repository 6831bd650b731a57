"""Sessions that just stop: they make no errors, so nothing else sees them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judge.policies.families.losses import Losses
from judge.policies.port import Assessment, StageTimes
from judge.policies.sequential import Sequential
from judge.trial import Trial
from schemas.decisions import CheckResult
from schemas.windows import SESSION_AGES_S, Cell
from tests.builders import ONLY_ERRORS
from tests.unit.judge.trials import T0, cell, trial, windows

AGES = {"ages": ["0s", "1s", "2s", "5s"], "idle": "3s"}
STAGE_1 = StageTimes(1, (T0,), T0)


def made(**session_loss: Any) -> Trial:
    return trial(checks={**ONLY_ERRORS, "error_rate": "off", "session_loss": session_loss or AGES})


TRIAL = made()
Lives = Mapping[int, Mapping[int, int]]


def heard(version: str, lives: Lives, stage: int = 1, **said: Any) -> Cell:
    return cell(version, 1, stage=stage, lives={since: dict(reached) for since, reached in lives.items()}, **said)


def told(births: Sequence[Sequence[float]], seconds: int) -> list[dict[int, dict[int, int]]]:
    """Per second what streams say of sessions: each is (second of birth, age at each later request …)."""
    lives: list[dict[int, dict[int, int]]] = [{} for _ in range(seconds)]
    for born, *ages in births:
        reached = 0
        for age in (0.0, *ages):
            second = int(born + age)
            now = sum(a <= age for a in SESSION_AGES_S)
            if second < seconds:
                for index in range(reached, now):
                    slot = lives[second].setdefault(second - int(born), {})
                    slot[index] = slot.get(index, 0) + 1
            reached = max(reached, now)
    return lives


def fold(canary: Sequence[Lives], baseline: Sequence[Lives] = (), of: Trial = TRIAL) -> dict[int, list[int]]:
    """Band → [canary at risk, lost, baseline at risk, lost], summed over all rows."""
    family = next(f for f in Sequential().begin(of).windows.families if f.claim.check == "session_loss")
    assert isinstance(family, Losses)
    total: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    quiet: Lives = {}
    pairs = [
        (heard("v2", mine), heard("v1", theirs))
        for mine, theirs in zip(canary, baseline or [quiet] * len(canary), strict=True)
    ]
    for window in windows(of, pairs):
        for row in family.fold(window).values():
            for band, counts in enumerate(row.tolist()):
                total[band] = [a + b for a, b in zip(total[band], counts, strict=True)]
    return {band: counts for band, counts in total.items() if any(counts)}


def test_a_session_that_goes_on_is_at_risk_in_each_band_and_lost_in_none() -> None:
    assert fold(told([(0, 1.5, 2.5, 5.5)], 12)) == {0: [1, 0, 0, 0], 1: [1, 0, 0, 0], 2: [1, 0, 0, 0]}


def test_a_session_that_stops_is_lost_in_the_band_in_which_it_stopped() -> None:
    assert fold(told([(0, 1.5)], 12)) == {0: [1, 0, 0, 0], 1: [1, 1, 0, 0]}
    assert fold(told([(0,)], 12)) == {0: [1, 1, 0, 0]}


def test_nothing_is_settled_before_the_session_may_still_be_heard() -> None:
    assert fold(told([(0,)], 4)) == {}
    assert fold(told([(0,)], 5)) == {0: [1, 1, 0, 0]}


def test_who_is_heard_within_idle_after_the_age_has_reached_it() -> None:
    assert fold(told([(0, 3.9)], 12))[0] == [1, 0, 0, 0]
    assert fold(told([(0, 4.9)], 12))[0] == [1, 0, 0, 0]  # the window of its last moment is whole
    assert fold(told([(0, 5.1)], 12))[0] == [1, 1, 0, 0]


def test_cohorts_and_stages_of_birth_are_kept_apart() -> None:
    lives = told([(0,)], 12)
    assert fold(lives, lives) == {0: [1, 1, 1, 1]}


def saying(
    version: str,
    births: Sequence[Sequence[float]],
    ended: Sequence[tuple[int, float]],
    *,
    seconds: int = 12,
    tells: bool = True,
) -> list[Cell]:
    """A cell a second: sessions as in :func:`told`, and those of (second of birth, age) that their clients end."""
    ends: list[dict[int, dict[int, int]]] = [{} for _ in range(seconds)]
    for born, age in ended:
        second = int(born + age)
        slot = ends[second].setdefault(second - born, {})
        last = sum(a <= age for a in SESSION_AGES_S) - 1
        slot[last] = slot.get(last, 0) + 1
    return [
        heard(version, lives, told_sessions=int(tells), ends=ends[second])
        for second, lives in enumerate(told(births, seconds))
    ]


def settled(canary: Sequence[Cell], baseline: Sequence[Cell]) -> dict[int, list[int]]:
    """Band → [canary at risk, lost, baseline at risk, lost], summed over all rows."""
    family = next(f for f in Sequential().begin(TRIAL).windows.families if f.claim.check == "session_loss")
    total = np.zeros((3, 4), np.int64)
    for window in windows(TRIAL, list(zip(canary, baseline, strict=True))):
        for row in family.fold(window).values():
            total += row
    return {band: counts for band, counts in enumerate(total.tolist()) if any(counts)}


PARTING = [(0, 1.5), (0, 1.5, 2.5)], [(0, 1.7), (0, 2.7)]
"""Two sessions of a second, and when their clients end them: between the ages 1 and 2, and between 2 and 5."""


def test_who_ends_a_session_has_neither_lost_it_nor_been_at_risk_in_its_last_band() -> None:
    got = settled(saying("v2", *PARTING), saying("v1", [(0, 1.5)], []))
    assert got == {0: [2, 0, 1, 0], 1: [1, 0, 1, 1]}


@pytest.mark.parametrize(("ours", "theirs"), [(False, True), (True, False), (False, False)])
def test_while_a_server_of_either_cohort_does_not_tell_silence_is_loss_in_both(
    ours: bool,  # noqa: FBT001 - a table
    theirs: bool,  # noqa: FBT001 - a table
) -> None:
    got = settled(saying("v2", *PARTING, tells=ours), saying("v1", *PARTING, tells=theirs))
    assert got == {0: [2, 0, 2, 0], 1: [2, 1, 2, 1], 2: [1, 1, 1, 1]}


@pytest.mark.parametrize(("tells", "culprit"), [(True, None), (False, "session_loss")])
def test_a_canary_whose_clients_are_done_sooner_is_no_worse_once_that_is_told(tells: bool, culprit: str | None) -> None:  # noqa: FBT001 - a table
    def parting(version: str, age: float, each_second: int) -> list[Cell]:
        births = [(second, *np.arange(0.5, age, 0.5).tolist()) for second in range(60) for _ in range(each_second)]
        ended = [(int(born), age) for born, *_ in births if born + age < 60]
        return saying(version, births, ended, seconds=60, tells=tells)

    comparison = Sequential().begin(TRIAL)
    for window in windows(TRIAL, list(zip(parting("v2", 1.8, 3), parting("v1", 7.0, 12), strict=True))):
        comparison.add(window)
    assert comparison.assess((), STAGE_1).breached_by == culprit


def test_what_ends_beyond_the_last_age_was_not_at_risk_again() -> None:
    long = [(0, 1.5, 2.5, 5.5)]
    got = settled(saying("v2", long, [(0, 9.0)], seconds=14), saying("v1", long, [], seconds=14))
    assert got == {band: [1, 0, 1, 0] for band in range(3)}


def test_windows_that_were_skipped_settle_what_fell_due_in_them() -> None:
    family = next(f for f in Sequential().begin(TRIAL).windows.families if f.claim.check == "session_loss")
    births = told([(0,), (1,), (1,), (2, 1.2)], 4)
    for window in windows(TRIAL, [[heard("v2", lives)] for lives in births]):
        assert family.fold(window) == {}
    (late,) = windows(TRIAL, [[cell("v1", 1)]], first=60)
    rows = family.fold(late)
    assert len(rows) == 3  # births of three seconds are never pooled
    assert np.sum(list(rows.values()), axis=0).tolist() == [[4, 3, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]


def sessions(rng: np.random.Generator, rate: float, seconds: int, dies: float) -> list[list[float]]:
    """Poisson births; each goes on for 8 s with a request about every half second, or stops at 2 s."""
    found: list[list[float]] = []
    for second in range(seconds):
        for _ in range(rng.poisson(rate)):
            last = 2.0 if rng.random() < dies else 8.0
            found.append([second, *np.arange(0.5, last, 0.5).tolist()])
    return found


def assess(dies: float, seconds: int = 90, of: Trial = TRIAL) -> Assessment:
    rng = np.random.default_rng(4)
    mine, theirs = (told(sessions(rng, rate, seconds, p), seconds) for rate, p in ((3, dies), (12, 0.1)))
    comparison = Sequential().begin(of)
    for window in windows(of, [(heard("v2", a), heard("v1", b)) for a, b in zip(mine, theirs, strict=True)]):
        comparison.add(window)
    return comparison.assess((), STAGE_1)


def check(found: Assessment) -> CheckResult:
    return next(c for c in found.checks if c.check == "session_loss")


def test_a_canary_whose_sessions_die_is_found() -> None:
    got = assess(0.8)
    assert got.breached_by == "session_loss"
    assert (check(got).ratio, check(got).kind) == (1.5, "loss")
    assert check(got).dispersion == 1


def test_a_canary_that_loses_as_many_as_the_baseline_is_not() -> None:
    got = assess(0.1)
    assert got.breached_by is None
    assert check(got).canary.bad > 0
    assert check(got).gate_margin is None


def test_losses_in_all_bands_are_averaged_not_drowned_in_the_healthy_ones() -> None:
    """Twelve bands of which one is bad."""
    fine = made(ages=[f"{age:g}s" for age in SESSION_AGES_S if age <= 10], idle="3s")
    assert assess(0.8, of=fine).breached_by == "session_loss"


def test_two_lost_sessions_are_not_a_bad_release() -> None:
    mine = told([(0,), (1,)], 60)
    theirs = told([(second, *np.arange(0.5, 8, 0.5)) for second in range(50) for _ in range(40)], 60)
    comparison = Sequential().begin(TRIAL)
    for window in windows(TRIAL, [(heard("v2", a), heard("v1", b)) for a, b in zip(mine, theirs, strict=True)]):
        comparison.add(window)
    assert check(comparison.assess((), STAGE_1)).log_e_breach <= 0


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 12), st.lists(st.floats(0.1, 14), max_size=5)), max_size=20))
def test_each_session_is_counted_as_it_was_lived(lived: list[tuple[int, list[float]]]) -> None:
    """Against a plain reading of the rule, session by session; requests come at most `idle` after an age, or never."""
    ages, idle, seconds = (0.0, 1.0, 2.0, 5.0), 3.0, 30
    births = [(float(born), *sorted(later)) for born, later in lived]
    expected: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])

    def reached(later: Sequence[float], age: float) -> bool:
        return any(a >= age and int(a) <= age + idle for a in (0.0, *later))

    orderly = all(
        reached(later, earlier) or not reached(later, age) for _, *later in births for earlier, age in pairwise(ages)
    )
    for _, *later in births:
        for band, (age, after) in enumerate(pairwise(ages)):
            if reached(later, age):
                expected[band][0] += 1
                expected[band][1] += not reached(later, after)
    if orderly:
        assert fold(told(births, seconds)) == dict(expected)


@pytest.mark.parametrize("kind", ["cookie", "principal"])
def test_kinds_without_a_birth_have_no_data(kind: Any) -> None:
    family = next(f for f in Sequential().begin(TRIAL).windows.families if f.claim.check == "session_loss")
    (window,) = windows(TRIAL, [[cell("v2", 5, kind=kind), cell("v1", 5, kind=kind)]])
    assert family.fold(window) == {}
