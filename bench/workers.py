"""One, two and four workers: `python -m bench.workers [--events 2000000] [--write]`.

The same events in batches of 500 and of 100 on a topic of four partitions of a real local Kafka, counted by so many workers of
one group. All of them are members before the first event is sent. CPU time is theirs alone, until all is counted.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from bench.ground import Counts, Ear, Heard, Sender, Worker, make_topic, node, workers
from bench.processes import cpu_s, memory_mb
from bench.report import machine, write_section
from bench.streams.traffic import Form, messages
from streams.telemetry import GROUP
from transport.settings import KafkaSettings

TITLE = "One, two and four workers"
PARTITIONS = 4
WORKERS = (1, 2, 4)
SIZES = (500, 100)
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Run:
    """So many workers, in messages of so many events."""

    workers: int
    a_message: int
    events: int
    cpu_s: float
    """Of all workers together."""
    wall_s: float
    """From the first event's sending to the last one's window: the sender takes part of it."""
    memory_mb: float
    """Of the largest worker, at its peak."""


def measure(events: int) -> list[Run]:
    """Each number of workers with each size of message, one after the other, in one Kafka."""
    with node() as (kafka, folder):
        return [run(kafka, folder, n, a_message, events) for a_message in SIZES for n in WORKERS]


def run(kafka: KafkaSettings, folder: Path, n: int, a_message: int, events: int) -> Run:
    """Count the events once."""
    topic = f"bench-workers-{a_message}-{n}"
    make_topic(kafka, topic, PARTITIONS)
    ear, sender, counts = Ear(kafka), Sender(kafka, topic), Counts()

    def counted(heard: Sequence[Heard]) -> bool:
        return counts.hear([one for one in heard if f'"source":"{topic}"'.encode() in one.value]) >= events

    with workers(kafka, topic, folder, n) as made:
        await_shared(kafka, topic, n)
        before, began = total(made), time.monotonic()
        for number, message in enumerate(messages(Form("", a_message, events))):
            sender.send(message.key, message.value, number % PARTITIONS)
        sender.flush()
        ear.until(counted, PATIENCE_S)
        found = Run(
            workers=n,
            a_message=a_message,
            events=events,
            cpu_s=total(made) - before,
            wall_s=time.monotonic() - began,
            memory_mb=max(memory_mb(worker.pid) for worker in made),
        )
    ear.close()
    print(row(found), flush=True)
    return found


def total(made: Sequence[Worker]) -> float:
    """CPU seconds of all."""
    return sum(cpu_s(worker.pid) for worker in made)


def await_shared(kafka: KafkaSettings, topic: str, n: int) -> None:
    """Return when the group has given each worker its part of the topic."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with suppress(KafkaException):  # librdkafka sometimes forgets what it was asked early
            if sorted(shares(kafka, topic)) == [PARTITIONS // n] * n:
                return
        time.sleep(0.1)
    raise TimeoutError(f"{n} workers did not share {topic}")


def shares(kafka: KafkaSettings, topic: str) -> list[int]:
    """How many partitions of the topic each member of the group has that has any."""
    with AdminClient(kafka.librdkafka("bench")) as admin:
        (told,) = admin.describe_consumer_groups([GROUP], request_timeout=10).values()
        parts = [member.assignment.topic_partitions for member in told.result().members]
    return [mine for some in parts if (mine := sum(part.topic == topic for part in some))]


def row(one: Run) -> str:
    """A line of the table."""
    million = 1_000_000 * one.cpu_s / one.events
    rate = one.events / one.wall_s
    return f"| {one.a_message} | {one.workers} | {million:.2f} | {rate:,.0f} | {one.memory_mb:.0f} MB |"


def table(runs: Sequence[Run]) -> str:
    """For the page."""
    head = (
        f"{runs[0].events:,} events each on {PARTITIONS} partitions; {machine()}, which Kafka, the sender and other work have a part of: so "
        "more workers count hardly more in a second here, and what an event costs is the figure. *Memory* is resident, of the largest worker."
    )
    titles = "| events a message | workers | CPU-seconds a million events, all workers | events a second | peak memory |\n|---|---|---|---|---|"
    return "\n".join([head, "", titles, *map(row, runs)])


def main() -> None:
    """Measure, print, and with ``--write`` put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--write", action="store_true")
    said = parser.parse_args()
    text = table(measure(said.events))
    print(f"\n{text}")
    if said.write:
        write_section(TITLE, f"python -m bench.workers --events {said.events} --write", text)


if __name__ == "__main__":
    main()
