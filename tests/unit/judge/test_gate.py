"""The gate's table: which row wins, and what people read."""

from dataclasses import replace

import pytest

from judge.policies.port import Assessment
from judge.rollout.gate import Proceed, Rollback, StageLook, Wait, gate

CALM = Assessment(score=80.0, checks=(), breached_by=None, within=False, suspicious=False)
LOOK = StageLook(
    assessment=CALM,
    breach_sentence="",
    elapsed_s=605,
    planned_s=600,
    evidence_age_s=6,
    stale_after_s=60,
    route_acknowledged=True,
    canary_sessions=200,
    min_sessions=20,
    last_stage=False,
)
WITHIN = replace(CALM, within=True)
BREACH = replace(CALM, breached_by="error_rate")
SUSPICIOUS = replace(CALM, suspicious=True)


@pytest.mark.parametrize(
    ("change", "decision", "code"),
    [
        ({"assessment": WITHIN}, Proceed, "within"),
        ({"assessment": WITHIN, "elapsed_s": 599.9}, Wait, "planned_time"),
        ({"assessment": WITHIN, "evidence_age_s": 61}, Wait, "stale"),
        ({"assessment": WITHIN, "route_acknowledged": False}, Wait, "route_unacknowledged"),
        ({}, Proceed, "unproven"),
        ({"assessment": SUSPICIOUS}, Wait, "suspicious"),
        ({"assessment": SUSPICIOUS, "elapsed_s": 90_000}, Wait, "suspicious"),
        ({"canary_sessions": 19}, Wait, "min_sessions"),
        ({"canary_sessions": 19, "elapsed_s": 90_000}, Wait, "min_sessions"),
        ({"last_stage": True}, Wait, "unproven"),
        ({"last_stage": True, "elapsed_s": 1200}, Wait, "unproven_final"),
        ({"last_stage": True, "assessment": WITHIN}, Proceed, "within"),
        ({"evidence_age_s": 9000, "elapsed_s": 9000}, Wait, "stale"),
    ],
)
def test_the_first_row_that_applies_decides(
    change: dict[str, object], decision: type[Wait] | type[Proceed], code: str
) -> None:
    verdict = gate(replace(LOOK, **change))  # type: ignore[arg-type]  # a table of changes
    assert isinstance(verdict, decision)
    assert verdict.reason.code == code


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"elapsed_s": 1},
        {"evidence_age_s": 9000},
        {"route_acknowledged": False},
        {"canary_sessions": 0},
        {"last_stage": True},
    ],
)
def test_a_breach_rolls_back_whatever_else_is_true(change: dict[str, object]) -> None:
    verdict = gate(replace(LOOK, assessment=BREACH, breach_sentence="Too many errors.", **change))  # type: ignore[arg-type]
    assert isinstance(verdict, Rollback)
    assert verdict.reason.sentence == "Too many errors."


def test_missing_data_is_never_a_reason_to_roll_back_or_to_rise() -> None:
    silent = replace(LOOK, evidence_age_s=10**6, canary_sessions=0, elapsed_s=10**6)
    assert isinstance(gate(silent), Wait)


def test_a_wait_says_how_much_is_missing() -> None:
    assert gate(replace(LOOK, elapsed_s=42)).reason.sentence == "42 s of 600 s collected."
    assert "6 of at least 20 canary sessions" in gate(replace(LOOK, canary_sessions=6)).reason.sentence
