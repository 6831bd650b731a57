"""What no traffic can have made is named, holds the rollout, and is never judged: live and in a replay."""

import logging

import pytest
from pydantic import ValidationError

from judge.anonymous import anonymized
from judge.impossible import ImpossibleWindowError, refuse_impossible, service_named_in
from judge.recording import header_of, records_of
from judge.verdicts import Same
from judge.verify import Records, verify
from schemas.control import ProxyReport, VersionTotals
from schemas.decisions import LedgerEntry
from schemas.topics import Topic
from schemas.windows import Bucket, Metric, ToolCount
from tests.unit.judge.rollouts import MACHINE, Rollout, cell, window
from transport.log import by_topic


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"buckets": {3: Bucket(n=1, err=2)}},
            r"window 0 of mcp-requests-0: cells\[1\].buckets.3: 2 errors of 1 requests",
        ),
        ({"buckets": {3: Bucket(n=9, tools=1, tf=2)}}, r"buckets.3: 2 failed tool calls of 1"),
        ({"tools": {"search": ToolCount(n=1, bad=2)}}, r"tools.search: 2 failed calls of 1"),
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
