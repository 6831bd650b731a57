"""What alerts tell Prometheus: whether on-call hears of what happens."""

from collections import Counter
from collections.abc import Iterator
from typing import Literal, get_args

from alerts.agent import Alerts
from alerts.cause import Severity
from transport.exposition import Family, Said, text

MetricName = Literal[
    "davylamp_alerts_caught_up",  # Gauge: 1 once the log has been read to its end, else 0: only facts are told before
    "davylamp_alerts_log_away_seconds",  # Gauge: how long the log has not answered
    "davylamp_alerts_burning",  # Gauge by severity: causes that last
    "davylamp_alerts_undelivered",  # Gauge by receiver: messages that wait to be taken
    "davylamp_alerts_failing",  # Gauge by receiver: 1 while it does not take what it is told, else 0
    "davylamp_alerts_dropped_total",  # Counter by receiver: messages that gave way to newer ones, untold
]

METRICS: dict[MetricName, Family] = {
    "davylamp_alerts_caught_up": (
        "gauge",
        "1 once the log has been read to its end, else 0: only facts are told before.",
    ),
    "davylamp_alerts_log_away_seconds": ("gauge", "How long the log has not answered alerts."),
    "davylamp_alerts_burning": ("gauge", "Causes that last, by severity."),
    "davylamp_alerts_undelivered": ("gauge", "Messages that wait until a receiver takes them."),
    "davylamp_alerts_failing": ("gauge", "1 while a receiver does not take what it is told, else 0."),
    "davylamp_alerts_dropped_total": ("counter", "Messages that were never told: too many waited for a receiver."),
}


def render(alerts: Alerts) -> str:
    """As it stands."""
    return text(METRICS, _said(alerts))


def _said(alerts: Alerts) -> Iterator[Said]:
    yield "davylamp_alerts_caught_up", (), float(alerts.caught_up)
    yield "davylamp_alerts_log_away_seconds", (), alerts.away_s
    burning = Counter(cause.severity for cause in alerts.burning)
    for severity in get_args(Severity):
        yield "davylamp_alerts_burning", (("severity", severity),), burning[severity]
    for queue in alerts.queues():
        receiver = (("receiver", queue.receiver),)
        yield "davylamp_alerts_undelivered", receiver, queue.waiting
        yield "davylamp_alerts_failing", receiver, float(queue.failing)
        yield "davylamp_alerts_dropped_total", receiver, queue.dropped
