"""A canary that is dead emits no telemetry: what the proxies saw is the evidence."""

from collections.abc import Sequence

from judge.policies.port import Assessment, StageTimes
from judge.policies.sequential import Sequential
from judge.proxies import Difference, Sent
from judge.trial import Trial
from schemas.decisions import CheckResult
from tests.unit.judge.trials import T0, trial

TRIAL = trial()
STAGE_1 = StageTimes(1, (T0,), T0)


def differences(rows: Sequence[tuple[int, int, int, int]], first: int = 0) -> list[Difference]:
    """One each five seconds: (baseline sent, failed, canary sent, failed)."""
    return [
        Difference(
            T0 + 5000 * (first + i),
            T0 + 5000 * (first + i + 1),
            {"v1": Sent(n, bad, n - bad), "v2": Sent(k, wrong, k - wrong)},
        )
        for i, (n, bad, k, wrong) in enumerate(rows)
    ]


def assess(told: Sequence[Difference], of: Trial = TRIAL, times: StageTimes = STAGE_1) -> Assessment:
    comparison = Sequential().begin(of)
    for difference in told:
        comparison.add_difference(difference)
    return comparison.assess((), times)


def check(found: Assessment) -> CheckResult:
    return next(c for c in found.checks if c.check == "availability")


def test_a_dead_canary_is_rolled_back_without_a_word_of_telemetry() -> None:
    got = assess(differences([(1000, 1, 100, 100)] * 3))
    assert got.breached_by == "availability"
    assert check(got).verdict == "breached"
    assert (check(got).canary.n, check(got).canary.bad) == (300, 300)


def test_it_takes_failures_in_three_reports() -> None:
    got = assess(differences([(1000, 1, 100, 100)] * 2))
    assert got.breached_by is None
    assert check(got).why_undecided == "few_buckets"


def test_an_outage_of_both_is_nobodys_fault() -> None:
    assert assess(differences([(1000, 900, 100, 90)] * 20)).breached_by is None


def test_what_was_told_before_the_acknowledgement_does_not_count() -> None:
    early = differences([(1000, 1, 100, 100)] * 3, first=-3)
    assert assess(early).breached_by is None
    assert check(assess(early)).why_undecided == "no_data"


def test_it_warns_and_proves_nothing() -> None:
    got = check(assess(differences([(1000, 1, 1000, 1)] * 60)))
    assert got.gate_margin is None
    assert got.verdict == "undecided"
    assert got.why_undecided is None
    assert got.score == 100


def test_without_reports_it_has_no_data_and_no_part_in_the_score() -> None:
    assert check(assess([])).why_undecided == "no_data"
    assert check(assess([])).score is None
    assert assess([]).score == 75.0


def test_a_plan_may_do_without_it() -> None:
    off = trial(checks={"availability": "off"})
    got = assess(differences([(1000, 1, 100, 100)] * 3), off)
    assert got.breached_by is None
    assert "availability" not in {c.check for c in got.checks}
