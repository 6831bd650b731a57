"""Services that share a topic: `python -m bench.streams.shared [--rounds 5] [--write]`.

A worker's own work on polled messages, without Kafka, as in `bench.streams.profile`: the same requests of one, two and
twenty services, whose messages stand among each other in one partition. A service more is a window more to tell, ten times a second.
"""

import argparse
import gc
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from bench.report import machine, write_section
from bench.streams.profile import an_s, ours, polls
from bench.streams.traffic import FORMS, Form

TITLE = "Services that share a topic"
SERVICES = (1, 2, 20)
EVENTS = 200_000

Speeds = dict[str, list[float]]
"""Form → events a CPU-second, in the order of :data:`SERVICES`."""


def measure(form: Form, rounds: int) -> list[float]:
    """The median of some rounds, in each of which every number of services has its turn."""
    whole = replace(form, events=EVENTS)
    polled = {n: polls(whole, n) for n in SERVICES}
    gc.freeze()  # what is kept here no worker keeps
    runs = [[an_s(ours, polled[n], EVENTS) for n in SERVICES] for _ in range(rounds)]
    gc.unfreeze()
    return [median(speeds) for speeds in zip(*runs, strict=True)]


def row(name: str, speeds: Sequence[float]) -> str:
    """Of the table: how many, and how many of those of a service alone."""
    first, *others = speeds
    return f"| {name} | {first:,.0f} | {' | '.join(f'{speed:,.0f} ({speed / first:.2f} ×)' for speed in others)} |"


def table(found: Speeds, rounds: int) -> str:
    """For `docs/performance.md`."""
    lines = [
        f"Events a CPU-second, the median of {rounds} rounds; a worker's own work without Kafka, partials ten times a second among it; {machine()}.",
        "",
        f"| | {' | '.join('one service' if n == 1 else f'{n} services' for n in SERVICES)} |",
        f"|---|{'---|' * len(SERVICES)}",
        *(row(name, speeds) for name, speeds in found.items()),
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and with ``--write`` put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    said = parser.parse_args()
    text = table({form.name: measure(form, said.rounds) for form in FORMS}, said.rounds)
    print(text)
    if said.write:
        write_section(TITLE, f"python -m bench.streams.shared --rounds {said.rounds} --write", text)


if __name__ == "__main__":
    main()
