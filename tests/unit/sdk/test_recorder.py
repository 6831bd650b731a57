"""The recorder: one event a request of any framework, whatever is raised, set or forgotten in it."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from davylamp_sdk import Recorder, Request, RequestEvent, metric
from davylamp_sdk._units import session_hash
from davylamp_sdk.testing import FakeClock, MemorySink

STAMP = "12.3.session.0123456789abcdef;v2"
PRINCIPAL = "12.3.principal.0123456789abcdef;v2"
KEY = "correct horse battery staple"
HEADERS = {"Mcp-Session-Id": "id-1", "X-Davylamp-Assignment": STAMP}


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_700_000_000_000)


@pytest.fixture
def recorder(sink: MemorySink, clock: FakeClock) -> Iterator[Recorder]:
    recorder = Recorder(service="orders", version="v2", instance="i", key=KEY, sink=sink, clock=clock)
    yield recorder
    recorder.close()


def told(recorder: Recorder, sink: MemorySink) -> list[RequestEvent]:
    recorder.close()
    return sink.events


def test_a_request_is_timed_and_told_with_what_was_set_in_it(
    recorder: Recorder, sink: MemorySink, clock: FakeClock
) -> None:
    with recorder.request("tools/call", headers=HEADERS) as request:
        clock.advance(0.25)
        request.tool = "search"
        request.protocol_version = "2025-11-25"
        request.metric("tokens", 812)
    (event,) = told(recorder, sink)
    assert event == RequestEvent(
        producer=event.producer,
        sequence=0,
        service="orders",
        version="v2",
        instance="i",
        session=session_hash("id-1"),
        assignment=STAMP,
        method="tools/call",
        tool="search",
        outcome="ok",
        protocol_version="2025-11-25",
        started_at=1_700_000_000_000,
        duration_ms=250.0,
        metrics={"tokens": 812.0},
    )


def test_a_request_without_http_belongs_to_nobody(recorder: Recorder, sink: MemorySink) -> None:
    with recorder.request("ping"):
        pass
    (event,) = told(recorder, sink)
    assert (event.session, event.assignment, event.outcome) == (None, None, "ok")


def test_an_exception_goes_on_as_it_is_and_is_a_server_error(recorder: Recorder, sink: MemorySink) -> None:
    bug = RuntimeError("bug")
    with pytest.raises(RuntimeError) as caught, recorder.request("ping"):
        raise bug
    assert caught.value is bug
    (event,) = told(recorder, sink)
    assert (event.outcome, event.error_type) == ("server_error", "RuntimeError")


def test_a_cancellation_is_the_clients(recorder: Recorder, sink: MemorySink) -> None:
    trios = type("Cancelled", (BaseException,), {})
    for cancelled in (asyncio.CancelledError, trios):
        with pytest.raises(cancelled), recorder.request("ping"):
            raise cancelled
    assert [event.outcome for event in told(recorder, sink)] == ["cancelled", "cancelled"]


def refuse(request: Request) -> None:
    request.outcome, request.error_type = "rpc_error", "-32002"
    raise LookupError


def test_what_the_server_says_of_the_outcome_wins_over_the_exception(recorder: Recorder, sink: MemorySink) -> None:
    with pytest.raises(LookupError), recorder.request("resources/read") as request:
        refuse(request)
    (event,) = told(recorder, sink)
    assert (event.outcome, event.error_type) == ("rpc_error", "-32002")


def test_a_session_that_begins_says_its_own_id_and_is_aged_from_then_on(
    recorder: Recorder, sink: MemorySink, clock: FakeClock
) -> None:
    with recorder.request("initialize", headers={}) as request:
        request.session_id = "id-1"
        request.first_of_session = True
        clock.advance(1)
    clock.advance(2)
    with recorder.request("tools/list", headers=HEADERS):
        clock.advance(1)
    first, second = told(recorder, sink)
    assert first.session == second.session == session_hash("id-1")
    assert (first.first_of_session, first.session_age_ms, first.session_gap_ms) == (True, 1_000, None)
    assert (second.first_of_session, second.session_age_ms, second.session_gap_ms) == (False, 4_000, 3_000)


def test_a_principal_is_told_by_a_keyed_hash_and_its_token_never(recorder: Recorder, sink: MemorySink) -> None:
    headers = {"authorization": "Bearer s3cret", "mcp-session-id": "id-1", "x-davylamp-assignment": PRINCIPAL}
    for _ in range(2):
        with recorder.request("tools/list", headers=headers):
            pass
    first, second = told(recorder, sink)
    assert first.session == second.session
    assert first.session not in (None, session_hash("id-1"), session_hash("Bearer s3cret"))
    assert [first.first_of_session, second.first_of_session] == [True, False]
    assert all(b"s3cret" not in value and b"id-1" not in value for _, value in sink.messages)


def test_without_a_key_a_principals_requests_are_told_and_nobodys(sink: MemorySink) -> None:
    recorder = Recorder(service="orders", version="v2", sink=sink)
    with recorder.request("ping", headers={"authorization": "Bearer x", "x-davylamp-assignment": PRINCIPAL}):
        pass
    (event,) = told(recorder, sink)
    assert (event.session, event.assignment) == (None, PRINCIPAL)


def test_a_request_that_has_just_ended_is_recorded_in_one_call(recorder: Recorder, sink: MemorySink) -> None:
    recorder.record(
        "tools/call",
        "tool_error",
        duration_ms=1_500,
        headers=HEADERS,
        tool="search",
        error_type="tool_error",
        metrics={"tokens": 3},
    )
    (event,) = told(recorder, sink)
    assert (event.started_at, event.duration_ms) == (1_700_000_000_000 - 1_500, 1_500)
    assert (event.outcome, event.tool, event.error_type) == ("tool_error", "search", "tool_error")
    assert (event.session, event.assignment, event.metrics) == (session_hash("id-1"), STAMP, {"tokens": 3.0})


@given(
    duration_ms=st.one_of(st.floats(), st.none(), st.text(max_size=3)),
    outcome=st.one_of(st.sampled_from(["ok", "fine"]), st.none()),
    headers=st.one_of(st.none(), st.dictionaries(st.text(max_size=3), st.integers()), st.integers()),
    metrics=st.one_of(st.dictionaries(st.integers(), st.text(max_size=3)), st.integers()),
)
def test_recording_never_raises_whatever_is_recorded(
    duration_ms: object, outcome: object, headers: object, metrics: object
) -> None:
    recorder = Recorder(service="orders", version="v2", sink=MemorySink())
    recorder.record("ping", outcome, duration_ms=duration_ms, headers=headers, metrics=metrics)  # type: ignore[arg-type]
    with recorder.request("ping", headers=headers) as request:  # type: ignore[arg-type]
        request.outcome = outcome  # type: ignore[assignment]
        request.metric(outcome, duration_ms)  # type: ignore[arg-type]
    recorder.close()
    stats = recorder.stats()
    assert stats.delivered + stats.failed >= 2


class BrokenClock(FakeClock):
    """Fails at the reading `broken_at` (from 0) of the monotonic clock by the thread that made it."""

    def __init__(self, broken_at: int) -> None:
        super().__init__()
        self._owner = threading.current_thread()
        self._readings = 0
        self._broken_at = broken_at

    def monotonic_s(self) -> float:
        if threading.current_thread() is self._owner:
            self._readings += 1
            if self._readings == self._broken_at + 1:
                raise OSError("no clock")
        return super().monotonic_s()


@pytest.mark.parametrize("broken_at", [0, 1])
def test_a_fault_of_ours_before_or_after_the_request_is_only_counted(sink: MemorySink, broken_at: int) -> None:
    recorder = Recorder(service="orders", version="v2", sink=sink, clock=BrokenClock(broken_at))
    for _ in range(2):
        with recorder.request("ping"):
            pass
    assert len(told(recorder, sink)) == 1
    assert recorder.stats().failed == 1


def test_a_number_said_in_a_handler_belongs_to_its_request(recorder: Recorder, sink: MemorySink) -> None:
    async def handler(tokens: int) -> None:
        metric("tokens", 0)
        await asyncio.to_thread(metric, "threads", tokens)
        await asyncio.sleep(0)
        metric("tokens", tokens)

    async def serve(tokens: int) -> None:
        with recorder.request("tools/call"):
            await asyncio.gather(handler(tokens), asyncio.sleep(0))

    async def main() -> None:
        await asyncio.gather(*(serve(tokens) for tokens in range(1, 4)))

    asyncio.run(main())
    assert sorted(tuple(event.metrics.items()) for event in told(recorder, sink)) == [
        (("tokens", float(n)), ("threads", float(n))) for n in range(1, 4)
    ]


def test_a_number_said_outside_of_a_request_is_nobodys(recorder: Recorder, sink: MemorySink) -> None:
    metric("tokens", 1)
    with recorder.request("ping"):
        pass
    metric("tokens", 2)
    (event,) = told(recorder, sink)
    assert event.metrics == {}


def test_a_number_belongs_to_the_innermost_request(recorder: Recorder, sink: MemorySink) -> None:
    with recorder.request("outer"):
        with recorder.request("inner"):
            metric("tokens", 1)
        metric("tokens", 2)
    inner, outer = told(recorder, sink)
    assert (inner.method, inner.metrics) == ("inner", {"tokens": 1.0})
    assert (outer.method, outer.metrics) == ("outer", {"tokens": 2.0})


def test_numbers_that_fit_no_event_are_left_out_and_mentioned_once(
    recorder: Recorder, sink: MemorySink, caplog: pytest.LogCaptureFixture
) -> None:
    with recorder.request("ping") as request:
        for value in (float("nan"), float("inf"), "many"):
            request.metric("tokens", value)  # type: ignore[arg-type]
        for n in range(40):
            request.metric(f"m{n}", n)
        request.metric("m0", 7)
    (event,) = told(recorder, sink)
    assert event.metrics == {"m0": 7.0} | {f"m{n}": float(n) for n in range(1, 32)}
    assert [record.__dict__["action"] for record in caplog.records] == ["telemetry_metric_invalid"]


def test_a_thread_that_goes_on_saying_numbers_costs_no_event(recorder: Recorder, sink: MemorySink) -> None:
    running = threading.Event()
    stop = threading.Event()

    def chatter(request: Request) -> None:
        while not stop.is_set():
            for n in range(32):
                request.metric(f"m{n}", n)
            running.set()

    for _ in range(20):
        with recorder.request("ping") as request:
            thread = threading.Thread(target=chatter, args=(request,))
            thread.start()
            assert running.wait(5)
        stop.set()
        thread.join()
        running.clear()
        stop.clear()
    assert len(told(recorder, sink)) == 20
    assert recorder.stats().failed == 0


def test_a_request_that_hangs_is_told_while_it_runs_and_its_end_only_counted(sink: MemorySink) -> None:
    recorder = Recorder(service="orders", version="v2", sink=sink, hung_after_s=0.05)
    with recorder.request("tools/call", headers=HEADERS) as request:
        request.tool = "search"
        request.metric("tokens", 1)
        (event,) = sink.wait_for(1)
    recorder.close()
    assert len(sink.events) == 1
    assert (event.outcome, event.error_type, event.tool) == ("timeout", "timeout", "search")
    assert event.duration_ms >= 50
    assert (event.session, event.assignment, event.metrics) == (session_hash("id-1"), STAMP, {"tokens": 1.0})
    assert (recorder.stats().recorded, recorder.stats().late) == (1, 1)


def test_a_request_that_ends_in_time_is_not_late(recorder: Recorder, sink: MemorySink, clock: FakeClock) -> None:
    with recorder.request("ping"):
        clock.advance(59.9)
    (event,) = told(recorder, sink)
    assert event.outcome == "ok"
    assert recorder.stats().late == 0


def test_a_block_that_is_left_in_another_context_is_recorded_all_the_same(recorder: Recorder, sink: MemorySink) -> None:
    def generator() -> Iterator[None]:
        with recorder.request("ping"):
            yield

    async def main() -> None:
        running = generator()
        next(running)
        await asyncio.create_task(exhaust(running))

    async def exhaust(running: Iterator[None]) -> None:
        next(running, None)

    asyncio.run(main())
    assert len(told(recorder, sink)) == 1
    assert recorder.stats().failed == 0


def test_headers_are_let_go_with_the_request(recorder: Recorder) -> None:
    """Frameworks keep the body of a request behind its headers, and telemetry may wait for long."""
    with recorder.request("ping", headers=HEADERS) as request:
        pass
    assert request._headers is None


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"version": "v2"}, "set DAVYLAMP_SERVICE"),
        ({"service": "orders", "version": "v2", "sink": None}, "set DAVYLAMP_BOOTSTRAP"),
        ({"service": "orders", "version": "v2", "hung_after_s": 0}, "a request needs some time"),
        ({"service": "orders", "version": "v2", "key": "short"}, "make it 16 or more"),
    ],
)
def test_what_makes_no_sense_is_told_at_once(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Recorder(**({"sink": MemorySink()} | options))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVICE", "VERSION", "INSTANCE", "BOOTSTRAP", "TELEMETRY_TOPIC", "KEY"):
        monkeypatch.delenv(f"DAVYLAMP_{name}", raising=False)
