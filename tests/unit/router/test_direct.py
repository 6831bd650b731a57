"""The router's own port: who may speak, and what is answered."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from pydantic import SecretStr

from router import direct
from router.agent import Router
from router.direct import create_app, serve
from router.errors import DiskError, NotLoopbackError, PortTakenError
from router.fold import TOPICS
from router.latch import Word
from router.memory import MemoryLoadBalancer
from schemas.decisions import LedgerEntry
from tests.builders import SERVICE, entry
from transport.bodies import MOST_BYTES
from transport.clock import FakeClock
from transport.log import Batch
from transport.memory_log import MemoryLog

TOKEN = "0123456789abcdef"
KNOWN = {"authorization": f"Bearer {TOKEN}"}
START = entry("start")
WORD = {"service": "orders", "rollout": 1, "reason": "it burns", "actor": "ada"}


async def router(proxies: MemoryLoadBalancer) -> Router:
    """A router that knows a running rollout."""
    log = MemoryLog()
    await log.writer().append("services", "orders", SERVICE.dump())
    await log.writer().append("rollout-decisions", "orders", START.dump())
    made = Router("router-1", log.reader(*TOPICS), log.writer(), proxies, FakeClock())
    await made.handle(Batch((*log.records("services"), *log.records("rollout-decisions")), caught_up=True))
    return made


@asynccontextmanager
async def client(made: Router) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(create_app(made, SecretStr(TOKEN)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://router") as http:
        yield http


async def test_a_rollback_answers_when_every_proxy_runs_it() -> None:
    proxies = MemoryLoadBalancer()
    proxies.connect("lb0")
    async with client(await router(proxies)) as http:
        answer = await http.post("/direct/rollback", json=WORD, headers=KNOWN)
    assert answer.status_code == 200
    assert answer.json()["acknowledged"] is True
    assert [(p["proxy"], p["state"]) for p in answer.json()["proxies"]] == [("lb0", "acknowledged")]
    found = proxies.proxies["lb0"].runs
    assert found is not None
    assert [w.version for w in found.routes["orders"].weights] == ["v1"]
    assert found.routes["orders"].entry == answer.json()["entry"]


async def test_proxies_that_do_not_answer_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "ANSWER_WITHIN_S", 0.0)
    proxies = MemoryLoadBalancer()
    proxies.connect("mute", None)
    async with client(await router(proxies)) as http:
        answer = (await http.post("/direct/rollback", json=WORD, headers=KNOWN)).json()
    assert answer["acknowledged"] is False
    assert [(p["proxy"], p["state"]) for p in answer["proxies"]] == [("mute", "pending")]


@pytest.mark.parametrize("headers", [{}, {"authorization": TOKEN}, {"authorization": f"Bearer {TOKEN}x"}])
async def test_nobody_without_the_token_is_heard(headers: dict[str, str]) -> None:
    proxies = MemoryLoadBalancer()
    proxies.connect("lb0")
    async with client(await router(proxies)) as http:
        answer = await http.post("/direct/rollback", json=WORD, headers=headers)
    assert answer.status_code == 401
    found = proxies.proxies["lb0"].runs
    assert found is not None
    assert found.routes["orders"].entry == START.id


async def test_a_rollout_that_is_not_there_is_refused_in_a_sentence() -> None:
    async with client(await router(MemoryLoadBalancer())) as http:
        answer = await http.post("/direct/rollback", json={**WORD, "rollout": 7}, headers=KNOWN)
    assert answer.status_code == 409
    assert "is rollout 1, not 7" in answer.json()["detail"]


async def test_a_latch_that_is_not_safe_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    made = await router(MemoryLoadBalancer())

    async def full(word: Word) -> LedgerEntry:
        raise DiskError("no space")

    monkeypatch.setattr(made, "roll_back", full)
    async with client(made) as http:
        answer = await http.post("/direct/rollback", json=WORD, headers=KNOWN)
    assert (answer.status_code, answer.json()["detail"]) == (
        507,
        "In force, but lost if this router restarts: no space",
    )


async def test_the_port_is_opened_on_loopback_only() -> None:
    with pytest.raises(NotLoopbackError, match=r"not on 0\.0\.0\.0: set direct_cert"):
        await serve(await router(MemoryLoadBalancer()), SecretStr(TOKEN), "0.0.0.0", 1)


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortTakenError, match="another router"):
        await serve(await router(MemoryLoadBalancer()), SecretStr(TOKEN), "127.0.0.1", taken.getsockname()[1])


async def test_a_port_that_cannot_be_opened_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise PermissionError(13, "Permission denied")

    made = await router(MemoryLoadBalancer())
    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(PortTakenError, match=r"direct port 18 cannot be opened \(\[Errno 13\] Permission denied\)"):
        await serve(made, SecretStr(TOKEN), "127.0.0.1", 18)


async def test_a_router_tells_which_rollout_it_knows_and_what_became_of_it() -> None:
    proxies = MemoryLoadBalancer()
    proxies.connect("lb0")
    async with client(await router(proxies)) as http:
        before = (await http.get("/direct/rollouts/orders", headers=KNOWN)).json()
        await http.post("/direct/rollback", json=WORD, headers=KNOWN)
        after = (await http.get("/direct/rollouts/orders", headers=KNOWN)).json()
        other = (await http.get("/direct/rollouts/billing", headers=KNOWN)).json()
        assert (await http.get("/direct/rollouts/orders")).status_code == 401
    told = [(k["rollout"], k["phase"], k["share"], k["latched"]) for k in (before, after, other)]
    assert told == [(1, "running", 2_000, False), (1, "rolled_back", 0, True), (0, None, 0, False)]
    assert before["canary"] == "v2"
    assert [p["proxy"] for p in before["proxies"]] == ["lb0"]


@pytest.mark.parametrize("wrong", [{"actor": "judge"}, {"actor": "a b"}, {"reason": "two\nlines"}])
async def test_what_may_not_stand_in_the_ledger_is_not_taken(wrong: dict[str, str]) -> None:
    async with client(await router(MemoryLoadBalancer())) as http:
        assert (await http.post("/direct/rollback", json={**WORD, **wrong}, headers=KNOWN)).status_code == 422


async def test_a_stranger_cannot_fill_the_memory_with_a_body() -> None:
    async with client(await router(MemoryLoadBalancer())) as http:
        answer = await http.post("/direct/rollback", json=WORD | {"reason": "x" * MOST_BYTES})
    assert answer.status_code == 413
