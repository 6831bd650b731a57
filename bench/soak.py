"""Memory over a long run: `python -m bench.soak [--rate 50000] [--minutes 10] [--write]`.

One worker at its usual settings counts batches of 500, as a busy server's SDK sends them, at a steady rate on a real local Kafka.
Its resident memory is read every half minute; at the end what it said in final windows is compared with what was sent.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from bench.ground import Counts, Ear, Sender, Worker, make_topic, node, workers
from bench.processes import cpu_s, memory_mb
from bench.report import machine, write_section
from bench.streams.traffic import Form, Sent, messages

TITLE = "Memory over a long run"
TOPIC, PARTITIONS, A_MESSAGE = "bench-soak", 4, 500
EVERY_S = 30.0
SETTLED_S = 60.0
"""From then on memory is to be flat: windows, caches and the filter of duplicates are full."""
PATIENCE_S = 60.0
MOST = 10**12
"""Events: more than any run sends."""


@dataclass(frozen=True, slots=True)
class Look:
    """At the worker, at one moment."""

    at_s: float
    memory_mb: float
    cpu_s: float
    sent: int
    counted: int
    """In final windows: those still open, some five seconds, are missing."""


@dataclass(frozen=True, slots=True)
class Soak:
    """All of it."""

    asked: int
    """Events a second."""
    looks: list[Look]

    @property
    def rate(self) -> float:
        """Events a second that were sent."""
        return self.looks[-1].sent / self.looks[-1].at_s

    @property
    def growth_mb(self) -> float:
        """From when it had settled to the end."""
        settled = [one.memory_mb for one in self.looks if one.at_s >= SETTLED_S]
        return settled[-1] - settled[0]


def measure(rate: int, seconds: float) -> Soak:
    """Send at the rate, look at the worker."""
    with node() as (kafka, folder):
        make_topic(kafka, TOPIC, PARTITIONS)
        ear, sender, counts = Ear(kafka), Sender(kafka, TOPIC), Counts()
        traffic = enumerate(messages(Form("soak", A_MESSAGE, MOST)))
        looks: list[Look] = []
        with workers(kafka, TOPIC, folder, 1) as (worker,):
            _send(sender, traffic, PARTITIONS)
            ear.until(lambda heard: counts.hear(heard) > 0, PATIENCE_S)
            began = time.monotonic()
            while (at_s := time.monotonic() - began) < seconds:
                _send(sender, traffic, round(at_s * rate / A_MESSAGE) - sender.sent)
                counted = counts.hear([one for one in ear.hear() if one.final])
                if at_s >= len(looks) * EVERY_S:
                    _look(looks, worker, at_s, sender, counted)
            sender.flush()
            with suppress(TimeoutError):
                ear.until(
                    lambda heard: counts.hear([o for o in heard if o.final]) >= sender.sent * A_MESSAGE, PATIENCE_S
                )
            _look(looks, worker, at_s, sender, counts.hear([]))
        ear.close()
    return Soak(rate, looks)


def _send(sender: Sender, traffic: Iterator[tuple[int, Sent]], n: int) -> None:
    for number, message in islice(traffic, max(0, n)):
        sender.send(message.key, message.value, number % PARTITIONS)


def _look(looks: list[Look], worker: Worker, at_s: float, sender: Sender, counted: int) -> None:
    pid = worker.pid
    looks.append(Look(at_s, memory_mb(pid, "VmRSS"), cpu_s(pid), sender.acknowledged * A_MESSAGE, counted))
    print(row(looks, len(looks) - 1), flush=True)


def row(looks: list[Look], number: int) -> str:
    """A line of the table."""
    one, before = looks[number], looks[max(0, number - 1)]
    cpu = 100 * (one.cpu_s - before.cpu_s) / max(1e-9, one.at_s - before.at_s) if one.at_s > before.at_s else None
    share = "–" if cpu is None else f"{cpu:.0f} %"
    return f"| {one.at_s:.0f} s | {one.memory_mb:.1f} MB | {share} | {one.sent:,} | {one.counted:,} |"


def table(soak: Soak) -> str:
    """For the page."""
    last = soak.looks[-1]
    missing = "all of them counted" if last.counted == last.sent else f"**{last.sent - last.counted:,} not counted**"
    head = (
        f"One worker, {soak.rate:,.0f} events a second ({soak.asked:,} asked for) in batches of {A_MESSAGE} on {PARTITIONS} "
        f"partitions; {machine()}, shared with Kafka, the sender and other work. {last.sent:,} events were sent and {missing}. "
        f"From {SETTLED_S:.0f} s on resident memory changed by {soak.growth_mb:+.1f} MB."
    )
    titles = "| at | resident memory | CPU, of one core | sent | counted in final windows |\n|---|---|---|---|---|"
    return "\n".join([head, "", titles, *(row(soak.looks, number) for number in range(len(soak.looks)))])


def main() -> None:
    """Run, print, and with ``--write`` put it into the page; exits 1 if an event is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=50_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--write", action="store_true")
    said = parser.parse_args()
    soak = measure(said.rate, 60 * said.minutes)
    text = table(soak)
    print(f"\n{text}")
    if said.write:
        write_section(TITLE, f"python -m bench.soak --rate {said.rate} --minutes {said.minutes:g} --write", text)
    if soak.looks[-1].counted != soak.looks[-1].sent:
        sys.exit("events are missing")


if __name__ == "__main__":
    main()
