"""Faults in the middle of a rollout, on real Kafka and Envoy: the story ends as it would have. `make acceptance`."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from cli.stack import ServiceProcess
from demo.scene import Scene, scene, traffic
from demo.stories import Story, tell
from tests.invariants import assert_chain, assert_no_share_rose_on_missing_word, assert_sessions_stayed

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300), pytest.mark.acceptance]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with scene(tmp_path_factory.mktemp("faults")) as running:
        yield running


async def kill(stage: Scene, *services: ServiceProcess) -> None:
    """kill -9; the supervisor starts them again."""
    for service in services:
        pid = stage.supervisor.pid(service)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)


async def until(stage: Scene, true_of: Callable[[dict[str, Any]], bool]) -> None:
    """Until the judge's view is so."""
    async with asyncio.timeout(90):
        while not true_of((await stage.rollout())["rollout"] or {}):  # noqa: ASYNC110 - over HTTP there is nothing to wait on
            await asyncio.sleep(0.1)


async def collecting(stage: Scene, stage_number: int = 1) -> None:
    await until(stage, lambda view: view.get("state") == "collecting" and view["stage"] >= stage_number)


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
