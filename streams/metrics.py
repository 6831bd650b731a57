"""What a worker of streams tells Prometheus."""

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from typing import Literal

from streams.checkpoint import Checkpoint
from streams.counters import Counters
from transport.clock import Clock
from transport.exposition import Family, Said, text

MetricName = Literal[
    "davylamp_streams_partitions",  # Gauge: partitions of the telemetry that this worker owns
    "davylamp_streams_lag_messages",  # Gauge, messages by partition: in the log and not read yet
    "davylamp_streams_window_age_seconds",  # Gauge by partition: since this worker closed a window
    "davylamp_streams_not_counted_total",  # Counter by reason: what no window counts, or counts under a common name
    "davylamp_streams_dead_letters_total",  # Counter: messages kept in the dead-letter topic
]

METRICS: dict[MetricName, Family] = {
    "davylamp_streams_partitions": ("gauge", "Partitions of the telemetry that this worker owns."),
    "davylamp_streams_lag_messages": (
        "gauge",
        "Messages of a partition in the log that this worker has not read yet, as of the last five seconds.",
    ),
    "davylamp_streams_window_age_seconds": (
        "gauge",
        "Since this worker last closed a window of a partition, or began. Ticks close windows of idle ones, too.",
    ),
    "davylamp_streams_not_counted_total": (
        "counter",
        (
            "duplicates (dropped), malformed (nobody could read them), unkept (of those, not in the dead-letter topic), holes "
            "(expired unread), folded (counted under a common name)."
        ),
    ),
    "davylamp_streams_dead_letters_total": (
        "counter",
        "Messages that nobody could read, kept in the dead-letter topic.",
    ),
}

STATISTICS_MS = 5_000


class Worker:
    """What is told of one worker. Its methods are called on the worker's threads, :meth:`said` on any."""

    def __init__(self, topic: str, clock: Clock) -> None:
        self._topic = topic
        self._clock = clock
        self._began_s = clock.monotonic_s()
        self._lags: dict[int, int] = {}
        self._closed_s: dict[int, float] = {}

    def consumer_settings(self) -> dict[str, object]:
        """By which librdkafka tells how far behind it is."""
        return {"statistics.interval.ms": STATISTICS_MS, "stats_cb": self.hear}

    def hear(self, statistics: str) -> None:
        """librdkafka's own words (STATISTICS.md)."""
        found = json.loads(statistics).get("topics", {}).get(self._topic, {}).get("partitions", {}).values()
        lags = {int(said["partition"]): _lag(said) for said in found}
        self._lags = {partition: lag for partition, lag in lags.items() if lag is not None}

    def committing(self, commit: Callable[[int, Checkpoint], None]) -> Callable[[int, Checkpoint], None]:
        """`commit`, which follows whenever a window has been closed."""

        def closed(partition: int, checkpoint: Checkpoint) -> None:
            commit(partition, checkpoint)
            self._closed_s[partition] = self._clock.monotonic_s()

        return closed

    def render(self, partitions: Collection[int], counters: Counters) -> str:
        """As it stands."""
        return text(METRICS, self._said(sorted(partitions), counters))

    def _said(self, partitions: Collection[int], counters: Counters) -> Iterator[Said]:
        yield "davylamp_streams_partitions", (), len(partitions)
        now_s, lags = self._clock.monotonic_s(), self._lags
        for partition in partitions:
            labels = (("partition", str(partition)),)
            if partition in lags:
                yield "davylamp_streams_lag_messages", labels, lags[partition]
            age_s = now_s - self._closed_s.get(partition, self._began_s)
            yield "davylamp_streams_window_age_seconds", labels, age_s
        for reason, n in asdict(counters).items():
            yield "davylamp_streams_not_counted_total", (("reason", reason),), n
        yield "davylamp_streams_dead_letters_total", (), counters.malformed - counters.unkept


def _lag(said: dict[str, int]) -> int | None:
    """None: it is not known yet. Of what is committed already nobody has to be told."""
    end, read = said.get("ls_offset", -1), max(said.get("app_offset", -1), said.get("committed_offset", -1))
    return max(0, end - read) if end >= 0 and read >= 0 and said["partition"] >= 0 else None
