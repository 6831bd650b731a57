"""A metric whose sums have outgrown the numbers holds the rollout, however well the other checks are proven."""

from typing import Any

from judge.verdicts import Same
from judge.verify import verify
from schemas.windows import Cell, Metric, MetricBucket
from tests.unit.judge.rollouts import CHECKS, MACHINE, Rollout, cell, window

PLAN: dict[str, Any] = {
    "checks": {**CHECKS, "tokens": {"kind": "rate", "within": "1pp"}},
    "stages": [{"share": "20%", "for": "10s"}],
}
MICRO = 2**57


def enormous(version: str, stage: int, rollout: int) -> Cell:
    """Healthy, but for what its servers send as the metric."""
    buckets = {i: MetricBucket(n=100, micro=MICRO) for i in range(8)}
    values = Metric(n=800, micro=8 * MICRO, buckets=buckets)
    return cell(version, stage, 800, 0, rollout).model_copy(update={"metrics": {"tokens": values}})


class Flooded(Rollout):
    """Every request brings a number near the largest."""

    async def _count(self, bad: int) -> None:
        standing, now = self.chain.standing, self.clock.now_ms()
        cells = (enormous(version, max(standing.stage, 1), standing.rollout) for version in ("v1", "v2"))
        await self.put("cohort-windows", window(now, *cells))
        await self.put("cohort-windows", window(now, partition=1))


async def test_a_metric_that_can_no_longer_be_judged_holds_by_name_until_a_person_goes_on() -> None:
    rollout = Flooded()
    await rollout.start(**PLAN)
    await rollout.run(40)
    head = rollout.chain.head
    assert head is not None
    assert (head.kind, head.reason.code) == ("hold", "unproven")
    assert head.reason.sentence.startswith("tokens can no longer be judged")
    await rollout.ask("resume")
    await rollout.run(20)
    assert [entry.kind for entry in rollout.chain.entries] == ["start", "hold", "resume", "complete"]
    assert {type(verdict) for verdict in verify(rollout.tapes, "orders", 1, MACHINE)} == {Same}
