"""Where an event counts, and as what."""

from collections import Counter
from typing import Any, get_args

import pytest

from davylamp_sdk._event import Outcome
from schemas.windows import BUCKETS, Bucket, Cell
from streams.cells import Assignment, Tally, bucket_of, read_assignment
from streams.histogram import bin_of
from tests.telemetry import BASELINE, LABEL, event

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


def cell_of(*outcomes: Outcome, bucket: int | None = 5, **changes: Any) -> Cell:
    tally = Tally()
    for outcome in outcomes:
        tally.add(event(outcome=outcome, **changes), bucket, mismatch=False)
    return tally.cell("v1", LABEL, final=False)


def test_an_assignment_is_a_label_and_a_version() -> None:
    assert read_assignment(BASELINE) == Assignment("v1", LABEL, 7)


@pytest.mark.parametrize("header", [None, "", ";", "v1", ";v1", f"{LABEL};"])
def test_without_both_nobody_assigned_the_request(header: str | None) -> None:
    assert read_assignment(header) == Assignment(None, "-", None)


@pytest.mark.parametrize(
    "label",
    [
        "-",
        "junk",
        "7.1.session",
        "7.1.team.786db6f38e0cd8b7",
        "07.1.session.786db6f38e0cd8b7",
        "٧.1.session.786db6f38e0cd8b7",
    ],
)
def test_what_no_proxy_writes_is_no_label_but_the_version_counts(label: str) -> None:
    assert read_assignment(f"{label};v2") == Assignment("v2", "-", None)


def test_a_session_keeps_its_bucket_within_a_rollout_and_changes_it_with_the_next() -> None:
    buckets = {rollout: [bucket_of(f"s{i}", rollout) for i in range(200)] for rollout in (7, 8)}
    assert buckets[7] == [bucket_of(f"s{i}", 7) for i in range(200)]
    assert sum(a == b for a, b in zip(buckets[7], buckets[8], strict=True)) < 20


def test_the_bucket_is_pinned_for_every_other_implementation() -> None:
    assert [bucket_of("9f86d081", rollout) for rollout in (0, 7, 999_999_999)] == [16, 45, 43]


def test_buckets_are_used_evenly() -> None:
    counts = Counter(bucket_of(f"s{i}", 1) for i in range(64 * 200))
    assert set(counts) == set(range(BUCKETS))
    assert max(counts.values()) < 2 * min(counts.values())


def test_every_outcome_is_counted_by_name() -> None:
    assert cell_of(*OUTCOMES, "ok").outcomes == dict.fromkeys(OUTCOMES, 1) | {"ok": 2}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_tool_call_counts_as_the_table_says(outcome: Outcome) -> None:
    n, err, tools, tf = {
        "ok": (1, 0, 1, 0),
        "tool_error": (1, 0, 1, 1),
        "rpc_error": (1, 1, 1, 1),
        "server_error": (1, 1, 1, 1),
        "timeout": (1, 1, 1, 1),
        "cancelled": (0, 0, 0, 0),
        "input_required": (1, 0, 0, 0),
        "rejected": (0, 0, 0, 0),
    }[outcome]
    cell = cell_of(outcome)
    assert cell.buckets == ({5: Bucket(n=n, err=err, tools=tools, tf=tf)} if n else {})
    assert cell.tool_calls == tools


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_any_other_method_is_no_tool_call(outcome: Outcome) -> None:
    cell = cell_of(outcome, method="resources/read")
    assert cell.tool_calls == 0
    assert {(b.tools, b.tf) for b in cell.buckets.values()} <= {(0, 0)}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_only_requests_that_ended_have_a_latency(outcome: Outcome) -> None:
    ended = outcome not in {"cancelled", "input_required", "rejected"}
    assert cell_of(outcome, duration_ms=42.0).histogram == ({bin_of(42.0): 1} if ended else {})


def test_without_a_bucket_an_event_is_in_the_sums_only() -> None:
    cell = cell_of("ok", "rpc_error", bucket=None)
    assert (cell.buckets, cell.tool_calls, cell.outcomes) == ({}, 2, {"ok": 1, "rpc_error": 1})


def test_first_requests_of_sessions_are_new_sessions() -> None:
    assert cell_of("ok", "rejected", first_of_session=True).new_sessions == 2
    assert cell_of("ok").new_sessions == 0


def test_mismatches_are_counted() -> None:
    tally = Tally()
    for mismatch in (True, False, True):
        tally.add(event(), None, mismatch=mismatch)
    assert tally.cell("v1", "-", final=False).mismatches == 2


def test_only_a_final_cell_bears_a_digest() -> None:
    tally = Tally()
    tally.add(event(), None, mismatch=False)
    assert tally.cell("v1", "-", final=False).digest is None
    digest = tally.cell("v1", "-", final=True).digest
    assert digest is not None
    assert digest.n == 1


def test_a_published_cell_no_longer_changes() -> None:
    tally = Tally()
    tally.add(event(), 5, mismatch=False)
    before = tally.cell("v1", "-", final=False)
    tally.add(event(), 5, mismatch=False)
    assert before.outcomes == {"ok": 1}
    assert before.buckets[5].n == 1
    assert sum(before.histogram.values()) == 1
