"""Which proxies exist, and people's word that one will not come back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from schemas.control import Command, ProxyRoute, RouteChange
from tests.builders import entry
from tests.unit.status.scene import api, applied, commands
from transport.memory_log import MemoryLog

START = entry("start")
GONE = {"proxy": "lb1", "reason": "scaled down"}


def says(router: str = "r1", forgets: dict[str, int] | None = None, **proxies: bool) -> RouteChange:
    """A picture at the head: each proxy by whether it is connected."""
    routes = tuple(
        ProxyRoute.model_validate({"proxy": p, "state": "acknowledged" if there else "pending", "connected": there})
        for p, there in proxies.items()
    )
    return RouteChange(
        service="orders",
        router=router,
        entry=START.id,
        version="1-1",
        proxies=routes,
        acknowledged=all(proxies.values()),
        forgotten=forgets or {},
        at=1,
    )


async def told(log: MemoryLog, *words: RouteChange) -> None:
    for word in words:
        await log.writer().append("route-changes", word.service, word.dump())


@contextlib.asynccontextmanager
async def answering(log: MemoryLog, **routers: dict[str, bool]) -> AsyncIterator[None]:
    """Routers that carry out each command and then tell these proxies."""

    async def answer() -> None:
        async for batch in log.reader("rollout-commands").batches():
            for record in batch.records:
                proxy = Command.read(record.value or b"").proxy or ""
                for router, proxies in routers.items():
                    await told(log, says(router, {proxy: record.offset}, **proxies))

    task = asyncio.create_task(answer())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_every_proxy_is_listed_by_what_all_routers_say_of_it() -> None:
    log = MemoryLog()
    await applied(log, START)
    await told(log, says(lb0=True, lb1=False), says("r2", lb1=True, lb2=False))
    async with api(log) as client:
        found = (await client.get("/api/proxies")).json()
    assert [(p["service"], p["route"]["proxy"], p["route"]["state"], p["routers"]) for p in found] == [
        ("orders", "lb0", "acknowledged", ["r1"]),
        ("orders", "lb1", "acknowledged", ["r2"]),
        ("orders", "lb2", "pending", []),
    ]


async def test_a_proxy_that_is_gone_is_forgotten_once_a_router_has_told_so() -> None:
    log = MemoryLog()
    await applied(log, START)
    await told(log, says(lb0=True, lb1=False))
    async with api(log) as client, answering(log, r1={"lb0": True}):
        got = await client.post("/api/proxies/forget", json=GONE, params={"actor": "ada"})
        assert got.status_code == 200, got.text
        assert "lb1 is forgotten for orders. If it ever connects again" in got.json()["sentence"]
        assert [p["route"]["proxy"] for p in (await client.get("/api/proxies")).json()] == ["lb0"]
    (command,) = commands(log)
    assert (command.kind, command.proxy, command.actor, command.reason) == ("forget", "lb1", "ada", "scaled down")


async def test_a_proxy_that_lives_comes_back_and_that_is_said() -> None:
    log = MemoryLog()
    await applied(log, START)
    await told(log, says(lb1=False), says("r2", lb1=True))
    async with api(log) as client, answering(log, r1={}, r2={"lb1": True}):
        got = await client.post("/api/proxies/forget", json=GONE)
        assert got.status_code == 409
        assert "lb1 lives" in got.json()["detail"]


async def test_a_router_that_died_with_its_proxies_does_not_keep_them_for_ever() -> None:
    log = MemoryLog()
    await applied(log, START)
    await told(log, says(lb0=True), says("dead", lb1=True))
    async with api(log, answer_within_s=0.05) as client, answering(log, r1={"lb0": True}):
        got = await client.post("/api/proxies/forget", json=GONE)
        assert got.status_code == 200, got.text
        assert [p["route"]["proxy"] for p in (await client.get("/api/proxies")).json()] == ["lb0"]


async def test_without_a_router_nobody_answers() -> None:
    log = MemoryLog()
    await applied(log, START)
    await told(log, says(lb0=True, lb1=False))
    async with api(log, answer_within_s=0.05) as client:
        got = await client.post("/api/proxies/forget", json=GONE)
    assert got.status_code == 504
    assert "No router has told" in got.json()["detail"]


async def test_a_proxy_or_service_that_nobody_named_is_unknown() -> None:
    log = MemoryLog()
    await applied(log, START)
    await told(log, says(lb0=True))
    async with api(log) as client:
        assert "davylamp proxy list" in (await client.post("/api/proxies/forget", json=GONE)).json()["detail"]
        for service in ("orders", "billing"):
            got = await client.post("/api/proxies/forget", json={**GONE, "service": service})
            assert got.status_code == 404
    assert commands(log) == []


async def test_a_proxy_is_forgotten_for_the_services_that_are_asked_for() -> None:
    log = MemoryLog()
    await applied(log, START)
    billing = says(lb1=False).model_copy(update={"service": "billing"})
    await told(log, says(lb1=False), billing)
    async with api(log, answer_within_s=0.05) as client:
        await client.post("/api/proxies/forget", json={**GONE, "service": "billing"})
        assert [c.service for c in commands(log)] == ["billing"]
        await client.post("/api/proxies/forget", json=GONE)
    assert sorted(c.service for c in commands(log)[1:]) == ["billing", "orders"]
