"""Sentences for people: every number of the same windows, and the words of each kind of check."""

from typing import Any

import pytest

from judge.policies.port import Assessment
from judge.rollout.wording import breach_sentence, check_sentence, name_of, percent, points, started_sentence
from schemas.checks import Checks
from schemas.decisions import CheckResult, Count
from schemas.plan import Plan


def check(name: str, **fields: Any) -> CheckResult:
    known: dict[str, Any] = {
        "check": name,
        "verdict": "breached",
        "baseline": Count(n=600, bad=6, value=0.01),
        "canary": Count(n=60, bad=18, value=0.3),
        "difference": 0.29,
        "low": 0.11,
        "margin": 0.05,
        "log_e_breach": 9.0,
        "log_e_within": -9.0,
    }
    return CheckResult(**known | fields)


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (
            check("error_rate"),
            (
                "Error rate 30 % against 1 %: +29 points (at least +11), limit +5; 18 of 60 canary requests failed, 6 of 600 "
                "baseline requests."
            ),
        ),
        (
            check("tool_success", since=1_700_000_000_000, low=None),
            (
                "Failed tool calls 30 % against 1 %: +29 points, limit +5; 18 of 60 canary tool calls failed, 6 of 600 baseline "
                "tool calls. All since 22:13:20 UTC."
            ),
        ),
        (
            check(
                "latency_p99",
                kind="latency",
                canary=Count(n=2000, bad=82, value=412.3),
                baseline=Count(n=9000, bad=81, value=251.0),
                threshold=252.0,
                canary_threshold=280.0,
            ),
            (
                "p99 latency 412 ms against 251 ms: 4.1 % of 2000 canary requests took longer than 280 ms, 0.9 % of 9000 "
                "baseline requests longer than 252 ms."
            ),
        ),
        (
            check(
                "tokens",
                kind="mean",
                canary=Count(n=600, bad=792_000, value=1320),
                baseline=Count(n=5000, bad=5e6, value=1000),
                ratio=1.1,
            ),
            (
                "tokens 1320 against 1000 a request: 1.32 times the baseline's, limit 1.1 times; 600 canary requests, 5000 "
                "baseline requests."
            ),
        ),
        (
            check("tools", kind="tools", culprits=("search", "fetch")),
            (
                "Failed calls by tool (search, fetch; limit +5 points each): 18 of 60 canary requests failed, 6 of 600 baseline "
                "requests of all tools."
            ),
        ),
        (
            check("session_loss", kind="loss", ratio=1.5),
            (
                "Lost sessions 30 % against 1 % between two ages, limit 1.5 times the baseline's; 18 of 60 canary sessions fell "
                "silent, 6 of 600 baseline sessions, each counted at every age it reached."
            ),
        ),
        (
            check("cache_miss", ratio=1.1),
            (
                "cache_miss 30 % against 1 %: +29 points, limit 1.1 times the baseline's; 18 of 60 canary requests counted, 6 of "
                "600 baseline requests."
            ),
        ),
        (check("error_rate", difference=None), "Error rate: no data."),
    ],
)
def test_each_kind_of_check_has_its_sentence(result: CheckResult, sentence: str) -> None:
    assert check_sentence(result) == sentence


def test_every_built_in_check_has_a_name() -> None:
    assert all(name_of(check) != check for check in Checks().enabled)


def said(*checks: CheckResult, by: str | None) -> str:
    return breach_sentence(Assessment(0.0, checks, by, within=False, suspicious=False))


def test_a_breach_is_told_by_its_culprit() -> None:
    assert said(check("tool_success"), check("error_rate"), by="error_rate") == check_sentence(check("error_rate"))
    assert said(check("error_rate"), by=None) == ""


@pytest.mark.parametrize("low", [None, 0.04])
def test_a_breach_that_several_checks_bear_together_claims_no_bound_that_it_has_not(low: float | None) -> None:
    told = said(check("error_rate", low=low), by="error_rate")
    assert told.endswith("No check alone is proof enough, all of them together are.")


def test_numbers_have_three_digits() -> None:
    assert percent(0.012345) == "1.23 %"
    assert points(-0.0123) == "-1.23"


def test_a_canary_that_waits_for_a_person_is_not_said_to_have_sessions() -> None:
    plan = Plan(service="orders", canary="v2")
    sentence = "Canary v2 of orders {} 1% of new sessions, compared with baseline v1."
    assert started_sentence(plan, "v1") == sentence.format("gets")
    waits = plan.model_copy(update={"approve": ("start", "2")})
    assert started_sentence(waits, "v1") == sentence.format("waits for a person's approval, then gets")
