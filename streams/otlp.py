"""OTLP traces as the Collector's Kafka exporter writes them (`otlp_proto`, `otlp_json`) → spans. Pure.

One message is an `ExportTraceServiceRequest` (opentelemetry-proto v1): resources, their scopes, their spans. In JSON ids
are hex and 64-bit numbers are strings (OTLP specification, "JSON Protobuf Encoding").
"""

import json
from collections.abc import Iterator, Mapping
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


def spans_in(raw: bytes) -> list[Span]:
    """The spans of a message. Raises :class:`OtlpError`, whatever it holds.

    JSON begins with its brace. White space before it is not skipped: in protobuf a line feed is the tag of the first resource,
    and a brace after it that resource's length, 123 bytes.
    """
    try:
        return list(_from_json(raw) if raw[:1] == b"{" else _from_proto(raw))
    except Exception as error:  # what ended the process would end it again after each restart
        raise OtlpError(f"no OTLP trace: {type(error).__name__}: {error}"[:200]) from error


def _from_proto(raw: bytes) -> Iterator[Span]:
    for of_resource in ExportTraceServiceRequest.FromString(raw).resource_spans:
        resource = _pairs(of_resource.resource.attributes)
        for scope in getattr(of_resource, _SCOPES):
            for span in scope.spans:
                trace = span.trace_id.hex()
                yield Span(
                    id=trace + span.span_id.hex(),
                    parent=trace + span.parent_span_id.hex() if span.parent_span_id else None,
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


def _from_json(raw: bytes) -> Iterator[Span]:
    for of_resource in json.loads(raw)["resourceSpans"]:
        resource = _json_pairs(of_resource.get("resource", {}))
        for scope in of_resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                trace = str(span["traceId"]).lower()
                yield Span(
                    id=trace + str(span["spanId"]).lower(),
                    parent=trace + str(span["parentSpanId"]).lower() if span.get("parentSpanId") else None,
                    kind=int(span.get("kind", 0)),
                    start_ns=_fixed64(span["startTimeUnixNano"]),
                    end_ns=_fixed64(span["endTimeUnixNano"]),
                    is_error=span.get("status", {}).get("code", 0) == ERROR,
                    attributes=_json_pairs(span),
                    resource=resource,
                )


def _fixed64(said: Any) -> int:
    """As protobuf bounds it."""
    number = int(said)
    if not 0 <= number < 2**64:
        raise ValueError(f"{str(number)[:40]} is no 64-bit time")
    return number


def _json_pairs(holder: Mapping[str, Any]) -> Attributes:
    pairs = ((pair["key"], _json_text(pair.get("value", {}))) for pair in holder.get("attributes", ()))
    return {key: text for key, text in pairs if text is not None}


def _json_text(value: Mapping[str, Any]) -> str | None:
    if "arrayValue" in value:
        values = value["arrayValue"].get("values", ())
        return _json_text(values[0]) if values else None
    return next((str(value[k]) for k in ("stringValue", "intValue", "doubleValue", "boolValue") if k in value), None)
