"""Snapshot → text, word by word."""

from cli.rendering import render_line, render_view
from schemas.control import RolloutView
from schemas.decisions import CheckResult, Count

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
        "… error_rate baseline 1.00 % of 600  canary 1.67 % of 60  limit +0.5 points  undecided",
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


def test_no_data_is_never_shown_as_a_number() -> None:
    nothing = CHECK.model_copy(update={"canary": Count(n=0, bad=0), "difference": None})
    assert "canary no data" in render_view(COLLECTING.model_copy(update={"checks": (nothing,)}))


def test_a_completed_rollout_has_passed_all_stages() -> None:
    done = COLLECTING.model_copy(update={"state": "completed", "stage": 4, "share": 10_000})
    assert render_line(done) == "✔ orders  completed  v1 → v2  all stages passed  100%  6 canary sessions"


def test_a_service_without_a_rollout_says_so() -> None:
    none = RolloutView(service="orders", rollout=0, baseline="v1", looked_at=1)
    assert render_line(none) == "– orders  no rollout"
    assert render_view(none) == "– orders has no rollout yet; baseline v1"
