"""The ASGI wrapper: what HTTP refuses or breaks is told once, and everything passes through as it is."""

import asyncio
from collections.abc import Awaitable, Iterator

import pytest

from davylamp_sdk import Recorder
from davylamp_sdk._units import session_hash
from davylamp_sdk.asgi import App, Headers, Message, Receive, Scope, Send, Transport
from davylamp_sdk.testing import FakeClock, MemorySink

STAMP = "12.3.session.0123456789abcdef;v2"
HEADERS = {"mcp-session-id": "id-1", "x-davylamp-assignment": STAMP, "mcp-method": "tools/call"}


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def recorder(sink: MemorySink) -> Iterator[Recorder]:
    recorder = Recorder(service="orders", version="v2", sink=sink)
    yield recorder
    recorder.close()


def scope_of(method: str = "POST", path: str = "/mcp", headers: dict[str, str] = HEADERS) -> Scope:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "headers": raw}


def answering(status: int, *, bodies: int = 1, complete: bool = True) -> App:
    """An application that answers with so many pieces of body."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        for n in range(bodies):
            more = n < bodies - 1 or not complete
            await send({"type": "http.response.body", "body": b"x", "more_body": more})

    return app


def raising(error: BaseException, first: App | None = None) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if first is not None:
            await first(scope, receive, send)
        raise error

    return app


def request(app: App, scope: Scope, incoming: list[Message] | None = None) -> list[Message]:
    """What the application sent to the client."""
    sent: list[Message] = []
    waiting = iter(incoming or [{"type": "http.request", "body": b"{}"}])

    async def receive() -> Message:
        return next(waiting)

    async def send(message: Message) -> None:
        sent.append(message)

    async def main() -> None:
        await app(scope, receive, send)

    asyncio.run(main())
    return sent


def told(recorder: Recorder, sink: MemorySink) -> list[tuple[str, str, str | None]]:
    recorder.close()
    return [(event.method, event.outcome, event.error_type) for event in sink.events]


@pytest.mark.parametrize("status", [400, 401, 404, 406, 413, 421, 499])
def test_what_the_transport_refuses_is_rejected(recorder: Recorder, sink: MemorySink, status: int) -> None:
    request(Transport(answering(status), recorder), scope_of())
    assert told(recorder, sink) == [("tools/call", "rejected", str(status))]


def test_what_is_told_says_whose_it_is_and_never_the_id(recorder: Recorder, sink: MemorySink) -> None:
    request(Transport(answering(404), recorder), scope_of())
    recorder.close()
    (event,) = sink.events
    assert (event.session, event.assignment) == (session_hash("id-1"), STAMP)
    assert (event.service, event.version, event.session_age_ms) == ("orders", "v2", None)
    assert b"id-1" not in sink.messages[0][1]


def test_the_end_of_a_session_is_told_and_is_no_request(recorder: Recorder, sink: MemorySink) -> None:
    request(Transport(answering(200), recorder), scope_of("DELETE"))
    assert told(recorder, sink) == [("session/end", "ended", None)]
    (event,) = sink.events
    assert (event.session, event.assignment, event.tells_ends) == (session_hash("id-1"), STAMP, True)


@pytest.mark.parametrize(("status", "found"), [(404, [("tools/call", "rejected", "404")]), (405, []), (307, [])])
def test_a_session_that_the_server_does_not_end_has_not_ended(
    recorder: Recorder, sink: MemorySink, status: int, found: list[tuple[str, str, str]]
) -> None:
    request(Transport(answering(status), recorder), scope_of("DELETE"))
    assert told(recorder, sink) == found


def test_a_delete_without_a_session_ends_none(recorder: Recorder, sink: MemorySink) -> None:
    request(Transport(answering(200), recorder), scope_of("DELETE", headers={}))
    assert told(recorder, sink) == []


def test_who_sees_no_http_does_not_say_that_ends_are_told(recorder: Recorder, sink: MemorySink) -> None:
    recorder.record("tools/list", duration_ms=1)
    recorder.close()
    assert [event.tells_ends for event in sink.events] == [False]


@pytest.mark.parametrize("status", [500, 502, 503])
def test_what_the_transport_fails_at_is_a_server_error(recorder: Recorder, sink: MemorySink, status: int) -> None:
    request(Transport(answering(status), recorder), scope_of())
    assert told(recorder, sink) == [("tools/call", "server_error", str(status))]


@pytest.mark.parametrize("status", [200, 202, 204, 304])
def test_what_is_answered_without_an_event_is_not_told(recorder: Recorder, sink: MemorySink, status: int) -> None:
    request(Transport(answering(status), recorder), scope_of())
    assert told(recorder, sink) == []


def test_an_exception_goes_on_as_it_is_and_is_told(recorder: Recorder, sink: MemorySink) -> None:
    bug = RuntimeError("bug")
    with pytest.raises(RuntimeError) as caught:
        request(Transport(raising(bug), recorder), scope_of())
    assert caught.value is bug
    assert told(recorder, sink) == [("tools/call", "server_error", "RuntimeError")]


def test_a_server_that_is_stopped_has_not_failed(recorder: Recorder, sink: MemorySink) -> None:
    with pytest.raises(KeyboardInterrupt):
        request(Transport(raising(KeyboardInterrupt()), recorder), scope_of())
    assert told(recorder, sink) == []


async def silent(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """No answer at all."""


@pytest.mark.parametrize("app", [answering(200, bodies=2, complete=False), answering(200, bodies=0), silent])
def test_an_answer_that_stops_half_way_is_a_server_error(recorder: Recorder, sink: MemorySink, app: App) -> None:
    request(Transport(app, recorder), scope_of())
    assert told(recorder, sink) == [("tools/call", "server_error", "broken")]


def test_an_answer_that_its_client_did_not_wait_for_is_not_told(recorder: Recorder, sink: MemorySink) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answering(200, complete=False)(scope, receive, send)
        await receive()

    request(Transport(app, recorder), scope_of(), [{"type": "http.disconnect"}])
    assert told(recorder, sink) == []


def test_a_clients_stream_ends_as_it_likes_unless_the_server_fails(recorder: Recorder, sink: MemorySink) -> None:
    request(Transport(answering(200, complete=False), recorder), scope_of("GET"))
    with pytest.raises(OSError, match="stream"):
        request(Transport(raising(OSError("stream"), answering(200, complete=False)), recorder), scope_of("GET"))
    assert told(recorder, sink) == [("tools/call", "server_error", "OSError")]


def test_a_server_without_such_a_stream_says_so_and_that_is_no_error(recorder: Recorder, sink: MemorySink) -> None:
    for method in ("GET", "DELETE"):
        request(Transport(answering(405), recorder), scope_of(method))
    request(Transport(answering(405), recorder), scope_of("POST"))
    assert told(recorder, sink) == [("tools/call", "rejected", "405")]


def test_what_the_recorder_has_taken_up_is_not_told_again_however_http_ends(
    recorder: Recorder, sink: MemorySink
) -> None:
    async def serves(scope: Scope, receive: Receive, send: Send) -> None:
        with recorder.request("tools/call") as taken:
            taken.outcome, taken.error_type = "rpc_error", "-32601"
        await answering(404)(scope, receive, send)

    request(Transport(serves, recorder), scope_of())
    with pytest.raises(OSError, match="after"):
        request(Transport(raising(OSError("after"), serves), recorder), scope_of())
    assert told(recorder, sink) == [("tools/call", "rpc_error", "-32601")] * 2


def test_one_exchange_that_is_taken_up_hides_no_other(recorder: Recorder, sink: MemorySink) -> None:
    async def serves(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["headers"][-1] == (b"mcp-method", b"tools/call"):
            with recorder.request("tools/call"):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(0)
        await answering(400)(scope, receive, send)

    app = Transport(serves, recorder)

    async def nothing() -> Message:
        return {"type": "http.request"}

    async def ignore(_message: Message) -> None: ...

    async def main() -> None:
        scopes = [scope_of(headers={"mcp-method": name}) for name in ("tools/call", "ping", "tools/call", "made/up")]
        await asyncio.gather(*(app(scope, nothing, ignore) for scope in scopes))

    asyncio.run(main())
    assert sorted(told(recorder, sink)) == [
        ("_unknown", "rejected", "400"),
        ("ping", "rejected", "400"),
        ("tools/call", "ok", None),
        ("tools/call", "ok", None),
    ]


def test_whoever_records_without_headers_is_given_those_of_the_request(recorder: Recorder, sink: MemorySink) -> None:
    async def serves(scope: Scope, receive: Receive, send: Send) -> None:
        with recorder.request("tools/call"):
            pass
        await answering(200)(scope, receive, send)

    request(Transport(serves, recorder), scope_of())
    recorder.close()
    (event,) = sink.events
    assert (event.session, event.assignment) == (session_hash("id-1"), STAMP)


@pytest.mark.parametrize(
    ("path", "asked", "watched"),
    [
        ("/mcp", "/mcp", True),
        ("/mcp", "/mcp/", True),
        ("/mcp", "/mcp/x", True),
        ("/mcp/", "/mcp", True),
        ("/mcp", "/mcpx", False),
        ("/mcp", "/healthz", False),
        ("/", "/anything", True),
        (None, "/anything", True),
    ],
)
def test_only_what_is_asked_of_the_mcp_server_is_told(
    recorder: Recorder, sink: MemorySink, path: str | None, asked: str, *, watched: bool
) -> None:
    request(Transport(answering(404), recorder, path=path), scope_of(path=asked))
    assert bool(told(recorder, sink)) == watched


@pytest.mark.parametrize("kind", ["websocket", "other"])
def test_what_is_no_http_passes_untouched(recorder: Recorder, kind: str) -> None:
    seen: list[object] = []

    async def app(*given: object) -> None:
        seen.extend(given)

    async def receive() -> Message:
        return {}

    async def send(_message: Message) -> None: ...

    scope: Scope = {"type": kind}
    asyncio.run(run(Transport(app, recorder)(scope, receive, send)))
    assert seen == [scope, receive, send]


async def run(awaitable: Awaitable[None]) -> None:
    await awaitable


@pytest.mark.parametrize("ending", ["lifespan.shutdown.complete", "lifespan.shutdown.failed"])
def test_the_end_of_the_application_sends_what_waits(sink: MemorySink, ending: str) -> None:
    recorder = Recorder(service="orders", version="v2", sink=sink)
    recorder.record("ping", duration_ms=1)

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.complete"})
        recorder.record("ping", duration_ms=1)
        await send({"type": ending})

    sent = request(Transport(app, recorder), {"type": "lifespan"})
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", ending]
    assert len(sink.events) == 2
    recorder.record("ping", duration_ms=1)
    assert recorder.stats().dropped == 1


def test_messages_pass_as_they_are(recorder: Recorder) -> None:
    sent = request(Transport(answering(200, bodies=3), recorder), scope_of())
    assert [message.get("more_body") for message in sent] == [None, True, True, False]


def test_headers_are_read_from_the_scope_by_any_spelling() -> None:
    headers = Headers({"headers": [(b"x-a", b"1"), (b"x-a", b"2"), (b"x-b", b"\xff")]})
    assert (headers["X-A"], headers["x-b"], headers.get("x-c")) == ("1", "\xff", None)
    assert (list(headers), len(headers)) == (["x-a", "x-b"], 2)
    assert len(Headers({})) == 0


def test_what_it_took_is_told_by_the_recorders_clock(sink: MemorySink) -> None:
    clock = FakeClock()
    recorder = Recorder(service="orders", version="v2", sink=sink, clock=clock)

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        clock.advance(seconds=0.25)
        await answering(404)(scope, receive, send)

    request(Transport(slow, recorder), scope_of())
    recorder.close()
    (event,) = sink.events
    assert event.duration_ms == pytest.approx(250)
