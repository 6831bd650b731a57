"""What Prometheus is told (`/metrics`): gauges of what holds now, counters and histograms since this process reads. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal, get_args

from davylamp_sdk._message import Message
from schemas.control import RolloutState, RouteChange
from schemas.decisions import LedgerEntry
from schemas.units import FULL_SHARE
from status.page.snapshot import Snapshot
from status.views import Confirmation
from transport.exposition import Family, Labels, Sample, family

MetricName = Literal[
    "davylamp_rollout_state",  # Gauge: 1 for the state of a service's newest rollout, 0 for the others
    "davylamp_rollout_share_ratio",  # Gauge, 0 to 1: the share of new sessions that the ledger asks for
    "davylamp_rollout_score",  # Gauge, 0 to 100: the judge's score; missing without evidence
    "davylamp_check_verdict",  # Gauge: 1 for a check's verdict (`no_data` is one), 0 for the others
    "davylamp_proxies",  # Gauge: proxies that exist, by what they say of the newest route
    "davylamp_judge_age_seconds",  # Gauge: since the judge last looked; missing where no rollout runs
    "davylamp_windows_age_seconds",  # Gauge: since the end of the newest window that every partition has closed
    "davylamp_log_away_seconds",  # Gauge: how long the log has not answered this process
    "davylamp_log_followed",  # Gauge: 1 while the log is followed to its end, else 0
    "davylamp_streams_open",  # Gauge: live streams that are being watched
    "davylamp_decisions_total",  # Counter: accepted entries of the ledger, by kind and by whom (judge, router, person)
    "davylamp_events_lost_total",  # Counter: events that no window counts, by reason
    "davylamp_events_suspect_total",  # Counter: events that were counted all the same, by what is odd about them
    "davylamp_evidence_to_decision_seconds",  # Histogram: newest window in a judge's cut appended → its entry appended
    "davylamp_decision_to_acknowledged_seconds",  # Histogram: entry decided → acknowledged by the slowest proxy
]

METRICS: dict[MetricName, Family] = {
    "davylamp_rollout_state": ("gauge", "1 for the state of a service's newest rollout, 0 for the others."),
    "davylamp_rollout_share_ratio": ("gauge", "Share of new sessions that the ledger asks for, 0 to 1."),
    "davylamp_rollout_score": ("gauge", "The judge's score, 0 to 100; missing without evidence."),
    "davylamp_check_verdict": ("gauge", "1 for a check's verdict, 0 for the others."),
    "davylamp_proxies": ("gauge", "Proxies that exist, by what they say of the newest route."),
    "davylamp_judge_age_seconds": ("gauge", "Since the judge last looked; missing where no rollout runs."),
    "davylamp_windows_age_seconds": ("gauge", "Since the newest window that every partition has closed."),
    "davylamp_log_away_seconds": ("gauge", "How long the log has not answered the status service."),
    "davylamp_log_followed": ("gauge", "1 while the log is followed to its end, else 0."),
    "davylamp_streams_open": ("gauge", "Live streams that are being watched."),
    "davylamp_decisions_total": ("counter", "Accepted ledger entries, by kind and by whom."),
    "davylamp_events_lost_total": (
        "counter",
        "Events that no window counts: malformed (nobody could read them), dropped (by a server), holes (expired unread).",
    ),
    "davylamp_events_suspect_total": (
        "counter",
        "Counted all the same: duplicates (once), folded (by a cap, under a common name), stale (a clock is an hour off).",
    ),
    "davylamp_evidence_to_decision_seconds": (
        "histogram",
        "From the append of the newest window in a judge's cut to the append of its entry.",
    ),
    "davylamp_decision_to_acknowledged_seconds": (
        "histogram",
        "From an entry's decision to the slowest proxy's acknowledgement.",
    ),
}
"""Type and help, as Prometheus wants them."""

DECIDING_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
APPLYING_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_VERDICTS = ("breached", "within", "undecided", "no_data")
_REMEMBERED = 4096
"""Windows whose append times are known, and entries whose acknowledgement was counted."""


@dataclass(slots=True)
class Histogram:
    """Counts by upper bound, in seconds."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts = self.counts or [0] * (len(self.bounds) + 1)
        at = next((i for i, bound in enumerate(self.bounds) if seconds <= bound), len(self.bounds))
        self.counts[at] += 1
        self.total += seconds


@dataclass(slots=True)
class Counted:
    """Counters and histograms: what has happened since this process reads. It is told of news, never of history."""

    decisions: dict[Labels, int] = field(default_factory=dict)
    deciding: dict[str, Histogram] = field(default_factory=dict)
    """Service → evidence to decision."""
    applying: dict[str, Histogram] = field(default_factory=dict)
    """Service → decision to acknowledgement."""
    streams_open: int = 0
    _windows: dict[tuple[str, int], int] = field(default_factory=dict)
    """(`<topic>-<partition>`, offset) → append time."""
    _waiting: deque[tuple[str, tuple[str, int], int]] = field(default_factory=lambda: deque(maxlen=64))
    """(service, window, entry's append time): entries whose newest window has not been read here yet."""
    _applied: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def window(self, place: str, offset: int, at_ms: int) -> None:
        """A message of `cohort-windows`, which the log took at `at_ms`."""
        self._windows[place, offset] = at_ms
        if len(self._windows) > _REMEMBERED:
            self._windows.pop(next(iter(self._windows)))
        for service, window, decided_ms in [w for w in self._waiting if w[1] == (place, offset)]:
            self._decided(service, decided_ms - at_ms)
            self._waiting.remove((service, window, decided_ms))

    def entry(self, entry: LedgerEntry, at_ms: int) -> None:
        """An accepted entry, which the log took at `at_ms`."""
        by = entry.actor if entry.actor in ("judge", "router") else "person"
        labels = (("service", entry.service), ("kind", entry.kind), ("by", by))
        self.decisions[labels] = self.decisions.get(labels, 0) + 1
        if by != "judge" or not entry.checks or entry.command is not None:
            return
        for place, end in entry.cut.offsets.items():
            if place.rpartition("-")[0] == "cohort-windows" and end > 0:
                window = place, end - 1
                if window in self._windows:
                    self._decided(entry.service, at_ms - self._windows[window])
                else:
                    self._waiting.append((entry.service, window, at_ms))

    def route(self, change: RouteChange, told: Confirmation | None) -> None:
        """A router's word, and whether every proxy runs its entry."""
        if told is None or told.took_ms is None or told.entry in self._applied:
            return
        self._applied.append(told.entry)
        self.applying.setdefault(change.service, Histogram(APPLYING_S)).observe(told.took_ms / 1000)

    def _decided(self, service: str, took_ms: int) -> None:
        self.deciding.setdefault(service, Histogram(DECIDING_S)).observe(max(0, took_ms) / 1000)


def render(snapshots: Iterable[Snapshot], counted: Counted, *, followed: bool, away_s: float) -> str:
    """The text format (version 0.0.4), each metric with its type and help once."""
    shown = list(snapshots)
    found: dict[MetricName, list[Sample]] = {
        "davylamp_log_away_seconds": [("", (), away_s)],
        "davylamp_log_followed": [("", (), float(followed))],
        "davylamp_streams_open": [("", (), float(counted.streams_open))],
        "davylamp_decisions_total": [("", labels, float(n)) for labels, n in counted.decisions.items()],
        "davylamp_evidence_to_decision_seconds": list(_histograms(counted.deciding)),
        "davylamp_decision_to_acknowledged_seconds": list(_histograms(counted.applying)),
    }
    for snapshot in shown:
        for name, labels, value in _of(snapshot):
            found.setdefault(name, []).append(("", (("service", snapshot.service), *labels), value))
    return "".join(family(name, *METRICS[name], found.get(name, [])) for name in METRICS)


def _of(snapshot: Snapshot) -> Iterator[tuple[MetricName, Labels, float]]:
    for state in get_args(RolloutState):
        yield "davylamp_rollout_state", (("state", state),), float(state == snapshot.state)
    yield "davylamp_rollout_share_ratio", (), snapshot.view.share / FULL_SHARE
    if snapshot.view.score is not None:
        yield "davylamp_rollout_score", (), snapshot.view.score
    for row in snapshot.rows:
        for verdict in _VERDICTS:
            yield "davylamp_check_verdict", (("check", row.check), ("verdict", verdict)), float(row.verdict == verdict)
    for said in ("acknowledged", "pending", "rejected"):
        yield "davylamp_proxies", (("state", said),), float(sum(proxy.state == said for proxy in snapshot.proxies))
    yield from _ages(snapshot)


def _ages(snapshot: Snapshot) -> Iterator[tuple[MetricName, Labels, float]]:
    if snapshot.live:
        yield "davylamp_judge_age_seconds", (), (snapshot.now_ms - snapshot.view.looked_at) / 1000
    if snapshot.recent is None:
        return
    if (until := snapshot.recent.complete_until_ms) is not None:
        yield "davylamp_windows_age_seconds", (), (snapshot.now_ms - until) / 1000
    losses = snapshot.recent.losses
    for reason in ("malformed", "dropped", "holes"):
        yield "davylamp_events_lost_total", (("reason", reason),), float(getattr(losses, reason))
    for reason in ("duplicates", "folded", "stale"):
        yield "davylamp_events_suspect_total", (("reason", reason),), float(getattr(losses, reason))


def _histograms(histograms: Mapping[str, Histogram]) -> Iterator[Sample]:
    for service, histogram in histograms.items():
        label = ("service", service)
        bounds = [*(f"{bound:g}" for bound in histogram.bounds), "+Inf"]
        for bound, n in zip(bounds, accumulate(histogram.counts), strict=True):
            yield "_bucket", (label, ("le", bound)), float(n)
        yield "_sum", (label,), histogram.total
        yield "_count", (label,), float(sum(histogram.counts))


def tell(counted: Counted, message: Message, at_ms: int, confirmed: Mapping[str, Mapping[str, Confirmation]]) -> None:
    """A message that holds, which the log took at `at_ms`; `confirmed` by service and entry."""
    if isinstance(message, LedgerEntry):
        counted.entry(message, at_ms)
    elif isinstance(message, RouteChange):
        counted.route(message, confirmed.get(message.service, {}).get(message.entry))
