"""`davylamp demo`: both stories on this machine, from nothing to an end table; exit 0 only if both ended as they must."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from demo.scene import BAD_FAILING, HEALTHY_FAILING, SESSIONS_PER_SECOND, demo_plan, scene, traffic
from demo.stories import Story, tell
from schemas.units import format_duration_s, format_points, format_share
from transport.process import run_until_signalled

MUST_END = {"v2": "rolled_back", "v3": "completed"}

_COLUMNS = "{:<24}{:<13}{:>14}{:>20}{:>16}{:>14}"


def say(line: str) -> None:
    """One line of progress, at once."""
    print(line, flush=True)


def main() -> int:
    """Run the demo; 0 if both stories ended as they must, 1 if not, 130 on Ctrl-C."""
    ended: list[bool] = []

    async def play() -> None:
        with tempfile.TemporaryDirectory(prefix="davylamp-demo-") as folder:
            ended.append(await _play(Path(folder)))

    asyncio.run(run_until_signalled(play()))
    if not ended:
        say("stopped; every process is gone")
        return 130
    return 0 if ended[0] else 1


async def _play(folder: Path) -> bool:
    say(_introduction())
    async with scene(folder) as stage:
        say(f"everything runs: MCP endpoint {stage.mcp_url}, status {stage.options.status_url}/api/rollouts/orders")
        async with traffic(stage) as seen:
            say(f"\nfirst story: canary v2 fails {BAD_FAILING:.0%} of its calls")
            bad = await tell(stage, "v2", say)
            say(f"  {bad.reason}")
            say(f"\nsecond story: canary v3 is as healthy as the baseline ({HEALTHY_FAILING:.0%} of calls fail)")
            good = await tell(stage, "v3", say)
            say(f"  {good.reason}")
            say("\nletting the last sessions end …")
    say("")
    for line in end_table((bad, good), seen):
        say(line)
    return as_it_must((bad, good), seen)


def _introduction() -> str:
    plan = demo_plan("v2")
    stages = ", ".join(f"{format_share(s.share)} for {format_duration_s(s.duration_s)}" for s in plan.stages)
    limit = format_points(plan.checks.error_rate.within)
    return (
        "davylamp demo: real MCP clients and servers, a real Envoy, a real Kafka; all of it on loopback.\n"
        f"demo margins (the document's 0.5pp cannot be proven in seconds): error rate within {limit}; "
        f"stages {stages}, then 100%; {SESSIONS_PER_SECOND:g} new sessions a second.\n"
        "starting …"
    )


def end_table(stories: tuple[Story, ...], seen: dict[str, Any]) -> list[str]:
    """The end table: what happened, how fast, and to whom."""
    head = _COLUMNS.format(
        "canary", "ended", "to decision", "decided → proxies", "sessions harmed", "calls moved"
    ).rstrip()
    rows = [
        _COLUMNS.format(
            f"{s.canary} (fails {BAD_FAILING if s.canary == 'v2' else HEALTHY_FAILING:.0%} of calls)",
            s.ended.replace("_", " "),
            _number(s.exposed_to_decision_s, ".1f", "s"),
            _number(s.decision_to_acknowledged_ms, ".1f", "ms"),
            f"{seen['harmed'].get(s.canary, 0)} of {seen['sessions'].get(s.canary, 0)}",
            str(seen["moved"]),
        ).rstrip()
        for s in stories
    ]
    calls = sum(seen["calls"].values())
    total = (
        f"{sum(seen['sessions'].values())} sessions, {calls} calls in all; {seen['moved']} calls changed version within "
        f"a session; {seen['broken']} sessions broke."
    )
    return [head, *rows, total]


def as_it_must(stories: tuple[Story, ...], seen: dict[str, Any]) -> bool:
    """Whether both stories ended as they must, no call moved, and no session broke."""
    return all(s.ended == MUST_END[s.canary] for s in stories) and seen["moved"] == 0 and seen["broken"] == 0


def _number(value: float | None, form: str, unit: str) -> str:
    return "–" if value is None else f"{value:{form}} {unit}"
