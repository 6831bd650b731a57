"""What is wrong, where, and what to write instead."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from schemas.plan import Plan
from schemas.service import Service
from status.mistakes import mistakes

PLAN = {"service": "orders", "canary": "v2"}
SERVICE = {"service": "orders", "baseline": "v1", "versions": {"v1": {"endpoints": ["h:1"]}}}


def told(model: type[BaseModel], written: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(written)
    return [str(mistake) for mistake in mistakes(caught.value.errors(), model)]


@pytest.mark.parametrize(
    ("model", "written", "lines"),
    [
        (Plan, {}, ["service: is missing", "canary: is missing"]),
        (Plan, {**PLAN, "bakes": "1h"}, ["bakes: is not known here; did you mean bake?"]),
        (Plan, {**PLAN, "rollback": {"mod": "drain"}}, ["rollback.mod: is not known here; did you mean mode?"]),
        (
            Plan,
            {**PLAN, "rollback": {"xyz": 1}},
            ["rollback.xyz: is not known here; known are deadline, mode, severe, severe_from"],
        ),
        (
            Plan,
            {**PLAN, "stages": [{"share": "1%", "for": "1m", "min_session": 3}]},
            ["stages.0.min_session: is not known here; did you mean min_sessions?"],
        ),
        (
            Plan,
            {**PLAN, "service": "größe", "canary": "v 2", "approve": ["4", "yes"]},
            [
                "service: must be 1 to 40 of a-z, 0-9 and -, and begin with a letter or digit, not 'größe'",
                "canary: must be 1 to 40 of A-Z, a-z, 0-9, ., _ and -, and begin with a letter or digit, not 'v 2'",
                "approve.1: must be start, promote or the number of a stage, not 'yes'",
            ],
        ),
        (Plan, {**PLAN, "bake": 30}, ["bake: 30 is not a duration; write it like 30s, 10m or 1h"]),
        (
            Plan,
            {**PLAN, "stages": [{"share": "5%", "for": "1m"}, {"share": "1%", "for": "1m"}]},
            ["stages: shares must rise and stay below 100% (100% follows by itself): 5%, 1%"],
        ),
        (Plan, {**PLAN, "approve": ["start", 4, 9]}, ["approve: there are 3 stages, no stage 4, 9"]),
        (
            Plan,
            {**PLAN, "deadline": {"after": "1h"}},
            ["deadline: after 1h no rollout would have ended: the stages alone take 100m"],
        ),
        (
            Plan,
            {**PLAN, "deadline": {"after": "15d"}},
            ["deadline.after: a rollout lasts 14d at most, for its evidence is kept for 30 days"],
        ),
        (Plan, {**PLAN, "max_stage": "45m"}, ["max_stage: 45m is shorter than a stage: 1h"]),
        (
            Plan,
            {**PLAN, "stages": [{"share": "1%", "for": "9d"}, {"share": "5%", "for": "9d"}]},
            ["deadline: after 14d no rollout would have ended: the stages alone take 18d"],
        ),
        (
            Plan,
            {**PLAN, "observe": "perhaps"},
            ["observe: must be true or false, not 'perhaps'"],
        ),
        (Plan, {**PLAN, "stages": []}, ["stages: must have at least 1, not 0"]),
        (Plan, {**PLAN, "checks": {"error_rate": 5}}, ["checks.error_rate: must be keys with values, not 5"]),
        (Plan, {**PLAN, "checks": []}, ["checks: must be keys with values, not []"]),
        (Plan, {**PLAN, "stages": True}, ["stages: must be a list, not true"]),
        (
            Plan,
            {**PLAN, "canary": None},
            ["canary: must be text, in quotes if it looks like something else, not nothing"],
        ),
        (
            Service,
            {**SERVICE, "versions": {"v1": {"endpoint": "h:1", "dns": "h:1"}}},
            ["versions.v1.endpoint: is not known here; did you mean endpoints?"],
        ),
        (Service, {**SERVICE, "baseline": "v9"}, ["the whole: baseline 'v9' is not among the versions ['v1']"]),
    ],
)
def test_a_mistake_says_where_and_what_to_write(model: type[BaseModel], written: Any, lines: list[str]) -> None:
    assert told(model, written) == lines


def test_everything_that_is_wrong_with_a_plan_is_told_at_once() -> None:
    """Also what contradicts something else: nobody mends a plan in five rounds."""
    wrong = {
        "service": "Orders!",
        "stages": [{"share": "50%", "for": "2h"}, {"share": "5%", "for": "2h"}],
        "checks": {"error_rate": {"within": "5%"}, "latency_p99": {"over": 5}, "tokens": {"worse": "higher"}},
        "rollback": {"mode": "slowly", "severe_from": "0%"},
        "deadline": {"after": "20d"},
        "approve": ["sometimes"],
        "bakes": "1h",
        "on_mismatch": "shrug",
    }
    paths = [line.partition(":")[0] for line in told(Plan, wrong)]
    assert sorted(paths) == sorted(
        [
            "service",
            "canary",
            "stages",
            "checks.error_rate.within",
            "checks.latency_p99.over",
            "checks.tokens",
            "rollback.mode",
            "rollback.severe_from",
            "deadline.after",
            "approve.0",
            "bakes",
            "on_mismatch",
        ]
    )


def test_contradictions_are_told_beside_other_mistakes() -> None:
    wrong = {**PLAN, "bakes": "1h", "approve": ["7"], "deadline": {"after": "10m"}, "max_stage": "1m"}
    assert [line.partition(":")[0] for line in told(Plan, wrong)] == ["deadline", "approve", "max_stage", "bakes"]


def test_a_long_value_is_not_repeated_whole() -> None:
    (line,) = told(Plan, {**PLAN, "observe": "x" * 500})
    assert len(line) < 160


def test_a_list_is_not_called_short_because_its_items_are_wrong() -> None:
    assert told(Plan, {**PLAN, "stages": [{"share": 1, "for": "1m"}]}) == [
        "stages.0.share: 1 is not understood; write it like 1% or 12.5%"
    ]


def test_without_the_model_an_unknown_key_is_still_named() -> None:
    assert str(*mistakes([{"type": "extra_forbidden", "loc": ("a",), "msg": ""}])) == "a: is not known here"


def test_a_metric_without_its_kind_is_told_what_it_lacks() -> None:
    (line,) = told(Plan, {**PLAN, "checks": {"tokens": {"worse": "higher"}}})
    assert line.startswith("checks.tokens: is not known here")
    assert line.endswith("; a metric of your own needs `kind: rate` or `kind: mean`")
    (plain,) = told(Plan, {**PLAN, "checks": {"eror_rate": "off"}})
    assert plain == "checks.eror_rate: is not known here; did you mean error_rate?"
