"""The sequential policy over whole rollouts of made-up windows."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judge.policies.port import Assessment, StageTimes
from judge.policies.sequential import Sequential, SequentialComparison
from judge.trial import TrialWindow
from schemas.windows import Cell
from tests.builders import ONLY_ERRORS
from tests.unit.judge.trials import T0, cell, trial, windows

TRIAL = trial(checks=ONLY_ERRORS)
STAGE_1 = StageTimes(1, (T0,), T0)
STAGE_2 = StageTimes(2, (T0, T0 + 10_000), T0 + 10_000)


def seconds(rows: Sequence[tuple[int, int, int, int]], *, spread: int = 16, first: int = 1) -> list[TrialWindow]:
    """One row a second: (baseline n, bad, canary n, bad), errors evenly over `spread` session buckets."""
    cells, wrong = [], [0, 0]
    for n, bad, k, y in rows:
        both = cell("v1", n, bad, buckets=spread, first=wrong[0]), cell("v2", k, y, buckets=spread, first=wrong[1])
        cells.append(both)
        wrong = [wrong[0] + bad, wrong[1] + y]
    return windows(TRIAL, cells, first)


def compared(final: Sequence[TrialWindow]) -> SequentialComparison:
    comparison = Sequential().begin(TRIAL)
    for window in final:
        comparison.add(window)
    return comparison


def assess(
    final: Sequence[TrialWindow], still_open: Sequence[TrialWindow] = (), times: StageTimes = STAGE_1
) -> Assessment:
    return compared(final).assess(still_open, times)


def test_without_data_nothing_is_breached_proven_or_suspicious() -> None:
    got = assess([])
    assert got.breached_by is None
    assert not got.within
    assert not got.suspicious
    check = got.checks[0]
    assert (check.difference, check.low, check.high, check.score) == (None, None, None, None)
    assert check.why_undecided == "no_data"
    assert got.score == 75.0


def test_before_the_first_acknowledgement_nothing_counts() -> None:
    assert assess(seconds([(80, 1, 20, 20)] * 5), times=StageTimes(1, ())).breached_by is None


def test_what_came_before_the_first_acknowledgement_does_not_count() -> None:
    late = StageTimes(1, (T0 + 5_000,), T0 + 5_000)
    assert assess(seconds([(80, 1, 20, 20)] * 5), times=late).checks[0].canary.n == 0
    assert assess(seconds([(80, 1, 20, 20)] * 8), times=late).checks[0].canary.n == 60


def test_a_canary_that_fails_thirty_percent_is_breached_within_three_seconds() -> None:
    got = assess(seconds([(60, 1, 15, 5)] * 3))
    assert got.breached_by == "error_rate"
    assert got.score == 0
    check = got.checks[0]
    assert check.verdict == "breached"
    assert check.low is not None
    assert check.low >= check.margin
    assert check.difference == pytest.approx(1 / 3 - 1 / 60, rel=1e-5)
    assert check.canary.value == pytest.approx(1 / 3, rel=1e-5)


def test_open_windows_bring_a_breach_forward_and_prove_nothing() -> None:
    bad = assess(seconds([(60, 1, 15, 0)]), seconds([(60, 1, 15, 6)] * 3, first=2))
    assert bad.breached_by == "error_rate"
    healthy = seconds([(400, 4, 400, 4)] * 10)
    assert assess(healthy).within
    assert not assess([], healthy).within


def test_looking_ahead_changes_no_later_look() -> None:
    final, ahead = seconds([(60, 1, 15, 0)] * 3), seconds([(60, 1, 15, 6)] * 3, first=4)
    looked = compared(final)
    before = looked.assess((), STAGE_1)
    looked.assess(ahead, STAGE_1)
    assert looked.assess((), STAGE_1) == before == compared(final).assess((), STAGE_1)


def test_errors_of_two_sessions_are_not_a_bad_release() -> None:
    got = assess(seconds([(60, 1, 15, 10)] * 3, spread=2))
    assert got.breached_by is None
    assert got.checks[0].why_undecided == "few_buckets"
    assert got.checks[0].low is None


def test_a_healthy_canary_is_proven_and_its_upper_bound_is_inside_the_gates_margin() -> None:
    got = assess(seconds([(60, 1, 60, 1)] * 12, first=11), times=STAGE_2)
    assert got.within
    check = got.checks[0]
    assert check.verdict == "within"
    assert check.gate_margin == TRIAL.plan.checks.error_rate.within
    assert check.high is not None
    assert check.high <= check.gate_margin
    assert check.needed is None
    assert got.score > 90


def test_what_is_missing_for_a_proof_is_told_in_sessions_and_comes_true() -> None:
    healthy = seconds([(60, 1, 15, i % 4 == 2) for i in range(400)], first=11)
    begun = assess(healthy[:5], times=STAGE_2)
    assert begun.checks[0].why_undecided == "more_needed"
    assert begun.checks[0].needed is not None
    more = next(n for n in range(5, 400, 2) if assess(healthy[:n], times=STAGE_2).within) - 5
    assert 0.5 < begun.checks[0].needed / more < 2  # one session a second


def test_a_canary_at_its_margin_is_told_no_number_of_sessions() -> None:
    got = assess(seconds([(100, 1, 100, 6)] * 30, first=11), times=STAGE_2)
    assert got.checks[0].verdict == "undecided"
    assert got.checks[0].needed is None


def test_the_first_stage_proves_the_margin_of_the_whole_service_at_the_next_share() -> None:
    assert assess(seconds([(60, 1, 15, 0)])).checks[0].gate_margin == pytest.approx(0.10)


def test_a_stage_proves_its_margin_on_its_own_data() -> None:
    first_stage = seconds([(400, 4, 400, 4)] * 10)
    assert assess(first_stage, times=STAGE_1).within
    for late_ms in (0, 1, 999):
        begun = T0 + 10_000 + late_ms
        assert not assess(first_stage, times=StageTimes(2, (T0, begun), begun)).within


def test_a_stage_that_is_begun_anew_keeps_its_evidence_and_proves_its_margin_anew() -> None:
    proven = seconds([(400, 4, 400, 4)] * 10)
    anew = StageTimes(1, (T0,), T0 + 10_000)
    assert not assess(proven, times=anew).within
    assert not assess(proven, times=StageTimes(1, (T0,), None)).within
    assert assess(proven, times=anew).checks[0].log_e_breach == assess(proven).checks[0].log_e_breach < 0
    more = proven + seconds([(400, 4, 400, 4)] * 10, first=11)
    assert assess(more, times=anew).within


def test_the_smaller_a_plans_alpha_the_more_a_breach_takes() -> None:
    def breached_after(alpha: float) -> int:
        comparison = Sequential().begin(trial(checks=ONLY_ERRORS, alpha=alpha))
        for number, window in enumerate(seconds([(60, 1, 15, 3)] * 60), start=1):
            comparison.add(window)
            if comparison.assess((), STAGE_1).breached_by:
                return number
        return 60

    eager, usual, careful = map(breached_after, (0.4, 0.05, 0.0001))
    assert 1 < eager < usual < careful < 60


@pytest.mark.parametrize(("check", "outcome"), [("cancel_rate", "cancelled"), ("rejected_rate", "rejected")])
def test_cancelled_and_rejected_requests_are_counted_apart_and_judged_only_if_the_plan_says_so(
    check: str, outcome: str
) -> None:
    def ended(version: str, ok: int, so: int) -> Cell:
        return cell(version, ok).model_copy(update={"outcomes": {"ok": ok, outcome: so}})

    def judged(windows_of: int, canary: int, **asked: object) -> Assessment:
        of = trial(checks={**ONLY_ERRORS, **asked})
        comparison = Sequential().begin(of)
        for window in windows(of, [[ended("v1", 60, 1), ended("v2", 20, canary)]] * windows_of):
            comparison.add(window)
        return comparison.assess((), STAGE_1)

    asked = {check: {"within": "5pp"}}
    bad, shown = judged(10, 15, **asked), judged(10, 15)
    assert (bad.breached_by, shown.breached_by) == (check, None)
    for found in (bad, shown):
        told = {c.check: c for c in found.checks}
        assert (told[check].baseline.n, told[check].baseline.bad) == (610, 10)
        assert (told[check].canary.n, told[check].canary.bad) == (350, 150)
        assert told["error_rate"].canary.n == 200
    assert judged(2, 15, **asked).breached_by is None
    assert judged(10, 1, **asked).breached_by is None


def test_an_incident_that_both_cohorts_share_is_nobodys_fault() -> None:
    calm, incident = [(400, 4, 4, 0)] * 10, [(200, 60, 200, 60)] * 10
    assert assess(seconds(calm + incident)).breached_by is None


def test_a_somewhat_worse_canary_is_suspicious_before_it_is_breached() -> None:
    seen = [assess(seconds([(60, 1, 15, 2)] * n)) for n in range(1, 40)]
    first_suspicious = next(i for i, a in enumerate(seen) if a.suspicious)
    first_breach = next((i for i, a in enumerate(seen) if a.breached_by), len(seen))
    assert first_suspicious < first_breach


def test_suspicion_lasts_until_the_evidence_is_gone() -> None:
    worse = seconds([(60, 1, 15, 2)] * 9)
    comparison, seen = compared(worse), []
    assert comparison.assess((), STAGE_1).suspicious
    for window in seconds([(60, 1, 15, 0)] * 60, first=10):
        comparison.add(window)
        got = comparison.assess((), STAGE_1)
        seen.append((got.suspicious, got.checks[0].log_e_breach))
    assert any(suspicious and log_e < 1 for suspicious, log_e in seen)
    assert all(suspicious == (log_e >= 0) for suspicious, log_e in seen[1:])
    assert not seen[-1][0]


def test_a_breach_by_a_late_fault_is_told_with_the_numbers_since_then() -> None:
    healthy, fault = [(400, 4, 100, 1)] * 10, [(60, 1, 15, 7)] * 3
    stage_2 = StageTimes(2, (T0, T0 + 10_000), T0 + 10_000)
    got = assess(seconds(healthy + fault), times=stage_2)
    check = got.checks[0]
    assert got.breached_by == "error_rate"
    assert check.since == T0 + 10_000
    assert (check.canary.n, check.canary.bad, check.baseline.n, check.baseline.bad) == (45, 21, 180, 3)
    assert check.low is not None
    assert check.difference is not None
    assert check.margin <= check.low < check.difference


def test_what_an_entry_carries_has_six_significant_digits() -> None:
    check = assess(seconds([(61, 1, 17, 3)] * 2)).checks[0]
    for value in (check.difference, check.low, check.log_e_breach, check.log_e_within, check.dispersion):
        assert value is not None
        assert value == float(f"{value:.6g}")


# Whatever came when: the same windows and the same times give the same words.

COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 3), st.integers(0, 15), st.integers(0, 15))
ROWS = st.lists(COUNTS.map(lambda c: (c[0], min(c[0], c[1]), c[2], min(c[2], c[3]))), min_size=1, max_size=40)
TIMES = st.lists(st.integers(0, 45_000), min_size=1, max_size=2, unique=True).map(sorted)


@st.composite
def standings(draw: st.DrawFn) -> StageTimes:
    """A rollout that stands anywhere, and may have begun its stage anew."""
    begun = tuple(T0 + ms for ms in draw(TIMES))
    proof = draw(st.sampled_from([begun[-1], begun[-1] + 7_000, None]))
    return StageTimes(len(begun), begun, proof)


@settings(max_examples=30, deadline=None)
@given(ROWS, st.lists(st.tuples(st.integers(0, 40), standings()), max_size=6), standings(), st.integers(0, 3))
def test_looks_in_between_and_late_acknowledgements_leave_no_trace(
    rows: list[tuple[int, int, int, int]], looks: list[tuple[int, StageTimes]], times: StageTimes, ahead: int
) -> None:
    made = seconds(rows)
    final, still_open = made[: len(made) - ahead], made[len(made) - ahead :]
    looked = Sequential().begin(TRIAL)
    for number, window in enumerate(final):
        for at, stood in looks:
            if at == number:
                looked.assess(made[number : number + 2], stood)
        looked.add(window)
    assert looked.assess(still_open, times) == assess(final, still_open, times)


@settings(max_examples=25, deadline=None)
@given(ROWS, standings())
def test_a_verdict_and_its_interval_never_disagree(rows: list[tuple[int, int, int, int]], times: StageTimes) -> None:
    check = assess(seconds(rows), times=times).checks[0]
    assert (check.low is not None and check.low >= check.margin) is (check.verdict == "breached")
    assert check.gate_margin is not None
    proven = check.high is not None and check.high <= check.gate_margin
    assert proven is (check.verdict == "within" or (check.verdict == "breached" and proven))


def row_of(cells: list[Cell]) -> list[TrialWindow]:
    return windows(TRIAL, [cells])


def test_kinds_are_strata_and_those_without_a_birth_are_judged_when_their_caches_are_warm() -> None:
    def moved(second: int) -> list[TrialWindow]:
        bad = [cell("v1", 60, 1, kind="principal"), cell("v2", 15, 15, kind="principal")]
        return windows(TRIAL, [bad] * 4, second)

    assert assess(moved(1)).breached_by is None
    assert assess(moved(117)).breached_by is None
    assert assess(moved(121)).breached_by == "error_rate"
    hasty = Sequential().begin(trial(checks=ONLY_ERRORS, warm_up="5s"))
    for window in moved(1):
        hasty.add(window)
    assert hasty.assess((), STAGE_1).breached_by is None
    for window in moved(5):
        hasty.add(window)
    assert hasty.assess((), STAGE_1).breached_by == "error_rate"
    second_stage = StageTimes(2, (T0, T0 + 100_000), T0 + 100_000)
    assert assess(moved(121), times=second_stage).breached_by is None
    assert assess(moved(221), times=second_stage).breached_by == "error_rate"


@pytest.mark.parametrize("acknowledged", [T0 + 4_000, T0 + 10_000, T0 + 12_000])
def test_windows_that_were_folded_as_the_last_look_knew_them_are_folded_as_the_next_one_does(acknowledged: int) -> None:
    final = seconds([(80, i % 3, 20, i % 5) for i in range(16)])
    often, late = Sequential().begin(TRIAL), StageTimes(2, (T0, acknowledged), acknowledged)
    for window in final:
        often.add(window)
        often.assess((), STAGE_1)
    assert often.assess((), late) == compared(final).assess((), late) != compared(final).assess((), STAGE_1)
