"""Parts of alpha and weights: fixed by the plan, and never more than everything."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judge.policies.families.table import (
    ALPHA_PARTS,
    ALPHA_PARTS_BESIDE_AVAILABILITY,
    families,
    proxied_families,
    score_weight,
    shares,
)
from judge.policies.sequential import Sequential
from judge.stats.restarts import restart_schedule
from schemas.checks import Checks
from schemas.plan import Plan
from tests.unit.judge.trials import trial

BUILT_IN = tuple(name for name in Checks.model_fields if name != "custom")
DOCUMENT = {
    "error_rate": 0.3,
    "tool_success": 0.2,
    "latency_p99": 0.2,
    "latency_p90": 0.1,
    "session_loss": 0.1,
    "tools": 0.1,
}

settings_of_checks = st.fixed_dictionaries(
    {},
    optional={
        **{name: st.sampled_from(["off", {"enabled": True}]) for name in BUILT_IN},
        "tokens": st.just({"kind": "mean"}),
        "hits": st.just({"kind": "rate", "worse": "lower", "within": "1pp"}),
        "cost": st.just({"kind": "mean", "enabled": False}),
    },
)


def checks(found: dict[str, Any]) -> Checks | None:
    try:
        return Checks.model_validate(found)
    except ValueError:  # every check is off
        return None


def test_the_published_parts() -> None:
    without = shares(Checks.model_validate({"availability": "off"}))
    assert without == pytest.approx(DOCUMENT)
    beside = {**DOCUMENT, "error_rate": 0.25, "tool_success": 0.15, "availability": 0.1}
    assert shares(Checks()) == pytest.approx(beside)
    for parts in (ALPHA_PARTS, ALPHA_PARTS_BESIDE_AVAILABILITY):
        assert math.fsum(
            part for check, part in parts.items() if not check.endswith(("cancel_rate", "rejected_rate"))
        ) == (pytest.approx(1))


def test_what_a_plan_lacks_goes_to_the_others_in_proportion() -> None:
    some = shares(Checks.model_validate({"availability": "off", "tools": "off", "latency_p90": "off"}))
    assert some["error_rate"] / some["session_loss"] == pytest.approx(3)
    assert some["error_rate"] == pytest.approx(0.3 / 0.8)


def test_a_custom_metric_takes_as_much_as_a_check_that_warns() -> None:
    some = shares(Checks.model_validate({"availability": "off", "tokens": {"kind": "mean"}}))
    assert some["tokens"] == pytest.approx(some["session_loss"]) == pytest.approx(0.1 / 1.1)


@settings(max_examples=200)
@given(settings_of_checks)
def test_the_parts_of_every_plan_sum_to_one_and_each_has_a_family(found: dict[str, Any]) -> None:
    plan = checks(found)
    if plan is None:
        return
    given_out = shares(plan)
    assert math.fsum(given_out.values()) == pytest.approx(1)
    assert tuple(given_out) == plan.enabled
    assert all(part > 0 and score_weight(check) > 0 for check, part in given_out.items())
    of = trial(checks=found)
    deciding = {f.claim.check for f in families(plan) if f.claim.decides} | {
        f.claim.check for f in proxied_families(of)
    }
    assert deciding == set(given_out)
    assert Sequential().begin(of).assess((), stage_1()).breached_by is None


def stage_1() -> Any:
    from judge.policies.port import StageTimes

    return StageTimes(1, (0,), 0)


durations = st.sampled_from(["1ms", "10s", "5m", "299s", "1h", "7h"])


@given(
    st.lists(st.tuples(st.integers(1, 9999), durations), min_size=1, max_size=20, unique_by=lambda s: s[0]), st.data()
)
def test_restart_weights_of_every_plan_sum_to_one_at_most(stages: list[tuple[int, str]], data: st.DataObject) -> None:
    written = [{"share": f"{share / 100:g}%", "for": each} for share, each in sorted(stages)]
    plan = Plan.model_validate({"service": "orders", "canary": "v2", "stages": written})
    schedule = restart_schedule([stage.duration_s for stage in plan.stages])
    starts = sorted(data.draw(st.lists(st.floats(0, 1e6), min_size=1, max_size=len(stages))))
    begun = schedule.begun(starts, math.inf)
    assert math.fsum(restart.weight for restart in begun) <= 1 + 1e-9
    assert len(begun) <= len(stages) + 96
