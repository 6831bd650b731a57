"""A cell's counts are of the same requests: one that contradicts itself is never judged, and none that streams write does."""

from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judge.cell_sums import contradiction
from judge.impossible import ImpossibleWindowError, refuse_impossible
from judge.trial import COHORTS
from schemas.windows import MICRO, Bucket, Cell, CohortWindow, Metric, MetricBucket, ToolCount
from streams import counts
from streams.encoding import encode
from tests.telemetry import BASELINE, CANARY, LABEL, batch, event
from tests.unit.judge.simulator import Scenario, draw, windows
from tests.unit.streams.test_fuzz import Outcome, log_of, made
from tests.unit.streams.test_windows_model import SAID, Kafka, Step, Worker, let, steps
from tests.unit.streams.test_windows_model import log_of as log_of_steps

EVEN = {i: Bucket(n=10, err=1, tools=5, tf=1, lat=9) for i in range(20)}
OUTCOMES = {"ok": 160, "server_error": 20, "input_required": 20, "ended": 4, "cancelled": 2}
VALUES = Metric(
    n=20,
    micro=40 * MICRO,
    buckets={i: MetricBucket(n=2, micro=4 * MICRO) for i in range(10)},
    histogram={700: 20},
    bucket_histograms={i: {175: 2} for i in range(10)},
)
SOUND = Cell.model_validate(
    {
        "version": "v2",
        "label": LABEL,
        "outcomes": OUTCOMES,
        "tool_calls": 100,
        "new_sessions": 50,
        "told_sessions": 50,
        "buckets": EVEN,
        "histogram": {700: 100, 800: 80},
        "bucket_histograms": {i: {200: 4} for i in range(20)},
        "bucket_floor": 180,
        "tools": {"a": ToolCount(n=60, bad=20), "b": ToolCount(n=40)},
        "lives": {0: {0: 50, 1: 206}},
        "ends": {1: {1: 4}},
        "metrics": {"tokens": VALUES},
    }
)


def bucketed(**changes: int) -> dict[int, Bucket]:
    return {i: bucket.model_copy(update=changes) for i, bucket in EVEN.items()}


def test_what_adds_up_is_not_refused() -> None:
    assert contradiction(SOUND) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tool_calls": 10}, "tools: 100 calls, and 10 by tool_calls"),
        ({"tool_calls": 10, "tools": {}}, "buckets: 100 tool calls, and 10 by tool_calls"),
        ({"tools": {"a": ToolCount(n=100_000, bad=100_000)}}, "tools: 100000 calls, and 100 by tool_calls"),
        ({"tools": {"a": ToolCount(n=100, bad=100)}}, "buckets: 20 failed tool calls, and 100 by tools"),
        ({"buckets": bucketed(err=0)}, "buckets: 0 errors, and 20 by outcomes"),
        ({"buckets": {0: Bucket(n=10, err=3)}}, "buckets: 10 requests, and 200 by outcomes"),
        ({"buckets": bucketed(n=100_000, err=50_000)}, "buckets: 2000000 requests, and 200 by outcomes"),
        ({"outcomes": {"ok": 20}}, "histogram: 180 latencies, and 20 by outcomes"),
        ({"histogram": {700: 1000}}, "histogram: 1000 latencies, and 180 by outcomes"),
        ({"buckets": bucketed(lat=0)}, "buckets: 0 latencies, and 180 by histogram"),
        ({"histogram": {}}, "buckets: 180 latencies, and 0 by histogram"),
        ({"bucket_histograms": {3: {200: 10}}}, "bucket_histograms.3: 10 of 9 latencies"),
        ({"bucket_histograms": {63: {200: 1}}}, "bucket_histograms.63: 1 of 0 latencies"),
        ({"new_sessions": 207}, "new_sessions: 207 of 206 requests"),
        ({"told_sessions": 51}, "told_sessions: 51 of 50 new sessions"),
        ({"mismatches": 207}, "mismatches: 207 of 206 requests"),
        ({"stale": 207}, "stale: 207 of 206 requests"),
        ({"ends": {0: {0: 1}, 1: {1: 4}}}, "ends: 5 of 4 ended sessions"),
        ({"lives": {0: {1: 200}, 1: {1: 7}}}, "lives: 207 of 206 requests"),
    ],
)
def test_a_cell_that_contradicts_itself_is_named_with_the_numbers(change: dict[str, Any], words: str) -> None:
    assert contradiction(SOUND.model_copy(update=change)) == words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 207, "histogram": {}}, "metrics.tokens.buckets: 20 values, and 207 by n"),
        ({"micro": 41 * MICRO}, "metrics.tokens.buckets: 40000000 millionths, and 41000000 by micro"),
        ({"histogram": {700: 21}}, "metrics.tokens.histogram: 21 values, and 20 by n"),
        ({"bucket_histograms": {0: {175: 3}}}, "metrics.tokens.bucket_histograms.0: 3 values, and 2 by buckets"),
        ({"bucket_histograms": {63: {175: 1}}}, "metrics.tokens.bucket_histograms.63: 1 values, and 0 by buckets"),
    ],
)
def test_so_is_a_metric(change: dict[str, Any], words: str) -> None:
    found = contradiction(SOUND.model_copy(update={"metrics": {"tokens": VALUES.model_copy(update=change)}}))
    assert found is not None
    assert found.startswith(words)


def test_a_request_has_one_value_of_a_metric_at_most() -> None:
    many = Metric(n=207, buckets={0: MetricBucket(n=207)})
    assert contradiction(SOUND.model_copy(update={"metrics": {"x": many}})) == "metrics.x: 207 of 206 requests"


def test_nobody_who_is_never_judged_needs_a_bucket() -> None:
    assert contradiction(SOUND.model_copy(update={"label": "-", "buckets": {}, "bucket_histograms": {}})) is None


def refused(published: Iterator[CohortWindow]) -> list[str]:
    """All of what was published, as a judge reads it."""
    found = []
    for window in published:
        try:
            refuse_impossible(window)
        except ImpossibleWindowError as error:
            found.append(str(error))
    return found


def published(outcome: Outcome) -> Iterator[CohortWindow]:
    return (CohortWindow.read(record.value or b"") for record in outcome.on("cohort-windows"))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**64))
def test_whatever_comes_no_window_that_streams_publish_is_refused(seed: int) -> None:
    assert refused(published(Outcome(log_of(made(seed))))) == []


@settings(max_examples=15, deadline=None)
@given(st.lists(steps, min_size=10, max_size=60), st.lists(st.integers(1, 20), max_size=20))
def test_nor_is_a_part_of_one_or_what_is_said_while_it_is_open(script: list[Step], cuts: list[int]) -> None:
    kafka = Kafka(log_of_steps(script))
    let(Worker(kafka, "w").life([*cuts, 10_000]), 10**9)
    assert refused(map(CohortWindow.read, kafka.windows)) == []


MANY = 25
"""Requests a batch."""


def drawn(dice: Random) -> Iterator[bytes]:
    """Requests of every kind, with more labels, versions, tools and metrics than the caps allow."""
    for number in range(counts.MAX_VERSIONS + 6):
        rows = []
        for i in range(MANY):
            said: dict[str, Any] = {name: dice.choice(values) for name, values in SAID.items()}
            strange = f"7.1.session.{dice.randrange(200):016x};v2"
            said["assignment"] = dice.choice([BASELINE, CANARY, CANARY, None, strange])
            said["tool"] = dice.choice([None, f"tool{dice.randrange(300)}"])
            said["metrics"] = {f"m{dice.randrange(12)}": dice.choice([0.0, 0.1, 1e9, 2e9, -1.0]) for _ in range(2)}
            rows.append(event(MANY * number + i, version=f"v{number}", tells_ends=True, **said))
        yield batch(rows, dropped=1).dump()


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**64))
def test_nor_is_one_whose_caps_are_full(seed: int) -> None:
    outcome = Outcome(log_of(list(drawn(Random(seed))), every_ms=0))
    told = list(published(outcome))
    assert max(window.folded for window in told) > 0
    assert {counts.MAX_LABELS, counts.MAX_VERSIONS + 1} <= {
        sum((cell.label == "-") == unjudged for cell in window.cells) for window in told for unjudged in (False, True)
    }
    parts = (CohortWindow.read(part) for window in told for part in encode(window, 900))
    assert refused(parts) == refused(iter(told)) == []


def test_no_simulated_cell_is_refused() -> None:
    scenario = Scenario(stages=((0.3, 120.0),))
    told = windows(scenario, scenario.trial(), draw(scenario, np.random.default_rng(1)))
    cells = [cell for window in told for cohort in COHORTS for cell in window.cells(cohort)]
    assert len(cells) > 5
    assert {contradiction(cell) for cell in cells} == {None}
