"""Real MCP clients at a steady rate: `python -m demo.traffic --url http://127.0.0.1:19000/mcp --rate 12`.

Sessions arrive as a Poisson process and are of mixed length: most live for two or three seconds, one in ten for some
ten, so that sessions of every stage are open when a share changes. Each call's answer names the version that
served it. It says `ready` when it may be stopped; on SIGTERM (or after `--seconds`) no new session begins, the running
ones end, and one JSON line on stdout says what was seen.
"""

import argparse
import asyncio
import json
import logging
import random
import re
import signal
from collections import Counter
from dataclasses import dataclass, field

from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import REQUEST_TIMEOUT

from demo.server import TOOLS

PATIENCE_S = 5.0
"""So long a client waits for an answer."""

_VERSION = re.compile(r"\bv\d+\b")


@dataclass
class Seen:
    """What the clients saw. A session is harmed when at least one of its calls failed."""

    sessions: Counter[str] = field(default_factory=Counter)
    harmed: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    moved: int = 0
    """Calls that another version answered than the first call of their session."""
    broken: int = 0
    """Sessions that ended by anything but their own end or a JSON-RPC error."""
    breakages: Counter[str] = field(default_factory=Counter)

    def call(self, first: str | None, version: str, *, ok: bool) -> None:
        """Count one call."""
        self.calls[version] += 1
        self.failed[version] += not ok
        self.moved += first is not None and version != first


async def session(url: str, seen: Seen, chance: random.Random) -> None:
    """One session: a handshake, some calls with pauses, the end."""
    long = chance.random() < 0.1  # noqa: PLR2004 - one in ten
    calls = chance.randint(6, 10) if long else chance.randint(4, 8)
    pause_s = 1.2 if long else 0.4
    first: str | None = None
    harmed = False
    async with Client(url, mode="legacy") as client:
        for _ in range(calls):
            version, ok = await _call(client, chance.choice(TOOLS))
            seen.call(first, version, ok=ok)
            first = first or version
            harmed = harmed or not ok
            await asyncio.sleep(chance.expovariate(1 / pause_s))
    if first is not None:
        seen.sessions[first] += 1
        seen.harmed[first] += harmed


async def _call(client: Client, tool: str) -> tuple[str, bool]:
    try:
        result = await client.call_tool(tool, {"item": "lamp"}, read_timeout_seconds=PATIENCE_S)
    except MCPError as error:
        if error.error.code == REQUEST_TIMEOUT:  # nobody goes on with a server that does not answer
            raise
        return _version(str(error)), False
    text = "".join(getattr(part, "text", "") for part in result.content)
    return _version(text), not result.is_error


def _version(text: str) -> str:
    found = _VERSION.search(text)
    return found[0] if found else "unknown"


async def _guarded(url: str, seen: Seen, chance: random.Random) -> None:
    try:
        await session(url, seen, chance)
    except Exception as error:  # noqa: BLE001 - a client that breaks is a finding, not a crash
        seen.broken += 1
        seen.breakages[_cause(error)] += 1


def _cause(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:120]


async def drive(url: str, rate: float, seconds: float, stop: asyncio.Event, seed: int | None) -> Seen:
    """Begin `rate` sessions a second until `stop` or `seconds`, then let the running ones end."""
    seen, chance, running = Seen(), random.Random(seed), set[asyncio.Task[None]]()
    loop = asyncio.get_running_loop()
    end = due = loop.time()
    end += seconds
    while not stop.is_set() and loop.time() < end:
        due += chance.expovariate(rate)
        try:
            async with asyncio.timeout_at(due):
                await stop.wait()
        except TimeoutError:
            task = asyncio.create_task(_guarded(url, seen, random.Random(chance.random())))
            running.add(task)
            task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    return seen


async def main() -> None:
    """Drive until told to stop, then say what was seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=float, default=12.0, help="new sessions a second")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int)
    args = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print("ready", flush=True)
    seen = await drive(args.url, args.rate, args.seconds, stop, args.seed)
    print(json.dumps(vars(seen)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
