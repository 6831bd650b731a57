"""The constants that a plan may name: whichever they are, nothing is staked twice."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.policies.families.table import families
from judge.policies.revisions import REVISIONS
from judge.stats.dispersion import by_variance, shrunk
from judge.stats.evidence import BETS_ABOVE
from judge.stats.restarts import restart_schedule
from schemas.policies import USUAL_REVISION, Revision
from tests.builders import plan

NUMBERS = list(REVISIONS)


@pytest.mark.parametrize("number", NUMBERS)
@given(durations=st.lists(st.floats(0.001, 86400), min_size=1, max_size=20))
def test_no_revision_stakes_more_than_everything_on_restarts(number: Revision, durations: list[float]) -> None:
    starts = [60.0 * i for i in range(len(durations))]
    begun = restart_schedule(durations, REVISIONS[number].restarts).begun(starts, math.inf)
    assert math.fsum(restart.weight for restart in begun) <= 1 + 1e-12
    assert all(restart.weight > 0 for restart in begun)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_bets_of_every_revision_share_one_stake(number: Revision) -> None:
    bets = REVISIONS[number].bets
    assert bets is None or (len(bets) == len(BETS_ABOVE) and math.fsum(bets) == pytest.approx(1) and (bets > 0).all())


def test_revision_two_stakes_more_on_large_rises_and_leaves_none_out() -> None:
    bets = REVISIONS[2].bets
    assert bets is not None
    large = (BETS_ABOVE > 2.5) & (BETS_ABOVE < 60)
    assert math.fsum(bets[large]) > 0.6
    assert bets.min() == pytest.approx(0.5 / len(BETS_ABOVE))


def test_only_failures_are_pooled_as_the_usual_revision_says() -> None:
    checks = plan(checks={"tokens": {"kind": "mean", "within": "20%"}}).checks
    pooled = {
        family.claim.check: family.clusters.pooling
        for family in families(checks, REVISIONS[USUAL_REVISION])
        if hasattr(family, "clusters")
    }
    failures = {"error_rate", "tool_success", "tools"}
    assert pooled == {check: by_variance if check in failures else shrunk for check in pooled}
    assert pooled.keys() == failures | {"latency_p99", "latency_p90", "tokens"}
