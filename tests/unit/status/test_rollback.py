"""People's rollback: in the ledger without a judge, and answered only once it holds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decisions import EntryKind, LedgerEntry
from schemas.ledger import Accepted, ServiceLedger
from schemas.standing import TRANSITIONS
from status.rollback import rollback_entry, why_not
from tests.builders import entry, opening
from tests.unit.status.scene import api, applied, commands, ledger
from transport.clock import FakeClock
from transport.log import Position
from transport.memory_log import MemoryLog, MemoryWriter

WHY = {"reason": "errors in the field"}


def chain(*kinds: EntryKind, **of_the_start: Any) -> tuple[LedgerEntry, ...]:
    """Entries that follow each other."""
    entries: list[LedgerEntry] = []
    for now, kind in enumerate(kinds, start=1):
        fields = of_the_start if kind == "start" else {"baseline": "v1", "canary": "v2"}
        fields = {**fields, "approves": "2"} if kind == "approve" else fields
        entries.append(entry(kind, entries[-1] if entries else None, now=now, **fields))
    return tuple(entries)


def read(*entries: LedgerEntry) -> ServiceLedger:
    """The chain after `entries`, which must all hold."""
    ledger = ServiceLedger()
    for offset, item in enumerate(entries):
        ledger, result = ledger.read(item, offset)
        assert isinstance(result, Accepted)
    return ledger


async def test_a_live_rollout_is_taken_back_without_a_judge() -> None:
    log = MemoryLog()
    await applied(log, *chain("start", "proceed"))
    async with api(log) as client:
        got = await client.post("/api/rollouts/orders/rollback", params={"actor": "anna"}, json=WHY)
        assert got.status_code == 200
        assert got.json()["sentence"] == "anna rolled back: errors in the field"
        shown = (await client.get("/api/rollouts/orders")).json()["rollout"]
        assert (shown["state"], shown["share"]) == ("rolled_back", 0)
    head = ledger(log).head
    assert head is not None
    assert head.id == got.json()["entry"]
    assert (head.kind, head.share, head.stage, head.rollout) == ("rollback", 0, 2, 1)
    assert (head.baseline, head.canary, head.hold_mode) == ("v1", "v2", "drain")
    assert (head.actor, head.reason.code) == ("anna", "person")
    assert head.cut.offsets == {}
    assert head.decided_at == FakeClock().now_ms()
    assert commands(log) == []


async def test_a_second_rollback_is_refused_because_the_first_holds() -> None:
    log = MemoryLog()
    await applied(log, *chain("start"))
    async with api(log) as client:
        await client.post("/api/rollouts/orders/rollback", json=WHY)
        for word in ("rollback", "undo"):
            second = await client.post(f"/api/rollouts/orders/{word}", json=WHY)
            assert second.status_code == 409
            assert "already rolled back" in second.json()["detail"]
    assert [e.kind for e in ledger(log).entries] == ["start", "rollback"]


async def test_an_undo_brings_the_old_baseline_back() -> None:
    log = MemoryLog()
    await applied(log, *chain("start", "complete"))
    assert ledger(log).baseline == "v2"
    async with api(log) as client:
        refused = await client.post("/api/rollouts/orders/rollback", json=WHY)
        assert refused.status_code == 409
        assert "davylamp undo orders" in refused.json()["detail"]
        got = await client.post("/api/rollouts/orders/undo", json=WHY)
        assert got.status_code == 200
    assert ledger(log).baseline == "v1"
    assert ledger(log).standing.phase == "rolled_back"


async def test_a_rollback_of_what_one_saw_running_wins_against_its_completion() -> None:
    log = MemoryLog()
    start, complete = chain("start", "complete")
    await applied(log, start, complete)
    async with api(log) as client:
        stale = await client.post("/api/rollouts/orders/rollback", json={**WHY, "seen": complete.id})
        assert stale.status_code == 409
        got = await client.post("/api/rollouts/orders/rollback", json={**WHY, "seen": start.id})
        assert got.status_code == 200
    assert ledger(log).baseline == "v1"


async def test_a_rollback_wins_against_a_proceed_that_came_between() -> None:
    log = MemoryLog()
    (start,) = chain("start")
    await applied(log, start)

    class Overtaken(MemoryWriter):
        """The judge's word reaches the log just before the person's."""

        async def append(self, topic: Any, service: str, value: bytes) -> Position:
            await log.put("rollout-decisions", 0, entry("proceed", start, now=9).dump())
            return await super().append(topic, service, value)

    log.writer = lambda: Overtaken(log, 1)  # type: ignore[method-assign]
    async with api(log) as client:
        assert (await client.post("/api/rollouts/orders/rollback", json=WHY)).status_code == 200
    assert [e.kind for e in ledger(log).entries] == ["start", "proceed", "rollback"]


async def test_a_rollback_that_another_overtook_is_told_as_void() -> None:
    log = MemoryLog()
    (start,) = chain("start")
    await applied(log, start)

    class Overtaken(MemoryWriter):
        """The same word of somebody else, of the same millisecond: only its place in the log tells them apart."""

        async def append(self, topic: Any, service: str, value: bytes) -> Position:
            await super().append(topic, service, value)
            return await super().append(topic, service, value)

    log.writer = lambda: Overtaken(log, 1)  # type: ignore[method-assign]
    async with api(log) as client:
        got = await client.post("/api/rollouts/orders/rollback", json=WHY)
        assert got.status_code == 409
        assert "has no effect" in got.json()["detail"]
    assert [e.kind for e in ledger(log).entries] == ["start", "rollback"]


async def test_what_was_not_read_back_is_not_said_to_hold() -> None:
    log = MemoryLog()
    await applied(log, *chain("start"))

    class Slow(MemoryWriter):
        """The log has taken it, and does not show it yet."""

        async def append(self, topic: Any, service: str, value: bytes) -> Position:
            return Position(0, 1, 1)

    log.writer = lambda: Slow(log, 1)  # type: ignore[method-assign]
    async with api(log, answer_within_s=0.01) as client:
        got = await client.post("/api/rollouts/orders/rollback", json=WHY)
        assert got.status_code == 504
        assert "was not read back" in got.json()["detail"]


async def test_the_canarys_sessions_are_treated_as_the_plan_or_the_person_says() -> None:
    start = entry("start", opening=opening(rollback={"mode": "rehome"}))
    for said, mode in (({}, "rehome"), ({"mode": "evict"}, "evict")):
        log = MemoryLog()
        await applied(log, start)
        async with api(log) as client:
            await client.post("/api/rollouts/orders/rollback", json={**WHY, **said})
        head = ledger(log).head
        assert head is not None
        assert head.hold_mode == mode


@pytest.mark.parametrize(
    ("kinds", "back", "words"),
    [
        ((), "rollback", "has no rollout"),
        ((), "undo", "has no rollout"),
        (("start",), "undo", "davylamp rollback orders takes it back"),
        (("start", "hold"), "undo", "is held"),
        (("start", "complete"), "rollback", "v2 serves everybody: davylamp undo orders"),
        (("start", "rollback"), "rollback", "already rolled back, and its canary's sessions drain"),
        (("start", "rollback", "drained"), "undo", "already rolled back, and its canary has drained"),
        (("start", "complete", "retire"), "undo", "is retired"),
        (("start", "complete", "retire"), "rollback", "start a rollout of the version you want"),
    ],
)
def test_what_cannot_be_taken_back_says_where_it_stands(kinds: tuple[EntryKind, ...], back: Any, words: str) -> None:
    objection = why_not(read(*chain(*kinds)), "orders", back)
    assert objection is not None
    assert words in objection


@given(st.lists(st.sampled_from(["proceed", "hold", "resume", "retry", "approve", "freeze", "complete"]), max_size=8))
def test_wherever_a_rollout_stands_exactly_one_way_back_holds(kinds: list[EntryKind]) -> None:
    ledger = read(*chain("start"))
    for now, kind in enumerate(kinds, start=2):
        fields = {"approves": "2"} if kind == "approve" else {}
        ledger, _ = ledger.read(entry(kind, ledger.head, now=now, **fields), now)
    open_ways = [back for back in ("rollback", "undo") if why_not(ledger, "orders", back) is None]
    assert len(open_ways) == 1
    assert "rollback" in TRANSITIONS[ledger.standing.phase]
    back = rollback_entry(ledger, actor="anna", reason="x", hold_mode=None, now_ms=99, code_version="0")
    after, result = ledger.read(back, 99)
    assert isinstance(result, Accepted)
    assert (after.standing.phase, after.standing.share, after.baseline) == ("rolled_back", 0, "v1")
