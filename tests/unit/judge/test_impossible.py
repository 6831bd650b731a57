"""What no traffic can have made is named, holds the rollout, and is never judged: live and in a replay."""

import logging

import pytest
from pydantic import ValidationError

from judge.impossible import ImpossibleWindowError, refuse_impossible
from judge.verdicts import Same
from judge.verify import verify
from schemas.windows import Bucket, Metric, ToolCount
from tests.unit.judge.rollouts import MACHINE, Rollout, cell, window


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
