"""The status API over the log in memory, with a judge that answers as told."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from schemas.control import Command, Outcome, RolloutView
from schemas.decisions import Cut
from status import app as status_app
from status.app import create_app
from status.feed import TOPICS
from tests.builders import SERVICE, entry, plan, route
from transport.log import Batch
from transport.memory_log import MemoryLog


@contextlib.asynccontextmanager
async def api(log: MemoryLog) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(log.reader(*TOPICS), log.writer())
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://status") as client:
            await app.state.feed.wait_for(lambda _: app.state.feed.caught_up or None, 5)
            yield client


@contextlib.asynccontextmanager
async def judge(log: MemoryLog, *, refuse: str | None = None) -> AsyncIterator[None]:
    """Answers every command: by a `start` in the ledger, or by a refusal in its view."""

    async def answer() -> None:
        reader = log.reader("rollout-commands")
        async for batch in reader.batches():
            for record in batch.records:
                command = Command.read(record.value or b"")
                if refuse is None:
                    opening = command.opening.model_copy(update={"command": command.id})
                    start = entry("start", opening=opening, actor=command.actor)
                    await log.writer().append("rollout-decisions", "orders", start.dump())
                else:
                    outcome = Outcome(command=command.id, accepted=False, sentence=refuse)
                    view = RolloutView(service="orders", rollout=0, outcomes=(outcome,), looked_at=1)
                    await log.writer().append("rollouts", "orders", view.dump())

    task = asyncio.create_task(answer())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


BODY = json.loads(plan().dump())


async def test_a_service_that_was_applied_is_shown() -> None:
    async with api(MemoryLog()) as client:
        put = await client.put("/api/services/orders", json=json.loads(SERVICE.dump()))
        assert put.status_code == 200
        shown = (await client.get("/api/rollouts/orders")).json()
        assert shown["definition"]["baseline"] == "v1"
        assert shown["ledger"] == []
        assert [s["service"] for s in (await client.get("/api/rollouts")).json()] == ["orders"]


async def test_a_service_under_another_name_is_refused() -> None:
    async with api(MemoryLog()) as client:
        put = await client.put("/api/services/billing", json=json.loads(SERVICE.dump()))
        assert put.status_code == 422
        assert put.headers["content-type"] == "application/problem+json"
        assert "billing" in put.json()["detail"]


async def test_an_unknown_service_is_told_what_to_do() -> None:
    async with api(MemoryLog()) as client:
        got = await client.get("/api/rollouts/nobody")
        assert got.status_code == 404
        assert "service apply" in got.json()["detail"]
        assert (await client.post("/api/rollouts", json=BODY)).status_code == 409


async def test_a_start_answers_with_the_judges_sentence_and_carries_a_fresh_seed_and_the_actor() -> None:
    log = MemoryLog()
    async with api(log) as client, judge(log):
        await client.put("/api/services/orders", json=json.loads(SERVICE.dump()))
        got = await client.post("/api/rollouts", params={"actor": "anna"}, json=BODY)
        assert got.status_code == 201
        assert got.json()["sentence"] == "It is a start."
        command = Command.read(log.records("rollout-commands")[0].value or b"")
        assert command.actor == "anna"
        assert command.seen == ""
        assert len(set(command.opening.seed)) > 4
        shown = (await client.get("/api/rollouts/orders")).json()
        assert [e["kind"] for e in shown["ledger"]] == ["start"]


async def test_a_refused_start_says_why() -> None:
    log = MemoryLog()
    async with api(log) as client, judge(log, refuse="version v2 is the baseline already"):
        await client.put("/api/services/orders", json=json.loads(SERVICE.dump()))
        got = await client.post("/api/rollouts", json=BODY)
        assert got.status_code == 409
        assert got.json()["detail"] == "version v2 is the baseline already"


async def test_without_a_judge_a_start_is_reported_as_unanswered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_app, "ANSWER_WITHIN_S", 0.05)
    async with api(MemoryLog()) as client:
        await client.put("/api/services/orders", json=json.loads(SERVICE.dump()))
        got = await client.post("/api/rollouts", json=BODY)
        assert got.status_code == 504
        assert "has not answered" in got.json()["detail"]


async def test_a_wrong_plan_is_refused_before_anything_is_written() -> None:
    log = MemoryLog()
    async with api(log) as client:
        got = await client.post("/api/rollouts", json={"service": "orders", "canary": "v2", "stages": []})
        assert got.status_code == 422
        assert log.records("rollout-commands") == ()


async def test_the_route_and_only_the_newest_rollouts_entries_are_shown() -> None:
    log = MemoryLog()
    start = entry("start")
    back = entry("rollback", start, now=2)
    again = entry("start", back, now=3, rollout=2)
    void = entry("proceed", start, now=4)
    for e in (start, back, again, void):
        await log.put("rollout-decisions", 0, e.dump())
    await log.put("route-changes", 0, route(again.id).dump())
    await log.put("rollouts", 0, b"not json")
    async with api(log) as client:
        shown = (await client.get("/api/rollouts/orders")).json()
        assert [e["id"] for e in shown["ledger"]] == [again.id]
        assert shown["route"]["acknowledged"] is True
        assert shown["rollout"] is None


async def test_it_is_alive_before_it_is_ready() -> None:
    class NeverCaughtUp:
        async def batches(self) -> AsyncIterator[Batch]:
            await asyncio.Event().wait()
            yield Batch((), caught_up=True)

        async def close(self) -> None: ...

    app = create_app(NeverCaughtUp(), MemoryLog().writer())
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://status")
    async with app.router.lifespan_context(app), client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503


def test_a_cut_is_part_of_what_an_entry_is() -> None:
    assert entry("start", cut=Cut(offsets={"a-0": 1}, now=1)).id != entry("start", cut=Cut(offsets={}, now=1)).id
