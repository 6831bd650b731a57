"""A token that is for some services changes these and no others, whatever the route."""

import re
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError

from status.app import create_app
from status.feed import TOPICS
from status.tokens import Token, fingerprint
from tests.builders import SERVICE, entry, plan
from tests.unit.status.scene import api, applied, body
from tests.unit.status.test_proxies import says, told
from transport.memory_log import MemoryLog

WHY = {"reason": "errors in the field"}
PIPELINE = {"authorization": "Bearer pipeline", "accept": "text/html"}
CHANGES: dict[tuple[str, str], Any] = {
    ("POST", "/api/rollouts"): body(plan()),
    ("PUT", "/api/services/{name}"): body(SERVICE),
    ("POST", "/api/proxies/forget"): {"proxy": "lb1", **WHY},
    ("POST", "/api/rollouts/{service}/approve"): WHY,
    ("POST", "/api/rollouts/{service}/promote"): WHY,
    ("POST", "/api/rollouts/{service}/{kind}"): WHY,
    ("POST", "/api/rollouts/{service}/rollback"): WHY,
    ("POST", "/api/rollouts/{service}/undo"): WHY,
}
"""Every way to change something, and what to send."""


def tokens(*services: str) -> tuple[Token, ...]:
    return (Token(name="ci", role="operator", token_sha256=fingerprint(b"pipeline"), services=services),)


def written(log: MemoryLog) -> int:
    return sum(len(log.records(topic)) for topic in ("rollout-decisions", "rollout-commands", "services"))


async def running(*kinds: str) -> MemoryLog:
    """A rollout of `orders`, and a proxy that is gone."""
    log, start = MemoryLog(), entry("start")
    completed = [entry("complete", start, now=2)] if "complete" in kinds else []
    await applied(log, start, *completed)
    await told(log, says(lb0=True, lb1=False))
    return log


async def change(client: httpx2.AsyncClient, method: str, path: str) -> httpx2.Response:
    address = path.replace("{kind}", "hold")
    return await client.request(
        method, re.sub(r"\{\w+\}", "orders", address), json=CHANGES[method, path], headers=PIPELINE
    )


def test_these_are_all_ways_to_change_something() -> None:
    log = MemoryLog()
    described = create_app(log.reader(*TOPICS), log.writer()).openapi()["paths"]
    assert {(m.upper(), path) for path, methods in described.items() for m in methods if m != "get"} == set(CHANGES)


@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_beyond_its_services_a_token_writes_nothing_and_reads_everything(method: str, path: str) -> None:
    log = await running(*(["complete"] if path.endswith("undo") else []))
    before = written(log)
    async with api(log, tokens=tokens("billing", "order", "orders-*"), answer_within_s=0.01) as client:
        got = await change(client, method, path)
        assert got.status_code == 403, got.text
        assert (await client.get("/api/rollouts/orders", headers=PIPELINE)).status_code == 200
    assert written(log) == before


@pytest.mark.parametrize("services", [("orders",), ("billing", "ord*"), ("*",)])
@pytest.mark.parametrize(("method", "path"), CHANGES)
async def test_what_it_is_for_it_may_change(method: str, path: str, services: tuple[str, ...]) -> None:
    log = await running(*(["complete"] if path.endswith("undo") else []))
    before = written(log)
    async with api(log, tokens=tokens(*services), answer_within_s=0.01) as client:
        got = await change(client, method, path)
    assert got.status_code != 403, got.text
    assert written(log) == before + 1


async def test_the_page_offers_nothing_beyond_its_services_and_does_nothing() -> None:
    log = await running()
    async with api(log, tokens=tokens("billing")) as client:
        await client.post("/login", data={"token": "pipeline"}, headers={"origin": "http://localhost"})
        page = (await client.get("/rollouts/orders")).text
        assert "ci only looks here: a token that may change orders is needed to act." in page
        assert "<dialog" not in page
        got = await client.post(
            "/rollouts/orders/rollback", data={"reason": "so"}, headers={"origin": "http://localhost"}
        )
        assert got.status_code == 403
        assert "orders is not among the services that this token may change." in got.text
    assert written(log) == 2


@pytest.mark.parametrize("services", [(), ("",), ("Orders",), ("or*ers",), ("**",)])
def test_what_can_be_no_service_is_refused(services: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        tokens(*services)
