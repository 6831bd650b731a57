"""The gate's table: which row wins, and what people read."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from judge.policies.port import Assessment
from judge.rollout.gate import Gate, Hold, Proceed, Rollback, Silence, StageLook, Wait, gate

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/17-gate-table.json").read_text(encoding="utf-8"))
CALM = Assessment(score=80.0, checks=(), breached_by=None, within=False, suspicious=False)
WITHIN = replace(CALM, within=True)
BREACH = replace(CALM, breached_by="error_rate")
SUSPICIOUS = replace(CALM, suspicious=True)
NORMAL = Silence(6, 60)
BROKEN = Silence(61, 60)
LOOK = StageLook(
    assessment=CALM,
    breach_sentence="",
    elapsed_s=605,
    planned_s=600,
    max_stage_s=86_400,
    windows=NORMAL,
    baseline=NORMAL,
    canary=NORMAL,
    overdue=None,
    route_acknowledged=True,
    canary_sessions=200,
    min_sessions=20,
    last_stage=False,
)


@pytest.mark.parametrize(
    ("change", "decision", "code"),
    [
        ({"assessment": WITHIN}, Proceed, "within"),
        ({"assessment": WITHIN, "elapsed_s": 599.9}, Wait, "planned_time"),
        ({"assessment": WITHIN, "windows": BROKEN}, Hold, "stale"),
        ({"assessment": WITHIN, "canary": BROKEN}, Hold, "canary_silent"),
        ({"assessment": WITHIN, "baseline": BROKEN}, Hold, "baseline_silent"),
        ({"assessment": WITHIN, "route_acknowledged": False}, Wait, "route_unacknowledged"),
        ({"assessment": WITHIN, "canary": Silence(6, 60, 5)}, Wait, "quiet"),
        ({"assessment": WITHIN, "baseline": Silence(6, 60, 5)}, Wait, "quiet"),
        ({"assessment": WITHIN, "overdue": "hold"}, Hold, "deadline"),
        ({"assessment": WITHIN, "overdue": "rollback"}, Rollback, "deadline"),
        ({"windows": BROKEN, "overdue": "rollback"}, Hold, "stale"),
        ({}, Proceed, "unproven"),
        ({"assessment": SUSPICIOUS}, Wait, "suspicious"),
        ({"assessment": SUSPICIOUS, "elapsed_s": 1200}, Hold, "suspicious"),
        ({"canary_sessions": 19}, Wait, "min_sessions"),
        ({"canary_sessions": 19, "elapsed_s": 86_399}, Wait, "min_sessions"),
        ({"canary_sessions": 19, "elapsed_s": 86_400}, Hold, "min_sessions"),
        ({"assessment": WITHIN, "canary_sessions": 19}, Wait, "min_sessions"),
        ({"strict": True}, Wait, "unproven"),
        ({"strict": True, "elapsed_s": 1200}, Hold, "unproven"),
        ({"last_stage": True}, Wait, "unproven"),
        ({"last_stage": True, "elapsed_s": 1200}, Hold, "unproven"),
        ({"last_stage": True, "elapsed_s": 1200, "on_unproven_final": "rollback"}, Rollback, "unproven"),
        ({"last_stage": True, "elapsed_s": 1200, "on_unproven_final": "proceed"}, Proceed, "unproven"),
        ({"last_stage": True, "elapsed_s": 1200, "on_unproven_final": "proceed", "strict": True}, Hold, "unproven"),
        ({"last_stage": True, "assessment": WITHIN}, Proceed, "within"),
    ],
)
def test_the_first_row_that_applies_decides(change: dict[str, Any], decision: type[Gate], code: str) -> None:
    verdict = gate(replace(LOOK, **change))
    assert isinstance(verdict, decision)
    assert verdict.reason.code == code


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"elapsed_s": 1},
        {"windows": BROKEN},
        {"canary": BROKEN},
        {"overdue": "hold"},
        {"route_acknowledged": False},
        {"canary_sessions": 0},
        {"last_stage": True},
    ],
)
def test_a_breach_rolls_back_whatever_else_is_true(change: dict[str, Any]) -> None:
    verdict = gate(replace(LOOK, assessment=BREACH, breach_sentence="Too many errors.", **change))
    assert isinstance(verdict, Rollback)
    assert verdict.reason.sentence == "Too many errors."


def test_missing_data_is_never_a_reason_to_roll_back_or_to_rise() -> None:
    for silent in ({"windows": BROKEN}, {"baseline": BROKEN}, {"canary": BROKEN}):
        assert isinstance(gate(replace(LOOK, canary_sessions=0, elapsed_s=10**6, **silent)), Hold)  # type: ignore[arg-type]


def test_a_wait_says_how_much_is_missing() -> None:
    assert gate(replace(LOOK, elapsed_s=42)).reason.sentence == "42 s of 600 s collected."
    assert "6 of at least 20 canary sessions" in gate(replace(LOOK, canary_sessions=6)).reason.sentence
    assert "61 s (limit 60 s)" in gate(replace(LOOK, windows=BROKEN)).reason.sentence


def golden_look(case: dict[str, Any]) -> StageLook:
    config, seen = {**GOLDEN["defaults"], **case["config"]}, case["input"]
    assessment = Assessment(
        score=0,
        checks=(),
        breached_by="err" if seen["breach"] else None,
        within=all(seen["within"].values()),
        suspicious=seen["worst_e"]
        >= (config["leave_suspicion"] if seen["was_suspicious"] else config["enter_suspicion"]),
    )
    return replace(
        LOOK,
        assessment=assessment,
        elapsed_s=seen["elapsed"],
        planned_s=config["planned_seconds"],
        windows=Silence(seen["newest_window_age"], config["stale_after_seconds"]),
        canary=Silence(0.0, math.inf),
        canary_sessions=seen["canary_sessions"],
        min_sessions=config["min_sessions"],
        last_stage=config["final_stage"],
        strict=config["strict"],
        on_unproven_final=config["on_unproven_final"],
    )


NOT_YET = {"SRM", "baseline sick"}
"""Rows whose evidence no policy brings yet: the sample ratio, and the baseline's own rate before the rollout."""


@pytest.mark.parametrize(
    "case", [c for c in GOLDEN["cases"] if c["name"] not in NOT_YET], ids=lambda c: str(c["name"]).replace(" ", "-")
)
def test_the_golden_table_holds(case: dict[str, Any]) -> None:
    """Golden "hold" is a hold or a wait here: a wait writes nothing and lets the stage's clock run."""
    kinds: dict[str, tuple[type, ...]] = {
        "hold": (Hold, Wait),
        "rollback": (Rollback,),
        "proceed": (Proceed,),
        "proceed_unproven": (Proceed,),
    }
    verdict = gate(golden_look(case))
    assert isinstance(verdict, kinds[case["expected"]])
    if isinstance(verdict, Proceed):
        assert (verdict.reason.code == "unproven") is (case["expected"] == "proceed_unproven")
