"""The middleware for FastMCP, where FastMCP and mcp shape what they give it anew: requests are answered all the same."""

from types import SimpleNamespace
from typing import Any

import pytest
from fastmcp.server.dependencies import fastmcp_request_ctx
from fastmcp.server.middleware import MiddlewareContext

from davylamp_sdk.fastmcp import Telemetry
from davylamp_sdk.testing import MemorySink


@pytest.mark.parametrize(
    "moved", [SimpleNamespace(), SimpleNamespace(session=object()), SimpleNamespace(method="ping")]
)
async def test_a_request_whose_context_is_shaped_anew_is_answered_all_the_same(moved: SimpleNamespace) -> None:
    telemetry, answer = Telemetry(service="orders", version="v2", sink=MemorySink()), object()
    context: MiddlewareContext[Any] = MiddlewareContext(message=None)

    async def answers(context: MiddlewareContext[Any]) -> object:
        return answer

    bound: Any = SimpleNamespace(_srctx=moved)
    token = fastmcp_request_ctx.set(bound)
    try:
        assert await telemetry(context, answers) is answer
    finally:
        fastmcp_request_ctx.reset(token)
    telemetry.close()
    assert telemetry.stats().recorded == 0
