"""The page over HTTP: who may see it, and what its forms do."""

from typing import Any

import httpx2
import pytest

from status.sessions import COOKIE
from status.tokens import Token, fingerprint
from tests.builders import entry, route
from tests.unit.status.scene import api, applied, carries_out, commands, judge, ledger, refuses
from transport.memory_log import MemoryLog

ANNA = Token(name="anna", role="operator", token_sha256=fingerprint(b"operate"))
DASH = Token(name="dash", role="viewer", token_sha256=fingerprint(b"view"))
TOKENS = (ANNA, DASH)
HTML = {"accept": "text/html,application/xhtml+xml"}
OURS = {"origin": "http://localhost", **HTML}


async def log_in(client: httpx2.AsyncClient, token: str, **more: str) -> httpx2.Response:
    return await client.post("/login", data={"token": token, **more}, headers=OURS)


async def running() -> MemoryLog:
    log = MemoryLog()
    start = entry("start")
    await applied(log, start)
    await log.put("route-changes", 0, route(start.id).dump())
    return log


async def test_the_list_and_a_service_are_pages() -> None:
    async with api(await running()) as client:
        everything = await client.get("/", headers=HTML)
        one = await client.get("/rollouts/orders", headers=HTML)
        assert (everything.status_code, one.status_code) == (200, 200)
        assert 'href="/rollouts/orders"' in everything.text
        assert "<h1" in one.text
        assert one.headers["content-security-policy"].startswith("default-src 'self'")
        assert one.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in one.headers["content-security-policy"]


async def test_regions_come_alone() -> None:
    async with api(await running()) as client:
        got = await client.get("/rollouts/orders/regions", params={"names": ["answer", "track", "nothing"]})
        assert got.text.count("data-region=") == 2
        assert (await client.get("/regions", params={"names": "tally"})).text.count("data-region=") == 1


async def test_what_the_page_needs_is_served_from_here() -> None:
    async with api(MemoryLog(), tokens=TOKENS) as client:
        for file, kind in (
            ("page.css", "text/css"),
            ("live.js", "javascript"),
            ("charts.js", "javascript"),
            ("vendor/uPlot.iife.min.js", "javascript"),
            ("icons/stale.svg", "image/svg+xml"),
        ):
            got = await client.get(f"/static/{file}")
            assert got.status_code == 200
            assert kind in got.headers["content-type"]


async def test_an_unknown_service_is_a_page_that_says_what_to_do_and_a_problem_for_programs() -> None:
    async with api(MemoryLog()) as client:
        page = await client.get("/rollouts/nobody", headers=HTML)
        assert page.status_code == 404
        assert "davylamp service apply" in page.text
        problem = await client.get("/rollouts/nobody")
        assert problem.headers["content-type"] == "application/problem+json"
        assert (await client.get("/nowhere", headers=HTML)).headers["content-type"].startswith("text/html")


async def test_a_browser_without_a_session_is_led_to_the_login_and_back() -> None:
    async with api(await running(), tokens=TOKENS) as client:
        sent = await client.get("/rollouts/orders", headers=HTML)
        assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=/rollouts/orders")
        form = await client.get(sent.headers["location"], headers=HTML)
        assert 'name="next" value="/rollouts/orders"' in form.text
        entered = await log_in(client, "operate", next="/rollouts/orders")
        assert (entered.status_code, entered.headers["location"]) == (303, "/rollouts/orders")
        cookie = entered.headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE}=")
        for wanted in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"):
            assert wanted.lower() in cookie.lower()
        assert "secure" not in cookie.lower()
        assert (await client.get("/rollouts/orders", headers=HTML)).status_code == 200
        assert (await client.get("/api/rollouts/orders")).status_code == 200


async def test_a_cookie_given_over_tls_never_leaves_it() -> None:
    async with api(await running(), tokens=TOKENS) as client:
        got = await client.post(
            "https://localhost/login", data={"token": "operate"}, headers={"origin": "https://localhost"}
        )
        assert "secure" in got.headers["set-cookie"].lower()


@pytest.mark.parametrize("token", ["", "wrong", fingerprint(b"operate")])
async def test_a_token_that_is_not_known_opens_nothing(token: str) -> None:
    async with api(await running(), tokens=TOKENS) as client:
        got = await log_in(client, token)
        assert got.status_code == 401
        assert "set-cookie" not in got.headers
        assert "No token like this is configured" in got.text


async def test_without_configured_tokens_a_login_opens_nothing() -> None:
    async with api(await running()) as client:
        assert (await log_in(client, "anything")).status_code == 401


@pytest.mark.parametrize("following", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", ""])
async def test_the_login_leads_to_no_other_site(following: str) -> None:
    async with api(await running(), tokens=TOKENS) as client:
        assert (await log_in(client, "operate", next=following)).headers["location"] == "/"


async def test_logging_out_ends_it_for_a_viewer_too() -> None:
    async with api(await running(), tokens=TOKENS) as client:
        await log_in(client, "view")
        left = await client.post("/logout", headers=OURS)
        assert left.headers["location"] == "/login"
        assert (await client.get("/", headers=HTML)).status_code == 303


async def test_a_session_survives_a_restart_of_the_service_and_is_known_to_its_replica() -> None:
    log = await running()
    async with api(log, tokens=TOKENS, signs_by=b"k" * 32) as client:
        value = (await log_in(client, "operate")).cookies[COOKIE]
    async with api(log, tokens=TOKENS, signs_by=b"k" * 32) as client:
        client.cookies.set(COOKIE, value)
        assert (await client.get("/")).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "https://localhost:1"}]
)
async def test_no_other_sites_page_acts_in_a_visitors_name(headers: dict[str, str]) -> None:
    log = await running()
    async with api(log, tokens=TOKENS) as client:
        await log_in(client, "operate")
        got = await client.post("/rollouts/orders/rollback", data={"reason": "evil"}, headers=headers)
        assert got.status_code == 403
        api_too = await client.post("/api/rollouts/orders/rollback", json={"reason": "evil"}, headers=headers)
        assert api_too.status_code == 403
    assert len(ledger(log).entries) == 1


async def test_on_loopback_without_tokens_a_foreign_page_is_refused_and_a_program_is_not() -> None:
    log = await running()
    async with api(log) as client:
        foreign = {"origin": "http://evil.example"}
        got = await client.post("/rollouts/orders/rollback", data={"reason": "evil"}, headers=foreign)
        assert got.status_code == 403
        assert (await client.post("/api/rollouts/orders/rollback", json={"reason": "curl"})).status_code == 200


async def test_a_page_under_a_name_that_is_not_loopback_shows_nothing_without_tokens() -> None:
    async with api(await running()) as client:
        for path in ("/", "/rollouts/orders", "/api/stream", "/login", "/static/page.css"):
            assert (await client.get(path, headers={"host": "evil.example", **HTML})).status_code == 403


async def test_a_rollback_by_form_is_in_the_ledger_under_the_name_and_leads_back_to_the_page() -> None:
    log = await running()
    async with api(log, tokens=TOKENS) as client:
        await log_in(client, "operate")
        said = {"reason": "errors\nin the field", "mode": "evict", "seen": ledger(log).head_id}
        got = await client.post("/rollouts/orders/rollback", data=said, headers=OURS)
        assert (got.status_code, got.headers["location"]) == (303, "/rollouts/orders")
        assert "Rolled back" in (await client.get("/rollouts/orders", headers=HTML)).text
    head = ledger(log).head
    assert head is not None
    assert (head.kind, head.actor, head.hold_mode) == ("rollback", "anna", "evict")
    assert head.reason.sentence == "anna rolled back: errors in the field"


async def test_a_viewer_changes_nothing_by_form() -> None:
    log = await running()
    async with api(log, tokens=TOKENS) as client:
        await log_in(client, "view")
        got = await client.post("/rollouts/orders/rollback", data={"reason": "x"}, headers=OURS)
        assert got.status_code == 403
    assert len(ledger(log).entries) == 1


@pytest.mark.parametrize(
    ("act", "more", "fields"),
    [
        ("hold", {}, {"kind": "hold"}),
        ("promote", {"sure": "yes"}, {"kind": "promote", "full": False}),
        ("approve", {"sure": "yes", "approves": "2"}, {"kind": "approve", "approves": "2"}),
    ],
)
async def test_words_by_form_are_the_apis_commands(act: str, more: dict[str, str], fields: dict[str, Any]) -> None:
    log = await running()
    async with api(log) as client, judge(log, carries_out):
        seen = ledger(log).head_id
        got = await client.post(f"/rollouts/orders/{act}", data={"reason": "why", "seen": seen, **more}, headers=OURS)
        assert got.status_code == 303
    [command] = commands(log)
    assert command.model_dump(include=set(fields)) == fields
    assert (command.seen, command.reason) == (seen, "why")


async def test_resume_by_form_asks_the_judge() -> None:
    log = await running()
    await log.writer().append("rollout-decisions", "orders", entry("hold", ledger(log).head, now=2).dump())
    async with api(log) as client, judge(log, carries_out):
        got = await client.post("/rollouts/orders/resume", data={"reason": "fine", "sure": "yes"}, headers=OURS)
        assert got.status_code == 303
    assert commands(log)[0].kind == "resume"


async def test_undo_by_form_takes_a_completed_rollout_back() -> None:
    log = await running()
    done = entry("complete", ledger(log).head, now=2)
    await log.writer().append("rollout-decisions", "orders", done.dump())
    async with api(log) as client:
        got = await client.post("/rollouts/orders/undo", data={"reason": "late errors"}, headers=OURS)
        assert got.status_code == 303
    head = ledger(log).head
    assert head is not None
    assert (head.kind, head.baseline) == ("rollback", "v1")


@pytest.mark.parametrize("act", ["promote", "resume", "approve"])
async def test_a_word_that_takes_a_safeguard_away_wants_the_tick(act: str) -> None:
    log = await running()
    async with api(log) as client:
        got = await client.post(f"/rollouts/orders/{act}", data={"reason": "hurry"}, headers=OURS)
        assert got.status_code == 422
        assert "Tick what is skipped" in got.text
    assert commands(log) == []


async def test_a_refusal_is_the_page_with_the_judges_sentence() -> None:
    log = await running()
    async with api(log) as client, judge(log, refuses("a breach: <roll back> instead")):
        got = await client.post("/rollouts/orders/hold", data={"reason": "wait"}, headers=OURS)
        assert got.status_code == 409
        assert "a breach: &lt;roll back&gt; instead" in got.text
        assert 'role="alert"' in got.text


@pytest.mark.parametrize(
    ("data", "sentence"),
    [({"reason": " "}, "Say why"), ({"reason": "x", "mode": "explode"}, "drain"), ({"reason": "x" * 501}, "500")],
)
async def test_a_form_that_is_not_understood_changes_nothing(data: dict[str, str], sentence: str) -> None:
    log = await running()
    async with api(log) as client:
        got = await client.post("/rollouts/orders/rollback", data=data, headers=OURS)
        assert got.status_code == 422
        assert sentence in got.text
    assert len(ledger(log).entries) == 1


async def test_a_word_that_does_not_exist_is_refused() -> None:
    async with api(await running()) as client:
        assert (await client.post("/rollouts/orders/explode", data={"reason": "x"}, headers=OURS)).status_code == 422


async def test_the_series_is_there_for_programs() -> None:
    async with api(await running()) as client:
        got = await client.get("/api/rollouts/orders/series")
        assert got.json() == {"service": "orders", "rollout": 0, "step_ms": 0, "starts": [], "charts": []}
