"""The worst faults on real Kafka and real Envoys: each story ends as it would have. `make acceptance`.

The same faults at every write and in every state are tried in virtual time (`tests/unit/test_control_*.py`). Here two
routers, two Envoys, clients and a receiver of alerts that never answers run through the whole file.
"""

import asyncio
import copy
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from cli.stack import service_argv
from router.local_envoy import LocalEnvoy
from schemas.decisions import RESUMES_ITSELF
from schemas.service import Service
from tests.broken_router import BROKEN_HOST
from tests.field import SERVICE, Clients, Field, eventually, lay_out
from tests.invariants import (
    assert_chain,
    assert_no_share_rose_on_missing_word,
    assert_nobody_moved,
    assert_sessions_stayed,
)
from transport.supervisor import Child

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180), pytest.mark.acceptance]

BAD, HEALTHY, DEAD = "v2", "v3", "v4"
STRICT = {"within": "3pp", "on_unproven_final": "hold"}
"""A canary that fails 30 % of its calls is beyond that within seconds; where calls are few, it is held until it is seen."""
IN_FORCE_S = 5.0
"""From a decision to the last proxy, and to clients that try; 50 ms are usual, a busy machine's clients take seconds."""
KEEPALIVE_S = 10.0
"""A frozen router is noticed within three seconds, then the proxy asks the next one."""
PAGED_S = 20.0
"""An unknown proxy is a page after ten."""
APPLIED_MS = 1000.0
"""From the decision to a router's last proxy, by that router's own clock, whatever another service's edit is doing."""
REFUSED = 70
"""Requests that proxies see refused before a dead canary is rolled back: 25 are usual, and so many come in thirty seconds.
Not the seconds themselves, for on a busy machine clients make few requests in them."""
RESTARTED_S = 30.0


@dataclass
class Crowd:
    """The clients of both proxies."""

    steady: Clients
    """Of `lb0`, which is never touched."""
    tried: Clients


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Field]:
    folder = tmp_path_factory.mktemp("faults")
    async with lay_out(folder, {BAD: "errors", HEALTHY: None}, absent=(DEAD,)) as laid:
        yield laid


@pytest_asyncio.fixture(loop_scope="module", scope="module", autouse=True)
async def crowd(ground: Field) -> AsyncIterator[Crowd]:
    async with ground.clients("lb0", 0) as steady, ground.clients("lb1", 1) as tried:
        yield Crowd(steady, tried)


def assert_lawful(ground: Field) -> None:
    """Invariants 1 and 2 of the newest rollout, and no proxy ever went back."""
    assert_chain(ground.watcher.rollout)
    assert_no_share_rose_on_missing_word(ground.watcher.rollout)
    for proxy in ground.proxies.values():
        assert proxy.went_back == []


async def assert_rolled_back_once(ground: Field, within_s: float = IN_FORCE_S) -> None:
    await ground.routed(within_s)
    await ground.only_v1(IN_FORCE_S)
    steps = ground.watcher.steps
    assert [s for s in steps if s.startswith("rollback")] == ["rollback 0"]
    assert steps[-1] in ("rollback 0", "drained 0")
    assert_lawful(ground)


@pytest.mark.parametrize(
    ("services", "moment"),
    [
        (("judge",), "collecting"),
        (("streams", "status"), "collecting"),
        (("router", "router-2"), "rolled_back"),
        (("judge", "alerts"), "rolled_back"),
        (("judge", "router", "router-2", "streams", "status", "alerts"), "collecting"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else value,
)
async def test_a_bad_canary_is_rolled_back_once_whoever_is_killed(
    ground: Field, services: tuple[str, ...], moment: str
) -> None:
    """While it collects; or as soon as the rollback is in the ledger, before anybody has done anything about it."""
    await ground.start(BAD, **STRICT)
    await ground.until(moment)
    ground.kill(*services)
    await ground.until("rolled_back", within_s=RESTARTED_S)
    await assert_rolled_back_once(ground, RESTARTED_S)


async def test_on_call_has_heard_of_each_rollback_although_one_receiver_never_answers(ground: Field) -> None:
    rollbacks = [e for e in ground.watcher.chain.entries if e.kind == "rollback"]
    await eventually(lambda: sum("rolled back" in one["title"] for one in ground.pager.told) >= len(rollbacks), 30)
    told = [one["title"] for one in ground.pager.told if "rolled back" in one["title"]]
    assert (
        len(rollbacks) <= len(told) <= len(rollbacks) + 1
    )  # alerts was killed between telling and remembering, or not


async def test_a_healthy_canary_completes_over_kills_at_every_stage(ground: Field) -> None:
    await ground.start(HEALTHY)
    await ground.until("collecting")
    ground.kill("judge", "streams")
    await ground.until("collecting", stage=2, within_s=90)
    ground.kill("router", "router-2", "judge")
    await ground.until("completed", within_s=90)
    await ground.routed()
    assert ground.watcher.steps == ["start 2000", "proceed 5000", "complete 10000"]
    assert_lawful(ground)
    await ground.back_to_v1()


async def test_a_rollout_goes_on_by_itself_when_kafka_was_restarted(ground: Field) -> None:
    kafka = ground.stack.kafka
    assert kafka is not None
    await ground.start(HEALTHY)
    await ground.until("collecting")
    await asyncio.to_thread(kafka.stop)
    await asyncio.to_thread(kafka.start)
    await ground.until("completed", within_s=120)  # over a hold, where no window closed for too long
    assert {e.reason.code for e in ground.watcher.rollout if e.kind == "hold"} <= RESUMES_ITSELF
    assert_lawful(ground)
    await ground.back_to_v1()


async def test_people_roll_back_while_the_judge_is_frozen_and_nothing_changes_when_it_wakes(ground: Field) -> None:
    await ground.start(HEALTHY)
    await ground.until("collecting")
    with ground.frozen("judge"):
        assert "the test wants it" in await ground.say("rollback")
        await ground.until("rolled_back", within_s=IN_FORCE_S)
        await assert_rolled_back_once(ground)
        steps = ground.watcher.steps
    await asyncio.sleep(3)  # time for a woken judge to do harm
    assert ground.watcher.steps == steps


async def test_a_rollout_whose_judge_is_frozen_is_held_by_a_router_and_goes_on_by_itself(ground: Field) -> None:
    await ground.start(HEALTHY, blind_after="6s")
    await ground.until("collecting")
    with ground.frozen("judge"):
        await ground.until("held", within_s=PAGED_S)
        held = ground.watcher.rollout[-1]
        assert (held.actor, held.reason.code) == ("router", "blind")
    await ground.until("completed", within_s=60)
    resumed = next(entry for entry in ground.watcher.rollout if entry.kind == "resume")
    assert (resumed.actor, resumed.after) == ("judge", held.id)
    assert_lawful(ground)
    await ground.back_to_v1()


async def test_two_judges_one_of_them_frozen_and_woken_decide_once(ground: Field) -> None:
    environment = {**ground.options.service_environment(), "DAVYLAMP_JUDGE_INSTANCE": "judge-2"}
    log = ground.options.folder / "judge-2.log"
    ground.stack.supervisor.add(Child("judge-2", service_argv("judge"), environment, log))
    await ground.start(BAD, **STRICT)
    await ground.until("collecting")
    with ground.frozen("judge"):
        await ground.until("rolled_back")
        await assert_rolled_back_once(ground)
        steps = ground.watcher.steps
    await asyncio.sleep(3)
    assert ground.watcher.steps == steps


async def test_two_routers_one_frozen_over_a_rollback_no_proxy_goes_back_when_it_wakes(ground: Field) -> None:
    await ground.start(HEALTHY)
    await ground.until("collecting")
    with ground.frozen("router"):  # it serves `lb0`
        await ground.say("rollback")
        await ground.only_v1(IN_FORCE_S, "lb1")
        await ground.only_v1(KEEPALIVE_S, "lb0")
    await asyncio.sleep(4)
    assert await ground.met("lb0") == await ground.met("lb1") == {"v1"}
    await assert_rolled_back_once(ground)


async def test_a_rollback_that_is_said_when_the_proceed_is_written_wins(ground: Field) -> None:
    await ground.start(HEALTHY)
    await ground.until("collecting")
    seen = ground.watcher.chain.head_id
    await ground.watcher.until(lambda w: w.rollout[-1].kind == "proceed", 60)
    await ground.say("rollback", seen=seen)
    await ground.until("rolled_back", within_s=IN_FORCE_S)
    await assert_rolled_back_once(ground)
    assert ground.watcher.steps == ["start 2000", "proceed 5000", "rollback 0"]


async def test_without_kafka_people_roll_back_at_the_routers_and_the_ledger_has_it_later(ground: Field) -> None:
    kafka = ground.stack.kafka
    assert kafka is not None
    await ground.start(HEALTHY)
    await ground.until("collecting")
    number = ground.watcher.chain.standing.rollout
    await asyncio.to_thread(kafka.stop)
    urls = [x for port in ground.direct_ports for x in ("--router", f"http://127.0.0.1:{port}")]
    said: list[tuple[int, str]] = []

    async def done() -> bool:
        said.append(await ground.command("rollback", SERVICE, "--direct", *urls, "--reason", "Kafka is gone"))
        return said[-1][0] == 0

    try:
        await eventually(done, RESTARTED_S)
        assert f"Rollout {number} of {SERVICE} is rolled back" in said[-1][1]
        await ground.only_v1(IN_FORCE_S)
    finally:
        await asyncio.to_thread(kafka.start)
    await ground.until("rolled_back", within_s=RESTARTED_S)
    assert ground.watcher.rollout[-1].reason.code == "direct"
    await assert_rolled_back_once(ground, RESTARTED_S)


async def test_a_proxy_that_lags_holds_up_the_stage_and_nothing_else(ground: Field) -> None:
    lb1 = ground.proxies["lb1"]
    await ground.routed()
    os.kill(lb1.pid, signal.SIGSTOP)
    try:
        await ground.start(HEALTHY)
        await ground.paged("does not run the newest route", within_s=PAGED_S)
        assert ground.watcher.steps == ["start 2000"]
        assert ground.watcher.state == "shifting"
    finally:
        os.kill(lb1.pid, signal.SIGCONT)
    await ground.until("collecting", within_s=IN_FORCE_S)
    await ground.back_to_v1()
    await assert_rolled_back_once(ground)


async def test_a_refused_edit_of_one_service_holds_up_no_rollback_of_another(ground: Field) -> None:
    await ground.start(HEALTHY)
    await ground.until("collecting")
    ground.pager.told.clear()
    billing = {"service": "billing", "path": "/billing", "hosts": [BROKEN_HOST], "baseline": "v1"}
    versions = {"v1": {"endpoints": ["127.0.0.1:9"]}}
    assert await ground.apply(Service.model_validate({**billing, "versions": versions})) == ""
    await ground.paged("billing", "rejects its route", within_s=PAGED_S)
    await ground.say("rollback")
    await ground.until("rolled_back", within_s=IN_FORCE_S)
    back = ground.watcher.rollout[-1]
    await assert_rolled_back_once(ground)
    told = [w.change for w in ground.watcher.fleet.words.values() if w.change.entry == back.id and w.change.proxies]
    took = [
        change.took_ms for change in told if change.took_ms is not None
    ]  # a router may not have read of the decision
    assert took
    assert max(took) < APPLIED_MS


async def test_no_session_was_moved_and_none_of_the_untouched_proxy_broke(ground: Field, crowd: Crowd) -> None:
    """Invariant 7, over the whole file."""
    steady, tried = await asyncio.gather(crowd.steady.stop(), crowd.tried.stop())
    assert_nobody_moved(tried)
    assert steady["sessions"].keys() >= {"v1", BAD, HEALTHY}
    assert_sessions_stayed(steady)


async def test_a_proxy_whose_configuration_was_edited_by_hand_is_unknown_until_it_is_itself_again(
    ground: Field,
) -> None:
    """Its routes are no file: whoever wants others must take it from the routers, and then they know nothing of it.
    What it does with sessions nobody promises, so the others' clients have stopped."""
    lb1 = ground.proxies["lb1"]
    ground.pager.told.clear()
    async with ground.clients("lb0", 2):
        await ground.start(HEALTHY)
        await ground.until("collecting")
        await lb1.envoy.stop()
        edited = _by_hand(lb1.envoy._bootstrap, ground.ports[HEALTHY])
        async with LocalEnvoy(edited, ground.options.folder / "by-hand"):
            await ground.paged("does not run the newest route", within_s=PAGED_S)
            await asyncio.sleep(5)  # time enough for the stage to end
            assert ground.watcher.steps == ["start 2000"]
        await lb1.envoy.__aenter__()
        await ground.until("completed", within_s=60)
    assert_lawful(ground)
    await ground.back_to_v1()


def _by_hand(made: dict[str, Any], canary: int) -> dict[str, Any]:
    """Asks nobody, and sends everybody to the canary."""
    edited = copy.deepcopy(made)
    del edited["dynamic_resources"]
    listener = edited["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    del manager["rds"]
    everybody = {"match": {"prefix": "/"}, "route": {"cluster": "canary", "timeout": "0s"}}
    manager["route_config"] = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [everybody]}]}
    manager["http_filters"] = manager["http_filters"][-1:]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": canary}}
    places = {"cluster_name": "canary", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}
    edited["static_resources"]["clusters"] = [{"name": "canary", "connect_timeout": "1s", "load_assignment": places}]
    return edited


async def test_a_canary_of_which_no_process_is_alive_is_rolled_back_by_what_proxies_saw(ground: Field) -> None:
    """It sends no telemetry. Its clients get 503, so they come last."""
    async with ground.clients("lb0", 3):
        await ground.start(DEAD, checks={"error_rate": {"within": "12pp"}, "availability": {"within": "12pp"}})
        await ground.until("collecting")
        await ground.until("rolled_back")
        back = ground.watcher.rollout[-1]
        assert (back.actor, back.reason.code) == ("judge", "breach")
        (breached,) = (c for c in back.checks if c.verdict == "breached")
        assert breached.check == "availability"
        assert 0 < breached.canary.n <= REFUSED
        await assert_rolled_back_once(ground)
        assert max(e.share for e in ground.watcher.rollout) == 2000


async def test_readers_agree_and_every_decision_is_recomputed_from_its_cut(ground: Field) -> None:
    """Invariants 2 and 4, over the whole file."""
    history = await asyncio.to_thread(ground.client.history, SERVICE)
    assert [e["id"] for e in history] == [e.id for e in ground.watcher.chain.entries]
    code, words = await ground.command("verify", SERVICE)
    assert code == 0, words
    assert "differs" not in words
    assert " same" in words
