"""What the API shows, and how services are applied."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from schemas.control import RolloutView
from status.app import create_app
from status.feed import TOPICS
from status.server import Server
from tests.builders import SERVICE, entry, route
from tests.unit.status.scene import api, applied, body
from transport.bodies import MOST_BYTES
from transport.log import Batch, ClientLostError, LogError, Position
from transport.memory_log import MemoryLog


async def test_a_service_that_was_applied_is_shown() -> None:
    async with api(MemoryLog()) as client:
        put = await client.put("/api/services/orders", json=body(SERVICE))
        assert put.status_code == 200
        shown = (await client.get("/api/rollouts/orders")).json()
        assert shown["definition"]["baseline"] == "v1"
        assert shown["ledger"] == []
        assert [s["service"] for s in (await client.get("/api/rollouts")).json()] == ["orders"]


async def test_a_service_under_another_name_is_refused() -> None:
    async with api(MemoryLog()) as client:
        put = await client.put("/api/services/billing", json=body(SERVICE))
        assert put.status_code == 422
        assert put.headers["content-type"] == "application/problem+json"
        assert "billing" in put.json()["detail"]


async def test_an_unknown_service_is_told_what_to_do() -> None:
    async with api(MemoryLog()) as client:
        for path in ("/api/rollouts/nobody", "/api/rollouts/nobody/history"):
            got = await client.get(path)
            assert got.status_code == 404
            assert "service apply" in got.json()["detail"]


async def test_every_mistake_of_a_body_is_named_with_what_to_write_instead() -> None:
    async with api(MemoryLog()) as client:
        wrong = {"service": "orders", "chekcs": {}, "stages": [{"share": 10, "for": "10m"}], "rollback": {"mod": "x"}}
        got = await client.post("/api/rollouts", json=wrong)
        assert got.status_code == 422
        assert got.headers["content-type"] == "application/problem+json"
        assert got.json()["errors"] == [
            {"path": "canary", "message": "is missing"},
            {"path": "stages.0.share", "message": "10 is not understood; write it like 1% or 12.5%"},
            {"path": "rollback.mod", "message": "is not known here; did you mean mode?"},
            {"path": "chekcs", "message": "is not known here; did you mean checks?"},
        ]
        assert got.json()["detail"].startswith("canary: is missing; stages.0.share: 10")


async def test_a_body_that_is_no_json_and_a_path_that_is_not_there_are_problems_too() -> None:
    async with api(MemoryLog()) as client:
        broken = await client.put("/api/services/orders", content=b"{", headers={"content-type": "application/json"})
        missing = await client.get("/api/nothing")
        assert (broken.status_code, missing.status_code) == (422, 404)
        assert {r.headers["content-type"] for r in (broken, missing)} == {"application/problem+json"}


async def test_the_route_and_only_the_newest_rollouts_entries_are_shown() -> None:
    log = MemoryLog()
    start = entry("start")
    back = entry("rollback", start, now=2)
    again = entry("start", back, now=3)
    void = entry("proceed", start, now=4)
    await applied(log, start, back, again, void)
    await log.put("route-changes", 0, route(again.id).dump())
    await log.put("rollouts", 0, b"not json")
    async with api(log) as client:
        shown = (await client.get("/api/rollouts/orders")).json()
        assert [e["id"] for e in shown["ledger"]] == [again.id]
        assert shown["route"]["acknowledged"] is True
        history = (await client.get("/api/rollouts/orders/history")).json()
        assert [e["id"] for e in history] == [start.id, back.id, again.id]


async def test_the_view_of_a_dead_judge_is_corrected_by_the_ledger() -> None:
    log = MemoryLog()
    start = entry("start")
    view = RolloutView(service="orders", rollout=1, state="collecting", head=start.id, share=2000, looked_at=7)
    await log.writer().append("rollouts", "orders", view.dump())
    await applied(log, start, entry("rollback", start, now=2))
    async with api(log) as client:
        shown = (await client.get("/api/rollouts/orders")).json()["rollout"]
        assert (shown["state"], shown["share"], shown["looked_at"]) == ("rolled_back", 0, 7)


async def test_it_is_alive_before_it_is_ready_and_takes_no_word_before() -> None:
    class NeverCaughtUp:
        away_s = 0.0

        async def batches(self) -> AsyncIterator[Batch]:
            await asyncio.Event().wait()
            yield Batch((), caught_up=True)

        async def close(self) -> None: ...

    app = create_app(NeverCaughtUp(), MemoryLog().writer())
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")
    async with app.router.lifespan_context(app), client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        early = await client.post("/api/rollouts/orders/rollback", json={"reason": "too slow"})
        assert early.status_code == 503


async def test_it_is_no_longer_ready_when_the_log_can_no_longer_be_followed() -> None:
    log, gone = MemoryLog(), asyncio.Event()

    class Breaking:
        away_s = 0.0

        async def batches(self) -> AsyncIterator[Batch]:
            yield Batch((), caught_up=True)
            await gone.wait()

        async def close(self) -> None: ...

    app = create_app(Breaking(), log.writer())
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")
    async with app.router.lifespan_context(app), client:
        feed = app.state.desk.feed
        await feed.wait_for(lambda _: feed.caught_up or None, 5)
        assert (await client.get("/readyz")).status_code == 200
        gone.set()
        while feed.caught_up:  # noqa: ASYNC110 - the end of a feed is told to nobody
            await asyncio.sleep(0)
        assert (await client.get("/readyz")).status_code == 503


async def test_a_log_that_does_not_acknowledge_is_told_as_not_knowing() -> None:
    class Deaf:
        async def append(self, topic: str, service: str, value: bytes) -> Position:
            raise LogError("no broker")

        async def close(self) -> None: ...

    log = MemoryLog()
    app = create_app(log.reader("services"), Deaf())
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")
    async with app.router.lifespan_context(app), client:
        got = await client.put("/api/services/orders", json=body(SERVICE))
        assert got.status_code == 503
        assert "may be there or not" in got.json()["detail"]


async def test_the_process_ends_when_the_log_breaks_and_still_closes_what_it_has() -> None:
    log = MemoryLog()

    class Broken:
        away_s = 0.0
        closed = False

        async def batches(self) -> AsyncIterator[Batch]:
            yield Batch((), caught_up=True)
            raise LogError("reading rollouts: offset out of range")

        async def close(self) -> None:
            self.closed = True

    reader, writer = Broken(), log.writer()
    app = create_app(reader, writer)
    server = Server(app, "127.0.0.1", 0)
    async with app.router.lifespan_context(app):
        while app.state.ending.why is None:  # noqa: ASYNC110 - the end of a feed is told to nobody else
            await asyncio.sleep(0)
        assert app.state.ending.why == "reading rollouts: offset out of range"
        assert await server.on_tick(1)
    assert reader.closed
    with pytest.raises(LogError, match="closed"):
        await writer.append("services", "orders", b"{}")


async def test_the_process_ends_when_its_client_can_write_nothing_any_more() -> None:
    class Lost:
        async def append(self, topic: str, service: str, value: bytes) -> Position:
            raise ClientLostError("rollout-decisions: the producer has lost its order")

        async def close(self) -> None: ...

    log = MemoryLog()
    await applied(log, entry("start"))
    app = create_app(log.reader(*TOPICS), Lost())
    server = Server(app, "127.0.0.1", 0)
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")
    async with app.router.lifespan_context(app), client:
        await app.state.desk.feed.read_once.wait()
        assert not await server.on_tick(1)
        for accept, kind in (("application/json", "application/problem+json"), ("text/html", "text/html")):
            path = "/api/rollouts/orders/rollback" if kind.endswith("json") else "/rollouts/orders/rollback"
            sent = {"json": {"reason": "slow"}} if kind.endswith("json") else {"data": {"reason": "slow"}}
            got = await client.post(path, **sent, headers={"accept": accept})  # type: ignore[arg-type]  # json or data
            assert (got.status_code, got.headers["content-type"].partition(";")[0]) == (503, kind)
            assert "has lost its order" in got.text
        assert await server.on_tick(1)


async def test_a_service_that_was_taken_away_is_known_by_its_ledger_alone() -> None:
    log = MemoryLog()
    await applied(log, entry("start"))
    async with api(log) as client:
        assert (await client.get("/api/rollouts/orders")).json()["definition"] is not None
        await log.put("services", 0, None, b"orders")
        await log.put("services", 0, None, b"billing")
        await log.put("rollouts", 0, RolloutView(service="orders", rollout=1, looked_at=9).dump())
        shown: Any = {"rollout": {"looked_at": 0}}
        while shown["rollout"]["looked_at"] != 9:
            shown = (await client.get("/api/rollouts/orders")).json()
        assert (shown["definition"], len(shown["ledger"])) == (None, 1)


async def test_a_body_that_nobody_needs_is_refused_before_it_is_read() -> None:
    async with api(MemoryLog()) as client:
        long = {"reason": "x" * MOST_BYTES}
        for got in (await client.post("/api/rollouts/orders/hold", json=long), await client.post("/login", data=long)):
            assert got.status_code == 413
            assert got.headers["x-content-type-options"] == "nosniff"
