"""Faults in the middle of a rollout, on real Kafka and Envoy: the story ends as it would have. `make acceptance`."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from cli.stack import ServiceProcess, service_argv
from demo.scene import SERVICE, Scene, demo_plan, scene, traffic
from demo.stories import Story, tell
from tests.invariants import assert_chain, assert_no_share_rose_on_missing_word, assert_sessions_stayed
from transport.supervisor import Child

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300), pytest.mark.acceptance]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with scene(tmp_path_factory.mktemp("faults")) as running:
        yield running


async def kill(stage: Scene, *services: ServiceProcess) -> None:
    """kill -9; the supervisor starts them again."""
    for service in services:
        send(stage, service, signal.SIGKILL)


def send(stage: Scene, name: str, number: signal.Signals) -> None:
    pid = stage.stack.supervisor.pid(name)
    assert pid is not None
    os.kill(pid, number)


async def until(stage: Scene, true_of: Callable[[dict[str, Any]], bool]) -> None:
    """Until the judge's view is so."""
    async with asyncio.timeout(90):
        while not true_of((await stage.rollout())["rollout"] or {}):  # noqa: ASYNC110 - over HTTP there is nothing to wait on
            await asyncio.sleep(0.1)


async def collecting(stage: Scene, stage_number: int = 1) -> None:
    await until(stage, lambda view: view.get("state") == "collecting" and view["stage"] >= stage_number)


async def routed(stage: Scene) -> None:
    """Until every proxy runs what the ledger's head says."""
    async with asyncio.timeout(30):
        while True:
            found = await stage.rollout()
            if found["route"]["acknowledged"] and found["route"]["entry"] == found["ledger"][-1]["id"]:
                return
            await asyncio.sleep(0.1)


def assert_rolled_back_once(story: Story) -> None:
    assert story.ended == "rolled_back"
    assert [e.kind for e in story.entries].count("rollback") == 1
    assert_chain(story.entries)
    assert_no_share_rose_on_missing_word(story.entries)


@pytest.mark.parametrize(
    "services",
    [("judge",), ("router",), ("streams",), ("status",), ("alerts",), ("judge", "router", "streams")],
    ids="+".join,
)
async def test_a_bad_canary_is_rolled_back_once_whatever_was_killed_meanwhile(
    stage: Scene, services: tuple[ServiceProcess, ...]
) -> None:
    async with traffic(stage, seed=3) as seen:
        telling = asyncio.create_task(tell(stage, "v2", print, again=True))
        await collecting(stage)
        await kill(stage, *services)
        story = await telling
    assert_rolled_back_once(story)
    assert_sessions_stayed(seen)


async def test_a_healthy_canary_completes_over_kills_at_every_stage(stage: Scene) -> None:
    async with traffic(stage, seed=4) as seen:
        telling = asyncio.create_task(tell(stage, "v3", print, again=True))
        await collecting(stage)
        await kill(stage, "judge", "streams")
        await collecting(stage, 2)
        await kill(stage, "router", "judge")
        story = await telling
    assert story.ended == "completed"
    assert [e.kind for e in story.entries if e.kind in {"start", "proceed", "complete"}] == [
        "start",
        "proceed",
        "complete",
    ]
    assert_chain(story.entries)
    assert_no_share_rose_on_missing_word(story.entries)
    assert_sessions_stayed(seen)


async def test_a_rollout_goes_on_by_itself_when_kafka_was_restarted(stage: Scene) -> None:
    kafka = stage.stack.kafka
    assert kafka is not None
    async with traffic(stage, seed=5) as seen:
        telling = asyncio.create_task(tell(stage, "v1", print, again=True))
        await collecting(stage)
        await asyncio.to_thread(kafka.stop)
        await asyncio.to_thread(kafka.start)
        story = await telling
    assert story.ended == "completed"
    assert_chain(story.entries)
    assert_no_share_rose_on_missing_word(story.entries)
    assert_sessions_stayed(seen)


async def test_people_roll_back_while_the_judge_is_frozen_and_nothing_changes_when_it_wakes(stage: Scene) -> None:
    async with traffic(stage, seed=6) as seen:
        await stage.start(demo_plan("v3"), again=True)
        await collecting(stage)
        send(stage, "judge", signal.SIGSTOP)
        said = await asyncio.to_thread(stage.client.say, SERVICE, "rollback", {"reason": "a bad feeling"})
        assert "a bad feeling" in said
        await routed(stage)
        frozen = await stage.rollout()
        send(stage, "judge", signal.SIGCONT)
        await until(stage, lambda view: view.get("state") == "rolled_back")
    woken = await stage.rollout()
    assert [e["kind"] for e in woken["ledger"]] == [e["kind"] for e in frozen["ledger"]]
    assert woken["ledger"][-1]["share"] == 0
    assert_sessions_stayed(seen)


async def test_two_judges_one_of_them_frozen_and_woken_decide_once(stage: Scene) -> None:
    environment = {**stage.options.service_environment(), "DAVYLAMP_JUDGE_INSTANCE": "judge-2"}
    log = stage.options.folder / "judge-2.log"
    stage.stack.supervisor.add(Child("judge-2", service_argv("judge"), environment, log))
    async with traffic(stage, seed=7) as seen:
        telling = asyncio.create_task(tell(stage, "v2", print, again=True))
        await collecting(stage)
        send(stage, "judge", signal.SIGSTOP)
        story = await telling
        send(stage, "judge", signal.SIGCONT)
        await asyncio.sleep(3)  # time for a woken judge to do harm
        after = await stage.rollout()
    assert_rolled_back_once(story)
    assert [e["id"] for e in after["ledger"]] == [e.id for e in story.entries]
    assert_sessions_stayed(seen)


async def test_every_decision_of_this_file_is_recomputed_from_its_cut(stage: Scene) -> None:
    command = [sys.executable, "-m", "cli", "verify", SERVICE]
    process = await asyncio.create_subprocess_exec(
        *command, env=stage.options.service_environment(), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert "differs" not in output.decode()
    assert " same" in output.decode()
