"""The live stream."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
from fastapi.sse import ServerSentEvent

from schemas.control import RolloutView
from status import lately, stream
from status.app import create_app
from status.desk import Desk
from status.feed import TOPICS
from status.lately import Lately
from status.news import News
from status.recent import Recent
from tests.builders import entry, route
from tests.page_server import served
from tests.unit.status.scene import applied
from tests.unit.status.test_recent import cell, window
from transport.clock import FakeClock
from transport.memory_log import MemoryLog


@dataclass(slots=True)
class Watching:
    """A status service with somebody who watches."""

    log: MemoryLog
    clock: FakeClock
    desk: Desk
    news: News
    lately: Lately

    def watch(
        self, service: str | None = "orders", last: str | None = None, pulse_s: float = 0.01
    ) -> AsyncIterator[ServerSentEvent]:
        return stream.events(self.desk, self.news, service, self.news.position(last), pulse_s)

    async def until(self, number: int) -> None:
        while self.news.last < number:  # noqa: ASYNC110 - the ring tells nobody how full it is
            await asyncio.sleep(0)

    async def until_complete(self, at_ms: int) -> None:
        while at_ms != self.lately.services.get("orders", Recent()).complete_until_ms:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def watching(log: MemoryLog | None = None) -> AsyncIterator[Watching]:
    log = log or MemoryLog()
    clock = FakeClock()
    app = create_app(log.reader(*TOPICS), log.writer(), telemetry=log.reader(*lately.TOPICS), clock=clock)
    async with app.router.lifespan_context(app):
        feed = app.state.desk.feed
        await feed.wait_for(lambda _: feed.caught_up or None, 5)
        yield Watching(log, clock, app.state.desk, app.state.news, app.state.pictures.lately)


def kinds(events: list[ServerSentEvent]) -> list[str]:
    return [event.event or "" for event in events]


async def take(events: AsyncIterator[ServerSentEvent], n: int) -> list[ServerSentEvent]:
    async with asyncio.timeout(5):
        return [await anext(events) for _ in range(n)]


async def test_it_begins_with_a_snapshot_and_a_pulse_then_tells_what_happens() -> None:
    log = MemoryLog()
    start = entry("start")
    await applied(log, start)
    async with watching(log) as scene:
        events = scene.watch(pulse_s=5)
        first, pulse = await take(events, 2)
        assert kinds([first, pulse]) == ["snapshot", "pulse"]
        assert first.data.services[0].ledger == (start,)
        assert pulse.data.at == scene.clock.now_ms()
        view = RolloutView(service="orders", rollout=1, looked_at=1)
        back = entry("rollback", start, now=2)
        await log.writer().append("rollouts", "orders", view.dump())
        await log.writer().append("rollout-decisions", "orders", back.dump())
        await log.put("route-changes", 0, route(back.id).dump())
        told = await take(events, 3)
        assert sorted(kinds(told)) == ["entry", "route", "view"]
        assert next(e.data for e in told if e.event == "entry") == back


async def test_a_void_entry_and_another_service_are_no_news() -> None:
    log = MemoryLog()
    start = entry("start")
    await applied(log, start)
    async with watching(log) as scene:
        events = scene.watch(pulse_s=5)
        await take(events, 2)
        await log.writer().append("rollout-decisions", "orders", entry("proceed", None, now=9).dump())
        other = RolloutView(service="billing", rollout=1, looked_at=1)
        await log.writer().append("rollouts", "billing", other.dump())
        await log.writer().append("rollouts", "orders", other.model_copy(update={"service": "orders"}).dump())
        [told] = await take(events, 1)
        assert (told.event, told.data.service) == ("view", "orders")
        everything = scene.watch(None, last=scene.news.cursor(0), pulse_s=5)
        assert [e.data.service for e in await take(everything, 2)] == ["billing", "orders"]


async def test_who_comes_back_misses_nothing() -> None:
    async with watching() as scene:
        for looked_at in range(1, 6):
            view = RolloutView(service="orders", rollout=1, looked_at=looked_at)
            await scene.log.writer().append("rollouts", "orders", view.dump())
        await scene.until(5)
        again = await take(scene.watch(last=scene.news.cursor(2), pulse_s=5), 4)
        assert kinds(again) == ["view", "view", "view", "pulse"]
        assert [event.data.looked_at for event in again[:3]] == [3, 4, 5]
        assert again[2].id == scene.news.cursor(5)


async def test_who_was_away_too_long_or_in_another_life_gets_a_snapshot() -> None:
    news = News(kept=2)
    for n in range(5):
        news.publish("view", "orders", RolloutView(service="orders", rollout=1, looked_at=n))
    assert news.after(1) is None
    assert [item.number for item in news.after(3) or ()] == [4, 5]
    assert news.after(9) is None
    for strange in (None, "", "5", f"{news.life}-", f"{news.life}-x", f"{news.life}-²", News().cursor(4)):
        assert news.position(strange) is None
    async with watching() as scene:
        [first] = await take(scene.watch(last="other-7"), 1)
        assert first.event == "snapshot"


async def test_no_pulse_is_given_while_the_log_does_not_answer() -> None:
    async with watching() as scene:
        scene.log.away_s = 60.0
        events = scene.watch(pulse_s=0.01)
        assert kinds(await take(events, 1)) == ["snapshot"]
        waiting = asyncio.ensure_future(anext(events))
        for n in range(20):
            scene.clock.advance(5)
            scene.news.publish("service", "billing", RolloutView(service="billing", rollout=1, looked_at=n))
            await asyncio.sleep(0)
        assert not waiting.done()
        scene.log.away_s = 0.0
        async with asyncio.timeout(5):
            assert (await waiting).event == "pulse"


async def test_a_pulse_comes_again_when_it_is_due() -> None:
    async with watching() as scene:
        events = scene.watch(pulse_s=5)
        await take(events, 2)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        scene.clock.advance(5)
        scene.news.publish("service", "billing", RolloutView(service="billing", rollout=1, looked_at=1))
        async with asyncio.timeout(5):
            assert (await waiting).event == "pulse"


async def test_closed_windows_are_told_with_what_they_add_up_to() -> None:
    log = MemoryLog()
    await applied(log, entry("start"))
    async with watching(log) as scene:
        events = scene.watch(pulse_s=5)
        await take(events, 2)
        await log.put("cohort-windows", 0, window(1, cell("v1"), cell("v2")).dump())
        [told] = await take(events, 1)
        assert told.event == "window"
        assert (told.data.complete_until, told.data.baseline_sessions, told.data.canary_sessions) == (10_000, 2, 2)
        await log.put("cohort-windows", 0, window(2, cell("v2")).dump())
        await scene.until_complete(15_000)
        scene.clock.advance(1)
        await log.put("cohort-windows", 0, window(3, cell("v2")).dump())
        [later] = await take(events, 1)
        assert (later.data.complete_until, later.data.canary_sessions) == (20_000, 6)


async def test_of_what_was_said_before_the_start_only_closed_windows_are_read() -> None:
    log = MemoryLog()
    await applied(log, entry("start"))
    await log.put("cohort-windows", 0, window(1, cell("v2")).dump(), b"orders|5000|0|final")
    await log.put("cohort-windows", 0, b"never parsed", b"orders|10000|0|worker-1")
    async with watching(log) as scene:
        await scene.until_complete(10_000)
        assert scene.lately.services["orders"].read_until_ms == 10_000
        later = window(2, cell("v2"), final=False, clock_ms=12_000)
        await log.put("cohort-windows", 0, later.dump(), b"orders|10000|0|worker-1")
        while scene.lately.services["orders"].read_until_ms != 12_000:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)


async def test_a_record_that_is_not_understood_is_skipped() -> None:
    log = MemoryLog()
    await applied(log)
    async with watching(log) as scene:
        await scene.log.put("cohort-windows", 0, b"not json")
        await scene.log.put("proxy-reports", 0, b"{}")
        await scene.log.put("cohort-windows", 0, window(1, cell()).dump())
        await scene.until(1)


async def test_windows_of_another_telemetry_topic_are_passed_over() -> None:
    log = MemoryLog()
    await applied(log, entry("start"))
    async with watching(log) as scene:
        foreign = window(9, cell("v2"), source="mcp-requests.orders", partitions=4)
        await log.put("cohort-windows", 0, foreign.dump())
        await log.put("cohort-windows", 0, window(1, cell("v2")).dump())
        await scene.until_complete(10_000)
        recent = scene.lately.services["orders"]
        assert (recent.partitions, recent.totals["v2"].sessions) == (1, 2)
        assert recent.elsewhere == {"mcp-requests.orders": 50_000}


async def test_an_unknown_service_has_no_stream() -> None:
    log = MemoryLog()
    app = create_app(log.reader(*TOPICS), log.writer(), clock=FakeClock())
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")
    async with app.router.lifespan_context(app), client:
        feed = app.state.desk.feed
        await feed.wait_for(lambda _: feed.caught_up or None, 5)
        got = await client.get("/api/rollouts/nobody/stream")
        assert got.status_code == 404
        assert got.headers["content-type"] == "application/problem+json"


def payload(lines: list[str]) -> Any:
    return json.loads(next(line for line in lines if line.startswith("data: ")).removeprefix("data: "))


async def test_on_the_wire_it_is_server_sent_events_with_json() -> None:
    """Over a real socket: the in-process transport waits for the end of a body, and this has none."""
    async with served([], clock=FakeClock()) as status:
        await applied(status.log, entry("start"))
        await status.app.state.desk.feed.wait_for(lambda o: o.knows("orders") or None, 5)
        client = httpx2.AsyncClient(base_url=status.url)
        async with client, client.stream("GET", "/api/rollouts/orders/stream") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = []
            async for line in answer.aiter_lines():
                lines.append(line)
                if line == "":
                    break
        assert "event: snapshot" in lines
        assert any(line.startswith("id: ") for line in lines)
        assert payload(lines)["services"][0]["service"] == "orders"
