"""What the benchmarks of workers count, and what their tables say."""

import json
from itertools import islice

from bench.ground import Counts, Heard
from bench.restart import Restart
from bench.restart import table as restart_table
from bench.services import A_MESSAGE, Found, Listener, name, traffic
from bench.services import table as services_table
from bench.soak import Look, Soak
from bench.soak import table as soak_table
from bench.workers import Run
from bench.workers import table as workers_table
from davylamp_sdk._event import EventBatch
from schemas.windows import Cell, CohortWindow


def heard(n: int, *, final: bool = False, **changes: object) -> Heard:
    """A window with so many requests."""
    fields = {
        "service": name(3),
        "source": "bench",
        "partition": 0,
        "partitions": 4,
        "window_start": 5000,
        "window_ms": 5000,
        "first_offset": 0,
        "through": 10,
        "clock_ms": 6000,
        "final": final,
        "instance": "w0",
        "cells": (Cell(version="v1", label="-", outcomes={"ok": n}),),
    }
    window = CohortWindow.model_validate(fields | changes)
    return Heard(f"{window.service}|5000|0|{'final' if final else 'w0'}".encode(), window.dump())


def test_of_each_window_the_word_that_reaches_furthest_counts_and_its_parts_add_up() -> None:
    counts = Counts()
    assert counts.hear([heard(4), heard(7, through=12), heard(4)]) == 7
    assert (
        counts.hear([heard(7, through=12, final=True, parts=2), heard(2, through=12, final=True, part=2, parts=2)]) == 9
    )
    assert counts.hear([heard(7, through=12)]) == 9
    assert counts.hear([heard(5, partition=1), heard(6, window_start=10_000)]) == 20


def test_a_final_is_known_by_its_key() -> None:
    assert (heard(1).final, heard(1, final=True).final) == (False, True)


def test_each_service_has_two_producers_whose_sequences_count_on() -> None:
    sent = [(service, key, EventBatch.read(value)) for service, key, value in islice(traffic(10), 60)]
    assert {batch.service for _, _, batch in sent} == {name(number) for number in range(10)}
    assert all(batch.service == name(service) for service, _, batch in sent)
    assert all(batch.producer.encode() == key for _, key, batch in sent)
    assert len({(batch.producer, batch.sequence) for _, _, batch in sent}) == 60
    assert {len(batch.outcome) for _, _, batch in sent} == {A_MESSAGE}
    assert {batch.version for _, key, batch in sent if key == f"{name(1)}/0".encode()} == {"v1"}


def test_an_event_is_heard_of_once_by_the_first_window_that_reaches_beyond_it() -> None:
    listener = Listener([3])
    listener.sent(name(3), 0, 9, 0.0)
    listener.sent(name(3), 0, 10, 0.0)
    listener.hear([heard(1)])
    assert (len(listener.heard_ms), listener.windows) == (1, 1)
    listener.hear([heard(1), heard(1, through=11)])
    assert (len(listener.heard_ms), listener.windows) == (2, 3)


def test_the_tables_say_what_was_read() -> None:
    restarts = restart_table([Restart(1.5, 1.0), Restart(2.5, 1.2), Restart(2.0, 1.1)], 3.25)
    assert "| by the clock | 1.50, 2.50, 2.00 | 2.00 | 2.50 |" in restarts
    assert "| CPU of the new process | 1.00, 1.20, 1.10 | 1.10 | 1.20 |" in restarts
    assert "its load was 3.2 at the end" in restarts
    looks = [Look(0.0, 80.0, 1.0, 0, 0), Look(60.0, 120.0, 7.0, 3000, 2500), Look(120.0, 121.5, 13.0, 6000, 6000)]
    text = soak_table(Soak(50, looks))
    assert "| 60 s | 120.0 MB | 10 % | 3,000 | 2,500 |" in text
    assert "all of them counted" in text
    assert "changed by +1.5 MB" in text
    assert "**1,000 not counted**" in soak_table(Soak(50, [*looks[:2], Look(120.0, 121.5, 13.0, 6000, 5000)]))
    assert "| 500 | 2 | 2.50 | 100,000 | 90 MB |" in workers_table([Run(2, 500, 1_000_000, 2.5, 10.0, 90.0)])
    found = Found(1000, 2.0, 9990.0, 4000.0, 55.0, 210.0, [10.0, 30.0])
    assert "| 9,990 | 4,000 | 55 % | 210 MB | 20 ms | 30 ms |" in services_table(found)


def test_the_traffic_of_services_is_json_that_anybody_reads() -> None:
    (_, _, value) = next(traffic(1))
    assert json.loads(value)["service"] == name(0)
