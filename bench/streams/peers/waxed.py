"""bytewax: its Kafka source, `flat_map` to a value a cohort and message, its tumbling windows with the state in memory."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
import job
import numpy as np
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators import windowing
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.run import cli_main

Value = tuple[datetime, str, Any]
"""Append time, cohort, a latency or an array of them."""

progress = job.Progress()
windows_made: list[job.Cells] = []


class Nowhere(DynamicSink):
    """Takes the finals."""

    def build(self, *_: Any) -> StatelessSinkPartition:
        """One a worker."""
        return Silent()


class Silent(StatelessSinkPartition):
    """Takes items."""

    def write_batch(self, items: list[Any]) -> None:
        """Nothing to do with them."""


def decoded(message: KafkaSourceMessage) -> Iterable[tuple[str, Value]]:
    """A value a cohort."""
    at = datetime.fromtimestamp(message.timestamp[1] / 1000, UTC)
    if job.SINGLES:
        event = job.read_event(message.value)
        cohort = job.cohort_of(event.assignment, event.version)
        yield cohort, (at, cohort, job.latency_of(event))
        return
    names, codes, latencies = job.columns_of(message.value)
    for i, name in enumerate(names):
        yield name, (at, name, latencies[codes == i])


def folded(cells: job.Cells, value: Value) -> job.Cells:
    """Count a value."""
    _, cohort, latencies = value
    if job.SINGLES:
        cells.add_one(0, cohort, latencies)
    else:
        cells.add(0, np.full(len(latencies), cells.code(cohort)), latencies)
    progress.counted(1 if job.SINGLES else len(latencies), lambda: job.told_by(windows_made))
    return cells


def built() -> job.Cells:
    """The cells of a window."""
    windows_made.append(job.Cells())
    return windows_made[-1]


flow = Dataflow("bench")
source = KafkaSource([job.BOOTSTRAP], [job.TOPIC], batch_size=2000)
keyed = op.flat_map("decode", op.input("kafka", flow, source), decoded)
windows = windowing.fold_window(
    "window",
    keyed,
    windowing.EventClock(
        lambda value: value[0], wait_for_system_duration=timedelta(minutes=10)
    ),  # of a backlog nothing is late
    windowing.TumblingWindower(length=timedelta(milliseconds=job.WINDOW_MS), align_to=datetime.fromtimestamp(0, UTC)),
    built,
    folded,
    lambda a, _b: a,
    ordered=False,
)
op.output("out", op.map("tell", windows.down, lambda told: (told[0], job.told_by([told[1][1]]))), Nowhere())

if __name__ == "__main__":
    cli_main(flow)
