"""`davylamp demo`: two stories on this machine, from nothing to an end table; exit 0 only if both ended as they must."""

import argparse
import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demo.faults import BREAKING, FAULTS, FaultName, does, stage_s
from demo.scene import SESSIONS_PER_SECOND, Scene, demo_plan, recorded, scene, traffic
from demo.stories import Story, must_end, tell
from schemas.units import format_duration_s, format_points, format_share
from transport.process import run_until_signalled

BAD, GOOD = "v2", "v3"

BUSY = 2.0
"""Processes that want each core: the demo itself is one or two."""

_COLUMNS = "{:<42}{:<13}{:>14}{:>20}{:>16}{:>14}"


def say(line: str) -> None:
    """One line of progress, at once."""
    print(line, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0 if both stories ended as they must, 1 if not, 130 on Ctrl-C."""
    parser = argparse.ArgumentParser(prog="davylamp demo")
    parser.add_argument("--fault", choices=FAULTS, default="errors", help="what is wrong with the first canary")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write a recording of each story there")
    parser.add_argument("--keep", action="store_true", help="leave everything running afterwards, until Ctrl-C")
    args = parser.parse_args(argv)
    ended: list[bool] = []

    async def play() -> None:
        with tempfile.TemporaryDirectory(prefix="davylamp-demo-") as folder:
            await _play(Path(folder), args.fault, ended, record=args.record, keep=args.keep)

    asyncio.run(run_until_signalled(play()))
    if not ended:
        say("stopped; every process is gone")
        return 130
    return 0 if ended[0] else 1


async def _play(folder: Path, fault: FaultName, ended: list[bool], *, record: Path | None, keep: bool) -> None:
    say(_introduction(fault))
    faults: dict[str, FaultName | None] = {BAD: fault, GOOD: None}
    async with scene(folder, faults) as stage:
        say(f"everything runs: MCP endpoint {stage.mcp_url}, status {stage.options.status_url}/api/rollouts/orders")
        stories, seen = await _both(stage, fault)
        say("")
        for line in end_table(stories, faults, seen):
            say(line)
        ended.append(as_it_must(stories, faults, seen))
        if not ended[0]:
            for line in what_is_wrong(stories, faults, seen, os.getloadavg()[0] / (os.cpu_count() or 1)):
                say(line)
        if record is not None:
            for rollout, name in enumerate((fault, "healthy"), start=1):
                say(await recorded(stage, rollout, record / f"{name}.jsonl.gz"))
        if keep:
            await _keep(stage)


async def _both(stage: Scene, fault: FaultName) -> tuple[tuple[Story, Story], dict[str, Any]]:
    async with traffic(stage) as seen:
        say(f"\nfirst story: canary {BAD} {does(fault)}")
        bad = await tell(stage, BAD, say, fault=fault)
        say(f"  {bad.reason}")
        say(f"\nsecond story: canary {GOOD} is as healthy as the baseline, which {does(None)}")
        good = await tell(stage, GOOD, say, replace=True)
        say(f"  {good.reason}")
        say("\nletting the last sessions end …")
    return (bad, good), seen


async def _keep(stage: Scene) -> None:
    say(f"\neverything stays until Ctrl-C: {stage.options.status_url}; start one of your own with")
    say(f"  davylamp start PLAN --url {stage.options.status_url}")
    async with traffic(stage):
        await asyncio.Event().wait()


def _introduction(fault: FaultName) -> str:
    plan = demo_plan(BAD, stage_s(fault))
    stages = ", ".join(f"{format_share(s.share)} for {format_duration_s(s.duration_s)}" for s in plan.stages)
    limit = format_points(plan.checks.error_rate.within)
    return (
        "davylamp demo: real MCP clients and servers, a real Envoy, a real Kafka; all of it on loopback.\n"
        f"demo margins (the document's 0.5pp cannot be proven in seconds): error rate within {limit}; "
        f"stages {stages}, then 100%; {SESSIONS_PER_SECOND:g} new sessions a second.\n"
        "starting …"
    )


def end_table(stories: tuple[Story, ...], faults: dict[str, FaultName | None], seen: dict[str, Any]) -> list[str]:
    """The end table: what happened, how fast, and to whom."""
    head = _COLUMNS.format(
        "canary", "ended", "to decision", "decided → proxies", "sessions harmed", "calls moved"
    ).rstrip()
    rows = [
        _COLUMNS.format(
            f"{s.canary} ({does(faults[s.canary])})",
            s.ended.replace("_", " "),
            _number(s.exposed_to_decision_s, ".1f", "s"),
            _number(s.decision_to_acknowledged_ms, ".1f", "ms"),
            f"{seen['harmed'].get(s.canary, 0)} of {seen['sessions'].get(s.canary, 0)}",
            str(_moved(seen)),
        ).rstrip()
        for s in stories
    ]
    calls = sum(seen["calls"].values())
    total = (
        f"{sum(seen['sessions'].values())} sessions, {calls} calls in all; {_moved(seen)} calls changed version within "
        f"a session; {seen['broken']} sessions broke."
    )
    return [head, *rows, total]


def as_it_must(stories: tuple[Story, ...], faults: dict[str, FaultName | None], seen: dict[str, Any]) -> bool:
    """Whether every story ended as it must, no call moved, and no session broke that no fault broke."""
    may_break = any(fault in BREAKING for fault in faults.values())
    stayed = not _moved(seen) and (may_break or not seen["broken"])
    return stayed and all(must_end(story, faults[story.canary]) for story in stories)


def what_is_wrong(
    stories: tuple[Story, ...], faults: dict[str, FaultName | None], seen: dict[str, Any], load: float
) -> list[str]:
    """What did not end as it must, for whoever sees `make` fail. `load`: processes that want each core, of the last minute."""
    wrong = [
        f"{s.canary} ended as {s.ended.replace('_', ' ')}, which is not how this story ends."
        for s in stories
        if not must_end(s, faults[s.canary])
    ]
    if seen["broken"] and not any(fault in BREAKING for fault in faults.values()):
        wrong.append(f"{seen['broken']} sessions broke, and no fault of the demo's breaks any.")
    if _moved(seen):
        wrong.append(f"{_moved(seen)} calls changed version within a session, which nothing may do.")
    if load > BUSY:
        wrong.append(
            f"This machine is busy: {load:.1f} processes want each of its cores. Clients gave up, and too few sessions began to "
            "prove anything in time: try again when it has a core or two to itself."
        )
    return ["", *wrong]


def _moved(seen: dict[str, Any]) -> int:
    return sum(seen["moved"].values())


def _number(value: float | None, form: str, unit: str) -> str:
    return "–" if value is None else f"{value:{form}} {unit}"
