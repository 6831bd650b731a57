"""A thousand services on one topic: `python -m bench.services [--services 1000] [--rate 2] [--seconds 60] [--write]`.

Each service is registered and has two servers, a version each, whose telemetry comes in small batches at a steady rate; all
on one topic, counted by one worker at its usual settings. Of a sample of services every window is heard: when an event was
sent, and when somebody who reads `cohort-windows` heard of it.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from bench.ground import Ear, Heard, Sender, make_topic, node, workers
from bench.processes import cpu_s, memory_mb
from bench.report import machine, write_section
from bench.streams_decode import batches, events
from schemas.service import Service
from transport.kafka_log import KafkaWriter
from transport.settings import KafkaSettings

TITLE = "A thousand services on one topic"
TOPIC, PARTITIONS = "bench-services", 4
A_MESSAGE = 5
SAMPLE = 20
"""Services whose windows are heard."""
WARM_UP_S = 15.0
PATIENCE_S = 120.0
_TEMPLATES = 200


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured."""

    services: int
    rate: float
    """Events a second of each."""
    events_a_second: float
    windows_a_second: float
    cpu_percent: float
    """Of one core."""
    memory_mb: float
    heard_ms: list[float]
    """From an event's sending to the first word of it."""


def name(number: int) -> str:
    """Of a service."""
    return f"orders-{number:04}"


async def register(kafka: KafkaSettings, services: int) -> None:
    """Tell who there is."""
    writer = KafkaWriter(kafka, "bench")
    for number in range(services):
        fields = {"service": name(number), "path": f"/{name(number)}", "baseline": "v1", "telemetry": TOPIC}
        versions = {"versions": {version: {"endpoints": ["127.0.0.1:9"]} for version in ("v1", "v2")}}
        await writer.append("services", name(number), Service.model_validate(fields | versions).dump())
    await writer.close()


def traffic(services: int) -> Iterator[tuple[int, bytes, bytes]]:
    """(service, key, value), without end: services in a drawn order, the versions of each in turns."""
    templates = batches(events(_TEMPLATES * A_MESSAGE), A_MESSAGE)
    dice, order = random.Random(7), list(range(services))
    for round_ in count():
        dice.shuffle(order)
        for service in order:
            template = templates[(2 * dice.randrange(_TEMPLATES // 2)) + round_ % 2]
            key = f"{name(service)}/{round_ % 2}".encode()
            yield service, key, _of(template, name(service).encode(), key, round_ * A_MESSAGE)


def _of(template: bytes, service: bytes, key: bytes, sequence: int) -> bytes:
    """The batch, of another service and producer, with another sequence."""
    own = {b"producer": b'"%s"' % key, b"service": b'"%s"' % service, b"sequence": b"%d" % sequence}
    for field, value in own.items():
        head, _, rest = template.partition(b'"%s":' % field)
        template = head + b'"%s":' % field + value + rest[rest.index(b",") :]
    return template


class Listener:
    """Hears of the sampled services; counts all windows."""

    def __init__(self, sample: Sequence[int]) -> None:
        self._keys = tuple(f"{name(number)}|".encode() for number in sample)
        self._waiting: dict[tuple[str, int], list[tuple[int, float]]] = {}
        self.windows = 0
        self.heard_ms: list[float] = []

    def sent(self, service: str, partition: int, offset: int, at_s: float) -> None:
        """An event that is waited for."""
        self._waiting.setdefault((service, partition), []).append((offset, at_s))

    def hear(self, heard: Sequence[Heard]) -> None:
        """Messages of `cohort-windows`, just now."""
        now_s = time.monotonic()
        self.windows += len(heard)
        for one in heard:
            if one.key.startswith(self._keys):
                window = one.window
                waiting = self._waiting.get((window.service, window.partition), [])
                self.heard_ms += [1000 * (now_s - at_s) for offset, at_s in waiting if offset < window.through]
                waiting[:] = [place for place in waiting if place[0] >= window.through]


def measure(services: int, rate: float, seconds: float) -> Found:
    """Send at the rate, hear, and read the worker's CPU time after a warm-up."""
    with node() as (kafka, folder):
        make_topic(kafka, TOPIC, PARTITIONS)
        asyncio.run(register(kafka, services))
        ear, sender, made = Ear(kafka), Sender(kafka, TOPIC), traffic(services)
        sample = random.Random(3).sample(range(services), min(SAMPLE, services))
        listener = Listener(sample)
        with workers(kafka, TOPIC, folder, 1) as (worker,):
            ear.until(bool, PATIENCE_S)
            began, before = time.monotonic(), (0.0, 0, 0, 0.0)
            while (at_s := time.monotonic() - began) < WARM_UP_S + seconds:
                for _ in range(round(at_s * rate * services / A_MESSAGE) - sender.sent):
                    _send(sender, listener, next(made), frozenset(sample))
                listener.hear(ear.hear(0.005))
                if at_s >= WARM_UP_S and not before[0]:
                    before = at_s, sender.sent, listener.windows, cpu_s(worker.pid)
                    listener.heard_ms.clear()
            lasted = at_s - before[0]
            found = Found(
                services=services,
                rate=rate,
                events_a_second=(sender.sent - before[1]) * A_MESSAGE / lasted,
                windows_a_second=(listener.windows - before[2]) / lasted,
                cpu_percent=100 * (cpu_s(worker.pid) - before[3]) / lasted,
                memory_mb=memory_mb(worker.pid),
                heard_ms=list(listener.heard_ms),
            )
        ear.close()
    return found


def _send(sender: Sender, listener: Listener, message: tuple[int, bytes, bytes], sample: frozenset[int]) -> None:
    service, key, value = message
    partition, at_s = service % PARTITIONS, time.monotonic()
    if service not in sample:
        sender.send(key, value, partition)
        return
    sender.send(key, value, partition, lambda told: listener.sent(name(service), told.partition(), told.offset(), at_s))


def table(found: Found) -> str:
    """For the page."""
    p50, p99 = np.percentile(found.heard_ms, [50, 99])
    return (
        f"{found.services:,} registered services on one topic of {PARTITIONS} partitions, {found.rate:g} events a second each in batches of "
        f"{A_MESSAGE}, each service's on one partition; one worker. {machine()}, shared with Kafka, the sender and other work. *Heard*: from "
        f"an event's sending to the first window that counts it at a reader, of {len(found.heard_ms):,} events of {SAMPLE} services.\n\n"
        "| events a second | windows published a second | CPU, of one core | peak memory | heard, p50 | p99 |\n"
        "|---|---|---|---|---|---|\n"
        f"| {found.events_a_second:,.0f} | {found.windows_a_second:,.0f} | {found.cpu_percent:.0f} % | {found.memory_mb:.0f} MB "
        f"| {p50:,.0f} ms | {p99:,.0f} ms |"
    )


def main() -> None:
    """Measure, print, and with ``--write`` put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=2.0, help="events a second of each")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--write", action="store_true")
    said = parser.parse_args()
    text = table(measure(said.services, said.rate, said.seconds))
    print(text)
    if said.write:
        command = f"python -m bench.services --services {said.services} --rate {said.rate:g} --seconds {said.seconds:g} --write"
        write_section(TITLE, command, text)


if __name__ == "__main__":
    main()
