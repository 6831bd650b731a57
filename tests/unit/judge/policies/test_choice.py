"""A rollout is judged by the policy that its plan names."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from judge.policies import sequential
from judge.policies.choice import AsPlanned
from judge.policies.kayenta.policy import Kayenta
from judge.policies.kayenta.settings import Thresholds
from judge.policies.port import Assessment, Policy, StageTimes
from judge.policies.revisions import Constants
from judge.policies.sequential import Sequential
from judge.policies.threshold.policy import argo_relative_to_baseline, limits_of, relative_to_baseline
from judge.stats.dispersion import shrunk
from judge.trial import TrialWindow
from schemas.windows import Cell
from tests.builders import ONLY_ERRORS, plan
from tests.unit.judge.trials import T0, cell, trial, windows

TIMES = StageTimes(1, (T0,), T0)


def seconds(found: list[tuple[int, int]], **changes: Any) -> list[TrialWindow]:
    return windows(trial(**changes), [(cell("v1", 200, 2), cell("v2", n, bad)) for n, bad in found])


BAD, GOOD = [(200, 60)] * 20, [(200, 2)] * 20


def assess(by: Policy, rows: list[tuple[int, int]], **changes: Any) -> Any:
    comparison = by.begin(trial(**changes))
    for window in seconds(rows, **changes):
        comparison.add(window)
    return comparison.assess((), TIMES)


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        (None, Sequential()),
        ("sequential", Sequential()),
        ({"name": "sequential", "revision": 1}, Sequential()),
        ({"name": "sequential", "revision": 2}, Sequential(2)),
        ("kayenta", Kayenta(slot_ms=1000)),
        ({"name": "kayenta", "pass": 60, "slot": "2s"}, Kayenta(None, Thresholds(60, 60), 2000)),
        ("threshold", relative_to_baseline(plan(checks=ONLY_ERRORS), threshold=5, interval_s=1.0)),
        (
            {"name": "threshold", "failed_checks": 2, "interval": "3s"},
            relative_to_baseline(plan(checks=ONLY_ERRORS), threshold=2, interval_s=3.0),
        ),
        (
            {"name": "threshold", "rule": "argo", "failure_limit": 1},
            argo_relative_to_baseline(plan(checks=ONLY_ERRORS), failure_limit=1, interval_s=1.0),
        ),
    ],
)
@pytest.mark.parametrize("rows", [BAD, GOOD])
def test_the_plan_s_policy_says_what_it_says_itself(chosen: Any, named: Policy, rows: list[tuple[int, int]]) -> None:
    changes = {"checks": ONLY_ERRORS, "policy": chosen}
    assert assess(AsPlanned(), rows, **changes) == assess(named, rows, **changes)


CLUMP = (cell("v1", 19_800), cell("v1", 200, 200, buckets=1))
"""A hundredth of the baseline's requests fail, all of one client."""


def assess_all(rows: Sequence[Sequence[Cell]], chosen: Any) -> Assessment:
    of = trial(checks=ONLY_ERRORS, policy=chosen)
    comparison = AsPlanned().begin(of)
    for told in windows(of, rows):
        comparison.add(told)
    return comparison.assess((), TIMES)


def breached_by(chosen: Any) -> str | None:
    """After ten seconds of a canary that fails for everybody."""
    return assess_all([(*CLUMP, cell("v2", 640, 160))] * 10, chosen).breached_by


def test_another_revision_decides_by_other_constants() -> None:
    assert breached_by({"name": "sequential", "revision": 2}) == "error_rate"
    assert breached_by({"name": "sequential", "revision": 1}) is None
    assert breached_by(None) is None


def test_at_revision_two_a_scattered_error_of_the_canary_proves_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def proof(bad: int) -> float:
        rows = [cell("v1", 9950, buckets=64), cell("v1", 50, 50, buckets=1), cell("v2", 1500, bad, buckets=64)]
        found: float = assess_all([rows], {"name": "sequential", "revision": 2}).checks[0].log_e_within
        return found

    assert proof(3) < proof(2) < proof(1) < proof(0)
    monkeypatch.setattr(sequential, "REVISIONS", {2: Constants(partial(shrunk, nu=0.0))})
    assert proof(1) > 50 * proof(0)


@pytest.mark.parametrize("chosen", ["sequential", "kayenta", "threshold", {"name": "threshold", "rule": "argo"}])
def test_every_policy_finds_what_is_plain(chosen: Any) -> None:
    changes = {"checks": ONLY_ERRORS, "policy": chosen}
    assert assess(AsPlanned(), BAD, **changes).breached_by is not None
    assert assess(AsPlanned(), GOOD, **changes).breached_by is None


@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ("kayenta", "Kayenta's judge, score 0: The metric error_rate was classified as High (Critical)."),
        ("threshold", "Flagger's rule: 5 failed checks, the last of error_rate.difference."),
        (
            {"name": "threshold", "rule": "argo"},
            'Argo\'s rule: Metric "error_rate.difference" assessed Failed due to failed (1) > failureLimit (0).',
        ),
    ],
)
def test_a_breach_is_told_in_the_policy_s_own_words(chosen: Any, sentence: str) -> None:
    assert assess(AsPlanned(), BAD, checks=ONLY_ERRORS, policy=chosen).sentence == sentence


def test_each_margin_becomes_the_threshold_that_says_the_same() -> None:
    checks = {
        "tokens": {"kind": "mean", "within": "20%"},
        "hits": {"kind": "rate", "worse": "lower", "within": "2pp"},
        "saved": {"kind": "mean", "worse": "lower", "within": "25%"},
        "misses": {"kind": "rate", "within": "1pp"},
        "cancel_rate": {"within": "3pp"},
    }
    assert [(limit.metric, limit.broken) for limit in limits_of(plan(checks=checks))] == [
        ("error_rate.difference", "result > 0.005"),
        ("tool_success.difference", "result > 0.01"),
        ("latency_p99.ratio", "result > 1.1"),
        ("latency_p90.ratio", "result > 1.1"),
        ("cancel_rate.difference", "result > 0.03"),
        ("hits.difference", "result < -0.02"),
        ("misses.difference", "result > 0.01"),
        ("saved.ratio", "result < 0.75"),
        ("tokens.ratio", "result > 1.2"),
    ]
