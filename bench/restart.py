"""How long a worker is away after kill -9: `python -m bench.restart [--times 10] [--write]`.

A worker counts steady telemetry on a real local Kafka, is killed, and is started again at once, as its supervisor would.
Time runs from the start of the new process until somebody who reads `cohort-windows` hears of an event that was sent after
the kill: a process that was killed can have said nothing of that. Exits 1 if one takes more than the target.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import median
from typing import Any

from bench.ground import Ear, Sender, Worker, make_topic, node
from bench.processes import cpu_s
from bench.report import machine, write_section
from bench.streams.traffic import Form, messages

TARGET_S = 3.0
TITLE = "A worker after kill -9"
TOPIC, PARTITIONS = "bench-restart", 4
A_LIFE = 100
"""Messages of a hundred events in each life of the worker, before it is killed."""
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Restart:
    """One of them."""

    wall_s: float
    cpu_s: float
    """Of the new process by then: what it would take on a core of its own, less what it waits for."""


def measure(times: int) -> list[Restart]:
    """Kill and start so many times."""
    took = []
    with node() as (kafka, folder):
        make_topic(kafka, TOPIC, PARTITIONS)
        ear, sender, traffic = Ear(kafka), Sender(kafka, TOPIC), messages(Form("", 100, 100_000_000))
        worker = Worker(kafka, TOPIC, folder)
        try:
            for _ in range(times):
                for partition, message in zip(cycle(range(PARTITIONS)), islice(traffic, A_LIFE), strict=False):
                    sender.send(message.key, message.value, partition)
                    time.sleep(0.01)
                _hear_of_another(ear, sender, next(traffic))  # until it runs
                worker.kill()
                began = time.monotonic()
                worker = Worker(kafka, TOPIC, folder)
                _hear_of_another(ear, sender, next(traffic))
                took.append(Restart(time.monotonic() - began, cpu_s(worker.pid)))
                print(f"{took[-1].wall_s:.2f} s, of CPU {took[-1].cpu_s:.2f} s", flush=True)
        finally:
            worker.kill()
            ear.close()
    return took


def _hear_of_another(ear: Ear, sender: Sender, message: Any) -> None:
    places: list[int] = []
    sender.send(message.key, message.value, 0, lambda told: places.append(told.offset()))
    sender.flush()
    (offset,) = places

    def told(heard: Any) -> bool:
        windows = (one.window for one in heard)
        return any(w.source == TOPIC and w.partition == 0 and w.through > offset for w in windows)

    ear.until(told, PATIENCE_S)


def table(took: list[Restart], load: float) -> str:
    """The readings, and what they come to."""
    wall, cpu = [one.wall_s for one in took], [one.cpu_s for one in took]
    head = (
        f"{len(took)} times, from the start of the new process to its first word of an event that came after the kill; "
        f"{machine()}, shared with other work: its load was {load:.1f} at the end. Target: {TARGET_S:g} s."
    )
    lines = [head, "", "| | seconds, in order | median | longest |", "|---|---|---|---|"]
    for name, seconds in (("by the clock", wall), ("CPU of the new process", cpu)):
        readings = ", ".join(f"{s:.2f}" for s in seconds)
        lines.append(f"| {name} | {readings} | {median(seconds):.2f} | {max(seconds):.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and with ``--write`` put it into the page; exits 1 if a worker was away for longer than the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--write", action="store_true")
    said = parser.parse_args()
    took = measure(said.times)
    text = table(took, os.getloadavg()[0])
    print(text)
    if said.write:
        write_section(TITLE, f"python -m bench.restart --times {said.times} --write", text)
    longest = max(one.wall_s for one in took)
    if longest > TARGET_S:
        sys.exit(f"a worker was away for {longest:.1f} s, the target is {TARGET_S:g} s")


if __name__ == "__main__":
    main()
