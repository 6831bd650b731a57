"""The ledger at one end, a real Envoy and MCP-like servers at the other: what clients and servers see."""

import asyncio

import pytest

from router import envoy_resources
from router.latch import Word
from schemas.control import RouteChange
from schemas.decisions import LedgerEntry
from schemas.service import Service
from tests.broken_router import BROKEN_HOST, breaking
from tests.site import Fleet, Unreachable, born, label, stop


async def test_new_sessions_are_split_by_the_share_and_born_with_their_label(fleet: Fleet) -> None:
    site = await fleet.site()
    assert {(s.version, s.assignment) for s in await site.new(10)} == {("v1", "-;v1")}
    await site.start(5_000)
    sessions = await site.new(60)
    canary = [s for s in sessions if s.version == "v2"]
    assert 8 < len(canary) < 52  # of 60 fair draws, missed once in 10^9
    for session in sessions:
        assert session.assignment == f"{label(1, session.version)};{session.version}"
        assert session.id.startswith(f"orders.{session.version}~{label(1, session.version)}~")
        assert session.inner not in session.id
    assert {s.port for s in sessions if s.version == "v1"} == {s.port for s in await site.new(60) if s.version == "v1"}


async def test_no_session_moves_while_shares_change_and_each_keeps_its_label_for_life(fleet: Fleet) -> None:
    site = await fleet.site()
    sessions = await site.new(5)
    await site.start(5_000, 9_000)
    first = await site.new(12)
    await site.write("proceed")
    sessions += first + await site.new(12)
    assert await site.again(*sessions) == {"same": len(sessions)}
    told = [await site.assignments(("mcp-session-id", s.id)) for s in first]
    assert told == [[s.assignment] for s in first]
    await site.write("rollback")
    assert await site.again(*sessions) == {"same": len(sessions)}


async def test_after_a_rollback_new_sessions_are_the_baselines_and_the_canarys_drain(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(9_999)
    (canary,) = await site.new(1)
    assert canary.version == "v2"
    await site.write("rollback")
    assert {(s.version, s.assignment) for s in await site.new(20)} == {("v1", "-;v1")}
    assert await site.again(canary) == {"same": 1}
    assert await site.assignments(("mcp-session-id", canary.id)) == [canary.assignment]


async def test_a_drain_that_is_over_ends_the_canarys_sessions(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(5_000)
    sessions = await site.new(12)
    await site.write("rollback")
    await site.write("drained")
    assert (await site.again(*(s for s in sessions if s.version == "v2"))).keys() == {"404"}
    assert (await site.again(*(s for s in sessions if s.version == "v1"))).keys() == {"same"}


async def test_an_evicted_canarys_sessions_end_at_once_and_the_baselines_live(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(5_000)
    sessions = await site.new(12)
    await site.write("rollback", hold_mode="evict")
    assert (await site.again(*(s for s in sessions if s.version == "v2"))).keys() == {"404"}
    assert (await site.again(*(s for s in sessions if s.version == "v1"))).keys() == {"same"}


async def test_a_rehomed_session_reaches_any_server_of_the_baseline_with_its_inner_id(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(9_999)
    (canary,) = await site.new(1)
    for server in site.servers[:2]:
        server.adopts = True
    await site.write("rollback", hold_mode="rehome")
    answers = [await site.post(("mcp-session-id", canary.id)) for _ in range(8)]
    assert {a.status_code for a in answers} == {200}
    assert {a.json()["session"] for a in answers} == {canary.inner}
    assert {a.json()["port"] for a in answers} == {s.port for s in site.servers[:2]}
    assert {tuple(a.json()["assignments"]) for a in answers} == {("-;v1",)}
    assert {a.headers["mcp-session-id"] for a in answers} == {canary.id}
    assert {(s.version, s.assignment) for s in await site.new(5)} == {("v1", "-;v1")}


async def test_a_promotion_that_is_undone_drains_the_sessions_that_were_born_at_100_percent(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(9_999)
    sessions = await site.new(2)
    await site.write("complete")
    sessions += await site.new(2)
    await site.write("rollback")
    assert {(s.version, s.assignment) for s in await site.new(5)} == {("v1", "-;v1")}
    assert await site.again(*sessions) == {"same": 4}


async def test_a_retired_baselines_sessions_are_told_to_initialize_again(fleet: Fleet) -> None:
    site = await fleet.site()
    (old,) = await site.new(1)
    await site.start(9_999)
    await site.write("complete")
    assert await site.again(old) == {"same": 1}
    await site.write("retire")
    assert await site.again(old) == {"404": 1}


async def test_after_completion_the_canary_is_the_baseline_and_old_sessions_stay_unjudged(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(1)
    (old,) = await site.new(1)
    await site.write("complete")
    assert {(s.version, s.assignment) for s in await site.new(20)} == {("v2", "-;v2")}
    assert await site.again(old) == {"same": 1}
    assert await site.assignments(("mcp-session-id", old.id)) == ["-;v1"]


async def test_nobody_can_write_their_own_assignment(fleet: Fleet) -> None:
    site = await fleet.site()
    forged = [("x-davylamp-assignment", f"{label(1, 'v2')};v2"), ("X-Davylamp-Assignment", "9.9.session.ff;v9")]
    assert await site.assignments(*forged) == ["-;v1"]
    (old,) = await site.new(1)
    await site.start(1)
    assert await site.assignments(*forged) == [f"{label(1, 'v1')};v1"]
    assert await site.assignments(("mcp-session-id", old.id), *forged) == ["-;v1"]
    (labelled,) = await site.new(1)
    assert await site.assignments(("mcp-session-id", labelled.id), *forged) == [labelled.assignment]


async def test_a_forged_label_opens_no_canary_and_is_not_judged_on_the_baseline(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(5_000)
    sessions = await site.new(30)
    canary = next(s for s in sessions if s.version == "v2")
    baseline = next(s for s in sessions if s.version == "v1")
    inner = {s: s.id.rpartition("~")[2] for s in (canary, baseline)}
    for forged in (f"{label(2, 'v2')}~", f"{label(1, 'v1')}~", "-~", "~", ""):
        refused = await site.post(("mcp-session-id", f"orders.v2~{forged}{inner[canary]}"))
        assert refused.status_code == 404
    for forged in (f"{label(2, 'v1')}~", f"{label(1, 'v2')}~", "-~", "~", ""):
        id_ = f"orders.v1~{forged}{inner[baseline]}"
        served = await site.post(("mcp-session-id", id_))
        assert (served.status_code, served.json()["assignments"]) == (200, ["-;v1"])
        assert served.json()["session"] == baseline.inner
        assert served.headers["mcp-session-id"] == id_


@pytest.mark.parametrize("id_", ["", "0123456789abcdef", "orders.v9~-~x", "billing.v1~-~x", "orders.v1", "~~~"])
async def test_a_strangers_session_is_told_to_initialize_again(fleet: Fleet, id_: str) -> None:
    site = await fleet.site()
    assert (await site.post(("mcp-session-id", id_))).status_code == 404


async def test_a_session_whose_server_is_gone_is_told_so_instead_of_moving(fleet: Fleet) -> None:
    site = await fleet.site()
    sessions = await site.new(6)
    gone = sessions[0].port
    left = [e for e in site.service.versions["v1"].endpoints if not e.endswith(f":{gone}")]
    versions = {"v1": {"endpoints": left}, "v2": site.service.versions["v2"].model_dump()}
    smaller = Service.model_validate({**site.service.model_dump(), "versions": versions})
    await fleet.log.writer().append("services", "orders", smaller.dump())
    await site.told(lambda c: c.version.endswith("2") and c.acknowledged)
    for session in sessions:
        assert await site.again(session) == {"404" if session.port == gone else "same": 1}


@pytest.fixture
def broken_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envoy_resources, "route_configuration", breaking(envoy_resources.route_configuration))


@pytest.mark.usefixtures("broken_hosts")
async def test_what_envoy_refuses_is_told_in_its_words_and_changes_nothing(fleet: Fleet) -> None:
    site = await fleet.site()
    (session,) = await site.new(1)
    broken = site.service.model_copy(update={"hosts": (BROKEN_HOST,)})
    await fleet.log.writer().append("services", "orders", broken.dump())
    change = await site.told(lambda c: any(p.state == "rejected" for p in c.proxies))
    (proxy,) = change.proxies
    assert not change.acknowledged
    assert "omains" in (proxy.detail or "")
    assert await site.again(session) == {"same": 1}
    await fleet.log.writer().append("services", "orders", site.service.dump())
    await site.told(lambda c: c.version.endswith("3") and c.acknowledged)


@pytest.mark.usefixtures("broken_hosts")
async def test_a_rollback_reaches_every_proxy_while_another_services_edit_is_refused(fleet: Fleet) -> None:
    site = await fleet.site(proxies=2)
    billing = site.service.model_copy(update={"service": "billing", "path": "/billing"})
    broken = billing.model_copy(update={"hosts": (BROKEN_HOST,)})
    await site.start(9_999)
    (canary,) = await site.new(1)
    await fleet.log.writer().append("services", "billing", billing.dump())
    await site.told(lambda c: c.service == "billing" and c.acknowledged)
    await fleet.log.writer().append("services", "billing", broken.dump())
    refused = await site.told(lambda c: [p.state for p in c.proxies] == ["rejected", "rejected"])
    assert refused.service == "billing"
    await site.write("rollback")
    assert {(s.version, s.assignment) for s in await site.new(10)} == {("v1", "-;v1")}
    assert await site.again(canary) == {"same": 1}
    told = [RouteChange.read(r.value or b"") for r in fleet.log.records("route-changes")]
    newest = [c for c in told if c.service == "billing"][-1]
    assert {p.state for p in newest.proxies} == {"rejected"}
    assert all("omains" in (p.detail or "") for p in newest.proxies)


async def test_a_version_leaves_the_proxies_only_after_the_last_route_to_it(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(9_999)
    (canary,) = await site.new(1)
    await site.write("rollback")
    assert await site.again(canary) == {"same": 1}
    smaller = site.service.model_copy(update={"versions": {"v1": site.service.versions["v1"]}})
    await fleet.log.writer().append("services", "orders", smaller.dump())
    await site.told(lambda c: c.version.endswith("2") and c.acknowledged)
    assert await site.again(canary) == {"404": 1}
    assert {s.version for s in await site.new(4)} == {"v1"}


async def test_every_proxy_is_waited_for_and_one_that_dies_is_missed(fleet: Fleet) -> None:
    site = await fleet.site(proxies=2)
    await site.start(5_000)
    (session,) = await site.new(1)
    assert born(await site.post(("mcp-session-id", session.id), envoy=1)) == session
    await site.envoys[1].stop()
    missed = await site.told(lambda c: [p.state for p in c.proxies] == ["acknowledged", "pending"])
    assert not missed.acknowledged
    assert missed.proxies[1].proxy == "lb1"


async def test_proxies_serve_on_without_a_router_and_find_the_next_one(fleet: Fleet) -> None:
    site = await fleet.site()
    await site.start(9_999)
    (canary,) = await site.new(1)
    await stop(site.router)
    assert await site.again(canary) == {"same": 1}
    await fleet.router()
    await site.write("rollback")
    assert {s.version for s in await site.new(10)} == {"v1"}
    assert await site.again(canary) == {"same": 1}


async def test_a_direct_rollback_reaches_proxies_without_a_log_and_after_a_restart_of_the_router(fleet: Fleet) -> None:
    site = await fleet.site(proxies=2)
    await site.start(9_999)
    (canary,) = await site.new(1)
    log, word = fleet.log, Word(service="orders", rollout=1, actor="ada")
    log.away_s = 60.0
    await fleet.made.reconcile()
    assert await site.again(canary) == {"same": 1}
    said = await fleet.made.roll_back(word)
    await acknowledged(fleet, 2)
    assert {(s.version, s.assignment) for s in await site.new(10)} == {("v1", "-;v1")}
    await stop(site.router)
    restarted = await fleet.router(Unreachable())
    await acknowledged(fleet, 2)
    assert {s.version for s in await site.new(10)} == {"v1"}
    assert await site.again(canary) == {"same": 1}
    await stop(restarted)
    log.away_s = 0.0
    await fleet.router()
    await site.told(lambda c: c.entry == said.id and c.acknowledged)
    assert said.id in {LedgerEntry.read(r.value or b"").id for r in log.records("rollout-decisions")}


async def acknowledged(fleet: Fleet, proxies: int) -> None:
    """Wait until so many proxies run the newest route of the newest router."""
    async with asyncio.timeout(20):
        while [p.state for p in fleet.made.observe("orders")] != ["acknowledged"] * proxies:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
