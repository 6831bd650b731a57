"""What a gate asks of the windows: sessions, silence, servers that say another version."""

from judge.evidence import Evidence
from judge.trial import Trial
from schemas.windows import Cell
from tests.unit.judge.trials import T0, cell, trial, window

TRIAL: Trial = trial()


def after(*seconds: list[Cell]) -> Evidence:
    evidence = Evidence()
    for number, cells in enumerate(seconds, start=1):
        evidence.add(window(TRIAL, number, cells))
    return evidence


def test_sessions_are_counted_by_cohort_and_stage_of_birth() -> None:
    got = after([cell("v2", 4, sessions=2), cell("v2", 4, stage=2)], [cell("v2", 1), cell("v1", 1)])
    assert got.sessions("canary") == 4
    assert got.sessions("canary", 1) == 3
    assert got.sessions("canary", 2) == 1
    assert got.sessions("baseline") == 1


def test_only_sessions_that_dice_assigned_are_born_by_the_share() -> None:
    got = after([cell("v2", 4, sessions=2), cell("v2", 4, kind="principal", sessions=7)])
    assert got.sessions("canary", 1) == 9
    assert got.born("canary", 1) == 2


def test_a_cohort_was_last_heard_in_the_newest_window_with_a_request_of_it() -> None:
    got = after([cell("v1", 4), cell("v2", 1)], [cell("v1", 4), cell("v2", 0)])
    assert got.last_request_ms("baseline") == T0 + 2000
    assert got.last_request_ms("canary") == T0 + 1000
    assert after().last_request_ms("canary") is None


def test_servers_that_say_another_version_are_counted_from_a_moment_on() -> None:
    got = after([cell("v2", 4, mismatches=3), cell("v2", 6, stage=2)], [cell("v2", 5, mismatches=1), cell("v1", 9)])
    assert got.mismatches("canary", T0) == (15, 4)
    assert got.mismatches("canary", T0 + 1000) == (5, 1)
    assert got.mismatches("canary", T0 + 2000) == (0, 0)
    assert got.mismatches("baseline", T0) == (9, 0)
    assert after().mismatches("canary", T0) == (0, 0)
