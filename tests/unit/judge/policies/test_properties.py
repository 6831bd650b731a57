"""The seven properties of the golden numbers' README, for the whole policy and every check that counts requests."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from judge.policies.port import Assessment, StageTimes
from judge.policies.sequential import Sequential
from judge.trial import Trial
from schemas.decisions import CheckResult
from schemas.windows import Bucket, Cell, ToolCount
from tests.unit.judge.trials import T0, cell, trial, windows

CHECKS: dict[str, Any] = {"latency_p99": {"min_calls": 20, "refresh": "1s"}, "tools": {"within": "5pp"}}
TRIAL = trial(checks=CHECKS)
STAGE_1 = StageTimes(1, (T0,), T0)
FAST, SLOW = 1000, 1200

Row = tuple[int, int, int]
"""Requests, bad ones, and the bucket that gets what is left over."""


@st.composite
def rows(draw: st.DrawFn) -> Row:
    n = draw(st.integers(0, 60))
    return n, draw(st.integers(0, n)), draw(st.integers(0, 63))


BOTH = st.lists(st.tuples(rows(), rows()), min_size=2, max_size=8)


def counted(version: str, row: Row, buckets: int = 16, factor: int = 1) -> Cell:
    """Bad requests are errors, failed calls of one tool, and slow, all at once."""
    n, bad, first = row[0] * factor, row[1] * factor, row[2]
    return cell(
        version,
        n,
        bad,
        buckets=buckets,
        first=first,
        tools={"search": (n, bad)} if n else {},
        latency={index: k for index, k in ((FAST, n - bad), (SLOW, bad)) if k},
    )


def assess(seconds: Sequence[Sequence[Cell]], of: Trial = TRIAL) -> Assessment:
    comparison = Sequential().begin(of)
    for window in windows(of, seconds):
        comparison.add(window)
    return comparison.assess((), STAGE_1)


def by_name(found: Assessment) -> dict[str, CheckResult]:
    return {check.check: check for check in found.checks}


def drawn(both: Sequence[tuple[Row, Row]], **options: Any) -> list[list[Cell]]:
    return [[counted("v1", theirs, **options), counted("v2", mine, **options)] for theirs, mine in both]


def merged(one: Cell, other: Cell) -> Cell:
    """Both cells as one that counted all of their requests."""
    names = tuple(Bucket.model_fields)
    buckets = {
        i: Bucket(**{name: sum(getattr(c.buckets[i], name) for c in (one, other) if i in c.buckets) for name in names})
        for i in {**one.buckets, **other.buckets}
    }
    tools = {
        tool: ToolCount(
            n=sum(c.tools[tool].n for c in (one, other) if tool in c.tools),
            bad=sum(c.tools[tool].bad for c in (one, other) if tool in c.tools),
        )
        for tool in {**one.tools, **other.tools}
    }
    coarse = {
        i: dict(Counter(one.bucket_histograms.get(i, {})) + Counter(other.bucket_histograms.get(i, {})))
        for i in {**one.bucket_histograms, **other.bucket_histograms}
    }
    return one.model_copy(
        update={
            "outcomes": dict(Counter(one.outcomes) + Counter(other.outcomes)),
            "tool_calls": one.tool_calls + other.tool_calls,
            "new_sessions": one.new_sessions + other.new_sessions,
            "tools": tools,
            "buckets": buckets,
            "histogram": dict(Counter(one.histogram) + Counter(other.histogram)),
            "bucket_histograms": coarse,
            "bucket_floor": 0 if coarse else None,
        }
    )


@settings(max_examples=40)
@given(BOTH, st.randoms(use_true_random=False))
def test_1_splitting_a_window_over_partitions_in_any_order_never_changes_a_word(
    both: list[tuple[Row, Row]], chance: Any
) -> None:
    """Each cohort's cell in two partitions: a session lives in one, so its bucket may be cut anywhere."""
    split = [
        [counted("v1", a), counted("v1", c), counted("v2", b), counted("v2", d)] for (a, b), (c, d) in pairwise(both)
    ]
    whole = [[merged(*cells[:2]), merged(*cells[2:])] for cells in split]
    assert assess([chance.sample(cells, len(cells)) for cells in split]) == assess(whole)


def repeated(found: Cell, k: int) -> Cell:
    """Every session k times, in its own bucket."""
    buckets = {i: Bucket(**{name: k * n for name, n in b.model_dump().items()}) for i, b in found.buckets.items()}
    return found.model_copy(
        update={
            "outcomes": {outcome: k * n for outcome, n in found.outcomes.items()},
            "tool_calls": k * found.tool_calls,
            "buckets": buckets,
        }
    )


CLUMPS = st.lists(
    st.tuples(*[st.tuples(st.integers(30, 60), st.integers(6, 30), st.integers(0, 63))] * 2), min_size=2, max_size=8
)
"""Many bad requests: of three sessions in 64 they are so clustered that the dispersion's floor at 1 is not felt."""


@settings(max_examples=25)
@given(CLUMPS, st.integers(2, 4))
def test_2_every_session_k_times_in_its_bucket_leaves_the_evidence_as_it_was(
    both: list[tuple[Row, Row]], k: int
) -> None:
    """The dispersion grows k times, and what it divides as well."""
    even = drawn([((60, 0, 0), (60, 0, 0))] * 6, buckets=64)
    plain = [*even, *drawn(both, buckets=3)]
    once, many = (by_name(assess(seconds)) for seconds in (plain, [[repeated(c, k) for c in cells] for cells in plain]))
    for name in ("error_rate", "tool_success"):
        assert once[name].dispersion > 2
        assert many[name].dispersion == pytest.approx(k * once[name].dispersion, rel=1e-5)
        assert many[name].log_e_breach == pytest.approx(once[name].log_e_breach, rel=1e-4, abs=1e-4)


@settings(max_examples=40)
@given(BOTH, st.data())
def test_3_one_more_bad_request_speaks_against_its_own_cohort(both: list[tuple[Row, Row]], data: st.DataObject) -> None:
    """At fixed dispersion, so errors of so many buckets that it is 1."""
    theirs, mine = both[-1]
    assume(mine[1] < mine[0])
    assume(theirs[1] < theirs[0])
    worse = [*both[:-1], (theirs, (mine[0], mine[1] + 1, mine[2]))]
    better = [*both[:-1], ((theirs[0], theirs[1] + 1, theirs[2]), mine)]
    now, against, fore = (by_name(assess(drawn(found))) for found in (both, worse, better))
    for name in ("error_rate", "tool_success"):
        if {now[name].dispersion, against[name].dispersion, fore[name].dispersion} == {1.0}:
            believed = now[name].why_undecided != "few_buckets"
            assert against[name].log_e_breach >= now[name].log_e_breach - 1e-6
            assert fore[name].log_e_breach <= now[name].log_e_breach + 1e-6 or not believed


@settings(max_examples=40)
@given(BOTH, st.integers(0, 2))
def test_4_without_bad_requests_or_with_those_of_two_sessions_nothing_is_breached(
    both: list[tuple[Row, Row]], sessions: int
) -> None:
    flawless = [(theirs, (mine[0], 0, mine[2])) for theirs, mine in both]
    assert assess(drawn(flawless)).breached_by is None
    few = [[counted("v1", theirs), counted("v2", mine, buckets=max(1, sessions))] for theirs, mine in both]
    assert assess(few).breached_by is None


@settings(max_examples=20)
@given(BOTH)
def test_4_an_empty_canary_is_never_within(both: list[tuple[Row, Row]]) -> None:
    found = assess([[counted("v1", theirs)] for theirs, _ in both])
    assert not found.within
    assert not any(check.verdict == "within" for check in found.checks)


@settings(max_examples=20)
@given(BOTH, st.sampled_from([-4, -1, 2, 7]))
def test_5_multiplying_all_latencies_changes_nothing_but_milliseconds(
    both: list[tuple[Row, Row]], octaves: int
) -> None:
    def moved(found: Cell) -> Cell:
        shift = 64 * octaves
        coarse = {b: {i + shift // 4: n for i, n in bins.items()} for b, bins in found.bucket_histograms.items()}
        fine = {index + shift: n for index, n in found.histogram.items()}
        return found.model_copy(update={"histogram": fine, "bucket_histograms": coarse})

    plain = drawn(both)
    once, other = (by_name(assess(seconds)) for seconds in (plain, [[moved(c) for c in cells] for cells in plain]))
    for name in ("latency_p99", "latency_p90"):
        assert other[name].log_e_breach == once[name].log_e_breach
        assert other[name].log_e_within == once[name].log_e_within
        assert other[name].low == once[name].low


@settings(max_examples=40)
@given(st.lists(rows(), min_size=2, max_size=20))
def test_6_identical_cohorts_are_never_a_breach(same: list[Row]) -> None:
    found = assess(drawn([(row, row) for row in same]))
    assert found.breached_by is None
    assert all(check.log_e_breach <= 1e-9 for check in found.checks)


@settings(max_examples=40)
@given(BOTH, rows(), st.sampled_from(["v1", "v2"]))
def test_7_a_window_with_one_cohort_alone_proves_nothing_for_or_against(
    both: list[tuple[Row, Row]], alone: Row, version: str
) -> None:
    """It may say how clustered errors are, and what is slow: that tempers, and no evidence comes of it."""
    before = by_name(assess(drawn(both)))
    after = by_name(assess([*drawn(both), [counted(version, alone)]]))
    for name in ("error_rate", "tool_success"):
        if before[name].dispersion == after[name].dispersion and before[name].why_undecided != "few_buckets":
            assert after[name].log_e_breach == before[name].log_e_breach
            assert after[name].log_e_within == before[name].log_e_within
