"""Plans, services, units and labels: what people write, and what travels in a session id."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from judge.policies.cohort_series import VALUES
from judge.policies.families.table import shares
from schemas.checks import GIVEN, Checks, RateCheck
from schemas.labels import Label, nonce, split_assignment
from schemas.plan import WRITTEN, Plan, as_written
from schemas.service import Service
from schemas.units import (
    FULL_SHARE,
    format_duration_s,
    format_percent,
    format_points,
    format_share,
    parse_duration_s,
    parse_percent,
    parse_points,
    parse_share,
)

SEED = "000102030405060708090a0b0c0d0e0f"


def test_a_plan_of_two_lines_has_the_documents_stages_and_limit() -> None:
    plan = Plan.model_validate({"service": "orders", "canary": "v2"})
    assert [(s.share, s.duration_s) for s in plan.stages] == [(100, 600), (1000, 1800), (5000, 3600)]
    assert plan.checks.error_rate.within == 0.005
    assert [plan.next_share(k) for k in (1, 2, 3)] == [1000, 5000, FULL_SHARE]
    assert [plan.approval_after(k) for k in (0, 1, 2, 3)] == ["start", "2", "3", "promote"]


def test_a_plan_written_back_is_the_same_plan_with_the_same_hash() -> None:
    plan = Plan.model_validate({"service": "orders", "canary": "v2", "stages": [{"share": "12.5%", "for": "90s"}]})
    assert Plan.read(plan.dump()) == plan
    assert Plan.read(plan.dump()).hash == plan.hash


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stages": [{"share": "10%", "for": "5m"}, {"share": "5%", "for": "5m"}]}, "must rise"),
        ({"stages": [{"share": "100%", "for": "5m"}]}, "stay below 100%"),
        ({"stages": [{"share": 10, "for": "5m"}]}, "write it like 1%"),
        ({"stages": [{"share": "10%", "for": 300}]}, "write it like 30s"),
        ({"checks": {"error_rate": {"within": "1%"}}}, "percentage points"),
        ({"checks": {"eror_rate": {"within": "1pp"}}}, "eror_rate"),
        ({"stages": []}, "at least 1 item"),
        ({"canary": "v2~"}, "canary"),
    ],
)
def test_a_wrong_plan_is_refused_with_the_place_and_what_to_write(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Plan.model_validate({"service": "orders", "canary": "v2", **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"baseline": "v9"}, "not among the versions"),
        ({"versions": {"v1": {}}}, "give either"),
        ({"versions": {"v1": {"endpoints": ["nowhere"]}}}, "write it like 10.0.0.7:8000"),
        ({"versions": {"v1": {"endpoints": ["a:1"], "dns": "b:1"}}}, "give either"),
        ({"path": "mcp"}, "path"),
        ({"hosts": ["orders.example.com\n"]}, "hosts"),
        ({"hosts": ["a b"]}, "hosts"),
        ({"service": "Orders.EU"}, "service"),
    ],
)
def test_a_wrong_service_is_refused_with_the_place_and_what_to_write(change: dict[str, object], words: str) -> None:
    right = {"service": "orders", "baseline": "v1", "versions": {"v1": {"endpoints": ["127.0.0.1:8001"]}}}
    with pytest.raises(ValidationError, match=words):
        Service.model_validate({**right, **change})


@given(st.integers(1, FULL_SHARE))
def test_a_share_survives_being_written(share: int) -> None:
    assert parse_share(format_share(share)) == share


@given(st.integers(1, 10**7))
def test_a_duration_survives_being_written(milliseconds: int) -> None:
    assert parse_duration_s(format_duration_s(milliseconds / 1000)) == milliseconds / 1000


@given(st.integers(0, 9_999))
def test_points_survive_being_written(points: int) -> None:
    assert parse_points(format_points(points / 10_000)) == points / 10_000


@given(st.integers(0, 10**9 - 1), st.integers(0, 999), st.sampled_from(["session", "cookie", "principal"]))
def test_a_label_survives_a_session_id_and_keeps_its_length(rollout: int, stage: int, kind: str) -> None:
    label = Label.make(SEED, rollout, stage, "v2", kind)  # type: ignore[arg-type]  # sampled from the three kinds
    assert Label.parse(str(label)) == label
    assert len(str(label)) <= 40


@pytest.mark.parametrize(
    "text",
    ["", "-", "7.2.session", "7.2.session.xyz", "7.2.robot.0123456789abcdef", "r7.2", f"07.2.session.{'0' * 16}"],
)
def test_what_is_no_label_is_none(text: str) -> None:
    assert Label.parse(text) is None


def test_nonces_differ_by_seed_stage_version_and_kind_and_are_rebuilt_the_same() -> None:
    made = {
        nonce(seed, stage, version, kind)
        for seed in (SEED, "ff" * 16)
        for stage in (1, 2)
        for version in ("v1", "v2")
        for kind in ("session", "cookie")
    }
    assert len(made) == 16
    assert nonce(SEED, 2, "v2", "session") == "786db6f38e0cd8b7"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("1.1.session.00;v2", ("1.1.session.00", "v2")),
        ("-;v1", ("-", "v1")),
        (None, ("-", None)),
        ("", ("-", None)),
        ("1.1.session.00", ("-", None)),
        (";v1", ("-", None)),
    ],
)
def test_an_assignment_header_is_split_into_label_and_version(
    header: str | None, expected: tuple[str, str | None]
) -> None:
    assert split_assignment(header) == expected


@pytest.mark.parametrize("word", ["on", True])
def test_a_check_may_be_switched_on_in_one_word(word: object) -> None:
    checks = Checks.model_validate({"error_rate": word, "cancel_rate": word, "tools": "off"})
    assert (checks.error_rate, checks.cancel_rate) == (RateCheck(), RateCheck())
    assert not checks.decides("tools")


def test_checks_may_be_switched_off_in_one_word_and_custom_metrics_stand_beside_the_built_in_ones() -> None:
    checks = {
        "latency_p90": False,
        "tools": "off",
        "tokens": {"kind": "mean"},
        "misses": {"kind": "rate", "within": "1pp"},
    }
    plan = Plan.model_validate({"service": "orders", "canary": "v2", "checks": checks})
    assert Plan.read(plan.dump()) == plan
    assert plan.checks.enabled == (
        "error_rate",
        "tool_success",
        "latency_p99",
        "session_loss",
        "availability",
        "misses",
        "tokens",
    )
    names = (*type(plan.checks).model_fields, *plan.checks.custom, "nobody's")
    assert {name for name in names if plan.checks.decides(name)} == set(plan.checks.enabled)
    assert plan.checks.custom["tokens"].within.ratio == 0.1
    assert plan.checks.custom["misses"].within.points == 0.01


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ({"tokens": {"kind": "mean", "within": "1pp"}}, "no percentage points"),
        ({"tokens": {"kind": "mean", "within": 3}}, "write it like 10%"),
        ({"session_loss": {"ages": ["0s", "7s"]}}, "among those that are counted"),
        ({"latency_p99": {"within": "1pp"}}, "write it like 10%"),
    ],
)
def test_a_wrong_check_is_refused_with_what_to_write(checks: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Plan.model_validate({"service": "orders", "canary": "v2", "checks": checks})


def test_a_plan_that_compares_nothing_is_refused() -> None:
    every = dict.fromkeys(Plan.model_validate({"service": "orders", "canary": "v2"}).checks.enabled, "off")
    with pytest.raises(ValidationError, match="nothing would be compared"):
        Plan.model_validate({"service": "orders", "canary": "v2", "checks": every})


@given(st.integers(0, 10_000))
def test_percent_survives_being_written(hundredths: int) -> None:
    assert parse_percent(format_percent(hundredths / 10_000)) == hundredths / 10_000


def test_the_first_stage_begins_with_the_start_so_one_word_approves_both() -> None:
    for written, meant in ((["start", "1", "2"], ("start", "2")), ([1], ("start",))):
        assert Plan.model_validate({"service": "orders", "canary": "v2", "approve": written}).approve == meant


@pytest.mark.parametrize("final", ["proceed", "rollback"])
def test_a_strict_plan_that_says_what_strict_never_does_is_refused_from_people_and_read_from_the_ledger(
    final: str,
) -> None:
    content = {"service": "orders", "canary": "v2", "strict": True, "on_unproven_final": final}
    with pytest.raises(ValidationError) as caught:
        Plan.model_validate(content, context=WRITTEN)
    (error,) = caught.value.errors()
    assert error["loc"] == ("on_unproven_final",)
    assert f"so {final} would never happen: leave one of them out" in error["msg"]
    taken = Plan.model_validate(content)
    assert Plan.read(taken.dump()) == taken
    with pytest.raises(ValueError, match="on_unproven_final: `strict: true` holds"):
        as_written(taken)


def test_a_strict_plan_that_holds_is_as_written() -> None:
    strict = Plan.model_validate({"service": "orders", "canary": "v2", "strict": True}, context=WRITTEN)
    assert as_written(strict) == strict


RATE = {"kind": "rate", "within": "1pp"}


@pytest.mark.parametrize(
    ("custom", "words"),
    [
        *(({name: RATE}, f"`{name}` is a name of davylamp's own") for name in sorted({*Checks.model_fields, *GIVEN})),
        (
            {"hits": {"kind": "mean", "worse": "lower", "within": "150%"}},
            "`hits`: nothing is 150% lower than the baseline's: write at most 99%",
        ),
    ],
)
def test_a_metric_that_would_take_a_check_s_place_or_fall_below_nothing_is_refused_from_people_and_read_from_the_ledger(
    custom: dict[str, object], words: str
) -> None:
    content = {"service": "orders", "canary": "v2", "checks": {"custom": custom}}
    with pytest.raises(ValidationError) as caught:
        Plan.model_validate(content, context=WRITTEN)
    (error,) = caught.value.errors()
    assert error["loc"] == ("checks",)
    assert words in error["msg"]
    taken = Plan.model_validate(content)
    assert Plan.read(taken.dump()) == taken
    with pytest.raises(ValueError, match=f"checks: {words}"):
        as_written(taken)


def test_every_name_that_windows_give_is_davylamp_s_own() -> None:
    assert {*VALUES} - {*Checks.model_fields} == GIVEN


def test_a_metric_of_the_ledger_that_is_called_like_a_check_leaves_the_check_as_it_is() -> None:
    checks = Checks.model_validate({"custom": {"error_rate": RATE, "tools": RATE, "misses": RATE}})
    assert checks.enabled == (*Checks().enabled, "misses")
    assert shares(checks) == shares(Checks.model_validate({"custom": {"misses": RATE}}))
    off = Checks.model_validate({"error_rate": "off", "custom": {"error_rate": RATE}})
    assert not off.decides("error_rate")
