"""The two stories, by the demo's own code: real MCP clients and servers, a real Envoy, a real Kafka.

They share one scene, because setting it up takes longer than a story. The file's order is the order of the stories.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from demo.scene import SERVICE, Scene, scene, traffic
from demo.stories import tell
from demo.traffic import Seen, session
from schemas.decisions import LedgerEntry
from status.page import figures
from tests.invariants import assert_chain, assert_no_share_rose_on_missing_word, assert_sessions_stayed

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("stories")
    async with scene(folder) as running:
        yield running


async def new_sessions(stage: Scene, count: int) -> Seen:
    """What `count` sessions meet that begin now."""
    seen = Seen()
    await asyncio.gather(*(session(stage.mcp_url, seen, random.Random(i)) for i in range(count)))
    return seen


def kinds(entries: tuple[LedgerEntry, ...]) -> list[str]:
    return [entry.kind for entry in entries]


async def test_a_canary_that_fails_thirty_percent_is_rolled_back_by_itself(stage: Scene) -> None:
    async with traffic(stage, seed=1) as seen:
        story = await tell(stage, "v2", print)
        after = await new_sessions(stage, 30)
    assert story.ended == "rolled_back"
    assert kinds(story.entries)[0] == "start"
    assert kinds(story.entries)[-1] == "rollback"
    rollback = story.entries[-1]
    assert rollback.share == 0
    assert rollback.actor == "judge"
    assert rollback.reason.code == "breach"
    check = next(check for check in rollback.checks if check.check == rollback.culprit)
    assert check.verdict == "breached"
    assert rollback.reason.sentence.startswith(("Error rate", "Failed"))
    assert story.decision_to_acknowledged_ms is not None
    assert set(after.sessions) == {"v1"}
    assert_chain(story.entries)
    assert_no_share_rose_on_missing_word(story.entries)
    assert_sessions_stayed(seen)
    assert seen["sessions"]["v2"] > 0


async def test_the_page_shows_of_the_rollback_what_the_ledger_says(stage: Scene) -> None:
    """After the first story, by the real status service over the real Kafka."""
    rollback = LedgerEntry.model_validate((await stage.rollout())["ledger"][-1], extra="ignore")
    check = next(check for check in rollback.checks if check.check == rollback.culprit)
    async with httpx2.AsyncClient(base_url=stage.options.status_url) as client:
        page = (await client.get(f"/rollouts/{SERVICE}", headers={"accept": "text/html"})).text
        series = (await client.get(f"/api/rollouts/{SERVICE}/series")).json()
        metrics = (await client.get("/metrics")).text
    sign = -1 if check.check == "tool_success" else 1
    assert check.difference is not None
    assert check.low is not None
    assert figures.points(sign * check.difference) in page
    assert figures.signed(sign * check.low) in page
    assert "Rolled back" in page
    assert "The only proxy acknowledged the route" in page
    assert series["starts"]
    assert any(value is not None for value in series["charts"][0]["canary"]["value"])
    for name in ("davylamp_evidence_to_decision_seconds", "davylamp_decision_to_acknowledged_seconds"):
        assert f'{name}_count{{service="{SERVICE}"}}' in metrics


async def test_a_healthy_canary_goes_to_a_hundred_percent_by_itself(stage: Scene) -> None:
    async with traffic(stage, seed=2) as seen:
        story = await tell(stage, "v3", print)
        after = await new_sessions(stage, 30)
    assert story.ended == "completed"
    assert kinds(story.entries) == ["start", "proceed", "complete"]
    assert [entry.share for entry in story.entries] == [2000, 5000, 10_000]
    assert story.entries[-1].reason.code == "within"
    assert set(after.sessions) == {"v3"}
    assert_chain(story.entries)
    assert_no_share_rose_on_missing_word(story.entries)
    assert_sessions_stayed(seen)
    assert seen["sessions"]["v1"] > 0
    assert seen["sessions"]["v3"] > 0


async def test_every_decision_is_recomputed_from_its_cut_byte_for_byte(stage: Scene) -> None:
    command = [sys.executable, "-m", "cli", "verify", SERVICE]
    process = await asyncio.create_subprocess_exec(
        *command, env=stage.options.service_environment(), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    total = output.decode().splitlines()[-1]
    entries, same = total.split(" entries: ")
    assert same == f"{entries} same"
    assert int(entries) >= 5
