"""OTLP traces as the Collector's Kafka exporter writes them (`otlp_proto`, `otlp_json`) → spans. Pure.

One message is an `ExportTraceServiceRequest` (opentelemetry-proto v1): resources, their scopes, their spans. In JSON ids
are hex (OTLP specification, "JSON Protobuf Encoding"), or base64 where protobuf's own JSON was written; 64-bit numbers are
text or numbers; and what is 0, empty or null may be left out.
"""

import json
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

Attributes = Mapping[str, str]
"""Those that are text, numbers or lists of text (of which the first), as text."""
_SCOPES = "scope_spans" if "scope_spans" in ResourceSpans.DESCRIPTOR.fields_by_name else "instrumentation_library_spans"
"""The same field of the message; xds-protos carries a version of opentelemetry-proto that has its older name."""
SERVER = 2
ERROR = 2
_TRACE_BYTES, _SPAN_BYTES = 16, 8


class OtlpError(Exception):
    """A message is no OTLP trace."""


@dataclass(frozen=True, slots=True)
class Span:
    """What we need of one."""

    id: str
    """Trace and span id, in hex."""
    parent: str | None
    """The same of its parent; None: a root."""
    kind: int
    start_ns: int
    end_ns: int
    is_error: bool
    attributes: Attributes
    resource: Attributes


@dataclass(frozen=True, slots=True)
class Unread:
    """A span that cannot be read, beside others that can."""

    why: str


def spans_in(raw: bytes) -> list[Span | Unread]:
    """The spans of a message. Raises :class:`OtlpError`, whatever it holds.

    JSON begins with its brace. White space before it is not skipped: in protobuf a line feed is the tag of the first resource,
    and a brace after it that resource's length, 123 bytes.
    """
    try:
        return list(_from_json(raw) if raw[:1] == b"{" else _from_proto(raw))
    except Exception as error:  # what ended the process would end it again after each restart
        raise OtlpError(f"no OTLP trace: {_short(error)}") from error


def _one(read: Callable[[Any, Attributes], Span], span: Any, resource: Attributes) -> Span | Unread:
    try:
        return read(span, resource)
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:  # its neighbours count
        return Unread(_short(error))


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def _id(trace: bytes, span: bytes) -> str:
    if (len(trace), len(span)) != (_TRACE_BYTES, _SPAN_BYTES):
        raise ValueError(f"ids of {len(trace)} and {len(span)} bytes are not those of a trace and a span")
    return (trace + span).hex()


def _from_proto(raw: bytes) -> Iterator[Span | Unread]:
    for of_resource in ExportTraceServiceRequest.FromString(raw).resource_spans:
        resource = _pairs(of_resource.resource.attributes)
        for scope in getattr(of_resource, _SCOPES):
            yield from (_one(_proto_span, span, resource) for span in scope.spans)


def _proto_span(span: Any, resource: Attributes) -> Span:
    return Span(
        id=_id(span.trace_id, span.span_id),
        parent=_id(span.trace_id, span.parent_span_id) if span.parent_span_id else None,
        kind=span.kind,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        is_error=span.status.code == ERROR,
        attributes=_pairs(span.attributes),
        resource=resource,
    )


def _pairs(attributes: "list[KeyValue]") -> Attributes:
    return {pair.key: text for pair in attributes if (text := _text(pair.value)) is not None}


def _text(value: AnyValue) -> str | None:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return _text(value.array_value.values[0]) if value.array_value.values else None
    return str(getattr(value, kind)) if kind in ("string_value", "int_value", "double_value", "bool_value") else None


def _from_json(raw: bytes) -> Iterator[Span | Unread]:
    for of_resource in json.loads(raw)["resourceSpans"]:
        resource = _json_pairs(of_resource.get("resource") or {})
        for scope in of_resource.get("scopeSpans") or ():
            yield from (_one(_json_span, span, resource) for span in scope.get("spans") or ())


def _json_span(span: Mapping[str, Any], resource: Attributes) -> Span:
    trace, parent = _json_id(span["traceId"], _TRACE_BYTES), span.get("parentSpanId")
    return Span(
        id=_id(trace, _json_id(span["spanId"], _SPAN_BYTES)),
        parent=_id(trace, _json_id(parent, _SPAN_BYTES)) if parent else None,
        kind=int(span.get("kind") or 0),
        start_ns=_fixed64(span.get("startTimeUnixNano")),
        end_ns=_fixed64(span.get("endTimeUnixNano")),
        is_error=int((span.get("status") or {}).get("code") or 0) == ERROR,
        attributes=_json_pairs(span),
        resource=resource,
    )


def _json_id(said: Any, size: int) -> bytes:
    text = str(said)
    return bytes.fromhex(text) if len(text) == 2 * size else b64decode(text, validate=True)


def _fixed64(said: Any) -> int:
    """As protobuf bounds it; 0 where it is left out."""
    number = int(said or 0)
    if not 0 <= number < 2**64:
        raise ValueError(f"{str(number)[:40]} is no 64-bit time")
    return number


def _json_pairs(holder: Mapping[str, Any]) -> Attributes:
    pairs = ((pair["key"], _json_text(pair.get("value") or {})) for pair in holder.get("attributes") or ())
    return {key: text for key, text in pairs if text is not None}


def _json_text(value: Mapping[str, Any]) -> str | None:
    if "arrayValue" in value:
        values = value["arrayValue"].get("values") or ()
        return _json_text(values[0]) if values else None
    return next((str(value[k]) for k in ("stringValue", "intValue", "doubleValue", "boolValue") if k in value), None)
