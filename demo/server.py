"""A small MCP server to release: `python -m demo.server --version v2 --port 8003 --fault errors --bootstrap …`."""

import argparse
import asyncio
import logging
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from starlette.types import ASGIApp, Receive, Scope, Send

from davylamp_sdk import Telemetry
from davylamp_sdk.asgi import Transport
from demo.faults import FAULTS, FaultName

INTERNAL_ERROR = -32603
TOOLS = ("quote", "stock", "order", "track", "refund", "search", "rate", "wish", "compare", "ship")
BROKEN_TOOL = "refund"

HEALTHY_FAILING = 0.01
"""A healthy version fails one call in a hundred."""
BAD_FAILING = 0.30
"""With the fault `errors` thirty in a hundred."""
TOOL_FAILING = 0.40
INCIDENT_FAILING = 0.40
"""While the incident lasts."""
WORK_S = 0.015
"""What a call takes on average; the fault `latency` makes it five times as much."""
HUNG_AFTER_S = 2.0
"""After that a call is told as `timeout`; a minute by default, which is longer than the demo."""
SLOW_FIRST_S = 0.5
CRASH_CHANCE = 0.3
DIES_AFTER = 2
"""Requests that a session is known for, with the fault `dying_sessions`."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one version answers."""

    version: str
    fault: FaultName | None = None
    incident: Path | None = None
    """While this file exists, calls fail whatever the version."""
    chance: random.Random = field(default_factory=random.Random)

    async def answer(self, tool: str, item: str) -> str:
        """One call of a tool. Every answer names the version."""
        await asyncio.sleep(self.chance.expovariate(1 / WORK_S) * (5 if self.fault == "latency" else 1))
        await self._break(tool)
        failing = BAD_FAILING if self.fault == "errors" else HEALTHY_FAILING
        if self.incident is not None and self.incident.exists():
            failing = INCIDENT_FAILING
        if self.chance.random() < failing:
            raise MCPError(code=INTERNAL_ERROR, message=f"warehouse not reachable in {self.version}")
        return f"{self.version}: {tool} {item}"

    async def _break(self, tool: str) -> None:
        if self.fault == "hang":
            await asyncio.Event().wait()
        if self.fault == "crash" and self.chance.random() < CRASH_CHANCE:
            os._exit(1)
        if (self.fault == "one_tool" and tool == BROKEN_TOOL) or (
            self.fault == "tool_errors" and self.chance.random() < TOOL_FAILING
        ):
            raise ToolError(f"{tool} is broken in {self.version}")


def make_server(behaviour: Behaviour, telemetry: Telemetry, slow: Path | None = None) -> MCPServer:
    """Ten tools that all answer alike."""
    server = MCPServer("orders", middleware=[telemetry, SlowFirst(slow)])
    for name in TOOLS:
        _add(server, name, behaviour)
    return server


def _add(server: MCPServer, name: str, behaviour: Behaviour) -> None:
    async def tool(item: str) -> str:
        return await behaviour.answer(name, item)

    server.add_tool(tool, name=name, description=f"Does {name} for an item.")


class SlowFirst:
    """Middleware inside the telemetry: while the file exists, the first call of each session is slow."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: set[str] = set()

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Pass the request on, some after a while."""
        session = getattr(ctx.request, "headers", {}).get("mcp-session-id", "")
        first = ctx.method == "tools/call" and session not in self._known
        if first:
            self._known.add(session)
        if first and self._file is not None and self._file.exists():
            await asyncio.sleep(SLOW_FIRST_S)
        return await call_next(ctx)


class Sessions:
    """What a server does with its sessions: some it forgets."""

    def __init__(self, app: ASGIApp, dies_after: int) -> None:
        self._app = app
        self._dies_after = dies_after
        self._requests: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = dict(scope.get("headers", ())).get(b"mcp-session-id", b"").decode()
        if session:
            is_post = scope["method"] == "POST"
            number = self._requests[session] = self._requests.get(session, 0) + is_post
            if number > self._dies_after:
                await _not_found(send)
                return
        await self._app(scope, receive, send)


async def _not_found(send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--service", default="orders")
    parser.add_argument("--version", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--fault", choices=FAULTS)
    parser.add_argument("--old-version", default="v1", help="what runs instead with the fault never_deployed")
    parser.add_argument("--incident", type=Path, help="while this file exists, calls fail")
    parser.add_argument("--slow", type=Path, help="while this file exists, the first call of each session is slow")
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    version = args.old_version if args.fault == "never_deployed" else args.version
    telemetry = Telemetry(
        service=args.service,
        version=version,
        instance=f"{args.version}-{args.port}",
        bootstrap="127.0.0.1:1" if args.fault == "telemetry_lost" else args.bootstrap,
        tools=frozenset(TOOLS),
        hung_after_s=HUNG_AFTER_S,
    )
    server = make_server(Behaviour(version, args.fault, args.incident), telemetry, args.slow)
    inner = server.streamable_http_app(host=args.host)
    app = Sessions(inner, DIES_AFTER) if args.fault == "dying_sessions" else inner
    served = Transport(app, telemetry)
    uvicorn.run(served, host=args.host, port=args.port, log_level="error", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
