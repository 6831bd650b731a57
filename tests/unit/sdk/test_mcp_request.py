"""What one MCP request says about itself, read from mcp's own types."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ErrorData, InitializeResult, InputRequiredResult, ListToolsResult, Tool
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers

from davylamp_sdk import _mcp_request as read
from davylamp_sdk._request import Verdict

LEGACY, MODERN = "2025-11-25", "2026-07-28"
ID = "9f86d081884c7d659a2feaa0c55ad015"


def request(
    method: str = "tools/call",
    *,
    version: str = LEGACY,
    kept: object = None,
    **headers: str,
) -> ServerRequestContext[Any, Any]:
    """A request with `headers` (dashes as underscores) on a connection that keeps the session id `kept`."""
    session: Any = SimpleNamespace(_connection=SimpleNamespace(session_id=kept))
    carried = SimpleNamespace(headers=Headers({name.replace("_", "-"): value for name, value in headers.items()}))
    return ServerRequestContext(
        session=session, lifespan_context={}, protocol_version=version, method=method, request_id=1, request=carried
    )


def invalid_params() -> ValidationError:
    class Params(BaseModel):
        name: str

    with pytest.raises(ValidationError) as caught:
        Params.model_validate({})
    return caught.value


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        ({"content": [], "isError": False}, ("ok", None)),
        ({"tools": []}, ("ok", None)),
        (None, ("ok", None)),
        ({"content": [], "isError": True}, ("tool_error", "tool_error")),
        (CallToolResult(content=[], is_error=True), ("tool_error", "tool_error")),
        (CallToolResult(content=[]), ("ok", None)),
        ({"isError": "true"}, ("ok", None)),
        ({"resultType": "input_required"}, ("input_required", None)),
        (InputRequiredResult(request_state="sealed"), ("input_required", None)),
        ({"resultType": "complete"}, ("ok", None)),
        (ErrorData(code=-32002, message="gone"), ("rpc_error", "-32002")),
    ],
)
def test_an_answer_tells_how_the_request_ended(result: HandlerResult, verdict: Verdict) -> None:
    assert read.verdict_of_result(result) == verdict


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (MCPError(code=-32602, message="unknown resource"), ("rpc_error", "-32602")),
        (invalid_params(), ("rpc_error", "-32602")),
        (RuntimeError("bug"), ("server_error", "RuntimeError")),
        (type("E" * 200, (Exception,), {})(), ("server_error", "E" * 120)),
    ],
)
def test_an_exception_tells_how_the_request_ended(error: BaseException, verdict: Verdict) -> None:
    assert read.verdict_of_error(error) == verdict


async def test_a_cancelled_request_is_cancelled_and_another_exit_is_not() -> None:
    assert read.verdict_of_error(asyncio.CancelledError()) == ("cancelled", "cancelled")
    assert read.verdict_of_error(SystemExit()) == ("server_error", "SystemExit")


def test_the_session_comes_from_the_header() -> None:
    assert read.session_id(request(mcp_session_id=ID)) == ID


def test_the_handshake_has_the_session_of_the_requests_that_follow() -> None:
    assert read.session_id(request("initialize", kept=ID)) == ID


def test_only_the_first_handshake_begins_a_session() -> None:
    assert read.is_first_of_session(request("initialize", kept=ID))
    assert not read.is_first_of_session(request("tools/call", kept=ID, mcp_session_id=ID))
    assert not read.is_first_of_session(request("initialize", kept=ID, mcp_session_id=ID))


def test_a_stateless_server_begins_no_sessions() -> None:
    assert read.session_id(request("initialize")) is None
    assert not read.is_first_of_session(request("initialize"))


def test_where_the_protocol_has_no_sessions_a_header_makes_none() -> None:
    assert read.session_id(request(version=MODERN, kept=ID, mcp_session_id=ID)) is None


@pytest.mark.parametrize("session", [SimpleNamespace(), SimpleNamespace(_connection=None), None])
def test_should_mcp_move_its_private_id_handshakes_have_no_session_and_nothing_breaks(session: Any) -> None:
    ctx = request("initialize", kept=ID)
    ctx.session = session
    assert read.session_id(ctx) is None
    assert not read.is_first_of_session(ctx)


@pytest.mark.parametrize("carrier", [None, SimpleNamespace(), SimpleNamespace(headers=None), "stdio"])
def test_a_request_without_http_has_no_headers(carrier: object) -> None:
    ctx = request()
    ctx.request = carrier
    assert read.headers(ctx) is None
    assert read.header(ctx, "x-davylamp-assignment") is None
    assert read.session_id(ctx) is None


def test_the_handshake_speaks_the_version_its_answer_settles_on() -> None:
    assert read.protocol_version(request("initialize"), {"protocolVersion": "2025-06-18"}) == "2025-06-18"
    model = InitializeResult.model_validate(
        {"protocolVersion": "2025-03-26", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
    )
    assert read.protocol_version(request("initialize"), model) == "2025-03-26"
    assert read.protocol_version(request("initialize"), None) is None


def test_any_other_request_speaks_its_connections_version_if_there_is_such_a_one() -> None:
    assert read.protocol_version(request(), None) == LEGACY
    assert read.protocol_version(request(version="1999-01-01"), None) is None


def test_a_listing_that_mcp_asks_of_itself_is_told_by_the_clients_header() -> None:
    assert read.is_own_question(request("tools/list", version=MODERN, mcp_method="tools/call"))
    assert not read.is_own_question(request("tools/list", version=MODERN, mcp_method="tools/list"))
    assert not read.is_own_question(request("tools/list", version=MODERN))
    assert not read.is_own_question(request("tools/list", version=LEGACY, mcp_method="tools/call"))


def test_only_a_subscription_runs_until_its_client_goes() -> None:
    assert read.is_open_ended(request("subscriptions/listen", version=MODERN))
    assert not read.is_open_ended(request("tools/call", version=MODERN))


@pytest.mark.parametrize(
    ("result", "names"),
    [
        ({"tools": [{"name": "a"}, {"name": "b"}]}, ["a", "b"]),
        (ListToolsResult(tools=[Tool(name="a", input_schema={})]), ["a"]),
        ({"tools": None}, []),
        ({}, []),
        (None, []),
    ],
)
def test_a_listing_names_its_tools(result: HandlerResult, names: list[str]) -> None:
    assert list(read.listed_tools(result)) == names
