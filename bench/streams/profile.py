"""A worker's own work on polled messages, without Kafka, beside what the plain consumer does with them.

`python -m bench.streams.profile` prints events a CPU-second of both, the median of some rounds one after the other, and
their ratio; `--profile 500` prints the profile of a form. Partials are published as often as a worker would that has the
CPU to itself: its clock is that of its CPU time.
"""

import argparse
import asyncio
import cProfile
import gc
import importlib
import os
import pstats
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.streams.traffic import FORMS, Form, messages
from bench.streams_decode import EVENTS_A_SECOND, NOW, WINDOW_MS
from streams.checkpoint import Checkpoint
from streams.handover import Assigned, Messages, Polled
from streams.outbox import MemoryOutbox, Outgoing
from streams.owner import Owner, Pace
from streams.publisher import Publisher
from transport.log import Record

EVENTS = 200_000
RUNS = 5
POLL_BYTES, POLL_MESSAGES = 512 * 1024, 2000
"""As the consumer polls."""
SPEED = 10
"""The log was written so many times faster than the traffic of `bench.streams_decode`: 200,000 events a second."""


class CpuClock:
    """Time that only passes while this process works."""

    def now_ms(self) -> int:
        """Nobody asks for it here."""
        return NOW

    def monotonic_s(self) -> float:
        """CPU seconds."""
        return time.process_time()


class Nowhere(MemoryOutbox):
    """Counts what is sent, and forgets it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    async def send(self, record: Outgoing) -> None:
        """Take it."""
        self.sent += len(record.value or b"")


def polls(form: Form, services: int = 1) -> list[list[Record]]:
    """What a consumer gets, poll by poll."""
    found: list[list[Record]] = [[]]
    size = 0
    for offset, sent in enumerate(messages(form, services)):
        if size >= POLL_BYTES or len(found[-1]) == POLL_MESSAGES:
            found.append([])
            size = 0
        at_ms = NOW + offset * form.a_message * 1000 // (SPEED * EVENTS_A_SECOND)
        found[-1].append(Record("mcp-requests", 0, offset, at_ms, sent.key, sent.value))
        size += len(sent.value)
    return found


def ours(polled: Sequence[Sequence[Record]]) -> None:
    """All that a worker does but for Kafka and Faust."""
    pace = Pace("mcp-requests", WINDOW_MS, 0.1, "w1")
    publisher = Publisher(Nowhere(), 4)
    owner = Owner(publisher, pace, CpuClock(), lambda: frozenset({"orders"}), lambda _p, _c: None)

    async def own() -> None:
        await owner.handle(Assigned(0, 1, Checkpoint.earliest(0), 0))
        for number, records in enumerate(polled, start=1):
            await owner.handle(Polled(0, number, Messages.of(records)))

    asyncio.run(own())


def plain(form: Form) -> Callable[[Sequence[Sequence[Record]]], None]:
    """What `peers/plain.py` does with them."""
    job = _job(form)

    def count(polled: Sequence[Sequence[Record]]) -> None:
        cells = job.Cells()
        for records in polled:
            job.add_messages(cells, ((record.timestamp_ms, record.value) for record in records))

    return count


def _job(form: Form) -> Any:
    """The peers' module: it reads what it is to do from the environment as it is imported."""
    os.environ |= {"BENCH_BOOTSTRAP": "", "BENCH_TOPIC": "", "BENCH_EVENTS": str(form.events)}
    os.environ["BENCH_FORM"] = "singles" if form.a_message == 1 else "batches"
    sys.path.insert(0, str(Path(__file__).parent / "peers"))
    sys.modules.pop("job", None)
    return importlib.import_module("job")


def an_s(work: Callable[[Sequence[Sequence[Record]]], None], polled: Sequence[Sequence[Record]], events: int) -> float:
    """Events a CPU-second."""
    start = time.process_time()
    work(polled)
    return events / (time.process_time() - start)


def main() -> None:
    """Measure and print, or profile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--profile", type=int, choices=[form.a_message for form in FORMS], help="of messages of so many"
    )
    parser.add_argument("--forms", nargs="*", type=int, default=[])
    said = parser.parse_args()
    if said.profile is None:
        print(f"{'':<16}{'davylamp':>12}{'plain':>12}{'ratio':>8}   events a CPU-second")
    for whole in FORMS:
        form = replace(whole, events=EVENTS)
        polled = polls(form)
        gc.freeze()  # what is kept here no worker keeps
        if said.profile == form.a_message:
            with cProfile.Profile() as profile:
                ours(polled)
            pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
        elif said.profile is None and form.a_message in (said.forms or [form.a_message]):
            peer = plain(form)
            pairs = [(an_s(ours, polled, EVENTS), an_s(peer, polled, EVENTS)) for _ in range(RUNS)]
            mine, theirs, ratio = (median(column) for column in zip(*((a, b, a / b) for a, b in pairs), strict=True))
            print(f"{form.name:<16}{mine:>12,.0f}{theirs:>12,.0f}{ratio:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
