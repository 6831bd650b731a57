"""Which policy judges: understood as a whole, or refused with every mistake where it stands."""

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from schemas.plan import WRITTEN, Plan, as_written
from schemas.policies import COMPARED, PolicyChoice
from status.mistakes import mistakes
from tests.builders import ONLY_ERRORS, plan

KAYENTA = "policy: kayenta\n"


def wrong(text: str) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Plan.model_validate({"service": "orders", "canary": "v2", **yaml.safe_load(text)})
    return [str(mistake) for mistake in mistakes(caught.value.errors(), Plan)]


def test_a_plan_without_a_policy_is_the_plan_that_it_always_was() -> None:
    assert plan().policy is None
    assert b"policy" not in plan().dump()


def test_a_name_alone_takes_every_default() -> None:
    assert plan(policy="kayenta").policy == PolicyChoice(name="kayenta")


def test_a_plan_with_a_policy_reads_back_though_it_then_names_every_check() -> None:
    chosen = plan(policy="kayenta")
    assert Plan.read(chosen.dump()) == chosen


def test_a_policy_makes_it_another_plan_and_reads_back_as_it_was_written() -> None:
    chosen = plan(policy={"name": "threshold", "rule": "argo", "interval": "2s", "failure_limit": 1})
    assert Plan.model_validate_json(chosen.dump()) == chosen
    assert chosen.hash != plan(policy="threshold").hash != plan().hash


def test_a_plan_of_the_ledger_that_names_no_revision_means_the_first_for_ever() -> None:
    assert plan(policy="sequential").policy == PolicyChoice(name="sequential")
    assert b"revision" not in plan(policy="sequential").dump()


@pytest.mark.parametrize("unnamed", [{}, {"policy": "sequential"}, {"policy": None}])
def test_a_plan_that_a_person_hands_in_gets_the_usual_revision_if_it_names_none(
    unnamed: dict[str, Any],
) -> None:
    content = {"service": "orders", "canary": "v2", **unnamed}
    usual = PolicyChoice(name="sequential", revision=2)
    for handed_in in (as_written(Plan.model_validate(content)), Plan.model_validate(content, context=WRITTEN)):
        assert handed_in.policy == usual
        assert as_written(handed_in) == handed_in


def test_a_plan_keeps_the_policy_and_the_revision_that_it_names() -> None:
    for named in (plan(policy={"name": "sequential", "revision": 1}), plan(policy="kayenta")):
        assert as_written(named) == named


def test_while_the_first_revision_is_usual_nothing_is_written_into_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("schemas.policies.USUAL_REVISION", 1)
    assert as_written(plan()).dump() == plan().dump()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("policy: {name: sequential, revision: 3}", "policy.revision: input should be 1 or 2, not 3"),
        (
            "policy: {name: kayenta, revision: 2}",
            "policy.revision: belongs to policy sequential, not to kayenta: leave it out",
        ),
        ("policy: kayente", "policy.name: input should be 'sequential', 'kayenta' or 'threshold', not 'kayente'"),
        ("policy: 3", "policy: 3 is no policy; write its name, or {name: kayenta, pass: 95}"),
        ("policy: {pass: 90}", "policy.name: is missing"),
        ("policy: {name: kayenta, slots: 1m}", "policy.slots: is not known here; did you mean slot?"),
        ("policy: {name: kayenta, pass: 101}", "policy.pass: input should be less than or equal to 100, not 101"),
        ("policy: {name: kayenta, slot: 0s}", "policy.slot: input should be greater than or equal to 1, not '0s'"),
        ("policy: {name: threshold, interval: 1ms}", "policy.interval: input should be greater than or equal to 1"),
        (
            f"policy: {{name: threshold, interval: {'9' * 400}d}}",
            f"policy.interval: {'9' * 20}… d is longer than a hund",
        ),
        (f"bake: {'9' * 400}d", f"bake: {'9' * 20}… d is longer than a hundred years"),
        (
            "policy: {name: threshold, failed_checks: 0}",
            "policy.failed_checks: input should be greater than or equal to 1",
        ),
        (
            "policy: {name: kayenta, failed_checks: 3}",
            "policy.failed_checks: belongs to policy threshold, not to kayenta: leave it out",
        ),
        (
            "policy: {name: sequential, slot: 3s}",
            "policy.slot: belongs to policy kayenta, not to sequential: leave it out",
        ),
        (
            "policy: {name: threshold, failure_limit: 3}",
            "policy.failure_limit: belongs to rule argo, not to flagger: leave it out",
        ),
        (
            "policy: {name: kayenta, pass: 50, marginal: 60}",
            "policy.marginal: 60 lies above pass (50): a score cannot pass and be marginal",
        ),
        (KAYENTA + "alpha: 0.1", "policy: `alpha` means nothing to kayenta: leave it out, or take policy sequential"),
        (
            KAYENTA + "checks: {session_loss: {within: 10%}, tools: {within: 2pp}}",
            "policy: kayenta cannot compare session_loss, tools: write `session_loss: off`, `tools: off`",
        ),
        (
            KAYENTA + "checks: {error_rate: off, tool_success: off, latency_p99: off, latency_p90: off}",
            "policy: kayenta compares cancel_rate, error_rate, latency_p90, latency_p99, rejected_rate, tool_success",
        ),
        (
            "policy: {name: kayenta, slot: 20m}",
            "policy: `slot` 20m is longer than a stage (10m), which would be judged by no value: write a shorter one",
        ),
        (
            "policy: {name: threshold, interval: 20m}",
            "policy: it would end no rollout before 2h, and the stages take 100m: write a shorter `interval`",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_to_write(text: str, said: str) -> None:
    (found,) = wrong(text)
    assert found.startswith(said)


def test_every_mistake_of_a_plan_is_told_at_once() -> None:
    found = wrong(
        "policy: {name: kayenta, failed_checks: 3, marginal: 99}\nalpha: 0.5\nweights: {error_rate: 3}\n"
        "checks: {error_rate: {within: -0.5pp}, latency_p99: {within: 10pp}, tokens: {kind: mean, within: 1pp}}"
    )
    assert [line.split(":")[0] for line in found] == [
        "checks.error_rate.within",
        "checks.latency_p99.within",
        "checks.custom.tokens",
        "alpha",
        "policy.marginal",
        "policy.failed_checks",
        "weights",
    ]


@pytest.mark.parametrize("alpha", [0, 0.5, 0.7, -0.01, float("nan")])
def test_alpha_lies_between_0_and_a_half(alpha: float) -> None:
    with pytest.raises(ValidationError, match="alpha"):
        plan(alpha=alpha)


def test_checks_that_are_on_by_default_stand_in_no_policys_way() -> None:
    assert plan(policy="threshold", checks={"session_loss": "off"}).policy is not None


def test_a_custom_metric_is_compared_by_every_policy() -> None:
    checks: dict[str, Any] = {**ONLY_ERRORS, "error_rate": "off", "tokens": {"kind": "mean", "within": "10%"}}
    for name in COMPARED:
        assert plan(policy=name, checks=checks).checks.enabled == ("tokens",)


@pytest.mark.parametrize(
    ("stages", "policy", "interval_s"),
    [
        ([("1%", "10m"), ("50%", "1h")], "threshold", 60.0),
        ([("20%", "10s"), ("50%", "1h")], "kayenta", 1.0),
        ([("20%", "10s"), ("50%", "1h")], {"name": "kayenta", "slot": "2s"}, 2.0),
        ([("20%", "10s"), ("50%", "1h")], {"name": "threshold", "interval": "5s"}, 5.0),
    ],
)
def test_a_value_is_of_a_minute_or_of_a_tenth_of_the_shortest_stage(
    stages: list[tuple[str, str]], policy: Any, interval_s: float
) -> None:
    written = [{"share": share, "for": duration} for share, duration in stages]
    assert plan(stages=written, policy=policy).interval_s == interval_s
