"""What a worker tells Prometheus: how far behind it is, whether windows close, and what is not counted."""

import json
from typing import Any

from streams.checkpoint import Checkpoint
from streams.counters import Counters
from streams.metrics import Worker
from tests.unit.status.test_metrics import samples
from transport.clock import FakeClock

TOPIC = "mcp-requests"


def statistics(**partitions: dict[str, int]) -> str:
    """As librdkafka says it (STATISTICS.md), and partition -1, which is its own."""
    said = {name[1:]: {"partition": int(name[1:]), **offsets} for name, offsets in partitions.items()}
    own = {"-1": {"partition": -1, "ls_offset": -1001, "app_offset": -1001, "committed_offset": -1001}}
    return json.dumps({"topics": {TOPIC: {"topic": TOPIC, "partitions": said | own}}})


def told(worker: Worker, *partitions: int, **counted: Any) -> dict[str, float]:
    return samples(worker.render(partitions, Counters(**counted)))


def test_it_tells_how_many_messages_of_its_own_partitions_it_has_not_read() -> None:
    worker = Worker(TOPIC, FakeClock())
    worker.hear(
        statistics(
            p0={"ls_offset": 120, "app_offset": 100, "committed_offset": 50},
            p1={"ls_offset": 80, "app_offset": -1001, "committed_offset": 30},
            p2={"ls_offset": -1001, "app_offset": -1001, "committed_offset": -1001},
            p3={"ls_offset": 9, "app_offset": 1, "committed_offset": 1},
        )
    )
    found = told(worker, 0, 1, 2)
    lags = {name: value for name, value in found.items() if "lag" in name}
    assert lags == {
        'davylamp_streams_lag_messages{partition="0"}': 20,
        'davylamp_streams_lag_messages{partition="1"}': 50,
    }  # of 2 nothing is known yet, 3 is another's
    assert found["davylamp_streams_partitions"] == 3


def test_a_partition_whose_windows_do_not_close_grows_old() -> None:
    clock, committed = FakeClock(), list[int]()
    worker = Worker(TOPIC, clock)
    commit = worker.committing(lambda partition, _: committed.append(partition))
    clock.advance(7)
    commit(0, Checkpoint.earliest(0))
    clock.advance(3)
    ages = {name: value for name, value in told(worker, 0, 1).items() if "age" in name}
    assert ages == {
        'davylamp_streams_window_age_seconds{partition="0"}': 3,
        'davylamp_streams_window_age_seconds{partition="1"}': 10,
    }
    assert committed == [0]


def test_dead_letters_are_what_nobody_could_read_but_for_what_was_not_kept() -> None:
    found = told(Worker(TOPIC, FakeClock()), malformed=5, unkept=2, duplicates=1)
    assert found["davylamp_streams_dead_letters_total"] == 3
    assert found['davylamp_streams_not_counted_total{reason="duplicates"}'] == 1
