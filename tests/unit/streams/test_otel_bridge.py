"""Spans of a real python MCP server, in OTLP as a Collector writes them, become events that streams count."""

import base64
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from google.protobuf.json_format import MessageToDict
from mcp.client import Client
from mcp.server.mcpserver import MCPServer
from mcp.shared import _otel
from mcp.shared.exceptions import MCPError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from davylamp_sdk._event import RequestEvent
from davylamp_sdk._units import session_hash
from streams.decoding import decode
from streams.otel_bridge import Bridge, OtelBridgeSettings, Tally, events_of
from streams.otlp import _SCOPES, OtlpError, Span, spans_in
from tests.mutations import bytes_changed, mutated
from tests.telemetry import BASELINE, record

GOLDEN = Path(__file__).parents[2] / "golden/otlp-of-the-mcp-sdk.json"
RESOURCE = {"service.name": "orders", "service.version": "v2", "service.instance.id": "orders-7c9f"}


class Traced:
    """A tracer of the OpenTelemetry SDK, and what it has finished."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(resource=Resource(RESOURCE))
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    """The MCP SDK traces into it."""
    made = Traced()
    monkeypatch.setattr(_otel, "_tracer", made.provider.get_tracer("mcp-python-sdk"))
    yield made
    made.provider.shutdown()


def value_of(value: Any) -> AnyValue:
    if isinstance(value, tuple):
        return AnyValue(array_value=ArrayValue(values=[value_of(one) for one in value]))
    return AnyValue(string_value=value) if isinstance(value, str) else AnyValue(int_value=value)


def encoded(spans: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
    """An export request of these spans."""
    data = ExportTraceServiceRequest()
    of_resource = data.resource_spans.add()
    of_resource.resource.attributes.extend(KeyValue(key=k, value=value_of(v)) for k, v in RESOURCE.items())
    scope = getattr(of_resource, _SCOPES).add()
    for span in spans:
        made = scope.spans.add()
        assert span.context is not None
        made.trace_id = span.context.trace_id.to_bytes(16, "big")
        made.span_id = span.context.span_id.to_bytes(8, "big")
        if span.parent is not None:
            made.parent_span_id = span.parent.span_id.to_bytes(8, "big")
        made.kind = span.kind.value + 1  # the API counts from 0, OTLP from 1
        made.start_time_unix_nano, made.end_time_unix_nano = span.start_time or 0, span.end_time or 0
        made.status.code = span.status.status_code.value
        made.attributes.extend(KeyValue(key=k, value=value_of(v)) for k, v in (span.attributes or {}).items())
    return data


def as_proto(spans: Sequence[ReadableSpan]) -> bytes:
    return bytes(encoded(spans).SerializeToString())


def as_json(spans: Sequence[ReadableSpan]) -> bytes:
    """As the specification says: ids in hex, enums as numbers, 64-bit numbers as text."""
    said = MessageToDict(encoded(spans), use_integers_for_enums=True)
    of_resource = said["resourceSpans"][0]
    of_resource["scopeSpans"] = of_resource.pop("scopeSpans", None) or of_resource.pop("instrumentationLibrarySpans")
    raw = getattr(encoded(spans).resource_spans[0], _SCOPES)[0].spans
    for span, of in zip(of_resource["scopeSpans"][0]["spans"], raw, strict=True):
        span |= {"traceId": of.trace_id.hex(), "spanId": of.span_id.hex()}
        if of.parent_span_id:
            span["parentSpanId"] = of.parent_span_id.hex()
    return json.dumps(said).encode()


async def a_session() -> None:
    """One of everything, by a real client of a real server."""
    server: MCPServer[Any] = MCPServer("orders")

    @server.tool()
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool()
    def fail() -> str:
        raise LookupError("no such order")

    async with Client(server, mode="legacy") as client:
        await client.list_tools()
        await client.call_tool("add", {"a": 1, "b": 2})
        await client.call_tool("fail", {})
        with pytest.raises(MCPError):
            await client.read_resource("orders://none")


@pytest.mark.parametrize("encode", [as_proto, as_json])
async def test_spans_of_the_mcp_sdk_become_events_that_streams_read(traced: Traced, encode: Any) -> None:
    await a_session()
    tally = Tally()
    events = list(events_of([encode(traced.spans())], tally))
    said = {(e.method, e.tool): e.outcome for e in events}
    assert said[("initialize", None)] == "ok"
    assert said[("tools/list", None)] == "ok"
    assert said[("tools/call", "add")] == "ok"
    assert said[("tools/call", "fail")] == "tool_error"
    assert said[("resources/read", None)] == "rpc_error"
    assert {(e.service, e.version, e.instance, e.protocol_version) for e in events} == {
        ("orders", "v2", "orders-7c9f", "2025-11-25")
    }
    assert all(0 <= e.duration_ms < 60_000 and e.started_at > 1_700_000_000_000 for e in events)
    assert len({(e.producer, e.sequence) for e in events}) == len(events) == tally.requests
    assert [decode(record(i, 1000, e.dump())) for i, e in enumerate(events)] == events
    assert (tally.unfit, tally.malformed) == (0, 0)


def test_what_opentelemetrys_own_exporter_encodes_is_read() -> None:
    """Bytes that it made of a session of the MCP SDK; it cannot be installed beside xds-protos, whose modules it overwrites."""
    raw = base64.b64decode(json.loads(GOLDEN.read_text())["otlp_proto"])
    tally = Tally()
    events = list(events_of([raw], tally))
    assert [(e.method, e.tool, e.outcome) for e in events] == [
        ("initialize", None, "ok"),
        ("tools/list", None, "ok"),
        ("tools/call", "add", "ok"),
        ("tools/call", "fail", "tool_error"),
        ("resources/read", None, "rpc_error"),
    ]
    assert {(e.service, e.version, e.instance) for e in events} == {("orders", "v2", "orders-7c9f")}
    assert (tally.unfit, tally.malformed) == (0, 0)


async def test_both_encodings_say_the_same_and_a_span_sent_again_is_the_same_event(traced: Traced) -> None:
    await a_session()
    proto, written = as_proto(traced.spans()), as_json(traced.spans())
    assert spans_in(proto) == spans_in(written)
    once = list(events_of([proto], Tally()))
    assert list(events_of([written, proto], Tally())) == once * 2


def test_the_proxys_stamp_and_the_session_are_found_on_the_http_span_around(traced: Traced) -> None:
    tracer = traced.provider.get_tracer("test")
    headers = {
        "http.request.header.x-davylamp-assignment": (BASELINE,),
        "http.request.header.mcp-session-id": ("secret-id",),
    }
    from opentelemetry.trace import SpanKind

    ping = {"mcp.method.name": "ping"}
    with (
        tracer.start_as_current_span("POST /mcp", kind=SpanKind.SERVER, attributes=headers),
        tracer.start_as_current_span("ping", kind=SpanKind.SERVER, attributes=ping),
    ):
        pass
    tally = Tally()
    (event,) = events_of([as_proto(traced.spans())], tally)
    assert (event.assignment, event.session) == (BASELINE, session_hash("secret-id"))
    assert tally == Tally(requests=1, others=1)


PING = {"mcp.method.name": "ping"}


def span_of(**changes: Any) -> dict[str, Any]:
    attributes = [{"key": k, "value": {"stringValue": v}} for k, v in changes.pop("says", {}).items()]
    times = {"startTimeUnixNano": "1000000000", "endTimeUnixNano": "1002500000"}
    return {"traceId": "0a" * 16, "spanId": "0b" * 8, "kind": 2, "attributes": attributes, **times, **changes}


def message(*spans: dict[str, Any], resource: dict[str, str] | None = None) -> bytes:
    pairs = [{"key": k, "value": {"stringValue": v}} for k, v in (RESOURCE if resource is None else resource).items()]
    return json.dumps(
        {"resourceSpans": [{"resource": {"attributes": pairs}, "scopeSpans": [{"spans": list(spans)}]}]}
    ).encode()


@pytest.mark.parametrize(
    ("says", "changes", "outcome", "tool"),
    [
        ({}, {}, "ok", "search"),
        ({"error.type": "tool_error"}, {"status": {"code": 2}}, "tool_error", "search"),
        (
            {"error.type": "-32602", "rpc.response.status_code": "-32602"},
            {"status": {"code": 2}},
            "rpc_error",
            "_unknown",
        ),
        ({"error.type": "KeyError"}, {"status": {"code": 2}}, "server_error", "search"),
        ({}, {"status": {"code": 2}}, "server_error", "search"),
    ],
)
def test_an_outcome_is_what_the_conventions_say(
    says: dict[str, str], changes: dict[str, Any], outcome: str, tool: str
) -> None:
    call = {"mcp.method.name": "tools/call", "gen_ai.tool.name": "search"}
    (event,) = events_of([message(span_of(says=call | says, **changes))], Tally())
    assert (event.outcome, event.tool, event.duration_ms, event.started_at) == (outcome, tool, 2.5, 1000)


def test_what_is_no_request_of_a_server_is_counted_apart() -> None:
    tally = Tally()
    ping = {"mcp.method.name": "ping"}
    others = [span_of(says=ping, kind=3), span_of(), span_of(says={"mcp.method.name": "notifications/initialized"})]
    assert list(events_of([message(*others)], tally)) == []
    assert list(events_of([message(span_of(says=ping), resource={"service.name": "orders"})], tally)) == []
    (made_up,) = events_of([message(span_of(says={"mcp.method.name": "made/up"}))], tally)
    assert made_up.method == "_unknown"
    assert tally == Tally(requests=1, others=3, unfit=1)


@pytest.mark.parametrize(
    "raw",
    [b"{", b'{"resourceSpans": 3}', b'{"resourceSpans": [{"scopeSpans": [{"spans": 3}]}]}', b"\xff\xff\xff", b"[]"],
)
def test_what_is_no_trace_ends_nothing(raw: bytes) -> None:
    with pytest.raises(OtlpError):
        spans_in(raw)
    tally = Tally()
    assert list(events_of([raw], tally)) == []
    assert tally == Tally(malformed=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": float("inf")},
        {"kind": "SPAN_KIND_SERVER"},
        {"status": {"code": "STATUS_CODE_ERROR"}},
        {"startTimeUnixNano": float("inf")},
        {"startTimeUnixNano": -1},
        {"startTimeUnixNano": "0"},
        {"startTimeUnixNano": None},
        {"endTimeUnixNano": "9" * 400},
        {"endTimeUnixNano": str(2**64 - 1)},
        {"endTimeUnixNano": "999999999"},
        {"endTimeUnixNano": None},
        {"traceId": ""},
        {"spanId": "0b" * 7},
        {"spanId": "\ud800"},
        {"attributes": 3},
        {"says": PING | {"davylamp.assignment": "\ud800"}},
    ],
)
def test_a_span_that_no_event_can_be_made_of_is_named_and_its_neighbours_count(
    changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    tally = Tally()
    spans = span_of(says=PING, spanId="01" * 8), span_of(**{"says": PING, **changes}), span_of(says=PING)
    assert len(list(events_of([message(*spans)], tally))) == 2
    assert tally == Tally(requests=2, unfit=1)
    assert [bool(vars(said)["why"]) for said in caplog.records] == [True]


@pytest.mark.parametrize("left_out", ["startTimeUnixNano", "endTimeUnixNano", "traceId", "spanId"])
def test_json_that_leaves_a_zero_out_is_counted_as_protobuf_is(left_out: str) -> None:
    field = {"startTimeUnixNano": "start_time_unix_nano", "endTimeUnixNano": "end_time_unix_nano"}
    whole = span_of(says=PING)
    written = message({name: value for name, value in whole.items() if name != left_out}, whole)
    proto = _proto_of(whole, whole)
    getattr(proto.resource_spans[0], _SCOPES)[0].spans[0].ClearField(field.get(left_out, left_out.replace("Id", "_id")))
    said = []
    for raw in (written, proto.SerializeToString()):
        tally = Tally()
        said.append((list(events_of([raw], tally)), tally))
    assert said[0] == said[1]
    assert said[0][1] == Tally(requests=1, unfit=1)


def _proto_of(*spans: dict[str, Any]) -> ExportTraceServiceRequest:
    data = ExportTraceServiceRequest()
    of_resource = data.resource_spans.add()
    of_resource.resource.attributes.extend(KeyValue(key=k, value=value_of(v)) for k, v in RESOURCE.items())
    scope = getattr(of_resource, _SCOPES).add()
    for span in spans:
        made = scope.spans.add(kind=span["kind"])
        made.trace_id, made.span_id = bytes.fromhex(span["traceId"]), bytes.fromhex(span["spanId"])
        made.start_time_unix_nano, made.end_time_unix_nano = (
            int(span["startTimeUnixNano"]),
            int(span["endTimeUnixNano"]),
        )
        pairs = ((pair["key"], pair["value"]["stringValue"]) for pair in span["attributes"])
        made.attributes.extend(KeyValue(key=key, value=value_of(value)) for key, value in pairs)
    return data


def test_json_may_write_times_as_numbers_and_ids_in_capitals_or_base64() -> None:
    usual = span_of(says=PING, traceId="ab" * 16, spanId="cd" * 8, parentSpanId="ef" * 8)
    numbers = {"startTimeUnixNano": 1000000000, "endTimeUnixNano": 1002500000}
    capitals = {"traceId": "AB" * 16, "spanId": "CD" * 8, "parentSpanId": "EF" * 8}
    sizes = {"traceId": ("ab", 16), "spanId": ("cd", 8), "parentSpanId": ("ef", 8)}
    in_base64 = {name: base64.b64encode(bytes.fromhex(byte * n)).decode() for name, (byte, n) in sizes.items()}
    read = [spans_in(message(usual | changes)) for changes in ({}, numbers, capitals, in_base64)]
    assert read == [read[0]] * 4
    assert isinstance(read[0][0], Span)


FUZZED = int(os.environ.get("DAVYLAMP_FUZZ", "2000"))


def test_whatever_a_message_holds_it_is_an_event_or_named_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)  # it takes longer to format than to read
    said = PING | {"mcp.session.id": "s", "davylamp.assignment": BASELINE, "error.type": "-32603"}
    written = message(span_of(says=said), span_of(says=PING, spanId="0c" * 8, parentSpanId="0b" * 8))
    proto = base64.b64decode(json.loads(GOLDEN.read_text())["otlp_proto"])
    tally = Tally()
    for seed in range(FUZZED):
        before = astuple(tally)
        raw = mutated(written, seed) if seed % 4 else bytes_changed(proto, Random(seed))
        for event in events_of([raw], tally):
            assert RequestEvent.read(event.dump()) == event
        assert astuple(tally) != before or spans_in(raw) == []
    assert min(astuple(tally)) > FUZZED // 20


def test_protobuf_is_no_json_however_long_its_first_resource() -> None:
    lengths = set()
    for length in range(200):
        data = ExportTraceServiceRequest()
        data.resource_spans.add().resource.attributes.add(key="k" * length)
        lengths.add(data.resource_spans[0].ByteSize())
        data.resource_spans.append(_golden().resource_spans[0])
        assert len(list(events_of([data.SerializeToString()], Tally()))) == 5
    assert ord("{") in lengths


def _golden() -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(base64.b64decode(json.loads(GOLDEN.read_text())["otlp_proto"]))


class Said:
    """A consumer with these messages, and a producer: what happens, in order."""

    def __init__(self, *raws: bytes) -> None:
        self.messages = [Message(raw, offset) for offset, raw in enumerate(raws)]
        self.happened = list[Any]()
        self.full = False

    def consume(self, count: int, timeout: float) -> list["Message"]:
        some, self.messages = self.messages[:count], self.messages[count:]
        return some

    def consumer_group_metadata(self) -> str:
        return "the member"

    def init_transactions(self, timeout: float) -> None:
        self.happened.append("init")

    def begin_transaction(self) -> None:
        self.happened.append("begin")

    def produce(self, topic: str, value: bytes, key: bytes) -> None:
        if self.full:
            raise BufferError
        self.happened.append((topic, RequestEvent.read(value).method, key))

    def poll(self, timeout: float) -> None:
        self.full = False

    def send_offsets_to_transaction(self, offsets: Sequence[TopicPartition], member: str, timeout: float) -> None:
        self.happened.append(([(o.topic, o.partition, o.offset) for o in offsets], member))

    def commit_transaction(self, timeout: float) -> None:
        self.happened.append("commit")

    def close(self) -> None:
        self.happened.append("close")


class Message:
    def __init__(self, raw: bytes, offset: int) -> None:
        self._raw, self._offset = raw, offset

    def __len__(self) -> int:
        return len(self._raw)

    def error(self) -> None:
        return None

    def value(self) -> bytes:
        return self._raw

    def topic(self) -> str:
        return "otlp_spans"

    def partition(self) -> int:
        return self._offset % 2

    def offset(self) -> int:
        return self._offset


def test_events_and_the_place_in_the_spans_topic_are_one_transaction() -> None:
    log = Said(b"{", message(span_of(says=PING)), b"{")
    bridge = Bridge(log, log, OtelBridgeSettings())
    bridge.step()
    bridge.step()
    bridge.close()
    places = [("otlp_spans", 0, 3), ("otlp_spans", 1, 2)]
    sent = ("mcp-requests", "ping", b"otel/orders-7c9f")
    assert log.happened == ["init", "begin", sent, (places, "the member"), "commit", "close"]


def test_a_full_queue_is_waited_for() -> None:
    log = Said(message(span_of(says=PING)))
    log.full = True
    Bridge(log, log, OtelBridgeSettings()).step()
    assert [what[1] for what in log.happened if isinstance(what, tuple)] == ["ping", "the member"]


def test_a_transaction_is_bounded_by_bytes() -> None:
    log = Said(*[b"{" + b" " * 300_000] * 40)
    bridge = Bridge(log, log, OtelBridgeSettings())
    bridge.step()
    assert (bridge.tally.malformed, len(log.messages)) == (26, 14)
    bridge.step()
    assert (bridge.tally.malformed, log.happened.count("commit")) == (40, 2)
