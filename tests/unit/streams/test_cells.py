"""What events count as, cell by cell."""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from davylamp_sdk._event import Outcome, RequestEvent
from schemas.windows import COARSE_PER_FINE, Bucket, Cell, MetricBucket, ToolCount
from streams.assignments import bucket_of
from streams.batches import read_batch
from streams.service_window import Appended, ServiceWindow
from streams.singles import batch_of
from tests.histograms import bin_of
from tests.telemetry import BASELINE, CANARY, LABEL, batch, event
from tests.unit.streams.as_models import cells_of

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
BUCKET = bucket_of(7, "9f86d081")
NOW = 1_700_000_004_000
HOUR = 3_600_000
WINDOW_MS = 5000


def service_with(*events: RequestEvent, at_ms: int = NOW) -> ServiceWindow:
    service = ServiceWindow(at_ms // WINDOW_MS, WINDOW_MS)
    for said in events:
        tell(service, said, at_ms)
    return service


def tell(service: ServiceWindow, said: RequestEvent, at_ms: int = NOW) -> None:
    at = np.array([at_ms])
    service.count(batch_of(said), None, Appended(at, at, at))


def cell_of(*events: RequestEvent, final: bool = False) -> Cell:
    (cell,) = cells_of(service_with(*events), final=final)
    return cell


def with_outcomes(*outcomes: Outcome, **changes: Any) -> Cell:
    return cell_of(*(event(outcome=outcome, **changes) for outcome in outcomes))


def test_every_outcome_is_counted_by_name() -> None:
    assert with_outcomes(*OUTCOMES, "ok").outcomes == dict.fromkeys(OUTCOMES, 1) | {"ok": 2}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_tool_call_counts_as_the_table_says(outcome: Outcome) -> None:
    n, err, tools, tf, lat = {
        "ok": (1, 0, 1, 0, 1),
        "tool_error": (1, 0, 1, 1, 1),
        "rpc_error": (1, 1, 1, 1, 1),
        "server_error": (1, 1, 1, 1, 1),
        "timeout": (1, 1, 1, 1, 1),
        "cancelled": (0, 0, 0, 0, 0),
        "input_required": (1, 0, 0, 0, 0),
        "rejected": (0, 0, 0, 0, 0),
        "ended": (0, 0, 0, 0, 0),
    }[outcome]
    cell = with_outcomes(outcome)
    assert cell.buckets == ({BUCKET: Bucket(n=n, err=err, tools=tools, tf=tf, lat=lat)} if n else {})
    assert cell.tool_calls == tools
    assert cell.tools == ({"create_invoice": ToolCount(n=1, bad=tf)} if tools else {})


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_any_other_method_is_no_tool_call(outcome: Outcome) -> None:
    cell = with_outcomes(outcome, method="resources/read")
    assert (cell.tool_calls, cell.tools) == (0, {})
    assert {(b.tools, b.tf) for b in cell.buckets.values()} <= {(0, 0)}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_only_requests_that_were_answered_have_a_latency(outcome: Outcome) -> None:
    answered = outcome not in {"cancelled", "input_required", "rejected", "ended"}
    assert with_outcomes(outcome, duration_ms=42.0).histogram == ({bin_of(42.0): 1} if answered else {})


def test_an_unjudged_event_is_in_the_sums_only() -> None:
    cell = with_outcomes("ok", "rpc_error", assignment=None, metrics={"tokens": 2.0})
    assert (cell.label, cell.buckets, cell.tool_calls) == ("-", {}, 2)
    assert cell.outcomes == {"ok": 1, "rpc_error": 1}
    assert (cell.metrics["tokens"].n, cell.metrics["tokens"].buckets) == (2, {})


@pytest.mark.parametrize("kind", ["session", "cookie", "principal"])
def test_every_kind_of_label_is_judged_by_the_bucket_of_the_session(kind: str) -> None:
    label = f"7.1.{kind}.786db6f38e0cd8b7"
    cell = with_outcomes("ok", assignment=f"{label};v1")
    assert (cell.label, list(cell.buckets)) == (label, [BUCKET])


def test_marks_are_counted() -> None:
    cell = cell_of(event(first_of_session=True), event(version="v2", first_of_session=True), event(started_at=0))
    assert (cell.new_sessions, cell.mismatches, cell.stale) == (2, 1, 1)


@pytest.mark.parametrize(("started_at", "stale"), [(NOW - HOUR, 1), (NOW + HOUR, 1), (NOW - HOUR + 1, 0), (NOW, 0)])
def test_an_hour_from_its_append_time_a_request_is_stale(started_at: int, stale: int) -> None:
    assert cell_of(event(started_at=started_at)).stale == stale


def test_tools_are_counted_by_name() -> None:
    cell = cell_of(event(tool="a"), event(tool="a", outcome="tool_error"), event(tool="b"), event(tool=None))
    assert cell.tools == {"a": ToolCount(n=2, bad=1), "b": ToolCount(n=1), "_unknown": ToolCount(n=1)}


def test_a_first_request_reaches_every_age_up_to_its_own() -> None:
    assert cell_of(event(session_age_ms=2000.0)).lives == {0: {0: 1, 1: 1, 2: 1}}


def test_a_later_request_reaches_the_ages_since_the_one_before() -> None:
    assert cell_of(event(session_age_ms=2000.0, session_gap_ms=1000.0)).lives == {0: {2: 1}}
    assert cell_of(event(session_age_ms=2000.0, session_gap_ms=1000.5)).lives == {0: {1: 1, 2: 1}}
    assert cell_of(event(session_age_ms=1999.0, session_gap_ms=900.0)).lives == {}


@pytest.mark.parametrize("gap_ms", [10.0, 1e11])
def test_age_0_is_reached_by_a_first_request_only(gap_ms: float) -> None:
    assert cell_of(event(session_age_ms=10.0, session_gap_ms=gap_ms)).lives == {}


def test_ages_are_booked_under_the_windows_since_the_birth() -> None:
    ages = [event(session_age_ms=float(WINDOW_MS), session_gap_ms=1.0), event(session_age_ms=12_000.0)]
    assert cell_of(*ages).lives == {1: {3: 1}, 2: {0: 1, 1: 1, 2: 1, 3: 1, 4: 1}}


def test_births_of_more_than_an_hour_ago_are_booked_as_of_an_hour_ago() -> None:
    cell = cell_of(event(session_age_ms=3.0 * HOUR, session_gap_ms=3.0 * HOUR - 1_000_000))
    assert cell.lives == {HOUR // WINDOW_MS: {12: 1}}


def test_who_is_ended_was_heard_until_then_and_is_booked_by_the_last_age() -> None:
    said = [event(session_age_ms=2500.0, session_gap_ms=1000.0, outcome="ended"), event(session_age_ms=9.0)]
    cell = cell_of(*said, event(outcome="ended"))
    assert (cell.ends, cell.lives) == ({0: {2: 1}}, {0: {0: 1, 2: 1}})
    assert cell.outcomes == {"ok": 1, "ended": 2}


def test_new_sessions_are_told_apart_by_whether_their_end_will_be_told() -> None:
    told = event(first_of_session=True, tells_ends=True)
    cell = cell_of(told, event(first_of_session=True), event(tells_ends=True))
    assert (cell.new_sessions, cell.told_sessions) == (2, 1)


def test_without_a_label_or_an_age_no_life_is_counted() -> None:
    assert cell_of(event(session_age_ms=2000.0, assignment=None)).lives == {}
    assert cell_of(event(session_age_ms=2000.0, outcome="ended", assignment=None)).ends == {}
    assert cell_of(event(session_gap_ms=2000.0)).lives == {}


def test_values_of_a_metric_add_up_in_millionths() -> None:
    cell = cell_of(event(metrics={"tokens": 0.1}), event(metrics={"tokens": 812.0}), event())
    metric = cell.metrics["tokens"]
    assert (metric.n, metric.micro, metric.histogram) == (2, 812_100_000, {bin_of(0.1): 1, bin_of(812.0): 1})
    assert metric.buckets == {BUCKET: MetricBucket(n=2, micro=812_100_000)}


def test_a_value_out_of_range_is_left_out_and_counted_as_folded() -> None:
    service = service_with(*(event(metrics={"tokens": value}) for value in (-1.0, 1e9, 1.1e9, 1e300)))
    (cell,) = cells_of(service, final=False)
    assert (cell.metrics["tokens"].n, cell.metrics["tokens"].micro) == (1, 10**15)
    assert service.folded == 3


@pytest.mark.parametrize("asked_meanwhile", [False, True])
def test_a_value_after_the_sum_that_64_bits_hold_is_left_out_and_counted_as_folded(*, asked_meanwhile: bool) -> None:
    service = service_with(*(event(i, metrics={"tokens": 1e9}) for i in range(9000)))
    if asked_meanwhile:
        cells_of(service, final=False)
    for i in range(9000, 9230):
        tell(service, event(i, metrics={"tokens": 1e9, "other": 1.5}))
    (cell,) = cells_of(service, final=False)
    assert (cell.metrics["tokens"].n, cell.metrics["tokens"].micro) == (9223, 9223 * 10**15)
    assert cell.metrics["tokens"].buckets == {BUCKET: MetricBucket(n=9223, micro=9223 * 10**15)}
    assert (cell.metrics["other"].n, service.folded) == (230, 7)


def test_only_a_final_cell_bears_the_histograms_of_its_buckets() -> None:
    said = event(metrics={"tokens": 3.0})
    partial, final = cell_of(said), cell_of(said, final=True)
    assert (partial.bucket_histograms, partial.bucket_floor) == ({}, None)
    assert partial.metrics["tokens"].bucket_histograms == {}
    floor = bin_of(12.5) // COARSE_PER_FINE
    assert (final.bucket_histograms, final.bucket_floor) == ({BUCKET: {floor: 1}}, floor)
    assert final.metrics["tokens"].bucket_histograms == {BUCKET: {bin_of(3.0) // COARSE_PER_FINE: 1}}


def brute_floor(cells: Sequence[Sequence[float]]) -> int:
    """The smallest 75th percentile, by rank: at least three quarters are not larger."""
    p75 = [sorted(bin_of(ms) for ms in durations)[-(-3 * len(durations) // 4) - 1] for durations in cells]
    return min(p75) // COARSE_PER_FINE


durations = st.lists(st.floats(0, 1e5), min_size=1, max_size=30)


@settings(max_examples=50)
@given(durations, durations)
def test_bucket_histograms_begin_at_the_smallest_75th_percentile_of_a_judged_cell(
    baseline: list[float], canary: list[float]
) -> None:
    events = [
        event(session=f"s{i % 3}", duration_ms=ms, assignment=assignment)
        for assignment, found in ((BASELINE, baseline), (CANARY, canary), (None, [0.0]))
        for i, ms in enumerate(found)
    ]
    floor = brute_floor((baseline, canary))
    cells = {cell.label: cell for cell in cells_of(service_with(*events), final=True)}
    assert (cells["-"].bucket_histograms, cells["-"].bucket_floor) == ({}, None)
    truth: dict[int, dict[int, int]] = {}
    for i, ms in enumerate(baseline):
        coarse = bin_of(ms) // COARSE_PER_FINE
        if coarse >= floor:
            of_bucket = truth.setdefault(bucket_of(7, f"s{i % 3}"), {})
            of_bucket[coarse] = of_bucket.get(coarse, 0) + 1
    assert (cells[LABEL].bucket_histograms, cells[LABEL].bucket_floor) == (truth, floor)


def test_a_published_cell_no_longer_changes() -> None:
    service = service_with(event())
    (before,) = cells_of(service, final=False)
    tell(service, event(1))
    (after,) = cells_of(service, final=False)
    assert (before.outcomes, before.buckets[BUCKET].n, sum(before.histogram.values())) == ({"ok": 1}, 1, 1)
    assert (after.outcomes, after.buckets[BUCKET].n, sum(after.histogram.values())) == ({"ok": 2}, 2, 2)


def test_a_batch_counts_as_its_events_would() -> None:
    events = [
        event(
            i, outcome=OUTCOMES[i % 8], session=f"s{i % 5}", duration_ms=float(i), tool=f"t{i % 4}", method="tools/call"
        )
        for i in range(700)
    ]
    raw = batch(events).dump()
    service = ServiceWindow(NOW // WINDOW_MS, WINDOW_MS)
    at = np.array([NOW])
    service.count(read_batch(raw, batch(events).model_dump(mode="json")), None, Appended(at, at, at))
    assert cells_of(service, final=True) == cells_of(service_with(*events), final=True)
