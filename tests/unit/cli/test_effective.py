"""A plan with its defaults filled in: readable, and readable back."""

import re
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from cli.effective import render_effective
from schemas.plan import Plan
from schemas.service import Service
from tests.builders import SERVICE, plan

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Ten times as fast where it was built."""


def _read(text: str) -> Any:
    return yaml.load(text, LOADER)


def test_the_shortest_plan_is_shown_whole_and_every_default_is_marked() -> None:
    shown = render_effective(Plan.model_validate({"service": "orders", "canary": "v2"}))
    assert [re.sub(r" {2,}#", "  #", line).rstrip() for line in shown.splitlines()] == [
        "service: orders",
        "canary: v2",
        "stages:  # default",
        "  - {share: 1%, for: 10m, min_sessions: 20}  # default",
        "  - {share: 10%, for: 30m, min_sessions: 50}  # default",
        "  - {share: 50%, for: 1h, min_sessions: 50}  # default",
        "checks:",
        "  error_rate: {enabled: true, within: 0.5pp}  # default",
        "  tool_success: {enabled: true, within: 1pp}  # default",
        "  latency_p99: {enabled: true, within: 10%, over: 10m, refresh: 1m, min_calls: 200}  # default",
        "  latency_p90: {enabled: true, within: 10%, over: 10m, refresh: 1m, min_calls: 200}  # default",
        "  session_loss: {enabled: true, within: 50%, idle: 2m, ages: [0s, 30s, 1m, 2m, 3m, 5m, 10m, 30m]}  # default",
        "  tools: {enabled: true, within: 5pp}  # default",
        "  availability: {enabled: true, within: 0.5pp}  # default",
        "  cancel_rate: {enabled: false, within: 0.5pp}  # default",
        "  rejected_rate: {enabled: false, within: 0.5pp}  # default",
        "rollback:",
        "  mode: drain  # default",
        "  severe: rehome  # default",
        "  severe_from: 50%  # default",
        "  deadline: 15m  # default",
        "deadline:",
        "  after: 14d  # default",
        "  then: hold  # default",
        "approve: []  # default",
        "observe: false  # default",
        "strict: false  # default",
        "on_unproven_final: hold  # default",
        "on_sample_ratio: hold  # default",
        "on_mismatch: hold  # default",
        "on_sick_baseline: hold  # default",
        "on_blind: hold  # default",
        "blind_after: 2m  # default",
        "rollback_below: 0.0  # default",
        "bake: 30m  # default",
        "alpha: 0.05  # default",
        "stale_after: 1m  # default",
        "warm_up: 2m  # default",
        "max_stage: 1d  # default",
    ]


def test_what_was_written_is_not_marked_even_if_it_is_the_default() -> None:
    written = Plan.model_validate(
        {
            "service": "orders",
            "canary": "v2",
            "stages": [{"share": "5%", "for": "90s"}, {"share": "10%", "for": "1h", "min_sessions": 20}],
            "rollback": {"mode": "drain"},
            "approve": ["start", 2],
            "bake": "30m",
        }
    )
    lines = render_effective(written).splitlines()
    assert [line for line in lines if "default" not in line] == [
        "service: orders",
        "canary: v2",
        "stages:",
        "  - {share: 10%, for: 1h, min_sessions: 20}",
        "checks:",
        "rollback:",
        "  mode: drain",
        "deadline:",
        "approve: [start, '2']",
        "bake: 30m",
    ]
    first = next(line for line in lines if "90s" in line)
    assert re.fullmatch(r"  - \{share: 5%, for: 90s, min_sessions: 20\} +# default: min_sessions", first)


def test_a_service_is_shown_like_a_plan() -> None:
    service = Service.model_validate(
        {
            "service": "orders",
            "baseline": "v1",
            "versions": {"v1": {"endpoints": ["127.0.0.1:8001"]}, "v2": {"dns": "orders-v2.mcp.svc:8000"}},
        }
    )
    assert render_effective(service).splitlines() == [
        "service: orders",
        "path: /mcp                                                    # default",
        "hosts: ['*']                                                  # default",
        "baseline: v1",
        "versions:",
        "  v1: {endpoints: ['127.0.0.1:8001'], eras: [sessions, stateless]}  # default: eras",
        "  v2: {dns: 'orders-v2.mcp.svc:8000', eras: [sessions, stateless]}  # default: eras",
        "telemetry: mcp-requests                                       # default",
        "assign: [session, principal]                                  # default",
    ]


PARTS = st.fixed_dictionaries(
    {},
    optional={
        "bake": st.sampled_from(["1s", "90s", "2h"]),
        "approve": st.lists(st.sampled_from(["start", "promote", 1, "2"]), max_size=3),
        "rollback": st.fixed_dictionaries({}, optional={"mode": st.sampled_from(["drain", "evict"])}),
        "observe": st.booleans(),
        "alpha": st.floats(min_value=0.001, max_value=0.5, exclude_max=True),
        "checks": st.just({"error_rate": {"within": "1.25pp"}}),
    },
)


@given(PARTS)
def test_what_is_shown_reads_back_as_the_same_plan(parts: dict[str, Any]) -> None:
    effective = plan(**parts)
    assert Plan.model_validate(_read(render_effective(effective))) == effective


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", fullmatch=True))
def test_a_version_reads_back_whatever_it_is_called(name: str) -> None:
    versions = {name: {"endpoints": ["h:1"]}}
    service = Service.model_validate({"service": "orders", "baseline": name, "versions": versions})
    assert Service.model_validate(_read(render_effective(service))) == service


def test_the_tests_service_reads_back() -> None:
    assert Service.model_validate(_read(render_effective(SERVICE))) == SERVICE
