"""quixstreams: a callback a message. Either its tumbling windows (state in RocksDB), or `BENCH_MEMORY=1`: cells in a dict."""

import os
import tempfile
from typing import Any

import job
import numpy as np
from quixstreams import Application
from quixstreams.dataframe.windows.aggregations import Aggregator

Value = tuple[str, int, list[int]]
"""Cohort, requests, the bins of those with a latency."""
State = list[Any]
"""Count and sparse histogram, as JSON holds them."""


class Histogram(Aggregator):
    """The state of a window and key."""

    def __init__(self, progress: job.Progress) -> None:
        super().__init__()
        self._progress = progress
        self._newest: dict[tuple[int, str], State] = {}

    def initialize(self) -> State:
        """Nothing yet."""
        return [0, {}]

    def agg(self, old: State, new: Value, timestamp: int) -> State:
        """Add a message's."""
        cohort, n, bins = new
        histogram = old[1]
        for at in bins:
            key = str(at)
            histogram[key] = histogram.get(key, 0) + 1
        old[0] += n
        self._newest[timestamp // job.WINDOW_MS, cohort] = old
        self._progress.counted(n, self._told)
        return old

    def result(self, value: State) -> dict[str, Any]:
        """Count and p99."""
        return {"n": value[0], "p99": job.p99_of(dense(value)) if value[1] else None}

    def _told(self) -> dict[str, tuple[int, float]]:
        return job.merged((cohort, state[0], dense(state)) for (_, cohort), state in self._newest.items())


def dense(state: State) -> np.ndarray:
    """The histogram of a state."""
    histogram = np.zeros(job.BINS, np.int64)
    for at, n in state[1].items():
        histogram[int(at)] = n
    return histogram


def decoded(value: bytes) -> Value:
    """A message's; every producer is of one cohort."""
    if job.SINGLES:
        event = job.read_event(value)
        bins = [] if event.outcome in job.UNTIMED else [job.bin_of(event.duration_ms)]
        return job.cohort_of(event.assignment, event.version), 1, bins
    (cohort,), _, latencies = job.columns_of(value)
    return cohort, len(latencies), job.bins_of(latencies[latencies >= 0]).tolist()


def main() -> None:
    """Run for ever."""
    app = Application(
        broker_address=job.BOOTSTRAP,
        consumer_group=job.GROUP,
        auto_offset_reset="earliest",
        state_dir=tempfile.mkdtemp(),
        loglevel="ERROR",
    )
    frame = app.dataframe(app.topic(job.TOPIC, value_deserializer="bytes", key_deserializer="bytes"))
    cells, progress = job.Cells(), job.Progress()

    def count(value: bytes, _key: Any, timestamp: int, _headers: Any) -> None:
        if job.SINGLES:
            event = job.read_event(value)
            cohort = job.cohort_of(event.assignment, event.version)
            cells.add_one(timestamp // job.WINDOW_MS, cohort, job.latency_of(event))
            n = 1
        else:
            n = job.add_messages(cells, [(timestamp, value)])
        progress.counted(n, lambda: job.told_by([cells]))

    if "BENCH_MEMORY" in os.environ:
        frame.update(count, metadata=True)
    else:  # the key is the cohort: nothing has to be repartitioned
        frame.apply(decoded).tumbling_window(job.WINDOW_MS).agg(found=Histogram(progress)).final()
    app.run()


if __name__ == "__main__":
    main()
