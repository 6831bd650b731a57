"""What real servers trace of a client's mistakes: no name that it made up is spoken of, and none is the server's error."""

from collections.abc import Iterator, Sequence
from typing import Any

import fastmcp
import fastmcp.server.telemetry
import pytest
from fastmcp.exceptions import ToolError
from mcp.client import Client
from mcp.server.mcpserver import MCPServer
from mcp.shared import _otel

from streams.otel_bridge import events_of
from streams.otel_metrics import Tally
from streams.otel_tools import AnsweredTools
from tests.spans import Traced, as_proto

MADE_UP = "rm -rf / made up by a client"
CALLS: Sequence[tuple[str, dict[str, Any]]] = (
    ("add", {"a": 1, "b": 2}),
    (MADE_UP, {}),
    ("add", {"a": "x"}),
    ("fail", {}),
)
SAID = [
    ("add", "ok"),
    ("_unknown", "tool_error"),
    ("add", "tool_error"),
    ("_unknown", "tool_error"),  # it never answered
]


def add(a: int, b: int) -> int:
    return a + b


def fail() -> str:
    raise LookupError("no such order")


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    """Both SDKs trace into it."""
    made = Traced()
    monkeypatch.setattr(_otel, "_tracer", made.provider.get_tracer("mcp-python-sdk"))
    monkeypatch.setattr(fastmcp.server.telemetry, "get_tracer", lambda: made.provider.get_tracer("fastmcp"))
    yield made
    made.provider.shutdown()


def calls_of(traced: Traced) -> list[tuple[str | None, str]]:
    events = events_of([as_proto(traced.spans())], Tally(), AnsweredTools())
    return [(event.tool, event.outcome) for event in events if event.method == "tools/call"]


async def test_the_mcp_sdk(traced: Traced) -> None:
    server: MCPServer[Any] = MCPServer("orders")
    for tool in (add, fail):
        server.tool()(tool)
    async with Client(server, mode="legacy") as client:
        failed = [(await client.call_tool(*call)).is_error for call in CALLS]
    assert failed == [False, True, True, True]
    assert calls_of(traced) == SAID


async def test_fastmcp(traced: Traced) -> None:
    server = fastmcp.FastMCP("orders")
    for tool in (add, fail):
        server.tool(tool)
    async with fastmcp.Client(server) as client:
        for call in CALLS[1:]:
            with pytest.raises(ToolError):
                await client.call_tool(*call)
        await client.call_tool(*CALLS[0])
    assert calls_of(traced) == [("_unknown", "tool_error")] * 3 + [("add", "ok")]
