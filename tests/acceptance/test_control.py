"""Control when something is missing, on real Kafka and Envoy: Kafka, a proxy, a server that answers. `make acceptance`."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from demo.scene import SERVICE, Scene, demo_plan, scene, traffic
from router.bootstrap import bootstrap
from router.local_envoy import LocalEnvoy
from router.witness import UNANSWERED_AFTER_S
from schemas.decisions import LedgerEntry
from schemas.plan import Plan
from tests.command_line import davylamp
from tests.invariants import assert_chain, assert_no_share_rose_on_missing_word, assert_nobody_moved
from transport.ports import free_ports

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300), pytest.mark.acceptance]

TOKEN = "0123456789abcdef"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    (direct,) = free_ports(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAVYLAMP_ROUTER_DIRECT_TOKEN", TOKEN)
        patch.setenv("DAVYLAMP_ROUTER_DIRECT_PORT", str(direct))
        patch.setenv("DAVYLAMP_DIRECT_TOKEN", TOKEN)
        patch.setenv("DAVYLAMP_DIRECT_ROUTERS", f"http://127.0.0.1:{direct}")
        async with scene(tmp_path_factory.mktemp("control"), dict.fromkeys(("v2", "v3", "v4", "v5"))) as running:
            yield running


async def until(stage: Scene, true_of: Callable[[dict[str, Any]], bool], within_s: float = 90) -> dict[str, Any]:
    """What the status API says of the service, once it is so."""
    async with asyncio.timeout(within_s):
        while not true_of(found := await stage.rollout()):  # noqa: ASYNC110 - over HTTP there is nothing to wait on
            await asyncio.sleep(0.1)
    return found


def collecting(found: dict[str, Any]) -> bool:
    return bool(found["rollout"]) and found["rollout"]["state"] == "collecting"


def at_stage(number: int) -> Callable[[dict[str, Any]], bool]:
    return lambda found: collecting(found) and found["rollout"]["stage"] == number


def rolled_back(canary: str) -> Callable[[dict[str, Any]], bool]:
    return lambda found: (last(found)["kind"], last(found)["canary"]) == ("rollback", canary)


def last(found: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = found["ledger"][-1]
    return entry


async def new_sessions(stage: Scene, count: int) -> set[str]:
    """The versions that so many new sessions meet, by what stands in front of their ids."""
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}},
    }
    accept = {"accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(timeout=10) as http:
        answers = [await http.post(stage.mcp_url, json=hello, headers=accept) for _ in range(count)]
    return {answer.headers["mcp-session-id"].partition("~")[0] for answer in answers}


async def test_a_direct_rollback_reaches_every_proxy_while_kafka_is_away_and_the_ledger_when_it_is_back(
    stage: Scene,
) -> None:
    kafka = stage.stack.kafka
    assert kafka is not None
    async with traffic(stage, seed=12):
        await stage.start(demo_plan("v3"))
        found = await until(stage, collecting)
        baseline = found["rollout"]["baseline"]
        assert await new_sessions(stage, 60) == {f"{SERVICE}.{baseline}", f"{SERVICE}.v3"}
        await asyncio.to_thread(kafka.stop)
        code, output = await davylamp(stage.options, "rollback", SERVICE, "--direct", "--reason", "it burns")
        assert (code, "every proxy of every router" in output) == (0, True), output
        assert await new_sessions(stage, 60) == {f"{SERVICE}.{baseline}"}
        assert (await davylamp(stage.options, "rollback", SERVICE, "--direct", "--reason", "it burns"))[0] == 0
        await asyncio.to_thread(kafka.start)
        back = await until(stage, lambda found: last(found)["kind"] == "rollback")
    assert (last(back)["reason"]["code"], last(back)["share"]) == ("direct", 0)
    assert await new_sessions(stage, 20) == {f"{SERVICE}.{baseline}"}


async def test_a_proxy_that_died_lets_no_share_rise_until_it_is_forgotten(stage: Scene) -> None:
    port, admin = free_ports(2)
    second = bootstrap("lb1", port, admin, routers=[f"127.0.0.1:{stage.options.xds_port}"])
    async with traffic(stage, seed=13):
        async with LocalEnvoy(second, stage.folder / "envoy"):
            await until(stage, lambda found: len(found["route"]["proxies"]) == 2 and found["route"]["acknowledged"])
            await stage.start(demo_plan("v4"))
            await until(stage, at_stage(1))
        waiting = await until(
            stage, lambda found: "(lb1 is missing)" in (found["rollout"]["waiting_for"] or "") and _over(found)
        )
        assert [e["kind"] for e in waiting["ledger"]] == ["start"]
        assert "? orders  lb1  unknown: no router hears it" in (await davylamp(stage.options, "proxy", "list"))[1]
        code, output = await davylamp(stage.options, "proxy", "forget", "lb0", "--reason", "a mistake")
        assert (code, "lb0 lives" in output) == (1, True), output
        code, output = await davylamp(stage.options, "proxy", "forget", "lb1", "--reason", "scaled down")
        assert (code, "lb1 is forgotten" in output) == (0, True), output
        await until(stage, at_stage(2))
        assert "lb1" not in (await davylamp(stage.options, "proxy", "list"))[1]


def _over(found: dict[str, Any]) -> bool:
    """The stage's planned time is over by far: with every proxy in place it would have risen."""
    return (found["rollout"]["stage_elapsed_s"] or 0.0) > 14.0


@contextlib.contextmanager
def frozen(stage: Scene, version: str) -> Iterator[None]:
    """SIGSTOP of the version's server while the block runs: the kernel takes connections, and nobody answers them."""
    port = stage.ports[version]
    pid = stage.stack.supervisor.pid(f"{SERVICE}-{version}-{port}")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_canary_that_is_frozen_is_rolled_back_by_the_requests_that_nobody_answers_for_a_minute(
    stage: Scene,
) -> None:
    """It says nothing, and no client gives up: only the proxies see them, and only time makes them failures."""
    async with traffic(stage, seed=14) as seen:
        with frozen(stage, "v5"):
            await stage.start(demo_plan("v5"), replace=True)
            back = await until(stage, rolled_back("v5"), UNANSWERED_AFTER_S + 90)
            assert await new_sessions(stage, 20) == {f"{SERVICE}.v1"}
        entries = [LedgerEntry.model_validate(entry, extra="ignore") for entry in back["ledger"]]
    assert (entries[-1].actor, entries[-1].reason.code, entries[-1].culprit) == ("judge", "breach", "availability")
    (check,) = (c for c in entries[-1].checks if c.verdict == "breached")
    assert check.check == "availability"
    assert check.canary.bad > check.baseline.bad == 0
    assert entries[-1].decided_at - entries[0].decided_at >= UNANSWERED_AFTER_S * 1000
    assert max(entry.share for entry in entries) == entries[0].share
    assert_chain(entries)
    assert_no_share_rose_on_missing_word(entries)
    assert_nobody_moved(seen)


async def test_a_start_is_warned_of_margins_that_the_traffic_seen_does_not_prove(stage: Scene) -> None:
    """By the command line, from the windows of the stories before; where the plan has time enough, there is no word of it."""

    async def started(plan: Plan) -> str:
        file = stage.folder / "plan.json"
        file.write_text(plan.model_dump_json(exclude_none=True), encoding="utf-8")
        code, output = await davylamp(stage.options, "start", str(file), "--again", "--replace")
        assert code == 0, output
        assert "Canary v5 of orders gets" in output
        return output

    hurried, patient = margins("5s"), margins("10m")
    async with asyncio.timeout(60):  # a busy machine may not read the windows in time, and then nobody is warned
        while "Warning: " not in (output := await started(hurried)):
            pass
    assert "Warning: Stage 1 (20% for 5s): at this traffic it sees about" in output
    assert "does not prove its limits of errors" in output
    assert "Warning" not in await started(patient)
    assert (await davylamp(stage.options, "rollback", SERVICE, "--reason", "the test is over"))[0] == 0


def margins(stage: str) -> Plan:
    """One margin that some thousand calls prove, in stages of this length."""
    others = ("tool_success", "latency_p99", "latency_p90", "session_loss", "tools", "availability")
    stages = [{"share": share, "for": stage, "min_sessions": 10} for share in ("20%", "50%")]
    checks = {"error_rate": {"within": "3pp"}, **dict.fromkeys(others, "off")}
    return Plan.model_validate({"service": SERVICE, "canary": "v5", "stages": stages, "checks": checks})
