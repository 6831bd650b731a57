"""Both eras of the protocol at a real Envoy: who is assigned by what, and that nobody can choose."""

from collections import Counter

import httpx2
import pytest

from schemas.labels import Kind
from tests.binomial import interval
from tests.site import MODERN, Fleet, Newcomers, Site, born, label

ALL_KINDS: list[Kind] = ["session", "principal", "cookie"]


def bearer(number: int) -> tuple[str, str]:
    return ("authorization", f"Bearer {number:04x}-token")


async def versions(site: Site, principals: int) -> dict[int, str]:
    """Which version each principal meets."""
    return {n: (await site.post(MODERN, bearer(n))).json()["version"] for n in range(principals)}


def on_canary(met: dict[int, str]) -> set[int]:
    return {n for n, version in met.items() if version == "v2"}


def cookie_of(response: httpx2.Response) -> str:
    cookie: str = response.headers["set-cookie"]
    return cookie.partition(";")[0]


async def with_cookie(site: Site, cookie: str, *headers: tuple[str, str]) -> tuple[str, str]:
    """Version and assignment of a request with a cookie, which is never given another."""
    response = await site.post(MODERN, ("cookie", cookie), *headers)
    assert "set-cookie" not in response.headers
    return response.json()["version"], response.json()["assignments"][0]


@pytest.mark.parametrize("kind", ALL_KINDS)
async def test_new_units_of_every_kind_get_the_share(fleet: Fleet, kind: Kind) -> None:
    site = await fleet.site(assign=ALL_KINDS)
    await site.start(2_000)
    low, high = interval(400, 0.2, outside=1e-9)
    assert low <= (await Newcomers(site, kind).versions(400)).count("v2") <= high


async def test_a_principal_meets_one_version_with_the_label_of_the_stage_at_hand(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(5_000, 5_001)
    met = await versions(site, 100)
    assert 20 < len(on_canary(met)) < 80  # of 100 fair draws, missed once in 10^9
    for _ in range(3):
        assert await versions(site, 100) == met
    assert [await site.assignments(MODERN, bearer(n)) for n in range(5)] == [
        [f"{label(1, met[n], 'principal')};{met[n]}"] for n in range(5)
    ]
    await site.write("proceed")
    assert [await site.assignments(MODERN, bearer(n)) for n in range(5)] == [
        [f"{label(2, met[n], 'principal')};{met[n]}"] for n in range(5)
    ]


async def test_a_raised_share_only_adds_principals_and_a_rollback_moves_all_of_them_back_at_once(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(500, 1_000, 2_000, 5_000)
    before = on_canary(await versions(site, 300))
    for _ in range(3):
        await site.write("proceed")
        after = on_canary(await versions(site, 300))
        assert before <= after
        before = after
    assert 100 < len(before) < 200  # of 300 fair draws, missed once in 10^8
    await site.write("rollback")
    assert on_canary(await versions(site, 300)) == set()
    (told,) = (await site.post(MODERN, bearer(1))).json()["assignments"]
    assert told == "-;v1"


async def test_another_rollout_draws_other_principals(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(5_000)
    first = on_canary(await versions(site, 200))
    await site.write("rollback")
    await site.start(5_000, seed="0b" * 16)
    both = len(first & on_canary(await versions(site, 200)))
    assert 0.2 * len(first) < both < 0.8 * len(first)  # of some 100 fair draws, missed once in 10^9


async def test_after_a_promotion_every_principal_is_the_canarys_and_unjudged(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(100)
    await site.write("complete")
    told = [(await site.post(MODERN, bearer(n))).json() for n in range(20)]
    assert {(t["version"], *t["assignments"]) for t in told} == {("v2", "-;v2")}


@pytest.mark.parametrize("headers", [(MODERN,), (MODERN, ("authorization", ""))])
async def test_who_has_neither_session_nor_key_stays_on_the_baseline_unjudged(
    fleet: Fleet, headers: tuple[tuple[str, str], ...]
) -> None:
    site = await fleet.site()
    await site.start(9_999)
    told = [(await site.post(*headers)).json() for _ in range(10)]
    assert {(t["version"], *t["assignments"]) for t in told} == {("v1", "-;v1")}


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
async def test_only_a_post_can_begin_a_session(fleet: Fleet, method: str) -> None:
    site = await fleet.site()
    await site.start(9_999)
    told = (await site.post(bearer(1), method=method)).json()
    assert (told["version"], told["assignments"]) == ("v1", ["-;v1"])


async def test_a_session_is_drawn_by_itself_whoever_begins_it(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(5_000)
    sessions = [born(await site.post(bearer(1))) for _ in range(40)]
    assert {s.version for s in sessions} == {"v1", "v2"}  # missed once in 10^12
    assert {s.assignment for s in sessions} == {f"{label(1, v)};{v}" for v in ("v1", "v2")}
    await site.write("rollback")
    assert await site.again(*sessions) == {"same": 40}


async def test_a_session_goes_before_the_principal_that_it_has_and_the_protocol_that_it_names(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(5_000)
    met = await versions(site, 20)
    other = {"v1": next(iter(on_canary(met))), "v2": min(set(met) - on_canary(met))}
    for session in await site.new(12):
        named = await site.post(("mcp-session-id", session.id), MODERN, bearer(other[session.version]))
        assert born(named) == session


async def test_a_client_that_names_its_protocol_already_when_it_initializes_keeps_the_session(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(5_000)
    met = await versions(site, 20)
    named = ("mcp-protocol-version", "2025-11-25")
    sessions = [born(await site.post(named, bearer(n), say=b"initialize")) for n in range(20)]
    assert [s.version for s in sessions] == list(met.values())
    assert {s.assignment for s in sessions} == {f"{label(1, v, 'principal')};{v}" for v in ("v1", "v2")}
    sessions.append(born(await site.post(named, say=b"initialize")))
    assert await site.again(*sessions) == {"same": 21}
    await site.write("rollback")
    assert await site.again(*sessions) == {"same": 21}


async def test_a_client_that_keeps_its_cookie_meets_one_version_with_the_label_of_its_birth(fleet: Fleet) -> None:
    site = await fleet.site(assign=ALL_KINDS)
    await site.start(5_000, 9_000, 9_999)
    answers = [await site.post(MODERN) for _ in range(40)]
    jars = [(cookie_of(a), a.json()["version"], a.json()["assignments"][0]) for a in answers]
    assert {v for _, v, _ in jars} == {"v1", "v2"}  # missed once in 10^12
    assert {a for _, _, a in jars} == {f"{label(1, v, 'cookie')};{v}" for v in ("v1", "v2")}
    assert len({c for c, _, _ in jars}) == 40  # a unit each
    for _ in range(2):
        await site.write("proceed")
        for cookie, version, assignment in jars:
            assert await with_cookie(site, f"theme=dark; {cookie}; lang=de") == (version, assignment)


async def test_a_cookie_is_what_a_session_is_when_its_rollout_ends(fleet: Fleet) -> None:
    site = await fleet.site(assign=ALL_KINDS)
    old = cookie_of(await site.post(MODERN))
    assert old.startswith("mcp_canary=orders.v1~-~")
    await site.start(9_999)
    assert await with_cookie(site, old) == ("v1", "-;v1")
    canary = await site.post(MODERN)
    assert (await with_cookie(site, cookie_of(canary)))[0] == "v2"
    await site.write("rollback")
    assert (await with_cookie(site, cookie_of(canary)))[0] == "v2"
    await site.write("drained")
    again = await site.post(MODERN, ("cookie", cookie_of(canary)))
    assert again.json()["version"] == "v1"
    assert cookie_of(again).startswith("mcp_canary=orders.v1~-~")


async def test_a_rehomed_canarys_cookies_are_the_baselines(fleet: Fleet) -> None:
    site = await fleet.site(assign=ALL_KINDS)
    await site.start(9_999)
    canary = cookie_of(await site.post(MODERN))
    await site.write("rollback", hold_mode="rehome")
    assert await with_cookie(site, canary) == ("v1", "-;v1")


async def test_a_cookie_goes_before_a_principal_and_a_principal_needs_no_cookie(fleet: Fleet) -> None:
    site = await fleet.site(assign=ALL_KINDS)
    await site.start(5_000)
    met = await versions(site, 20)
    answers = [await site.post(MODERN, bearer(n)) for n in range(20)]
    assert not any("set-cookie" in a.headers for a in answers)
    for n in range(20):
        answer = await site.post(MODERN)
        kept = await with_cookie(site, cookie_of(answer), bearer(n))
        assert kept == (answer.json()["version"], answer.json()["assignments"][0])
    assert await versions(site, 20) == met


async def test_a_cookie_reaches_no_other_path(fleet: Fleet) -> None:
    site = await fleet.site(assign=ALL_KINDS)
    attributes = (await site.post(MODERN)).headers["set-cookie"].split("; ")[1:]
    assert attributes == ["Path=/mcp", "HttpOnly", "SameSite=Lax"]


@pytest.mark.parametrize("assign", [["session", "principal"], ALL_KINDS])
async def test_nobody_can_choose_a_version_or_a_label(fleet: Fleet, assign: list[Kind]) -> None:
    """Neither by a header, nor by a cookie or a key or a session id that nobody gave out."""
    site = await fleet.site(assign=assign)
    await site.start(1)
    forged: list[tuple[str, str]] = [
        ("x-canary-key", "v2"),
        ("x-davylamp-assignment", f"{label(1, 'v2', 'principal')};v2"),
        ("x-envoy-upstream-alt-stat-name", "v2"),
        *(
            ("cookie", f"mcp_canary={value}")
            for value in ("v2", "orders.v2", "orders.v2~", "orders.v2~-~x", "orders.v2~1.1.cookie.0~x")
        ),
    ]
    met = await versions(site, 10)
    assert on_canary(met) == set()
    for header in forged:
        told = (await site.post(MODERN, bearer(1), header)).json()
        assert (told["version"], told["assignments"]) == ("v1", [f"{label(1, 'v1', 'principal')};v1"])
        keyless = (await site.post(MODERN, header)).json()
        kind = f"{label(1, 'v1', 'cookie')};v1" if "cookie" in assign else "-;v1"
        assert (keyless["version"], keyless["assignments"]) == ("v1", [kind])
    stolen = ("mcp-session-id", f"orders.v2~{label(1, 'v1', 'principal')}~x")
    assert (await site.post(MODERN, bearer(1), stolen)).status_code == 404


async def test_a_service_without_sessions_hashes_whatever_it_is_sent(fleet: Fleet) -> None:
    """Servers that keep none answer `initialize` without an id: the rest of its conversation is its principal's."""
    site = await fleet.site(assign=["principal"])
    await site.start(5_000)
    met = await versions(site, 20)
    for n in range(20):
        first = (await site.post(bearer(n), say=b"initialize")).json()
        assert (first["version"], first["assignments"]) == (met[n], [f"{label(1, met[n], 'principal')};{met[n]}"])
    assert (await site.post(say=b"initialize")).json()["assignments"] == ["-;v1"]


@pytest.mark.parametrize(
    ("v1", "v2"), [(["sessions"], ["sessions", "stateless"]), (["sessions", "stateless"], ["sessions"])]
)
async def test_while_versions_differ_in_era_clients_of_the_newer_one_are_led_to_a_session(
    fleet: Fleet, v1: list[str], v2: list[str]
) -> None:
    site = await fleet.site(eras={"v1": v1, "v2": v2})
    await site.start(5_000)
    refused = await site.post(MODERN, bearer(1))
    assert (refused.status_code, refused.content) == (400, b"")
    older = await site.post(("mcp-protocol-version", "2025-11-25"), bearer(1))
    assert older.status_code == 200
    sessions = await site.new(20)
    assert Counter(s.version for s in sessions).keys() == {"v1", "v2"}  # missed once in 10^6
    assert await site.again(*sessions) == {"same": 20}
    await site.write("complete")
    assert (await site.post(MODERN)).status_code == 400
    await site.write("retire")
    assert (await site.post(MODERN)).status_code == (200 if "stateless" in v2 else 400)


async def test_a_canary_that_begins_no_sessions_gets_none(fleet: Fleet) -> None:
    site = await fleet.site(eras={"v1": ["sessions", "stateless"], "v2": ["stateless"]})
    await site.start(9_999)
    assert {(s.version, s.assignment) for s in await site.new(5)} == {("v1", "-;v1")}
    assert on_canary(await versions(site, 5)) == set(range(5))


async def test_a_server_of_the_first_era_gets_the_messages_of_its_own_streams(fleet: Fleet) -> None:
    site = await fleet.site(path="/")
    await site.start(9_999)
    stream = (await site.post(path="/sse", method="GET")).json()
    assert (stream["version"], stream["assignments"]) == ("v1", ["-;v1"])
    message = (await site.post(path="/messages/v1/?session_id=1")).json()
    assert (message["version"], message["path"]) == ("v1", "/messages/v1/?session_id=1")
    await site.write("complete")
    assert (await site.post(path="/sse", method="GET")).json()["version"] == "v2"
    for version in ("v1", "v2"):
        told = (await site.post(path=f"/messages/{version}/?session_id=1")).json()
        assert (told["version"], told["assignments"]) == (version, [f"-;{version}"])


@pytest.mark.parametrize("hosts", [["orders.example"], ["*.example"]])
async def test_a_host_is_known_with_and_without_its_port(fleet: Fleet, hosts: list[str]) -> None:
    site = await fleet.site(hosts=hosts)
    for host in ("orders.example", "ORDERS.example", "orders.example:10000"):
        assert (await site.post(("host", host))).status_code == 200
    assert (await site.post(("host", "orders.elsewhere"))).status_code == 404
