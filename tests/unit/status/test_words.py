"""Commands: written once, answered by what the judge says."""

import pytest

from schemas.control import Command, Outcome
from schemas.decisions import LedgerEntry
from schemas.ledger import ServiceLedger
from tests.builders import entry, opening, plan
from tests.unit.status.scene import api, applied, body, carries_out, commands, judge, ledger, refuses, say
from transport.memory_log import MemoryLog

PLAN = body(plan())
WHY = {"reason": "release 2.4"}
PENDING = entry("start", opening=opening(approve=["start"]))
START = entry("start")
PROCEED = entry("proceed", START, now=2)


async def test_a_start_answers_with_the_judges_sentence_and_carries_a_fresh_seed_and_the_actor() -> None:
    log = MemoryLog()
    await applied(log)
    async with api(log) as client, judge(log, carries_out):
        got = await client.post("/api/rollouts", params={"actor": "anna", **WHY}, json=PLAN)
        assert got.status_code == 201
        assert got.json()["sentence"] == "It is a start."
    (command,) = commands(log)
    assert (command.actor, command.seen, command.reason) == ("anna", "", "release 2.4")
    assert command.opening is not None
    assert len(set(command.opening.seed)) > 4
    assert (command.replace, command.again) == (False, False)
    assert got.json()["command"] == command.id


async def test_a_start_may_replace_and_may_start_a_rejected_version_again() -> None:
    log = MemoryLog()
    await applied(log)
    async with api(log) as client, judge(log, refuses("no")):
        await client.post("/api/rollouts", params={"replace": "true", "again": "true"}, json=PLAN)
    (command,) = commands(log)
    assert (command.replace, command.again) == (True, True)


async def test_a_start_that_replaces_is_answered_by_its_start_and_not_by_the_rollback_before() -> None:
    log = MemoryLog()
    running = entry("start")
    await applied(log, running)

    def replaces(command: Command, chain: ServiceLedger) -> list[LedgerEntry | Outcome]:
        back = entry("rollback", chain.head, now=2, command=command.id)
        wait = Outcome(command=command.id, accepted=False, sentence="a proxy has not acknowledged the last decision")
        return [back, wait, entry("start", back, now=3, command=command.id, opening=command.opening)]

    async with api(log) as client, judge(log, replaces):
        got = await client.post("/api/rollouts", params={"replace": "true"}, json=PLAN)
        assert got.status_code == 201
        assert got.json()["sentence"] == "It is a start."


async def test_a_refused_start_says_why() -> None:
    log = MemoryLog()
    await applied(log)
    async with api(log) as client, judge(log, refuses("version v2 is the baseline already")):
        got = await client.post("/api/rollouts", json=PLAN)
        assert got.status_code == 409
        assert got.json()["detail"] == "version v2 is the baseline already"


async def test_without_a_judge_a_command_is_reported_as_unanswered() -> None:
    log = MemoryLog()
    await applied(log)
    async with api(log, answer_within_s=0.01) as client:
        got = await client.post("/api/rollouts", json=PLAN)
        assert got.status_code == 504
        assert "davylamp history orders" in got.json()["detail"]


async def test_a_start_of_an_unknown_service_writes_nothing() -> None:
    log = MemoryLog()
    async with api(log) as client:
        got = await client.post("/api/rollouts", json=PLAN)
        assert got.status_code == 404
        assert "service apply" in got.json()["detail"]
    assert commands(log) == []


@pytest.mark.parametrize(
    ("word", "before"),
    [
        ("promote", ("start",)),
        ("retry", ("start",)),
        ("hold", ("start",)),
        ("resume", ("start", "hold")),
        ("freeze", ("start",)),
        ("unfreeze", ("start", "freeze")),
    ],
)
async def test_a_word_becomes_a_command_and_then_an_entry(word: str, before: tuple[str, ...]) -> None:
    log = MemoryLog()
    entries: list[LedgerEntry] = []
    for now, kind in enumerate(before, start=1):
        entries.append(entry(kind, entries[-1] if entries else None, now=now))  # type: ignore[arg-type]  # of the table
    await applied(log, *entries)
    async with api(log) as client, judge(log, carries_out):
        got = await client.post(f"/api/rollouts/orders/{word}", params={"actor": "anna"}, json=WHY)
        assert got.status_code == 200, got.text
    (command,) = commands(log)
    assert (command.kind, command.actor, command.reason) == (word, "anna", "release 2.4")
    assert command.seen == entries[-1].id
    head = ledger(log).head
    assert head is not None
    assert head.command == command.id
    assert got.json()["sentence"] == head.reason.sentence


async def test_what_the_caller_saw_is_handed_on_even_if_the_ledger_has_moved() -> None:
    log = MemoryLog()
    start = entry("start")
    await applied(log, start, entry("proceed", start, now=2))
    async with api(log) as client, judge(log, refuses("the ledger has moved since you looked")):
        got = await client.post("/api/rollouts/orders/retry", json={**WHY, "seen": start.id})
        assert got.status_code == 409
    assert commands(log)[0].seen == start.id


async def test_a_promotion_may_go_to_the_whole() -> None:
    log = MemoryLog()
    await applied(log, entry("start"))
    async with api(log) as client, judge(log, refuses("no")):
        await client.post("/api/rollouts/orders/promote", json={**WHY, "full": True})
    assert commands(log)[0].full is True


@pytest.mark.parametrize(
    ("at", "named", "asked"),
    [(PENDING, None, "start"), (START, None, "2"), (PROCEED, None, "promote"), (START, "promote", "promote")],
)
async def test_an_approval_is_of_what_comes_next_unless_it_is_named(
    at: LedgerEntry, named: str | None, asked: str
) -> None:
    log = MemoryLog()
    await applied(log, *([START, at] if at is PROCEED else [at]))
    async with api(log) as client, judge(log, refuses("no")):
        await client.post("/api/rollouts/orders/approve", json={**WHY, **({"approves": named} if named else {})})
    assert commands(log)[0].approves == asked


async def test_nothing_is_approved_where_nothing_is_under_way() -> None:
    log = MemoryLog()
    start = entry("start")
    await applied(log, start, entry("rollback", start, now=2))
    async with api(log) as client:
        got = await client.post("/api/rollouts/orders/approve", json=WHY)
        assert got.status_code == 409
        assert "nothing to approve" in got.json()["detail"]
    assert commands(log) == []


@pytest.mark.parametrize(
    ("word", "said", "path"),
    [
        ("hold", {}, "reason"),
        ("hold", {"reason": "  "}, "reason"),
        ("hold", {"reason": "a\x1b[2Jb"}, "reason"),
        ("hold", {**WHY, "full": True}, "full"),
        ("promote", {**WHY, "approves": "start"}, "approves"),
        ("approve", {**WHY, "approves": "everything"}, "approves"),
        ("rollback", {**WHY, "mode": "slowly"}, "mode"),
        ("dance", WHY, "path.kind"),
    ],
)
async def test_a_word_that_is_not_understood_moves_nothing(word: str, said: dict[str, object], path: str) -> None:
    log = MemoryLog()
    await applied(log, entry("start"))
    async with api(log) as client:
        got = await client.post(f"/api/rollouts/orders/{word}", json=said)
        assert got.status_code == 422
        assert [e["path"] for e in got.json()["errors"]] == [path]
    assert commands(log) == []
    assert len(ledger(log).entries) == 1


@pytest.mark.parametrize("actor", ["judge", "router", "<b>anna</b>", "a b", "a" * 65])
async def test_the_actor_is_no_service_and_no_free_text(actor: str) -> None:
    log = MemoryLog()
    await applied(log, entry("start"))
    async with api(log) as client:
        got = await client.post("/api/rollouts/orders/rollback", params={"actor": actor}, json=WHY)
        assert got.status_code == 422
        assert got.json()["detail"].startswith("actor: ")
    assert len(ledger(log).entries) == 1


async def test_an_answer_to_another_command_is_not_taken_for_ones_own() -> None:
    log = MemoryLog()
    await applied(log, entry("start"))
    await say(log, Outcome(command="somebody-elses", accepted=False, sentence="no"))
    async with api(log, answer_within_s=0.01) as client:
        got = await client.post("/api/rollouts/orders/retry", json=WHY)
        assert got.status_code == 504


async def test_a_plan_that_contradicts_itself_is_refused_and_writes_nothing() -> None:
    log = MemoryLog()
    await applied(log)
    async with api(log) as client:
        got = await client.post("/api/rollouts", json={**PLAN, "strict": True, "on_unproven_final": "proceed"})
        assert got.status_code == 422
        assert "on_unproven_final: `strict: true` holds whatever is unproven" in got.text
    assert commands(log) == []
