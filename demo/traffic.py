"""Real MCP clients at a steady rate: `python -m demo.traffic --url http://127.0.0.1:19000/mcp --rate 12`.

Clients arrive as a Poisson process and stay for mixed times: most for two or three seconds, one in ten for some ten, so
that some of every stage are there when a share changes. They are of the `--kinds` that are asked for: with a session
(protocol revision 2025-11-25), or without (2026-07-28), known by a token or by a cookie. Each call's answer names the
version that served it. It says `ready` when it may be stopped; on SIGTERM (or after `--seconds`) no new session begins, the running
ones end after the call at hand, and one JSON line on stdout says what was seen.
"""

import argparse
import asyncio
import json
import logging
import random
import re
import secrets
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import get_args

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import REQUEST_TIMEOUT

from demo.server import TOOLS
from schemas.labels import Kind

PATIENCE_S = 5.0
"""So long a client waits for an answer unless told otherwise."""

SLOW_S = 0.4
"""Many times what a call of a healthy version takes."""

_VERSION = re.compile(r"\bv\d+\b")


@dataclass
class Seen:
    """What the clients saw. A client is counted as a session whatever its kind, and harmed when a call of it failed."""

    sessions: Counter[str] = field(default_factory=Counter)
    """By the version that answered first."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Of them, by kind."""
    harmed: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    slow: Counter[str] = field(default_factory=Counter)
    """Answered, and took longer than :data:`SLOW_S`."""
    moved: Counter[str] = field(default_factory=Counter)
    """By kind: calls that another version answered than the client's call before. Of principals a raised share moves some,
    and a rollback all of them back; of sessions and cookies nothing does."""
    most_moves: int = 0
    """Of one client."""
    broken: int = 0
    """Sessions that ended by anything but their own end or a JSON-RPC error."""
    breakages: Counter[str] = field(default_factory=Counter)

    def call(self, version: str, *, ok: bool, took_s: float = 0.0) -> None:
        """Count one call."""
        self.calls[version] += 1
        self.slow[version] += took_s > SLOW_S
        self.failed[version] += not ok

    def client(self, kind: Kind, versions: Sequence[str], *, harmed: bool) -> None:
        """Count a client that these versions answered, one a call, however it ended."""
        moves = sum(a != b for a, b in pairwise(versions))
        if moves:
            self.moved[kind] += moves
            self.most_moves = max(self.most_moves, moves)
        if versions:
            self.sessions[versions[0]] += 1
            self.kinds[kind] += 1
            self.harmed[versions[0]] += harmed


async def session(
    url: str,
    seen: Seen,
    chance: random.Random,
    kind: Kind = "session",
    stop: asyncio.Event | None = None,
    patience_s: float = PATIENCE_S,
) -> None:
    """One client: a handshake, some calls with pauses, the end; sooner once `stop` is set."""
    stop = stop or asyncio.Event()
    long = chance.random() < 0.1  # noqa: PLR2004 - one in ten
    calls = chance.randint(6, 10) if long else chance.randint(4, 8)
    pause_s = 1.2 if long else 0.4
    versions: list[str] = []
    harmed = False
    try:
        async with connected(url, kind) as client:
            for _ in range(calls):
                began_s = asyncio.get_running_loop().time()
                version, ok = await _call(client, chance.choice(TOOLS), patience_s)
                seen.call(version, ok=ok, took_s=asyncio.get_running_loop().time() - began_s)
                versions.append(version)
                harmed = harmed or not ok
                if await _set_within(stop, chance.expovariate(1 / pause_s)):
                    break
    except BaseException:
        harmed = True
        raise
    finally:
        seen.client(kind, versions, harmed=harmed)


async def _set_within(stop: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()


@asynccontextmanager
async def connected(url: str, kind: Kind) -> AsyncIterator[Client]:
    """A client that nobody has seen before. With `session` it begins one; with others it speaks 2026-07-28 if it can."""
    headers = {"authorization": f"Bearer {secrets.token_hex(16)}"} if kind == "principal" else {}
    async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30, read=300)) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode="legacy" if kind == "session" else "auto") as client:
            yield client


async def _call(client: Client, tool: str, patience_s: float) -> tuple[str, bool]:
    try:
        result = await client.call_tool(tool, {"item": "lamp"}, read_timeout_seconds=patience_s)
    except MCPError as error:
        version = _VERSION.search(str(error))
        if error.error.code == REQUEST_TIMEOUT or version is None:
            raise  # nobody goes on with a server that does not answer, or has forgotten the session
        return version[0], False
    text = "".join(getattr(part, "text", "") for part in result.content)
    version = _VERSION.search(text)
    if version is None:
        raise ValueError(f"no version answered: {text[:80]!r}")
    return version[0], not result.is_error


async def _guarded(
    url: str, seen: Seen, chance: random.Random, kind: Kind, stop: asyncio.Event, patience_s: float
) -> None:
    try:
        await session(url, seen, chance, kind, stop, patience_s)
    except Exception as error:  # noqa: BLE001 - a client that breaks is a finding, not a crash
        seen.broken += 1
        seen.breakages[_cause(error)] += 1
        print(f"{datetime.now(UTC):%H:%M:%S.%f} a {kind} broke: {_cause(error)}", file=sys.stderr, flush=True)


def _cause(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"[:120]


async def drive(
    url: str,
    rate: float,
    seconds: float,
    stop: asyncio.Event,
    seed: int | None,
    kinds: Sequence[Kind] = ("session",),
    patience_s: float = PATIENCE_S,
) -> Seen:
    """Begin `rate` clients a second until `stop` or `seconds`, each of one of `kinds`, then let the running ones end."""
    seen, chance, running = Seen(), random.Random(seed), set[asyncio.Task[None]]()
    loop = asyncio.get_running_loop()
    end = due = loop.time()
    end += seconds
    while not stop.is_set() and loop.time() < end:
        due += chance.expovariate(rate)
        if not await _set_within(stop, due - loop.time()):
            own, kind = random.Random(chance.random()), chance.choice(kinds)
            task = asyncio.create_task(_guarded(url, seen, own, kind, stop, patience_s))
            running.add(task)
            task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    return seen


async def main() -> None:
    """Drive until told to stop, then say what was seen."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=float, default=12.0, help="new clients a second")
    parser.add_argument("--kinds", nargs="+", choices=get_args(Kind), default=["session"], help="in equal parts")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--patience", type=float, default=PATIENCE_S, help="seconds that a client waits for an answer")
    args = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print("ready", flush=True)
    seen = await drive(args.url, args.rate, args.seconds, stop, args.seed, args.kinds, args.patience)
    print(json.dumps(vars(seen)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
