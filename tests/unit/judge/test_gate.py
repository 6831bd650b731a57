"""The gate's table: which row wins, and what people read."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from judge.policies.port import Assessment
from judge.rollout.gate import Gate, Hold, Proceed, Rollback, StageLook, Wait, gate
from judge.rollout.observed import HEALTHY, BaselineHealth, Failures, Mismatch, SampleRatio, Silence
from schemas.decisions import CheckResult, Count
from tests.builders import plan

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/17-gate-table.json").read_text(encoding="utf-8"))
CALM = Assessment(score=80.0, checks=(), breached_by=None, within=False, suspicious=False)
WITHIN = replace(CALM, within=True)
BREACH = replace(CALM, breached_by="error_rate")
SUSPICIOUS = replace(CALM, suspicious=True)
UNJUDGED = replace(WITHIN, unjudged=("tokens",))
LOW = replace(CALM, score=49.0)
NORMAL = Silence(6, 60)
BROKEN = Silence(61, 60)
LOST = Silence(61, 60, answered=3)
SKEWED = SampleRatio(20, 5980, 60.0, fits=False)
NEVER = (Mismatch("canary", "v2", 12, 12),)
SICK = BaselineHealth(before=Failures(1000, 5), now=Failures(1000, 40), tolerated=0.005)
FINAL_BACK, FINAL_ON = plan(on_unproven_final="rollback"), plan(on_unproven_final="proceed")
LOOK = StageLook(
    plan=plan(),
    assessment=CALM,
    breach_sentence="",
    severe=False,
    elapsed_s=605,
    planned_s=600,
    windows=NORMAL,
    baseline=NORMAL,
    canary=NORMAL,
    overdue=None,
    unacknowledged=None,
    canary_sessions=200,
    min_sessions=20,
    last_stage=False,
)


@pytest.mark.parametrize(
    ("change", "decision", "code"),
    [
        ({"assessment": WITHIN}, Proceed, "within"),
        ({"assessment": WITHIN, "elapsed_s": 599.9}, Wait, "planned_time"),
        ({"assessment": UNJUDGED}, Hold, "unproven"),
        ({"assessment": UNJUDGED, "elapsed_s": 599.9}, Wait, "planned_time"),
        ({"assessment": UNJUDGED, "plan": FINAL_ON, "last_stage": True}, Hold, "unproven"),
        ({"assessment": UNJUDGED, "waived": frozenset({"unproven"})}, Proceed, "within"),
        ({"assessment": replace(UNJUDGED, breached_by="error_rate")}, Rollback, "breach"),
        ({"assessment": WITHIN, "windows": BROKEN}, Hold, "stale"),
        ({"assessment": WITHIN, "canary": BROKEN}, Hold, "canary_silent"),
        ({"assessment": WITHIN, "baseline": BROKEN}, Hold, "baseline_silent"),
        ({"assessment": WITHIN, "unacknowledged": "Not every proxy."}, Wait, "route_unacknowledged"),
        ({"assessment": WITHIN, "canary": Silence(6, 60, 5)}, Wait, "quiet"),
        ({"assessment": WITHIN, "baseline": Silence(6, 60, 5)}, Wait, "quiet"),
        ({"assessment": WITHIN, "overdue": "hold"}, Hold, "deadline"),
        ({"assessment": WITHIN, "overdue": "rollback"}, Rollback, "deadline"),
        ({"windows": BROKEN, "overdue": "rollback"}, Rollback, "deadline"),
        ({"windows": BROKEN, "overdue": "hold"}, Hold, "stale"),
        ({}, Proceed, "unproven"),
        ({"assessment": SUSPICIOUS}, Wait, "suspicious"),
        ({"assessment": SUSPICIOUS, "elapsed_s": 1200}, Hold, "suspicious"),
        ({"canary_sessions": 19}, Wait, "min_sessions"),
        ({"canary_sessions": 19, "elapsed_s": 86_399}, Wait, "min_sessions"),
        ({"canary_sessions": 19, "elapsed_s": 86_400}, Hold, "min_sessions"),
        ({"plan": plan(max_stage="30m"), "canary_sessions": 19, "elapsed_s": 1799}, Wait, "min_sessions"),
        ({"plan": plan(max_stage="30m"), "canary_sessions": 19, "elapsed_s": 1800}, Hold, "min_sessions"),
        ({"assessment": WITHIN, "canary_sessions": 19}, Wait, "min_sessions"),
        ({"plan": plan(strict=True)}, Wait, "unproven"),
        ({"plan": plan(strict=True), "elapsed_s": 1200}, Hold, "unproven"),
        ({"last_stage": True}, Wait, "unproven"),
        ({"last_stage": True, "elapsed_s": 1200}, Hold, "unproven"),
        ({"last_stage": True, "plan": FINAL_BACK}, Wait, "unproven"),
        ({"last_stage": True, "plan": FINAL_BACK, "elapsed_s": 1200}, Rollback, "unproven"),
        ({"last_stage": True, "plan": FINAL_ON}, Wait, "unproven"),
        ({"last_stage": True, "plan": FINAL_ON, "elapsed_s": 1200}, Proceed, "unproven"),
        (
            {"last_stage": True, "plan": plan(on_unproven_final="proceed", strict=True), "elapsed_s": 1200},
            Hold,
            "unproven",
        ),
        ({"assessment": WITHIN, "canary": LOST}, Hold, "telemetry_lost"),
        ({"assessment": WITHIN, "baseline": LOST}, Hold, "telemetry_lost"),
        ({"assessment": WITHIN, "canary": Silence(61, 60, answered=2)}, Hold, "canary_silent"),
        ({"assessment": WITHIN, "hole_s": 59}, Hold, "incomplete"),
        ({"assessment": WITHIN, "hole_s": 60}, Proceed, "within"),
        ({"assessment": WITHIN, "sample_ratio": SKEWED}, Hold, "sample_ratio"),
        ({"assessment": WITHIN, "sample_ratio": SKEWED, "elapsed_s": 1}, Hold, "sample_ratio"),
        ({"assessment": WITHIN, "sample_ratio": SKEWED, "canary": Silence(6, 60, 5)}, Wait, "quiet"),
        ({"assessment": WITHIN, "sample_ratio": SKEWED, "plan": plan(on_sample_ratio="ignore")}, Proceed, "within"),
        ({"assessment": WITHIN, "sample_ratio": SKEWED, "waived": frozenset({"sample_ratio"})}, Proceed, "within"),
        ({"assessment": WITHIN, "mismatches": NEVER}, Hold, "mismatch"),
        ({"assessment": WITHIN, "mismatches": NEVER, "plan": plan(on_mismatch="rollback")}, Rollback, "mismatch"),
        ({"assessment": WITHIN, "mismatches": NEVER, "plan": plan(on_mismatch="ignore")}, Proceed, "within"),
        ({"assessment": WITHIN, "mismatches": NEVER, "waived": frozenset({"mismatch"})}, Proceed, "within"),
        ({"assessment": WITHIN, "mismatches": (Mismatch("canary", "v2", 900, 8),)}, Proceed, "within"),
        ({"assessment": WITHIN, "mismatches": (Mismatch("canary", "v2", 2, 2),)}, Proceed, "within"),
        ({"assessment": WITHIN, "health": SICK}, Hold, "sick_baseline"),
        ({"assessment": WITHIN, "health": SICK, "elapsed_s": 599}, Wait, "planned_time"),
        ({"assessment": WITHIN, "health": SICK, "plan": plan(on_sick_baseline="ignore")}, Proceed, "within"),
        ({"assessment": WITHIN, "health": SICK, "waived": frozenset({"sick_baseline"})}, Proceed, "within"),
        ({"assessment": LOW, "plan": plan(rollback_below=50), "elapsed_s": 30}, Rollback, "score"),
        ({"assessment": LOW, "plan": plan(rollback_below=50), "canary_sessions": 19}, Wait, "min_sessions"),
        ({"assessment": LOW, "plan": plan(rollback_below=49)}, Proceed, "unproven"),
        ({"plan": plan(rollback_below=90), "elapsed_s": 30}, Wait, "planned_time"),
        ({"plan": plan(rollback_below=90)}, Rollback, "score"),
        ({"assessment": LOW, "plan": plan(rollback_below=50), "windows": BROKEN}, Hold, "stale"),
        ({"assessment": SUSPICIOUS, "elapsed_s": 1200, "waived": frozenset({"suspicious"})}, Wait, "suspicious"),
        ({"last_stage": True, "elapsed_s": 1200, "waived": frozenset({"unproven"})}, Wait, "unproven"),
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
        {"unacknowledged": "Not every proxy."},
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
        score=80,
        checks=(),
        breached_by="err" if seen["breach"] else None,
        within=all(seen["within"].values()),
        suspicious=seen["worst_e"]
        >= (config["leave_suspicion"] if seen["was_suspicious"] else config["enter_suspicion"]),
    )
    return replace(
        LOOK,
        plan=plan(strict=config["strict"], on_unproven_final=config["on_unproven_final"]),
        assessment=assessment,
        elapsed_s=seen["elapsed"],
        planned_s=config["planned_seconds"],
        windows=Silence(seen["newest_window_age"], config["stale_after_seconds"]),
        canary=Silence(0.0, math.inf),
        canary_sessions=seen["canary_sessions"],
        min_sessions=config["min_sessions"],
        last_stage=config["final_stage"],
        sample_ratio=SampleRatio(1, 99, 1.0, fits=seen["srm_e"] < config["srm_threshold"]),
        health=SICK if seen["baseline_sick"] else HEALTHY,
    )


WAITS = {"planned time", "min sessions", "suspicious", "strict", "unproven", "no canary data"}
"""Golden holds of these reasons only wait, before the time is up: no entry, and the stage's clock runs on."""
CODES = {
    "stale": "stale",
    "srm": "sample_ratio",
    "planned time": "planned_time",
    "baseline sick": "sick_baseline",
    "suspicious": "suspicious",
    "min sessions": "min_sessions",
    "no canary data": "min_sessions",
    "suspicious at max hold": "suspicious",
    "strict": "unproven",
    "unproven": "unproven",
    "on_unproven_final": "unproven",
    "within": "within",
    "breach": "breach",
    "no breach, not suspicious": "unproven",
}


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda c: str(c["name"]).replace(" ", "-"))
def test_the_golden_table_holds(case: dict[str, Any]) -> None:
    verdict = gate(golden_look(case))
    held = Wait if case["reason"] in WAITS else Hold
    kinds: dict[str, type] = {"hold": held, "rollback": Rollback, "proceed": Proceed, "proceed_unproven": Proceed}
    assert isinstance(verdict, kinds[case["expected"]])
    assert verdict.reason.code == CODES[case["reason"]]


def test_a_severe_breach_is_told_apart() -> None:
    verdicts = [
        gate(replace(LOOK, assessment=BREACH, breach_sentence="Bad.", severe=severe)) for severe in (True, False)
    ]
    assert [v.severe for v in verdicts if isinstance(v, Rollback)] == [True, False]


@pytest.mark.parametrize(
    ("before", "now", "sick"),
    [
        (Failures(1000, 5), Failures(1000, 40), True),
        (Failures(1000, 5), Failures(1000, 15), False),
        (Failures(1000, 0), Failures(1000, 5), False),
        (Failures(1000, 0), Failures(1000, 6), True),
        (Failures(99, 0), Failures(1000, 500), False),
        (Failures(1000, 0), Failures(99, 50), False),
        (Failures(0, 0), Failures(0, 0), False),
    ],
)
def test_a_baseline_is_sick_that_fails_three_times_as_often_and_more_than_the_plan_allows(
    before: Failures, now: Failures, *, sick: bool
) -> None:
    assert BaselineHealth(before, now, tolerated=0.005).sick is sick


def test_sentences_say_what_to_look_at() -> None:
    told = {
        code: gate(replace(LOOK, **change)).reason.sentence  # type: ignore[arg-type]
        for code, change in {
            "never": {"mismatches": NEVER},
            "half": {"mismatches": (Mismatch("canary", "v2", 12, 4),)},
            "skewed": {"sample_ratio": SKEWED},
            "sick": {"health": SICK},
            "lost": {"canary": LOST},
        }.items()
    }
    assert told["never"].endswith(
        "12 of 12 requests that proxies assigned to v2 in this stage were answered by servers "
        "that say another version: v2 was never deployed."
    )
    assert told["half"].endswith("v2 is not deployed everywhere.")
    assert told["skewed"].startswith("20 of 6000 new sessions met the canary where the shares in force expect 60:")
    assert told["sick"].startswith("The baseline itself fails 4 % of 1000 requests in this stage, 0.5 % in the hour")
    assert "the proxies saw 3 of them answered meanwhile" in told["lost"]


def test_what_is_not_proven_is_named() -> None:
    def check(name: str, margin: float | None) -> CheckResult:
        nothing = Count(n=0, bad=0)
        return CheckResult(
            check=name,
            verdict="undecided",
            baseline=nothing,
            canary=nothing,
            margin=0,
            gate_margin=margin,
            log_e_breach=0,
            log_e_within=0,
        )

    calm = replace(CALM, checks=(check("error_rate", 0.1), check("tools", None)))
    assert "within its limits (error_rate) after" in gate(replace(LOOK, assessment=calm)).reason.sentence
