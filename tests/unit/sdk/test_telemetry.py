"""The middleware: passes everything through untouched, whatever happens inside it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from mcp.server.context import HandlerResult, ServerRequestContext

from davylamp_sdk import Telemetry, metric
from davylamp_sdk.testing import FakeClock, MemorySink

CALL = {"name": "search", "arguments": {"query": "secret"}}


def request(method: str = "tools/call", request_id: int | None = 1, **changes: Any) -> ServerRequestContext[Any, Any]:
    session: Any = SimpleNamespace(_connection=SimpleNamespace(session_id=None))
    given = {"protocol_version": "2025-11-25", "params": CALL, **changes}
    return ServerRequestContext(session=session, lifespan_context={}, method=method, request_id=request_id, **given)


async def ok(_ctx: ServerRequestContext[Any, Any]) -> HandlerResult:
    return {"content": []}


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_700_000_000_000)


@pytest.fixture
def telemetry(sink: MemorySink, clock: FakeClock) -> Telemetry:
    return Telemetry(service="orders", version="v2", instance="i", sink=sink, clock=clock, tools={"search"})


async def test_a_request_is_answered_with_the_very_answer_and_timed(
    telemetry: Telemetry, sink: MemorySink, clock: FakeClock
) -> None:
    answer: dict[str, Any] = {"content": []}
    ctx = request()

    async def slowly(seen: ServerRequestContext[Any, Any]) -> HandlerResult:
        assert seen is ctx
        clock.advance(0.25)
        return answer

    assert await telemetry(ctx, slowly) is answer
    (event,) = sink.wait_for(1)
    telemetry.close()
    assert event.started_at == 1_700_000_000_000
    assert event.duration_ms == pytest.approx(250)
    assert (event.service, event.version, event.instance, event.tool) == ("orders", "v2", "i", "search")


async def test_an_exception_is_raised_on_as_the_very_same(telemetry: Telemetry, sink: MemorySink) -> None:
    bug = RuntimeError("bug")

    async def fails(_ctx: ServerRequestContext[Any, Any]) -> HandlerResult:
        raise bug

    with pytest.raises(RuntimeError) as caught:
        await telemetry(request(), fails)
    assert caught.value is bug
    assert bug.__context__ is None
    assert sink.wait_for(1)[0].outcome == "server_error"
    telemetry.close()


@pytest.mark.parametrize("field", ["method", "request_id", "protocol_version", "session", "params"])
async def test_a_request_whose_context_mcp_shapes_anew_is_answered_all_the_same(
    telemetry: Telemetry, field: str
) -> None:
    """mcp calls its middleware provisional."""
    known = {
        name: getattr(request(), name) for name in ("method", "request_id", "protocol_version", "session", "params")
    }
    moved: Any = SimpleNamespace(**{**known, "request": None})
    delattr(moved, field)
    answer: dict[str, Any] = {"content": []}

    async def answers(seen: ServerRequestContext[Any, Any]) -> HandlerResult:
        assert seen is moved
        return answer

    assert await telemetry(moved, answers) is answer
    telemetry.close()
    assert telemetry.stats().failed == 1


async def test_notifications_pass_unrecorded(telemetry: Telemetry, sink: MemorySink) -> None:
    await telemetry(request("notifications/initialized", request_id=None), ok)
    telemetry.close()
    assert telemetry.stats().recorded == 0


async def test_nothing_private_is_in_an_event(telemetry: Telemetry, sink: MemorySink) -> None:
    await telemetry(request(), ok)
    telemetry.close()
    assert b"secret" not in sink.messages[0][1]


async def test_a_tool_is_named_once_the_server_has_listed_it(sink: MemorySink) -> None:
    async def listing(_ctx: ServerRequestContext[Any, Any]) -> HandlerResult:
        return {"tools": [{"name": "search"}]}

    telemetry = Telemetry(service="orders", version="v2", sink=sink)
    await telemetry(request(), ok)
    await telemetry(request("tools/list", params=None), listing)
    await telemetry(request(), ok)
    telemetry.close()
    assert [event.tool for event in sink.events] == ["_unknown", None, "search"]


@pytest.mark.parametrize("params", [None, {}, {"name": None}, {"name": ["search"]}])
async def test_a_call_that_names_no_tool_is_recorded_as_unknown(
    telemetry: Telemetry, sink: MemorySink, params: dict[str, Any] | None
) -> None:
    await telemetry(request(params=params), ok)
    telemetry.close()
    assert [event.tool for event in sink.events] == ["_unknown"]


async def test_what_mcp_asks_of_itself_is_no_request_of_a_client(telemetry: Telemetry, sink: MemorySink) -> None:
    carrier = SimpleNamespace(headers={"mcp-method": "tools/call"})
    await telemetry(request("tools/list", protocol_version="2026-07-28", request=carrier), ok)
    telemetry.close()
    assert telemetry.stats().recorded == 0


async def test_a_fault_of_ours_hides_no_exception_of_the_servers(sink: MemorySink) -> None:
    def registry(_name: str) -> bool:
        raise LookupError("registry is down")

    async def fails(_ctx: ServerRequestContext[Any, Any]) -> HandlerResult:
        raise RuntimeError("bug")

    telemetry = Telemetry(service="orders", version="v2", sink=sink, tools=registry)
    with pytest.raises(RuntimeError, match="bug"):
        await telemetry(request(), fails)
    telemetry.close()
    assert telemetry.stats().failed == 1


async def test_an_answer_that_cannot_be_read_is_passed_on_and_told_as_ok(
    telemetry: Telemetry, sink: MemorySink
) -> None:
    class Odd(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            raise LookupError(key)

    answer = Odd()

    async def oddly(_ctx: ServerRequestContext[Any, Any]) -> HandlerResult:
        return answer

    assert await telemetry(request(), oddly) is answer
    telemetry.close()
    assert [event.outcome for event in sink.events] == ["ok"]


async def test_a_request_that_cannot_be_described_is_served_and_counted(telemetry: Telemetry, sink: MemorySink) -> None:
    assert await telemetry(request(params="odd"), ok) == {"content": []}
    telemetry.close()
    assert (len(sink.messages), telemetry.stats().failed) == (0, 1)


async def test_a_handler_may_add_numbers_of_its_own(telemetry: Telemetry, sink: MemorySink) -> None:
    async def counting(_ctx: ServerRequestContext[Any, Any]) -> HandlerResult:
        metric("tokens", 812)
        return {"content": []}

    await telemetry(request(), counting)
    telemetry.close()
    assert sink.events[0].metrics == {"tokens": 812.0}


async def test_a_request_that_hangs_is_told_once_as_far_as_it_is_known(sink: MemorySink) -> None:
    telemetry = Telemetry(service="orders", version="v2", sink=sink, tools={"search"}, hung_after_s=0.05)

    async def hangs(_ctx: ServerRequestContext[Any, Any]) -> HandlerResult:
        await asyncio.to_thread(sink.wait_for, 1)
        return {"content": []}

    await telemetry(request(), hangs)
    await telemetry(request(), ok)
    telemetry.close()
    assert [(event.outcome, event.tool) for event in sink.events] == [("timeout", "search"), ("ok", "search")]
    assert telemetry.stats().late == 1


async def test_a_subscription_is_neither_slow_nor_hung(sink: MemorySink) -> None:
    telemetry = Telemetry(service="orders", version="v2", sink=sink, hung_after_s=0.01)

    async def for_long(_ctx: ServerRequestContext[Any, Any]) -> HandlerResult:
        with telemetry.request("beside"):
            await asyncio.to_thread(sink.wait_for, 1)
        return {}

    await telemetry(request("subscriptions/listen", protocol_version="2026-07-28"), for_long)
    telemetry.close()
    assert [event.method for event in sink.events] == ["beside"]


async def test_a_subscription_that_fails_is_told(telemetry: Telemetry, sink: MemorySink) -> None:
    async def fails(_ctx: ServerRequestContext[Any, Any]) -> HandlerResult:
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError, match="bug"):
        await telemetry(request("subscriptions/listen", protocol_version="2026-07-28"), fails)
    telemetry.close()
    assert [(event.method, event.outcome) for event in sink.events] == [("subscriptions/listen", "server_error")]


async def test_the_environment_names_the_server(sink: MemorySink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAVYLAMP_SERVICE", "orders")
    monkeypatch.setenv("DAVYLAMP_VERSION", "v7")
    telemetry = Telemetry(sink=sink)
    await telemetry(request(), ok)
    telemetry.close()
    assert (sink.events[0].service, sink.events[0].version) == ("orders", "v7")


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVICE", "VERSION", "INSTANCE", "BOOTSTRAP", "TELEMETRY_TOPIC", "KEY"):
        monkeypatch.delenv(f"DAVYLAMP_{name}", raising=False)
