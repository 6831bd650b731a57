"""Errors that come in clumps: what they cost, and how few clients may never decide."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.stats.dispersion import Pooling, by_variance, cohort_dispersion, shrunk
from judge.stats.evidence import Floats

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[3] / "golden" / "12-twin-dispersion.json").read_text())


def buckets(counted: Sequence[float], bad: Sequence[float]) -> Floats:
    return np.array([counted, bad], np.float64).T


CLUSTERS: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "golden" / "03-cluster-variance.json").read_text(encoding="utf-8")
)

each_pooling = pytest.mark.parametrize("pooling", [shrunk, by_variance])

cells = st.integers(0, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))
tables = st.lists(cells, min_size=6, max_size=6).map(lambda rows: np.array(rows, np.int64))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_it_equals_forty_digit_arithmetic(case: dict[str, Any]) -> None:
    assert case["nu"] == 8
    spread = shrunk(buckets(case["n_canary"], case["y_canary"]), buckets(case["n_baseline"], case["y_baseline"]))
    assert spread.canary == pytest.approx(case["D_canary"], rel=GOLDEN["rel_tol"])
    assert spread.baseline == pytest.approx(case["D_baseline"], rel=GOLDEN["rel_tol"])
    assert spread.pooled == pytest.approx(case["D"], rel=GOLDEN["rel_tol"])
    assert spread.canary_buckets == case["buckets_with_events"]


@pytest.mark.parametrize("case", CLUSTERS["cases"], ids=lambda case: case["name"])
def test_it_is_the_cluster_robust_variance_of_a_rate_over_the_number_of_bad_ones(case: dict[str, Any]) -> None:
    expected = case["expected"]
    found = cohort_dispersion(buckets(case["n"], case["y"]), floor=0.0)
    variance_of_sum = expected["var_R"] * expected["N"] ** 2
    assert found == pytest.approx(variance_of_sum / expected["Y"] if expected["Y"] else 1.0, rel=CLUSTERS["rel_tol"])
    assert cohort_dispersion(buckets(case["n"], case["y"])) == max(1.0, found)


def test_it_knows_how_many_buckets_the_canary_filled() -> None:
    canary = buckets([10] * 20 + [0] * 44, [1] * 5 + [0] * 59)
    assert (shrunk(canary, canary).canary_filled, shrunk(canary, canary).canary_buckets) == (20, 5)


@pytest.mark.parametrize(
    "table", [buckets([], []), buckets([0, 0], [0, 0]), buckets([9, 4], [0, 0]), buckets([7], [5])]
)
def test_it_is_one_where_nothing_can_be_told(table: Floats) -> None:
    assert cohort_dispersion(table) == 1.0


def test_buckets_without_requests_do_not_count() -> None:
    filled, padded = buckets([9, 8, 7], [5, 0, 1]), buckets([9, 0, 8, 7, 0], [5, 0, 0, 1, 0])
    assert cohort_dispersion(filled) == pytest.approx(cohort_dispersion(padded))
    assert cohort_dispersion(filled) > 1


def test_it_rises_with_the_canary_at_once() -> None:
    calm = buckets([500] * 64, [5] * 64)
    burst = buckets([10] * 64, [10] + [0] * 63)
    assert shrunk(burst, calm).pooled == shrunk(burst, calm).canary > 9


def test_it_falls_below_the_baseline_only_as_canary_buckets_speak() -> None:
    clumped = buckets([100] * 64, [50, 50] + [0] * 62)
    few, many = ([1] * k + [0] * (64 - k) for k in (2, 64))
    after_few = shrunk(buckets([10] * 64, few), clumped).pooled
    after_many = shrunk(buckets([10] * 64, many), clumped).pooled
    assert 1 < after_many < after_few < cohort_dispersion(clumped)


@pytest.mark.parametrize(("failing", "widespread"), [(0, False), (2, False), (3, True), (64, True)])
def test_errors_are_widespread_from_three_buckets_on(failing: int, *, widespread: bool) -> None:
    canary = buckets([10] * 64, [1] * failing + [0] * (64 - failing))
    assert shrunk(canary, canary).widespread is widespread


@given(tables, tables)
def test_at_nu_zero_the_baseline_s_counts_until_the_canary_has_a_bad_one(canary: Floats, baseline: Floats) -> None:
    found = shrunk(canary, baseline, nu=0.0)
    assert found.pooled == pytest.approx(found.canary if found.canary_buckets else found.baseline)


def jackknifed(table: Floats) -> float:
    """The variance of what each bucket leaves the others with, bucket by bucket, over the bad ones."""
    filled = table[table[:, 0] > 0].astype(float)
    n, bad = filled.sum(axis=0)
    if bad == 0 or len(filled) < 2:
        return 1.0
    without = np.array([bad - n * (bad - y) / (n - m) for m, y in filled])
    return max(1.0, float((len(filled) - 1) / len(filled) * np.sum(without**2) / bad))


@given(tables)
def test_the_jackknife_is_what_leaving_each_bucket_out_says(table: Floats) -> None:
    assert cohort_dispersion(table, jackknife=True) == pytest.approx(jackknifed(table))


def test_a_client_with_most_of_the_calls_does_not_hide_behind_the_rate_that_it_makes() -> None:
    table = buckets([2000, *[20] * 50], [2000, *[1] * 50])
    assert cohort_dispersion(table, jackknife=True) > 5 * cohort_dispersion(table) > 5


@given(tables, tables)
def test_by_variance_each_cohort_counts_by_the_other_s_size(canary: Floats, baseline: Floats) -> None:
    found = by_variance(canary, baseline)
    n_canary, n_baseline = canary[:, 0].sum(), baseline[:, 0].sum()
    if found.canary_buckets:
        of_both = found.canary / n_canary + (found.baseline / n_baseline if n_baseline else 0.0)
        alike = 1 / n_canary + (1 / n_baseline if n_baseline else 0.0)
        expected = max(found.canary, of_both / alike) if n_baseline else max(found.canary, found.baseline)
    else:
        expected = found.baseline
    assert found.pooled == pytest.approx(expected)


def test_by_variance_a_small_canary_is_judged_by_its_own_clumps_and_an_equal_one_by_both() -> None:
    clumped, calm = ([40, *[0] * 63], [1] * 64)
    small, equal = buckets([10] * 64, calm), buckets([1000] * 64, calm)
    baseline = buckets([1000] * 64, clumped)
    assert by_variance(small, baseline).pooled < 1.5
    assert by_variance(equal, baseline).pooled > 0.4 * by_variance(equal, baseline).baseline > 10


@each_pooling
@given(canary=tables, baseline=tables)
def test_the_proof_is_never_tempered_by_less_than_the_canary_s_own(
    pooling: Pooling, canary: Floats, baseline: Floats
) -> None:
    found = pooling(canary, baseline, 1.0)
    assert found.proof >= found.canary


@given(tables, tables)
def test_by_variance_the_proof_is_tempered_by_the_larger_of_both(canary: Floats, baseline: Floats) -> None:
    found = by_variance(canary, baseline)
    assert found.proof == max(found.canary, found.baseline)


@each_pooling
@given(canary=tables, baseline=tables)
def test_it_is_never_below_one_nor_below_a_canary_s_that_has_bad_ones(
    pooling: Pooling, canary: Floats, baseline: Floats
) -> None:
    spread = pooling(canary, baseline, 1.0)
    assert spread.pooled >= 1
    assert spread.pooled >= spread.canary >= 1
    assert spread.baseline >= 1


@each_pooling
@given(canary=tables, baseline=tables, order=st.permutations(range(6)))
def test_the_order_of_buckets_does_not_matter(
    pooling: Pooling, canary: Floats, baseline: Floats, order: list[int]
) -> None:
    assert pooling(canary[order], baseline, 1.0).pooled == pytest.approx(pooling(canary, baseline, 1.0).pooled)


@given(tables, tables, tables, tables)
def test_shards_add_up_in_any_order(a: Floats, b: Floats, c: Floats, baseline: Floats) -> None:
    assert shrunk(a + b + c, baseline) == shrunk(c + (b + a), baseline)


@given(tables, tables, st.integers(2, 9))
def test_repeating_every_session_in_its_bucket_repeats_the_dispersion(canary: Floats, baseline: Floats, k: int) -> None:
    once, repeated = shrunk(canary, baseline), shrunk(k * canary, k * baseline)
    for before, after in ((once.canary, repeated.canary), (once.baseline, repeated.baseline)):
        if before > 1:
            assert after == pytest.approx(k * before)
    if min(once.canary, once.baseline) > 1:
        assert repeated.pooled == pytest.approx(k * once.pooled)
