"""A story: one rollout from its start to its end, told in plain lines, and what it came to."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from cli.rendering import render_line, view_of
from demo.faults import TABLE, FaultName, stage_s
from demo.scene import Scene, demo_plan
from schemas.decisions import LedgerEntry
from schemas.plan import Plan

ENDS = frozenset({"completed", "rolled_back"})


@dataclass(frozen=True, slots=True)
class Story:
    """How a rollout ended."""

    canary: str
    ended: str
    """`completed`, `rolled_back`, or what it still was when the time was up."""
    exposed_to_decision_s: float | None
    """From the first acknowledged stage (the canary gets its first sessions) to the last decision."""
    decision_to_acknowledged_ms: float | None
    """From the last decision to the last proxy's acknowledgement."""
    entries: tuple[LedgerEntry, ...]
    reason: str


def must_end(story: Story, fault: FaultName | None) -> bool:
    """Whether a canary with this fault ended as it must: how, why, and by which check."""
    if fault is None:
        return story.ended == "completed"
    last, expected = story.entries[-1], TABLE[fault]
    by = not expected.culprits or last.culprit in expected.culprits
    return story.ended == expected.ends and last.reason.code in expected.codes and by


async def tell(
    scene: Scene,
    canary: str,
    say: Callable[[str], None],
    *,
    fault: FaultName | None = None,
    again: bool = False,
    replace: bool = False,
    plan: Plan | None = None,
    patience_s: float = 120.0,
) -> Story:
    """Start a rollout of `canary` and follow it to the end that its fault must have, and the proxies' acknowledgement.

    By the demo's plan, or another one for the same canary.
    """
    say(await scene.start(plan or demo_plan(canary, stage_s(fault)), again=again, replace=replace))
    ends = ENDS | {TABLE[fault].ends} if fault else ENDS
    end, last, found = asyncio.get_running_loop().time() + patience_s, "", await scene.rollout()
    while asyncio.get_running_loop().time() < end and not _ended(found, ends):
        await asyncio.sleep(0.2)
        found = await scene.rollout()
        line = render_line(view_of(found))
        if line.rsplit("  ", 1)[0] != last.rsplit("  ", 1)[0]:
            say(f"  {line}")
        last = line
    return _story(canary, found, ends)


def _ended(found: dict[str, Any], ends: Collection[str]) -> bool:
    """The last decision ends the rollout, and every proxy runs it."""
    route, entries = found["route"], found["ledger"]
    ended = view_of(found).state in ends
    return bool(ended and route and route["acknowledged"] and entries and route["entry"] == entries[-1]["id"])


def _story(canary: str, found: dict[str, Any], ends: Collection[str]) -> Story:
    entries = tuple(LedgerEntry.model_validate(e, extra="ignore") for e in found["ledger"])
    acknowledged = next((e.acknowledged.at for e in entries[1:] if e.acknowledged), None)
    last = entries[-1] if entries else None
    exposed = (last.decided_at - acknowledged) / 1000 if last and acknowledged else None
    took = found["route"]["took_ms"] if _ended(found, ends) else None
    return Story(canary, view_of(found).state or "none", exposed, took, entries, last.reason.sentence if last else "")
