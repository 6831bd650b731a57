"""What the judge tells Prometheus."""

from collections.abc import Iterator
from typing import Literal

from judge.agent import Judge
from transport.clock import Clock
from transport.exposition import Family, Said, text
from transport.log import WatchedReader

MetricName = Literal[
    "davylamp_judge_caught_up",  # Gauge: 1 once the log has been read to its end, else 0: nothing is decided before
    "davylamp_judge_log_away_seconds",  # Gauge: how long the log has not answered
    "davylamp_judge_look_age_seconds",  # Gauge: since it last looked at every service
    "davylamp_judge_decision_age_seconds",  # Gauge by service: since the newest entry of the ledger was decided, by whomever
    "davylamp_judge_not_judged_total",  # Counter by service: looks that ended in an error
    "davylamp_judge_unacknowledged_total",  # Counter: entries that the log did not acknowledge, and that are proposed again
]

METRICS: dict[MetricName, Family] = {
    "davylamp_judge_caught_up": (
        "gauge",
        "1 once the log has been read to its end, else 0: nothing is decided before.",
    ),
    "davylamp_judge_log_away_seconds": ("gauge", "How long the log has not answered the judge."),
    "davylamp_judge_look_age_seconds": ("gauge", "Since the judge last looked at every service; missing before."),
    "davylamp_judge_decision_age_seconds": (
        "gauge",
        "Since the newest entry of a service's ledger was decided, by the judge or a person.",
    ),
    "davylamp_judge_not_judged_total": ("counter", "Looks at a service that ended in an error, which the log tells."),
    "davylamp_judge_unacknowledged_total": (
        "counter",
        "Entries that the log did not acknowledge: if one does not come back, it is proposed again.",
    ),
}


def render(judge: Judge, clock: Clock, *readers: WatchedReader) -> str:
    """As it stands; the readers are those that feed the judge."""
    away_s = max((reader.away_s for reader in readers), default=0.0)
    return text(METRICS, _said(judge, clock, away_s))


def _said(judge: Judge, clock: Clock, away_s: float) -> Iterator[Said]:
    yield "davylamp_judge_caught_up", (), float(judge.caught_up)
    yield "davylamp_judge_log_away_seconds", (), away_s
    if judge.looked_s is not None:
        yield "davylamp_judge_look_age_seconds", (), clock.monotonic_s() - judge.looked_s
    now_ms = clock.now_ms()
    for service, head in sorted(judge.heads().items()):
        yield "davylamp_judge_decision_age_seconds", (("service", service),), (now_ms - head.decided_at) / 1000
    for service, n in sorted(judge.not_judged.items()):
        yield "davylamp_judge_not_judged_total", (("service", service),), n
    yield "davylamp_judge_unacknowledged_total", (), judge.unacknowledged
