"""What may be wrong with a release, on real Kafka, Envoy, MCP servers and clients: each rollout ends as it must.

One scene, one version a fault; demo margins. `make acceptance`.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import pytest_asyncio

from demo.faults import BREAKING, FAULTS, TABLE, FaultName
from demo.scene import BASELINE, SERVICE, Scene, Versions, scene, traffic
from demo.stories import Story, must_end, tell
from schemas.decisions import LedgerEntry
from schemas.labels import Kind, Label
from schemas.windows import CohortWindow
from tests.command_line import davylamp
from tests.invariants import (
    assert_chain,
    assert_no_share_rose_on_missing_word,
    assert_nobody_moved,
    assert_sessions_stayed,
)
from transport.kafka_log import KafkaReader
from transport.settings import KafkaSettings

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300), pytest.mark.acceptance]

HEALTHY = "v2"
CANARIES: Versions = {HEALTHY: None} | {f"v{number}": fault for number, fault in enumerate(FAULTS, start=3)}
KINDS = get_args(Kind)
VERSION_OF = {fault: version for version, fault in CANARIES.items()}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with scene(tmp_path_factory.mktemp("evidence"), CANARIES) as running:
        yield running


@contextlib.contextmanager
def there(*files: Path) -> Iterator[None]:
    """While the block runs, the servers that look for these files misbehave."""
    for file in files:
        file.touch()
    try:
        yield
    finally:
        for file in files:
            file.unlink()


def told_on_call(stage: Scene, story: Story) -> set[object]:
    """The causes that on-call was paged with since the story's rollout began."""
    lines = (stage.options.folder / "alerts.log").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    mine = f"{SERVICE}/{story.entries[0].rollout}/"
    pages = [row for row in rows if row.get("severity") == "page"]
    return {row["cause"] for row in pages if str(row.get("cause")).startswith(mine)}


def page_of(story: Story) -> str:
    """The cause that on-call must be paged with: how the rollout ended, and the entry that says so."""
    last = story.entries[-1]
    kind = last.kind if story.ended == "rolled_back" else last.reason.code
    return f"{SERVICE}/{last.rollout}/{kind}/{last.id}"


async def paged(stage: Scene, story: Story) -> set[object]:
    """The causes that on-call was paged with, waited for until the ending is among them, for a while."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(20):
            while page_of(story) not in told_on_call(stage, story):  # noqa: ASYNC110 - another process writes the file
                await asyncio.sleep(0.2)
    return told_on_call(stage, story)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_ends_as_the_table_says_with_its_culprit_and_on_call_is_told(
    stage: Scene, fault: FaultName
) -> None:
    async with traffic(stage, seed=FAULTS.index(fault)) as seen:
        story = await tell(stage, VERSION_OF[fault], print, fault=fault, again=True, replace=True)
    alerts = await paged(stage, story)  # before this test's own rollback, which pages as well
    await back_to_the_first_baseline(stage)
    assert must_end(story, fault), (story.ended, story.reason, [e.culprit for e in story.entries])
    assert_chain(story.entries)
    assert_no_share_rose_on_missing_word(story.entries)
    assert_nobody_moved(seen)
    assert fault in BREAKING or not seen["broken"], seen["breakages"]
    if TABLE[fault].ends == "rolled_back":
        check = next(c for c in story.entries[-1].checks if c.check == story.entries[-1].culprit)
        assert check.verdict == "breached"
    assert page_of(story) in alerts


async def judged(stage: Scene, rollout: int) -> set[tuple[Kind, str]]:
    """Kind and version of all whose requests streams have counted for that rollout's decisions."""
    found: set[tuple[Kind, str]] = set()
    reader = KafkaReader(KafkaSettings(bootstrap=stage.options.bootstrap), "test-kinds", ["cohort-windows"])
    async for batch in reader.batches():
        for record in batch.records:
            for cell in CohortWindow.read(record.value or b"").cells:
                label = Label.parse(cell.label)
                if label is not None and label.rollout == rollout and cell.outcomes:
                    found.add((label.kind, cell.version))
        if batch.caught_up:
            break
    await reader.close()
    return found


async def back_to_the_first_baseline(stage: Scene) -> None:
    """The next test releases against v1 again, also where the canary was promoted."""
    found = await stage.rollout()
    word = {"completed": "undo", "held": "rollback", "collecting": "rollback"}.get(found["rollout"]["state"])
    if word is not None:
        await asyncio.to_thread(stage.client.say, SERVICE, word, {"reason": "the test is over"})


async def test_a_healthy_canary_completes(stage: Scene) -> None:
    async with traffic(stage, seed=20) as seen:
        story = await tell(stage, HEALTHY, print, again=True, replace=True)
    await back_to_the_first_baseline(stage)
    assert story.ended == "completed", story.reason
    assert_sessions_stayed(seen)
    assert_no_share_rose_on_missing_word(story.entries)


@pytest.mark.parametrize("fault", ["slow_first", "shared_incident", "sick_baseline"])
async def test_what_is_nobodys_fault_never_rolls_a_canary_back(stage: Scene, fault: str) -> None:
    """Every first call of a session is slow; both versions fail at once; the baseline alone fails."""
    files = {
        "slow_first": [stage.slow_file],
        "shared_incident": [stage.incident_file(BASELINE), stage.incident_file(HEALTHY)],
        "sick_baseline": [stage.incident_file(BASELINE)],
    }[fault]
    async with traffic(stage, seed=30) as seen:
        await heard(stage, BASELINE)  # well before: a baseline is sick by what it was
        with there(*files):
            story = await tell(stage, HEALTHY, print, again=True, replace=True, patience_s=30)
    await back_to_the_first_baseline(stage)
    kinds = [entry.kind for entry in story.entries]
    assert "rollback" not in kinds, story.reason
    assert_sessions_stayed(seen)
    assert_it_happened(fault, seen)
    if fault == "sick_baseline":
        assert not {"proceed", "complete"} & set(kinds), story.reason


def assert_it_happened(fault: str, seen: dict[str, Any]) -> None:
    """By what clients saw of each version, before and after the fault, too."""
    baseline, canary = (
        {k: seen[k].get(v, 0) for k in ("sessions", "calls", "failed", "slow")} for v in (BASELINE, HEALTHY)
    )
    if fault == "slow_first":
        assert baseline["slow"] >= baseline["sessions"] / 2
        assert canary["slow"] >= canary["sessions"] / 2 > 0
        return
    assert baseline["failed"] >= 0.2 * baseline["calls"]
    failing = canary["failed"] / canary["calls"]
    assert failing >= 0.2 if fault == "shared_incident" else failing <= 0.1


async def heard(stage: Scene, version: str, requests: int = 200) -> None:
    """Until so many requests of the version stand in final windows."""
    reader = KafkaReader(KafkaSettings(bootstrap=stage.options.bootstrap), "test-heard", ["cohort-windows"])
    async with asyncio.timeout(60):
        async for batch in reader.batches():
            windows = [CohortWindow.read(record.value or b"") for record in batch.records]
            cells = [cell for window in windows if window.final for cell in window.cells if cell.version == version]
            requests -= sum(sum(cell.outcomes.values()) for cell in cells)
            if requests <= 0:
                break
    await reader.close()


@pytest.mark.parametrize("canary", [VERSION_OF["errors"], HEALTHY])
async def test_clients_of_both_eras_together_are_judged_and_served_as_their_kind_is(stage: Scene, canary: str) -> None:
    """With sessions, and without them: by token, and by cookie."""
    fault = CANARIES[canary]
    async with traffic(stage, seed=40, kinds=KINDS) as seen:
        story = await tell(stage, canary, print, fault=fault, again=True, replace=True)
    kinds = await judged(stage, story.entries[0].rollout)
    await back_to_the_first_baseline(stage)
    assert must_end(story, fault), (story.ended, story.reason)
    assert {kind for kind, version in kinds if version == BASELINE} == set(KINDS)
    found = {kind for kind, version in kinds if version == canary}  # a bad one may be gone after four clients
    assert found == set(KINDS) if canary == HEALTHY else found
    assert seen["kinds"].keys() == set(KINDS)
    assert canary != HEALTHY or seen["moved"].get("principal", 0) > 0  # a bad one may be gone before anybody came back
    assert_nobody_moved(seen, moves_of_principals=2)
    assert not seen["broken"], seen["breakages"]
    assert_no_share_rose_on_missing_word(story.entries)


async def newest(stage: Scene, canary: str) -> list[LedgerEntry]:
    """The ledger of the newest rollout of this canary."""
    told = await asyncio.to_thread(stage.client.history, SERVICE)
    entries = [LedgerEntry.model_validate(entry, extra="ignore") for entry in told]
    rollout = max(e.rollout for e in entries if e.canary == canary)
    return [e for e in entries if e.rollout == rollout]


@pytest.mark.parametrize("canary", [VERSION_OF["errors"], HEALTHY])
async def test_a_rollout_that_ran_is_judged_again_from_the_log_and_every_entry_is_the_same(
    stage: Scene, canary: str
) -> None:
    entries = await newest(stage, canary)
    code, told = await davylamp(stage.options, "replay", f"{SERVICE}/{entries[0].rollout}")
    assert code == 0, told
    assert f"rollout {entries[0].rollout} of {SERVICE}, canary {canary}: decided by davylamp" in told
    lines = {entry.id: next(line for line in told.splitlines() if entry.id[:12] in line) for entry in entries}
    for entry in entries:  # after a healthy one this file's own word stands
        assert lines[entry.id].endswith("by a person: cli" if entry.actor == "cli" else " same")
    decided = sum(entry.actor != "cli" for entry in entries)
    assert decided >= len(("start", "the end"))
    assert f"same {decided} of {decided}, byte for byte" in told


async def test_another_plan_over_the_log_says_where_it_would_have_decided_otherwise(
    stage: Scene, tmp_path: Path
) -> None:
    """The errors of this canary are within the other plan's margin; before they were found, it says the same."""
    entries = await newest(stage, VERSION_OF["errors"])
    assert entries[0].opening is not None
    plan = entries[0].opening.plan.model_dump(mode="json", exclude_none=True)
    plan["checks"]["error_rate"]["within"] = "90pp"
    other = tmp_path / "other.json"
    other.write_text(json.dumps(plan), encoding="utf-8")
    name = f"{SERVICE}/{entries[0].rollout}"
    code, told = await davylamp(stage.options, "replay", name, "--plan", str(other))
    assert code == 0, told
    assert "DIFFERS" in told
    assert re.search(rf"^same [1-9]\d* of {len(entries)}, until \+", told, re.MULTILINE)
    assert any(entry.reason.sentence in told for entry in entries[1:]), told
    code, told = await davylamp(stage.options, "replay", name, "--until", "0.1s")
    assert code == 0, told
    assert "same 1 of 1, byte for byte" in told
    assert "at +0.1 s:" in told
    assert entries[-1].reason.sentence not in told
