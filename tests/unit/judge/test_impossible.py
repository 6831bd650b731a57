"""What no traffic can have made is named, holds the rollout, and is never judged: live and in a replay."""

import logging
from collections.abc import Callable
from typing import cast

import pytest
from pydantic import ValidationError

from judge.anonymous import anonymized
from judge.fold import Fold
from judge.impossible import ImpossibleWindowError, refuse_impossible, service_named_in
from judge.recording import header_of, records_of
from judge.rollout.source import Source
from judge.verdicts import Same
from judge.verify import Records, verify
from schemas.control import ProxyReport, VersionTotals
from schemas.decisions import LedgerEntry
from schemas.topics import Topic
from schemas.windows import (
    BINS,
    COARSE_PER_FINE,
    MICRO,
    SESSION_AGES_S,
    Bucket,
    Cell,
    CohortWindow,
    Metric,
    MetricBucket,
    ToolCount,
)
from tests.builders import SERVICE
from tests.records import by_topic
from tests.unit.judge.rollouts import CHECKS, MACHINE, T0, Rollout, cell, window
from transport.log import Record


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"buckets": {3: Bucket(n=1, err=2)}},
            r"window 0 of mcp-requests-0: cells\[1\].buckets.3: 2 errors of 1 requests",
        ),
        ({"buckets": {3: Bucket(n=9, tools=1, tf=2)}}, r"buckets.3: 2 failed tool calls of 1"),
        ({"tools": {"search": ToolCount(n=1, bad=2)}}, r"tools.search: 2 failed calls of 1"),
        ({"buckets": {3: Bucket(n=9, tools=10)}}, r"buckets.3: 10 tool calls and 0 latencies of 9 requests"),
    ],
)
def test_more_failures_than_there_was_to_fail_are_refused_with_their_place(
    change: dict[str, object], words: str
) -> None:
    with pytest.raises(ImpossibleWindowError, match=words):
        refuse_impossible(window(1000, cell("v1", 1, 8, 0), cell("v2", 1, 8, 0).model_copy(update=change)))


@pytest.mark.parametrize("micro", [float("nan"), float("inf"), -1, 0.5])
def test_a_sum_that_is_no_whole_number_is_no_window(micro: float) -> None:
    with pytest.raises(ValidationError):
        Metric.model_validate({"n": 1, "micro": micro})


@pytest.mark.parametrize("field", ["n", "err", "tools", "tf"])
def test_a_count_below_zero_is_no_window(field: str) -> None:
    with pytest.raises(ValidationError):
        Bucket.model_validate({field: -1})


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (b'{"service": "orders", "micro": NaN}', "orders"),
        (b'{"service": "../x"}', None),
        (b'{"service": 5}', None),
        (b"[]", None),
        (b"\xff", None),
        (None, None),
    ],
)
def test_what_cannot_be_read_may_still_name_its_service(value: bytes | None, named: str | None) -> None:
    assert service_named_in(value) == named


async def test_an_impossible_window_is_named_and_holds_the_rollout_and_a_replay_says_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rollout = Rollout()
    await rollout.start()
    await rollout.run(3)
    bad = cell("v2", 1, 800, 0).model_copy(update={"buckets": {0: Bucket(n=1, err=800)}})
    with caplog.at_level(logging.ERROR):
        await rollout.put("cohort-windows", window(rollout.clock.now_ms() + 1000, bad, partition=1))
        await rollout.turn()
    assert "800 errors of 1 requests" in str([getattr(record, "why", "") for record in caplog.records])
    head = rollout.chain.head
    assert head is not None
    assert (head.kind, head.reason.code, head.score) == ("hold", "incomplete", head.score)
    assert "what was counted is impossible" in head.reason.sentence
    assert all(check.canary.bad == 0 for check in head.checks)
    await rollout.run(70)
    assert [entry.kind for entry in rollout.chain.entries][:3] == ["start", "hold", "resume"]
    assert {type(verdict) for verdict in verify(rollout.tapes, "orders", 1, MACHINE)} == {Same}


def proxy(sent: int, failed: int) -> ProxyReport:
    versions = {v: VersionTotals(sent=sent, failed=failed if v == "v2" else 0, active=0) for v in ("v1", "v2")}
    return ProxyReport(service="orders", router="r0", epoch=1, proxy="lb0", started=1, at=0, versions=versions)


def nan_of(made: Rollout) -> bytes:
    """A window whose sum is none."""
    whole = cell("v2", 1, 800, 0).model_copy(update={"metrics": {"tokens": Metric(n=800, micro=7)}})
    return window(made.clock.now_ms() + 1000, whole, partition=1).dump().replace(b'"micro":7', b'"micro":NaN')


async def held(rollout: Rollout, topic: Topic, told: bytes, caplog: pytest.LogCaptureFixture) -> LedgerEntry:
    """The entry that follows on what was told."""
    with caplog.at_level(logging.ERROR):
        await rollout.log.writer().append(topic, "orders", told)
        await rollout.turn()
    head = rollout.chain.head
    assert head is not None
    assert (head.kind, head.reason.code) == ("hold", "incomplete")
    return head


def same(records: Records, service: str = "orders") -> bool:
    return {type(verdict) for verdict in verify(records, service, 1, MACHINE)} == {Same}


async def test_a_proxy_s_count_that_goes_backwards_is_named_and_holds_and_is_not_judged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rollout = Rollout()
    await rollout.start(checks={"availability": {"within": "1pp"}})
    for second in range(8):
        await rollout.put("proxy-reports", proxy(1000 + 100 * second, 0))
        await rollout.run(1)
    await held(rollout, "proxy-reports", proxy(900, 900).dump(), caplog)
    assert "completed fell from" in str([getattr(record, "why", "") for record in caplog.records])
    await rollout.put("proxy-reports", proxy(2000, 900))
    await rollout.run(70)
    kinds = [entry.kind for entry in rollout.chain.entries]
    assert kinds[:3] == ["start", "hold", "resume"]
    assert "rollback" not in kinds
    assert same(rollout.tapes)


async def test_a_sum_that_is_no_number_is_named_and_holds_and_a_recording_says_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rollout = Rollout()
    await rollout.start()
    await rollout.run(3)
    await held(rollout, "cohort-windows", nan_of(rollout), caplog)
    assert "micro" in str([getattr(record, "why", "") for record in caplog.records])
    await rollout.run(70)
    assert [entry.kind for entry in rollout.chain.entries][:3] == ["start", "hold", "resume"]
    header = header_of(rollout.tapes, "orders", None)
    records = by_topic(records_of(rollout.tapes, header))
    other, renamed = anonymized(header, records, b"key", MACHINE)
    assert same(rollout.tapes)
    assert same(records)
    assert same(renamed, other.service)
    assert not any(b"NaN" in (record.value or b"") for record in records["cohort-windows"])


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        *(({"histogram": {bin_: 1}}, "histogram") for bin_ in (-1, BINS, 99_999)),
        *(({"bucket_histograms": {0: {bin_: 1}}}, "bucket_histograms") for bin_ in (-1, BINS // COARSE_PER_FINE)),
        *(({"metrics": {"tokens": {"histogram": {bin_: 1}}}}, "histogram") for bin_ in (-1, BINS)),
        ({"metrics": {"tokens": {"bucket_histograms": {0: {BINS // COARSE_PER_FINE: 1}}}}}, "bucket_histograms"),
        ({"bucket_floor": -1}, "bucket_floor"),
        ({"lives": {0: {len(SESSION_AGES_S): 1}}}, "lives"),
        ({"ends": {0: {-1: 1}}}, "ends"),
        ({"lives": {-1: {0: 1}}}, "lives"),
    ],
)
def test_a_bin_or_an_age_that_there_is_not_is_no_window(fields: dict[str, object], place: str) -> None:
    with pytest.raises(ValidationError, match=place):
        Cell.model_validate({"version": "v1", "label": "-", **fields})


@pytest.mark.parametrize("fields", [{"window_start": 2**53}, {"window_ms": 86_400_001}, {"parts": 0}, {"part": 0}])
def test_a_time_that_there_is_not_is_no_window(fields: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        CohortWindow.model_validate(window(1000).model_dump(by_alias=True) | fields)


def test_a_part_beyond_its_window_is_refused() -> None:
    with pytest.raises(ImpossibleWindowError, match="part 3 of 2"):
        refuse_impossible(window(1000, part=3, parts=2))


def slowest(made: Rollout) -> bytes:
    """A window with a bin that there is not."""
    whole = cell("v2", 1, 800, 0).model_copy(update={"histogram": {99_999: 1}})
    return window(made.clock.now_ms() + 1000, whole, partition=1).dump()


def far_ahead(made: Rollout) -> bytes:
    return window(2**53 - 2000, cell("v2", 1, 800, 0), partition=1).dump()


def a_little_ahead(made: Rollout) -> bytes:
    """It would stop the staleness check, and make the stage two minutes older than anybody counted."""
    return window(made.clock.now_ms() + 120_000, cell("v2", 1, 800, 0), partition=1).dump()


def nested(_: Rollout) -> bytes:
    return b'{"service":"orders","cells":' + b"[" * 900 + b"]" * 900 + b"}"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (slowest, "99999"),
        (far_ahead, "before it began"),
        (a_little_ahead, "before it began"),
        (nested, "recursion limit"),
    ],
)
async def test_a_window_of_another_layout_or_time_is_named_and_holds_and_the_judge_goes_on(
    told: Callable[[Rollout], bytes], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    rollout = Rollout()
    await rollout.start()
    await rollout.run(3)
    await held(rollout, "cohort-windows", told(rollout), caplog)
    assert words in str([getattr(record, "why", "") for record in caplog.records])
    await rollout.run(70)
    assert [entry.kind for entry in rollout.chain.entries][:4] == ["start", "hold", "resume", "proceed"]
    assert same(rollout.tapes)


async def test_a_rate_of_values_beyond_one_is_named_and_holds_and_is_not_judged() -> None:
    def fifty(version: str, bad: int) -> Cell:
        buckets = {i: MetricBucket(n=100, micro=(50 + bad) * 100 * MICRO) for i in range(8)}
        values = Metric(n=800, micro=(50 + bad) * 800 * MICRO, buckets=buckets)
        return cell(version, 1, 800, 0).model_copy(update={"metrics": {"hits": values}})

    rollout = Rollout()
    await rollout.start(checks={**CHECKS, "hits": {"kind": "rate", "within": "5pp"}})
    for _ in range(12):
        await rollout.run(1, silent=True)
        now = rollout.clock.now_ms()
        for partition, cells in enumerate(((fifty("v1", 0), fifty("v2", 10)), ())):
            await rollout.put("cohort-windows", window(now, *cells, partition=partition))
        await rollout.turn()
    head = rollout.chain.head
    assert head is not None
    assert (head.kind, head.reason.code) == ("hold", "unproven")
    assert "hits can no longer be judged" in head.reason.sentence
    assert "a rate as 0 to 1" in head.reason.sentence


def test_a_record_of_counts_that_raises_whatever_is_missed() -> None:
    fold = Fold()
    fold.read(Record("services", 0, 0, T0, b"orders", SERVICE.dump()))
    fold.states["orders"].sources["mcp-requests"] = cast("Source", None)
    with pytest.raises(AttributeError):
        fold.read(Record("cohort-windows", 0, 0, T0 + 7, b"orders", window(T0).dump()))
    fold.states["orders"].sources.clear()
    assert fold.states["orders"].incomplete_ms == T0 + 7
