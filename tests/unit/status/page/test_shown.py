"""Checks in words and places."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decisions import CheckResult, Count
from status.page.scale import place
from status.page.shown import row
from status.page.tail import Distribution
from tests.page_pictures import snapshot
from tests.page_states import BREACHED, OPEN, SILENT, TOKENS, latency, plan, rate

NB, THIN = "\u00a0", "\u202f"


def test_a_rate_shows_both_values_the_difference_and_what_is_allowed() -> None:
    shown = row(BREACHED[0])
    assert (shown.name, shown.baseline, shown.canary) == ("Error rate", f"0.59{NB}%", f"2.71{NB}%")
    assert (shown.difference, shown.interval) == (f"+2.12{NB}points", "+0.52 … +4.13")
    assert (shown.limit, shown.verdict, shown.note) == (f"+0.50{NB}points", "breached", f"59 of 2{THIN}180 requests")
    assert shown.gates
    assert shown.sentence == f"Error rate: +2.12{NB}points, interval +0.52 … +4.13, limit +0.50{NB}points: breached"


def test_what_people_speak_of_as_a_success_keeps_its_sign_and_is_drawn_with_worse_at_the_right() -> None:
    shown = row(BREACHED[1])
    assert (shown.baseline, shown.canary) == (f"97.95{NB}%", f"95.18{NB}%")
    assert (shown.difference, shown.interval, shown.limit) == (f"−2.77{NB}points", "−5.57 … −0.25", "−1.00, turned")
    assert shown.places.point == pytest.approx(2.77, abs=0.01)
    assert shown.places.low == pytest.approx(0.25)


def test_a_ratio_is_that_of_the_values_and_its_bounds_are_those_of_the_difference_over_the_baseline() -> None:
    shown = row(TOKENS)
    assert (shown.baseline, shown.canary) == (f"1{THIN}184", f"1{THIN}203")
    assert (shown.difference, shown.limit) == (f"×{NB}1.016", f"×{NB}1.10")
    assert shown.places.point == pytest.approx(math.log(1203 / 1184) / math.log(1.1))
    assert shown.places.high is not None
    assert shown.places.high < 1


def test_where_lower_is_worse_the_cohorts_are_swapped_and_the_natural_ratio_is_shown() -> None:
    """The claim is p_B <= 1.1 p_C: a cache that hits 20 % less often is past a limit of 10 %."""
    hits = CheckResult(
        check="cache_hits",
        kind="mean",
        worse="lower",
        verdict="breached",
        baseline=Count(n=900, bad=810, value=0.9),
        canary=Count(n=100, bad=72, value=0.72),
        difference=0.9 - 1.1 * 0.72,
        low=0.01,
        high=0.2,
        margin=0.0,
        ratio=1.1,
        log_e_breach=4.0,
        log_e_within=0.0,
    )
    shown = row(hits)
    assert (shown.name, shown.difference, shown.limit) == ("Cache hits", f"×{NB}0.800", f"×{NB}0.909, turned")
    assert shown.places.point is not None
    assert shown.places.point > 1
    low, high = (float(end) for end in shown.interval.split(" … "))
    assert low < 0.8 < high < 1 / 1.1


def test_a_latency_shows_its_values_and_the_ratio_that_the_shares_of_slow_requests_stand_for() -> None:
    recent = snapshot("rolled_back").recent
    assert recent is not None
    check = latency("latency_p99", "undecided", 1.035, (19_618, 2_180), (0.95, 1.3), 0.25)
    shown = row(check, plan(), Distribution.of(recent.totals["v8"].latency))
    assert (shown.baseline, shown.canary, shown.difference) == (f"1.42{NB}s", f"1.47{NB}s", f"×{NB}1.035")
    low, high = (float(end) for end in shown.interval.split(" … "))
    assert low == pytest.approx(0.95, rel=0.03)
    assert high == pytest.approx(1.3, rel=0.05)
    assert shown.places.gate is not None
    assert shown.places.gate > 1


def test_a_latency_without_the_baselines_distribution_has_a_point_and_no_interval() -> None:
    shown = row(latency("latency_p99", "undecided", 1.035, (19_618, 2_180), (0.9, 1.3)), plan())
    assert shown.interval == ""
    assert (shown.places.low, shown.places.high) == (None, None)
    assert shown.places.point is not None


@given(
    st.floats(-0.2, 0.2),
    st.floats(0.001, 0.2),
    st.sampled_from(["error_rate", "tool_success", "session_loss", "tokens", "latency_p99"]),
)
def test_a_left_end_past_the_limit_is_drawn_past_the_limit_and_no_other(low: float, margin: float, check: str) -> None:
    """The judge's lower bound is past what the plan allows exactly where the picture shows it."""
    kinds: dict[str, dict[str, object]] = {
        "session_loss": {"kind": "loss", "ratio": 1.5},
        "tokens": {"kind": "mean", "ratio": 1.1},
        "latency_p99": {"kind": "latency"},
    }
    fields = kinds.get(check, {})
    allowed = 0.0 if fields else margin
    value = {"value": 0.3} if fields.get("kind") != "latency" else {"value": 800.0}
    found = CheckResult.model_validate(
        {
            "check": check,
            "verdict": "breached" if low > allowed else "undecided",
            "baseline": {"n": 1000, "bad": 300, **value},
            "canary": {"n": 1000, "bad": 300, **value},
            "difference": low,
            "low": low,
            "high": low + 0.1,
            "margin": allowed,
            "log_e_breach": 0.0,
            "log_e_within": 0.0,
            **fields,
        }
    )
    tail = Distribution.of(dict.fromkeys(range(900, 1100), 10))
    drawn = row(found, plan(), tail).places.low
    assert drawn is not None
    if abs(low - allowed) > 0.002:
        assert (place(drawn) > place(1)) == (low > allowed)


def test_no_data_is_a_word_and_never_a_number() -> None:
    for shown in (row(check, plan()) for check in SILENT):
        if shown.check != "availability":
            assert (shown.verdict, shown.baseline, shown.canary, shown.difference) == ("no_data", "–", "–", "–")
            assert shown.places.point is None
            assert "no data" in shown.sentence


def test_what_else_to_know_stands_beside_the_verdict() -> None:
    notes = {shown.check: shown.note for shown in (row(check, plan()) for check in OPEN)}
    assert notes["error_rate"] == "most +0.56, gate +1.00"
    assert notes["tool_success"] == "worst −1.08, gate −2.00"
    assert notes["latency_p99"] == "690 more sessions"
    assert notes["session_loss"] == ""
    assert row(BREACHED[5]).note == "create_invoice"


def test_a_check_whose_plan_allows_nothing_can_still_be_drawn() -> None:
    shown = row(rate("error_rate", "breached", (0, 100), (5, 100), (1.0, 9.0), 0.0))
    assert shown.places.low == pytest.approx(2.0)


def test_an_end_that_is_not_known_is_left_open() -> None:
    check = BREACHED[0].model_copy(update={"low": None})
    assert row(check).interval == f"≤{NB}+4.13"
    assert row(check.model_copy(update={"low": 0.0052, "high": None})).interval == f"≥{NB}+0.52"
    turned = BREACHED[1].model_copy(update={"low": None})
    assert row(turned).interval == f"≥{NB}−5.57"
    assert row(check.model_copy(update={"high": None})).interval == ""


def test_a_check_that_the_plan_has_switched_off_decides_nothing() -> None:
    check = rate("cancel_rate", "undecided", (0, 100), (5, 100), (1.0, 9.0), 0.5)
    assert not row(check, plan()).decides
    assert not row(BREACHED[0].model_copy(update={"share": 0.0})).decides
    assert row(BREACHED[0], plan()).decides
    assert row(TOKENS, plan()).decides
