"""Snapshot → text, word by word."""

from typing import Any, get_args

import pytest

from cli.rendering import render_history, render_line, render_view
from schemas.control import RolloutState, RolloutView
from schemas.decisions import CheckResult, Count, Reason
from tests.builders import entry

CHECK = CheckResult(
    check="error_rate",
    verdict="undecided",
    baseline=Count(n=600, bad=6),
    canary=Count(n=60, bad=1),
    difference=0.0067,
    margin=0.005,
    log_e_breach=0.1,
    log_e_within=0.2,
)
COLLECTING = RolloutView(
    service="orders",
    rollout=1,
    state="collecting",
    stage=1,
    stages=3,
    share=100,
    baseline="v1",
    canary="v2",
    head="a",
    waiting_for="40 s of 600 s collected.",
    checks=(CHECK,),
    baseline_sessions=600,
    canary_sessions=6,
    looked_at=1,
)


def test_a_running_rollout_shows_share_sessions_checks_and_what_comes_next() -> None:
    assert render_view(COLLECTING).splitlines() == [
        "… orders collecting  v1 → v2",
        "  share     1% of new sessions, stage 1 of 3",
        "  sessions  6 canary, 600 baseline",
        "… error_rate     1.00 % of 600 → 1.67 % of 60  limit +0.50 points  undecided",
        "  next      40 s of 600 s collected.",
    ]


def test_an_ended_rollout_shows_why() -> None:
    ended = COLLECTING.model_copy(update={"state": "rolled_back", "share": 0, "waiting_for": None, "checks": ()})
    assert render_view(ended, "Error rate 30 % against 1 %.").splitlines() == [
        "✖ orders rolled back  v1 → v2",
        "  share     0% of new sessions, stage 1 of 3",
        "  sessions  6 canary, 600 baseline",
        "  because   Error rate 30 % against 1 %.",
    ]


def test_what_holds_a_rollout_and_what_is_not_applied_or_not_allowed_cannot_be_overlooked() -> None:
    held = COLLECTING.model_copy(
        update={
            "state": "held",
            "held_because": "anna held it: incident.",
            "observe": True,
            "frozen": True,
            "waiting_for": None,
            "checks": (),
        }
    )
    assert render_view(held, "anna held it: incident.").splitlines() == [
        "‖ orders held  v1 → v2",
        "  share     1% of new sessions, stage 1 of 3",
        "  sessions  6 canary, 600 baseline",
        "  held      anna held it: incident.",
        "  observes  it decides and alerts, and applies nothing",
        "  frozen    no new rollout may start",
    ]
    assert render_line(held).splitlines() == [
        "‖ orders  held  v1 → v2  stage 1 of 3  1%  6 canary sessions  observes only",
        "    frozen",
    ]


def test_a_later_word_in_a_hold_is_shown_beside_what_holds_it() -> None:
    held = COLLECTING.model_copy(update={"state": "held", "held_because": "No data.", "checks": ()})
    assert render_view(held, "anna approved 2.").splitlines()[3:] == [
        "  held      No data.",
        "  next      40 s of 600 s collected.",
        "  because   anna approved 2.",
    ]


@pytest.mark.parametrize(
    ("state", "stage", "line"),
    [
        ("pending", 0, "? orders  pending  v1 → v2  before stage 1 of 3  1%  6 canary sessions"),
        ("shifting", 1, "… orders  shifting  v1 → v2  stage 1 of 3  1%  6 canary sessions"),
        ("collecting", 2, "… orders  collecting  v1 → v2  stage 2 of 3  1%  6 canary sessions"),
        ("held", 2, "‖ orders  held  v1 → v2  stage 2 of 3  1%  6 canary sessions"),
        ("rolled_back", 2, "✖ orders  rolled back  v1 → v2  stage 2 of 3  1%  6 canary sessions"),
        ("drained", 2, "✖ orders  rolled back, drained  v1 → v2  stage 2 of 3  1%  6 canary sessions"),
        ("completed", 4, "✔ orders  completed  v1 → v2  all stages passed  1%  6 canary sessions"),
        ("retired", 4, "✔ orders  completed, retired  v1 → v2  all stages passed  1%  6 canary sessions"),
    ],
)
def test_every_state_has_a_glyph_and_a_word(state: RolloutState, stage: int, line: str) -> None:
    assert render_line(COLLECTING.model_copy(update={"state": state, "stage": stage})) == line


def test_no_state_is_without_words() -> None:
    words = {render_view(COLLECTING.model_copy(update={"state": state})) for state in get_args(RolloutState)}
    assert len(words) == len(get_args(RolloutState))


def test_no_data_is_never_shown_as_a_number() -> None:
    nothing = CHECK.model_copy(update={"canary": Count(n=0, bad=0), "difference": None})
    assert "→ no data" in render_view(COLLECTING.model_copy(update={"checks": (nothing,)}))


def test_a_service_without_a_rollout_says_so() -> None:
    none = RolloutView(service="orders", rollout=0, baseline="v1", looked_at=1)
    assert render_line(none) == "– orders  no rollout"
    assert render_view(none) == "– orders has no rollout yet; baseline v1"
    frozen = none.model_copy(update={"frozen": True})
    assert render_line(frozen) == "– orders  no rollout  frozen"
    assert render_view(frozen).splitlines()[1] == "  frozen    no new rollout may start"


def test_the_history_shows_when_who_what_the_share_and_why() -> None:
    start = entry("start", now=1_795_485_600_000, actor="anna")
    back = entry(
        "rollback",
        start,
        now=1_795_485_630_999,
        reason=Reason(code="breach", sentence="Error rate 30% against 1%."),
    )
    assert render_history([start, back]).splitlines() == [
        "2026-11-24 02:00:00Z  anna   start     20%",
        "  It is a start.",
        "2026-11-24 02:00:30Z  judge  rollback  0%",
        "  Error rate 30% against 1%.",
    ]


def test_an_empty_history_says_so() -> None:
    assert render_history([]) == "– no entry yet"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"check": "tool_success", "baseline": Count(n=50, bad=0), "canary": Count(n=20, bad=5), "margin": 0.01},
            "… tool_success   100.00 % of 50 → 75.00 % of 20  limit −1.00 points  undecided",
        ),
        (
            {"check": "session_loss", "kind": "loss", "ratio": 1.5, "margin": 0.0},
            "… session_loss   1.00 % of 600 → 1.67 % of 60  limit × 1.50  undecided",
        ),
        (
            {
                "check": "latency_p99",
                "kind": "latency",
                "baseline": Count(n=900, bad=9, value=31.26),
                "canary": Count(n=90, bad=2, value=40.0),
            },
            "… latency_p99    31.3 ms of 900 → 40.0 ms of 90  undecided",
        ),
        (
            {
                "check": "cache_hits",
                "kind": "mean",
                "baseline": Count(n=4, bad=8, value=2.0),
                "worse": "lower",
                "ratio": 1.25,
                "margin": 0.0,
            },
            "… cache_hits     2 of 4 → – of 60  limit × 0.80  undecided",
        ),
    ],
    ids=["success", "ratio", "latency", "mean"],
)
def test_each_kind_of_check_is_said_as_people_compare_it(changes: dict[str, Any], line: str) -> None:
    shown = render_view(COLLECTING.model_copy(update={"checks": (CHECK.model_copy(update=changes),)}))
    assert shown.splitlines()[3] == line
