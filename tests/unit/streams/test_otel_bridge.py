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
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.sdk.trace import ReadableSpan

from davylamp_sdk._event import RequestEvent
from davylamp_sdk._tools import MAX_LEARNED
from davylamp_sdk._units import session_hash
from streams.decoding import decode
from streams.otel_bridge import Bridge, OtelBridgeSettings, events_of
from streams.otel_metrics import Tally
from streams.otel_tools import MAX_SERVICES, AnsweredTools
from streams.otlp import _SCOPES, OtlpError, Span, spans_in
from tests.mutations import bytes_changed, mutated
from tests.spans import RESOURCE, Traced, as_proto, encoded, value_of
from tests.telemetry import BASELINE, record

GOLDEN = Path(__file__).parents[2] / "golden/otlp-of-the-mcp-sdk.json"


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    """The MCP SDK traces into it."""
    made = Traced()
    monkeypatch.setattr(_otel, "_tracer", made.provider.get_tracer("mcp-python-sdk"))
    yield made
    made.provider.shutdown()


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
    events = list(events_of([encode(traced.spans())], tally, AnsweredTools()))
    said = {(e.method, e.tool): e.outcome for e in events}
    assert said[("initialize", None)] == "ok"
    assert said[("tools/list", None)] == "ok"
    assert said[("tools/call", "add")] == "ok"
    assert said[("tools/call", "_unknown")] == "tool_error"
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
    events = list(events_of([raw], tally, AnsweredTools()))
    assert [(e.method, e.tool, e.outcome) for e in events] == [
        ("initialize", None, "ok"),
        ("tools/list", None, "ok"),
        ("tools/call", "add", "ok"),
        ("tools/call", "_unknown", "tool_error"),
        ("resources/read", None, "rpc_error"),
    ]
    assert {(e.service, e.version, e.instance) for e in events} == {("orders", "v2", "orders-7c9f")}
    assert (tally.unfit, tally.malformed) == (0, 0)


async def test_both_encodings_say_the_same_and_a_span_sent_again_is_the_same_event(traced: Traced) -> None:
    await a_session()
    proto, written = as_proto(traced.spans()), as_json(traced.spans())
    assert spans_in(proto) == spans_in(written)
    once = list(events_of([proto], Tally(), AnsweredTools()))
    assert list(events_of([written, proto], Tally(), AnsweredTools())) == once * 2


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
    (event,) = events_of([as_proto(traced.spans())], tally, AnsweredTools())
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


CALL = {"mcp.method.name": "tools/call", "gen_ai.tool.name": "search"}
REFUSED = {"error.type": "NotFoundError"}


@pytest.mark.parametrize(
    ("says", "code", "outcome"),
    [
        ({}, 0, "ok"),
        ({"error.type": "tool_error"}, 2, "tool_error"),
        ({"error.type": "-32602", "rpc.response.status_code": "-32602"}, 2, "rpc_error"),
        ({"error.type": "KeyError"}, 2, "server_error"),
        ({}, 2, "server_error"),
        (REFUSED, 2, "server_error"),
        (REFUSED | {"fastmcp.server.name": "orders"}, 2, "tool_error"),
        (REFUSED | {"fastmcp.server.name": "orders", "mcp.method.name": "prompts/get"}, 2, "server_error"),
    ],
)
def test_an_outcome_is_what_the_conventions_say(says: dict[str, str], code: int, outcome: str) -> None:
    (event,) = events_of([message(span_of(says=CALL | says, status={"code": code}))], Tally(), AnsweredTools())
    assert (event.outcome, event.duration_ms, event.started_at) == (outcome, 2.5, 1000)


FAILED = {"error.type": "tool_error"}


def called(tool: str, version: str = "v1", service: str = "orders", **says: str) -> bytes:
    resource = {"service.name": service, "service.version": version}
    return message(span_of(says=CALL | {"gen_ai.tool.name": tool} | says), resource=resource)


def test_a_tool_is_spoken_of_once_a_server_of_its_service_has_answered_it() -> None:
    told = [
        called("search", **FAILED),
        called("search"),
        called("search", **FAILED),
        called("search", **{"error.type": "-32603"}),
        called("search", version="v2", **FAILED),
        called("search", service="stock", **FAILED),
        called("made up", **FAILED),
        called("x" * 121),
    ]
    tally = Tally()
    tools = [event.tool for event in events_of(told, tally, AnsweredTools())]
    assert tools == ["_unknown", *["search"] * 4, *["_unknown"] * 3]
    assert tally.requests == len(told)  # calls of no known tool are calls


def test_what_is_known_of_tools_is_bounded_and_who_came_first_stays() -> None:
    tools = AnsweredTools()
    for i in range(MAX_LEARNED + 1):
        tools.learn("orders", f"t{i}")
    assert [tools.spoken("orders", f"t{i}") for i in (0, MAX_LEARNED - 1, MAX_LEARNED)] == ["t0", "t999", "_unknown"]
    for i in range(MAX_SERVICES - 1):
        tools.learn(f"s{i}", "search")
    tools.learn("orders", "t0")
    tools.learn("one more", "search")
    said = [tools.spoken(service, tool) for service, tool in (("orders", "t0"), ("s0", "search"), ("s1", "search"))]
    assert said == ["t0", "_unknown", "search"]


def test_what_is_no_request_of_a_server_is_counted_apart() -> None:
    tally = Tally()
    ping = {"mcp.method.name": "ping"}
    others = [span_of(says=ping, kind=3), span_of(), span_of(says={"mcp.method.name": "notifications/initialized"})]
    assert list(events_of([message(*others)], tally, AnsweredTools())) == []
    assert (
        list(events_of([message(span_of(says=ping), resource={"service.name": "orders"})], tally, AnsweredTools()))
        == []
    )
    (made_up,) = events_of([message(span_of(says={"mcp.method.name": "made/up"}))], tally, AnsweredTools())
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
    assert list(events_of([raw], tally, AnsweredTools())) == []
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
    assert len(list(events_of([message(*spans)], tally, AnsweredTools()))) == 2
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
        said.append((list(events_of([raw], tally, AnsweredTools())), tally))
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
        for event in events_of([raw], tally, AnsweredTools()):
            assert RequestEvent.read(event.dump()) == event
        assert astuple(tally) != before or spans_in(raw) == []
    assert min(tally.requests, tally.others, tally.unfit, tally.malformed) > FUZZED // 20


def test_protobuf_is_no_json_however_long_its_first_resource() -> None:
    lengths = set()
    for length in range(200):
        data = ExportTraceServiceRequest()
        data.resource_spans.add().resource.attributes.add(key="k" * length)
        lengths.add(data.resource_spans[0].ByteSize())
        data.resource_spans.append(_golden().resource_spans[0])
        assert len(list(events_of([data.SerializeToString()], Tally(), AnsweredTools()))) == 5
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

    def subscribe(self, topics: list[str], **_: object) -> None:
        assert topics == ["otlp_spans"]

    def consumer_group_metadata(self) -> str:
        return "the member"

    def init_transactions(self, timeout: float) -> None:
        self.happened.append("init")

    def begin_transaction(self) -> None:
        self.happened.append("begin")

    def produce(self, topic: str, value: bytes, key: bytes, headers: dict[str, bytes]) -> None:
        if self.full:
            raise BufferError
        if topic == "mcp-requests.dlq":
            self.happened.append((topic, value, headers["offset"]))
            return
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

    def timestamp(self) -> tuple[int, int]:
        return 1, 1000

    def key(self) -> None:
        return None

    def headers(self) -> None:
        return None


def test_events_and_the_place_in_the_spans_topic_are_one_transaction() -> None:
    log = Said(b"{", message(span_of(says=PING)), b"{")
    bridge = Bridge(log, log, OtelBridgeSettings())
    bridge.step()
    bridge.step()
    bridge.close()
    places = [("otlp_spans", 0, 3), ("otlp_spans", 1, 2)]
    sent = ("mcp-requests", "ping", b"otel/orders-7c9f")
    letters = [("mcp-requests.dlq", b"{", offset) for offset in (b"0", b"2")]
    assert log.happened == ["init", "begin", sent, *letters, (places, "the member"), "commit", "close"]


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
