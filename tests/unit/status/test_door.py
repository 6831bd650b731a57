"""Who may ask what."""

import re

import pytest
from fastapi.routing import APIRoute

from status import pages
from status.app import create_app
from status.feed import TOPICS
from status.tokens import Role, Token, find_token, fingerprint, new_token
from tests.builders import SERVICE, entry
from tests.unit.status.scene import api, applied, body, ledger
from transport.memory_log import MemoryLog

WHY = {"reason": "errors in the field"}


def token(name: str, role: Role, secret: str) -> Token:
    return Token(name=name, role=role, token_sha256=fingerprint(secret.encode()))


TOKENS = (token("dash", "viewer", "view"), token("anna", "operator", "operate"))


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


async def test_the_probes_need_no_token() -> None:
    async with api(MemoryLog(), tokens=TOKENS) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("wrong"),
        bearer(""),
        {"authorization": "operate"},
        {"authorization": "Basic operate"},
        bearer(fingerprint(b"operate")),
    ],
)
@pytest.mark.parametrize("path", ["/api/rollouts", "/api/rollouts/orders", "/openapi.json", "/nothing"])
async def test_without_a_known_token_nothing_is_shown(headers: dict[str, str], path: str) -> None:
    async with api(MemoryLog(), tokens=TOKENS) as client:
        got = await client.get(path, headers=headers)
        assert got.status_code == 401
        assert got.headers["www-authenticate"] == "Bearer"
        assert got.headers["content-type"] == "application/problem+json"


async def test_no_route_can_be_read_or_used_without_a_token() -> None:
    """Whatever routes there are: only the probes, the way in and the looks are open."""
    log = MemoryLog()
    await applied(log, entry("start"))
    described = create_app(log.reader(*TOPICS), log.writer(), tokens=TOKENS).openapi()["paths"]
    ways = {(method.upper(), path) for path, methods in described.items() for method in methods}
    ways |= {(m, r.path) for r in pages.routes.routes if isinstance(r, APIRoute) for m in r.methods or ()}
    shut = {(method, path) for method, path in ways if path not in ("/healthz", "/readyz", "/login")}
    assert {("POST", "/rollouts/{service}/{act}"), ("GET", "/metrics"), ("POST", "/api/rollouts")} <= shut
    async with api(log, tokens=TOKENS) as client:
        for method, path in sorted(shut):
            got = await client.request(method, re.sub(r"\{\w+\}", "orders", path))
            assert got.status_code == 401, (method, path)
    assert len(ledger(log).entries) == 1


async def test_two_authorization_headers_are_no_token() -> None:
    async with api(MemoryLog(), tokens=TOKENS) as client:
        got = await client.get("/api/rollouts", headers=[*bearer("view").items(), *bearer("operate").items()])
        assert got.status_code == 401


async def test_a_viewer_reads_and_changes_nothing() -> None:
    log = MemoryLog()
    await applied(log, entry("start"))
    async with api(log, tokens=TOKENS) as client:
        assert (await client.get("/api/rollouts/orders", headers=bearer("view"))).status_code == 200
        changes = [
            await client.put("/api/services/orders", headers=bearer("view"), json=body(SERVICE)),
            await client.post("/api/rollouts/orders/rollback", headers=bearer("view"), json=WHY),
            await client.delete("/api/rollouts/orders", headers=bearer("view")),
        ]
        assert [got.status_code for got in changes] == [403, 403, 403]
        assert changes[1].json()["detail"] == "dash is a viewer: only an operator may change anything."
    assert len(ledger(log).entries) == 1


async def test_an_operator_decides_under_the_tokens_name_whatever_it_claims() -> None:
    log = MemoryLog()
    await applied(log, entry("start"))
    async with api(log, tokens=TOKENS) as client:
        got = await client.post(
            "/api/rollouts/orders/rollback", headers=bearer("operate"), params={"actor": "bert"}, json=WHY
        )
        assert got.status_code == 200
    head = ledger(log).head
    assert head is not None
    assert head.actor == "anna"
    assert b"operate" not in head.dump()


async def test_the_scheme_is_read_as_http_says() -> None:
    async with api(MemoryLog(), tokens=TOKENS) as client:
        got = await client.get("/api/rollouts", headers={"Authorization": "bEARER  view "})
        assert got.status_code == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "127.0.0.1:8642", "[::1]:8642", "localhost:1"])
async def test_without_tokens_it_answers_to_loopback_names(host: str) -> None:
    async with api(MemoryLog()) as client:
        assert (await client.get("/api/rollouts", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8642", "127.0.0.1.evil.example", "localhost.evil", ""])
async def test_a_page_whose_name_was_rebound_to_loopback_is_not_answered(host: str) -> None:
    log = MemoryLog()
    await applied(log, entry("start"))
    async with api(log) as client:
        got = await client.post("/api/rollouts/orders/rollback", headers={"host": host}, json=WHY)
        assert got.status_code == 403
        assert (await client.get("/healthz", headers={"host": host})).status_code == 200
    assert len(ledger(log).entries) == 1


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_a_page_of_another_origin_cannot_send_a_word_without_asking_first(content_type: str | None) -> None:
    """What a browser sends across origins without a preflight is not taken for JSON."""
    log = MemoryLog()
    await applied(log, entry("start"))
    async with api(log) as client:
        headers = {"content-type": content_type} if content_type else {}
        got = await client.post("/api/rollouts/orders/rollback", headers=headers, content=b'{"reason": "x"}')
        assert got.status_code == 422
    assert len(ledger(log).entries) == 1


def test_each_token_is_found_by_its_own_secret_only() -> None:
    assert find_token(TOKENS, b"view") == TOKENS[0]
    assert find_token(TOKENS, b"operate") == TOKENS[1]
    assert find_token(TOKENS, b"Operate") is None
    assert find_token((), b"") is None


def test_new_tokens_differ_and_name_what_they_are_for() -> None:
    made = {new_token() for _ in range(20)}
    assert len(made) == 20
    assert all(len(one) >= 50 and one.startswith("davylamp_") for one in made)
