"""What the telemetry said lately, in bounded memory."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas.labels import Label
from schemas.windows import OTHER, Bucket, Cell, CohortWindow, ToolCount
from status.recent import COVERED_MS, SPANS, TOOLS, Recent

SEED = "0a" * 16


def label(version: str, rollout: int = 1, stage: int = 1) -> str:
    return str(Label.make(SEED, rollout, stage, version, "session"))


def cell(version: str = "v2", n: int = 10, bad: int = 1, **changes: Any) -> Cell:
    known: dict[str, Any] = {
        "version": version,
        "label": label(version),
        "outcomes": {"ok": n - bad, "rpc_error": bad},
        "tool_calls": n,
        "new_sessions": 2,
        "buckets": {3: Bucket(n=n, err=bad, tools=n, tf=bad)},
        "histogram": {640: n},
        "tools": {"quote": ToolCount(n=n, bad=bad)},
    }
    return Cell(**{**known, **changes})


def window(at: int, *cells: Cell, partition: int = 0, **changes: Any) -> CohortWindow:
    """The `at`th window of five seconds."""
    known: dict[str, Any] = {
        "service": "orders",
        "source": "mcp-requests",
        "partition": partition,
        "partitions": 1,
        "window_start": 5_000 * at,
        "window_ms": 5_000,
        "first_offset": 0,
        "through": 1,
        "clock_ms": 5_000 * (at + 1),
        "final": True,
        "instance": "a",
        "cells": cells,
    }
    return CohortWindow(**{**known, **changes})


def test_cells_of_the_newest_rollout_are_counted_by_version() -> None:
    recent = Recent()
    recent.read(window(1, cell("v1", 100), cell("v2"), cell("v2", label="-"), cell("v2", label=label("v2", 7))), 1)
    assert {v: (t.requests, t.errors, t.sessions) for v, t in recent.totals.items()} == {
        "v1": (100, 1, 2),
        "v2": (10, 1, 2),
    }
    assert recent.born == {(1, "v1"): 2, (1, "v2"): 2}
    assert recent.tools["v2"] == {"quote": ToolCount(n=10, bad=1)}
    assert recent.totals["v2"].tool_failures == 1


def test_a_final_window_counts_once_and_an_open_one_only_says_how_far_it_was_read() -> None:
    recent = Recent()
    assert not recent.read(window(1, cell(), final=False, clock_ms=7_000), 1)
    assert (recent.read_until_ms, recent.complete_until_ms) == (7_000, None)
    assert recent.read(window(1, cell()), 1)
    assert not recent.read(window(1, cell(), instance="zombie"), 1)
    assert not recent.read(window(0, cell()), 1)
    assert recent.totals["v2"].requests == 10
    assert recent.complete_until_ms == 10_000


def test_the_parts_of_a_window_all_count() -> None:
    recent = Recent()
    recent.read(window(1, cell(), part=1, parts=2), 1)
    recent.read(window(1, cell("v1"), part=2, parts=2), 1)
    recent.read(window(1, cell("v1"), part=2, parts=2, instance="zombie"), 1)
    assert {v: t.requests for v, t in recent.totals.items()} == {"v1": 10, "v2": 10}


def test_it_is_complete_up_to_the_slowest_partition_once_all_have_spoken() -> None:
    recent = Recent()
    recent.read(window(4, partition=0, partitions=2), 1)
    assert recent.complete_until_ms is None
    recent.read(window(2, partition=1, partitions=2), 1)
    assert recent.complete_until_ms == 15_000


def test_in_a_topic_that_a_service_has_moved_to_no_partition_has_spoken_yet() -> None:
    recent = Recent()
    for partition in range(4):
        recent.read(window(9, cell(), partition=partition, partitions=4), 1)
    recent.pass_over(window(1, source="mcp-requests.orders"))
    assert recent.elsewhere == {}
    recent.pass_over(window(2, cell(), source="mcp-requests.orders"))
    assert recent.elsewhere == {"mcp-requests.orders": 15_000}
    assert recent.read(window(3, cell(), source="mcp-requests.orders", partitions=2), 1)
    assert (recent.complete_until_ms, recent.elsewhere) == (None, {})
    recent.read(window(4, source="mcp-requests.orders", partition=1, partitions=2), 1)
    assert (recent.complete_until_ms, recent.totals["v2"].requests) == (20_000, 50)


def test_a_new_rollout_forgets_the_old_one() -> None:
    recent = Recent()
    recent.read(window(1, cell()), 1)
    recent.read(window(2, cell(), cell("v3", label=label("v3", 2))), 2)
    assert set(recent.totals) == {"v3"}
    assert len(recent.spans) == 1


def test_what_was_lost_is_counted() -> None:
    recent = Recent()
    recent.read(window(1, cell(stale=4), malformed=2, duplicates=3, holes=1, dropped={"a": 4, "b": 1}, folded=6), 1)
    losses = recent.losses
    assert (losses.malformed, losses.duplicates, losses.holes, losses.dropped, losses.folded) == (2, 3, 1, 5, 6)
    assert losses.stale == 4


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5_000)), min_size=1, max_size=40))
def test_spans_stay_few_and_lose_nothing(steps: list[tuple[int, int]]) -> None:
    """Whatever gaps lie between windows, and in whichever partition they come."""
    recent, at, counted = Recent(), [0, 0, 0, 0], 0
    for partition, gap in steps:
        at[partition] += gap + 1
        recent.read(window(at[partition], cell(), partition=partition, partitions=4), 1)
        counted += 10
    assert len(recent.spans) <= SPANS
    assert sum(t.requests for span in recent.spans.values() for t in span.values()) == counted
    assert sum(n for span in recent.spans.values() for t in span.values() for n in t.latency.values()) == counted


def test_a_long_rollout_is_kept_in_longer_spans() -> None:
    recent = Recent()
    for at in range(SPANS + 1):
        recent.read(window(at, cell(n=2)), 1)
    assert recent.step_ms == 10_000
    assert len(recent.spans) == SPANS // 2 + 1


def test_tools_beyond_the_cap_are_counted_together() -> None:
    recent = Recent()
    recent.read(window(1, cell(tools={f"t{i}": ToolCount(n=1) for i in range(TOOLS + 50)})), 1)
    assert len(recent.tools["v2"]) == TOOLS + 1
    assert recent.tools["v2"][OTHER].n == 50


def test_sessions_that_ended_are_told_apart_from_those_that_may_go_on() -> None:
    recent = Recent()
    recent.read(window(1, cell(new_sessions=5, told_sessions=5, ends={0: {0: 1}})), rollout=1)
    recent.read(window(2, cell(new_sessions=1, told_sessions=1, ends={0: {2: 1}, 1: {1: 1}})), rollout=1)
    total = recent.totals["v2"]
    assert (total.sessions, total.ended, total.told) == (6, 3, 6)


def test_coverage_is_the_part_of_the_newest_requests_whose_sessions_are_the_rollouts() -> None:
    recent = Recent()
    assert recent.coverage is None
    recent.read(window(1, cell(n=10), cell("v1", n=10, label="-")), rollout=1)
    assert recent.coverage == 0.5
    recent.read(window(2, cell(n=10), cell("v1", n=20, label=label("v1", rollout=0))), rollout=1)
    assert recent.coverage == 0.4
    recent.read(window(2, partition=1, partitions=2), rollout=1)
    assert recent.coverage == 0.4
    recent.read(window(2 + COVERED_MS // 5_000, cell(n=10)), rollout=1)
    assert recent.coverage == 1.0
    recent.read(window(30, cell("v1", label="-")), rollout=2)
    assert recent.coverage == 0.0


def test_how_latencies_lie_follows_each_cell_and_goes_with_the_rollout() -> None:
    recent = Recent()
    assert recent.latencies("v2").n == 0
    for at in (1, 2):
        recent.read(window(at, cell(histogram={640: 10, 704: at})), rollout=1)
        assert recent.latencies("v2").n == recent.totals["v2"].requests + sum(range(at + 1))
        assert recent.latencies("v2") is recent.latencies("v2")
    recent.read(window(3), rollout=2)
    assert recent.latencies("v2").n == 0
