"""On-call hears of every end and every rejection, once."""

import logging

import pytest

from alerts.agent import REPEAT_S, Alerts
from tests.builders import entry, route
from transport.clock import FakeClock
from transport.log import Batch
from transport.memory_log import MemoryLog

START = entry("start")
ROLLBACK = entry("rollback", START, now=2)


async def told(caplog: pytest.LogCaptureFixture, *steps: tuple[str, bytes], age_s: float = 0) -> list[str]:
    """The alerts after these records were read `age_s` after they were written."""
    clock = FakeClock()
    log = MemoryLog(clock=clock)
    for topic, value in steps:
        await log.put(topic, 0, value)
    clock.advance(age_s)
    alerts = Alerts(log.reader("rollout-decisions", "route-changes"), clock)
    with caplog.at_level(logging.INFO):
        records = tuple(r for t in ("rollout-decisions", "route-changes") for r in log.records(t))
        alerts.handle(Batch(records, caught_up=True))
    return [r.getMessage() for r in caplog.records if r.getMessage().startswith("ALERT")]


def decisions(*entries: object) -> list[tuple[str, bytes]]:
    return [("rollout-decisions", e.dump()) for e in entries]  # type: ignore[attr-defined]  # ledger entries


async def test_a_rollback_pages_with_its_sentence(caplog: pytest.LogCaptureFixture) -> None:
    assert await told(caplog, *decisions(START, ROLLBACK)) == ["ALERT orders rollback: It is a rollback."]
    assert caplog.records[-1].levelno == logging.CRITICAL


async def test_a_completion_informs_and_a_start_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert await told(caplog, *decisions(START, entry("complete", START, now=2))) == [
        "ALERT orders complete: It is a complete."
    ]
    assert caplog.records[-1].levelno == logging.INFO


async def test_a_void_entry_alerts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    again = entry("rollback", ROLLBACK, now=3)
    assert len(await told(caplog, *decisions(START, ROLLBACK, again))) == 1


async def test_a_rejected_route_pages_once_with_the_proxys_own_words(caplog: pytest.LogCaptureFixture) -> None:
    change = ("route-changes", route(START.id, acknowledged=False, detail="no such cluster").dump())
    assert await told(caplog, change, change) == ["ALERT orders route_rejected: Proxy lb0: no such cluster"]


async def test_after_a_restart_the_last_ten_minutes_are_told_again_and_older_ones_are_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert len(await told(caplog, *decisions(START, ROLLBACK), age_s=REPEAT_S - 1)) == 1
    caplog.clear()
    assert await told(caplog, *decisions(START, ROLLBACK), age_s=REPEAT_S + 1) == []


async def test_a_record_that_is_not_understood_is_skipped_and_named(caplog: pytest.LogCaptureFixture) -> None:
    got = await told(caplog, ("rollout-decisions", b"{"), *decisions(START, ROLLBACK))
    assert got == ["ALERT orders rollback: It is a rollback."]
    assert any(getattr(r, "at", None) == "rollout-decisions-0@0" for r in caplog.records)


async def test_it_follows_the_log(caplog: pytest.LogCaptureFixture) -> None:
    log = MemoryLog()
    reader = log.reader("rollout-decisions", "route-changes")
    for _, value in decisions(START, ROLLBACK):
        await log.put("rollout-decisions", 0, value)
    alerts = Alerts(reader, FakeClock())
    async for batch in reader.batches():
        alerts.handle(batch)
        await reader.close()
    assert any("ALERT orders rollback" in r.getMessage() for r in caplog.records)
