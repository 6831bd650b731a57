"""A recording holds all that a rollout's decisions rest on, and little more."""

import pytest

from judge.fold import TOPICS
from judge.recording import NoRolloutError, header_of, records_of
from judge.verdicts import Same
from judge.verify import verify
from schemas.control import ProxyReport, VersionTotals
from tests.builders import SERVICE, opening, route
from tests.unit.judge.rollouts import CHECKS, MACHINE, Rollout, Tapes, broken, promoted


def recorded(rollout: Rollout, number: int | None = None) -> Tapes:
    header = header_of(rollout.tapes, "orders", number)
    kept = list(records_of(rollout.tapes, header))
    return {topic: [record for record in kept if record.topic == topic] for topic in TOPICS}


def same(tapes: Tapes, number: int) -> int:
    verdicts = verify(tapes, "orders", number, MACHINE)
    assert {type(v) for v in verdicts} == {Same}
    return len(verdicts)


def report(sent: int, failed: int = 0) -> ProxyReport:
    versions = {v: VersionTotals(sent=sent, failed=failed if v == "v2" else 0, active=0) for v in ("v1", "v2")}
    return ProxyReport(service="orders", router="r", epoch=1, proxy="lb0", started=1, at=0, versions=versions)


async def later_rollout(hours: float) -> Rollout:
    """Rolled back; hours of routes and reports; then another one, with proxies that tell of failures."""
    rollout = await broken()
    await rollout.put("route-changes", route(rollout.chain.head_id))
    for second in range(0, round(hours * 3600), 30):
        rollout.clock.advance(30)
        await rollout.put("proxy-reports", report(40 * second))
        await rollout.put("route-changes", route(rollout.chain.head_id))
    checks = {**CHECKS, "availability": {"within": "1pp"}}
    await rollout.ask("start", opening=opening("v2", checks=checks), again=True)
    sent = round(40 * hours * 3600)
    for second in range(12):
        await rollout.put("proxy-reports", report(sent + 900 * second, 8 * second))
        await rollout.run(1)
    return rollout


async def test_every_entry_is_recomputed_from_the_recording() -> None:
    for rollout, entries in ((await promoted(), 8), (await broken(), 5)):
        assert same(recorded(rollout), 1) == entries


async def test_what_is_older_is_left_out_but_for_what_still_speaks() -> None:
    rollout = await later_rollout(2.5)
    tapes = recorded(rollout)
    assert same(tapes, 2) == same(rollout.tapes, 2) >= 2
    for topic in ("proxy-reports", "route-changes"):
        assert len(tapes[topic]) < len(rollout.tapes[topic])
    assert tapes["cohort-windows"][0].offset > 0
    assert tapes["proxy-reports"][0].offset > 0


async def test_what_came_after_the_rollout_is_left_out() -> None:
    rollout = await later_rollout(0.01)
    tapes = recorded(rollout, 1)
    assert same(tapes, 1) == 5
    assert max(r.timestamp_ms for records in tapes.values() for r in records) < rollout.clock.now_ms() - 11_000


async def test_other_services_and_what_nobody_understood_are_left_out() -> None:
    rollout = await broken()
    await rollout.put("services", SERVICE.model_copy(update={"service": "stock"}))
    await rollout.log.put("cohort-windows", 0, b"{}")
    tapes = recorded(rollout)
    assert len(tapes["services"]) == 1
    assert len(tapes["cohort-windows"]) == len(rollout.tapes["cohort-windows"]) - 1


async def test_the_newest_rollout_is_meant_and_an_unknown_one_is_told() -> None:
    rollout = await later_rollout(0.01)
    assert header_of(rollout.tapes, "orders", None).rollout == 2
    with pytest.raises(NoRolloutError, match="orders has no rollout 7; the log holds 1, 2"):
        header_of(rollout.tapes, "orders", 7)
    with pytest.raises(NoRolloutError, match="stock has no rollout 0; the log holds none"):
        header_of(rollout.tapes, "stock", None)
