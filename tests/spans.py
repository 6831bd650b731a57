"""Spans of a tracer of the OpenTelemetry SDK, and the OTLP message of them."""

from collections.abc import Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from streams.otlp import _SCOPES

RESOURCE = {"service.name": "orders", "service.version": "v2", "service.instance.id": "orders-7c9f"}


class Traced:
    """A tracer of the OpenTelemetry SDK, and what it has finished."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(resource=Resource(RESOURCE))
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()


def value_of(value: Any) -> AnyValue:
    if isinstance(value, tuple):
        return AnyValue(array_value=ArrayValue(values=[value_of(one) for one in value]))
    kinds = {bool: "bool_value", int: "int_value", str: "string_value"}
    return AnyValue(**{kinds[type(value)]: value})


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
