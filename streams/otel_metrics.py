"""What the bridge of OpenTelemetry spans tells Prometheus."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from transport.exposition import Family, Said, text

MetricName = Literal[
    "davylamp_otel_spans_total",  # Counter by what became of a span: request, other, unfit
    "davylamp_otel_messages_lost_total",  # Counter, messages by reason: malformed, unkept (of those), expired
    "davylamp_otel_dead_letters_total",  # Counter: messages kept in the dead-letter topic
]

METRICS: dict[MetricName, Family] = {
    "davylamp_otel_spans_total": (
        "counter",
        "Spans: request (became an event), other (no request of MCP), unfit (says too little; the log says why).",
    ),
    "davylamp_otel_messages_lost_total": (
        "counter",
        "Messages: malformed (no OTLP), unkept (of those, not in the dead-letter topic), expired (retention took them unread).",
    ),
    "davylamp_otel_dead_letters_total": ("counter", "Messages that are no OTLP, kept in the dead-letter topic."),
}


@dataclass(slots=True)
class Tally:
    """What became of the spans, since the bridge started."""

    requests: int = 0
    others: int = 0
    """Spans of anything but an MCP request."""
    unfit: int = 0
    """Spans that cannot be read, and requests that say too little; the log says why, of each."""
    malformed: int = 0
    """Messages; they are in the dead-letter topic, but for the `unkept`."""
    unkept: int = 0
    """Of the malformed those that came in a flood."""
    lost: int = 0
    """Messages that the topic's retention took before they were read."""


def render(tally: Tally) -> str:
    """As it stands."""
    return text(METRICS, _said(tally))


def _said(tally: Tally) -> Iterator[Said]:
    for became, n in (("request", tally.requests), ("other", tally.others), ("unfit", tally.unfit)):
        yield "davylamp_otel_spans_total", (("became", became),), n
    for reason, n in (("malformed", tally.malformed), ("unkept", tally.unkept), ("expired", tally.lost)):
        yield "davylamp_otel_messages_lost_total", (("reason", reason),), n
    yield "davylamp_otel_dead_letters_total", (), tally.malformed - tally.unkept
