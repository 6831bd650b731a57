"""Two thousand schedules of a small cluster: whatever dies, freezes, moves or is taken by retention, the counts are exact.

Acknowledged events = counted + named ones (duplicates, malformed, taken unread by retention), in every cell and counter.
`DAVYLAMP_SCHEDULES=20000 pytest --timeout 0 tests/unit/streams/test_exact_model.py` looks longer.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from random import Random
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaException

from schemas.window_book import WindowBook
from schemas.windows import CohortWindow
from streams import checkpoint, digests, telemetry, windows
from tests.telemetry import (
    BASELINE,
    CANARY,
    WINDOW_MS,
    Said,
    batch,
    event,
    is_tick,
    read,
    summed,
    told,
    truth,
)
from tests.unit.streams.cluster import FIRST, Cluster, Worker
from transport.log import Record

SCHEDULES = int(os.environ.get("DAVYLAMP_SCHEDULES", "2000"))
PARTITIONS = 2
"""Of which the second is often idle."""
SERVICES = "orders", "stock"
REGISTERED = frozenset(SERVICES)
HOUR_MS = 3_600_000
NOW = 1000 * HOUR_MS
LETTERS = 2, 1
"""Dead letters that may be kept at once, and more a window: so few that floods happen."""
FLOODED = 5
"""Every fifth schedule is full of rubbish."""
LONG = 8
"""Every eighth schedule is long, and only in these do events say all they may: what is counted costs more than what happens."""


def _pool() -> tuple[bytes, ...]:
    """Messages of few producers and few sequences, so that many bring an event again; clocks are off by an hour or right."""
    dice, found = Random(7), []
    for number in range(120):
        service, producer, first = dice.choice(["orders"] * 7 + ["stock"]), dice.choice("ab"), dice.randrange(12)
        events = [
            event(
                first + i,
                service=service,
                producer=producer,
                assignment=dice.choice([BASELINE, CANARY, None]),
                session=dice.choice("stuv"),
                outcome=dice.choice(["ok", "ok", "tool_error", "rpc_error", "cancelled"]),
                duration_ms=dice.choice([1.5, 12.5, 700.0]),
                started_at=NOW + dice.choice([0, -HOUR_MS, HOUR_MS]),
                metrics=dice.choice([{}, {}, {}, {"tokens": 0.1}]),
            )
            for i in range(dice.randint(1, 4))
        ]
        found.append(events[0].dump() if number % 2 else batch(events, dropped=dice.choice([0, 2])).dump())
    return tuple(found)


POOL = _pool()
PLAIN = tuple(value for value in POOL[1::2] if b"tokens" not in value) + POOL[:6:2]
RUBBISH = (b"{", b"", b'{"v":2}', b'{"names":[]}')


class Schedule:
    """One history, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.steps, self.pool, self.calm = (80, POOL, 0.93) if seed % LONG == 0 else (30, PLAIN, 0.86)
        self.jumpy = self.dice.random() < 0.3
        self.sound = 0.3 if seed % FLOODED == 0 else 0.94
        self.now, self.ended_ms = NOW, 0
        self.cluster = Cluster(PARTITIONS, self.stamp)
        self.named = 0
        self.workers = [self.worker(f"w{n}") for n in range(2)]
        self.zombies: list[Worker] = []
        for partition in range(PARTITIONS):
            self.cluster.give(partition, self.workers[partition])
        self.seen: Counter[str] = Counter()
        """How often what happened: a schedule in which nothing does proves nothing."""

    def worker(self, instance: str) -> Worker:
        return Worker(self.cluster, instance, self.dice, REGISTERED)

    def stamp(self) -> int:
        """The broker's clock goes on, now and then back, and by an hour where it is jumpy."""
        if self.ended_ms:
            return self.ended_ms
        self.now += self.dice.choice([0, 0, 1, 7, 30])
        if self.jumpy and self.dice.random() < 0.05:
            self.now += self.dice.choice([HOUR_MS, -HOUR_MS])
        return self.now - self.dice.choice([0, 0, 0, 40])

    def live(self) -> None:
        for _ in range(self.steps):
            happens = self.dice.random()
            if happens < 0.2:
                self.produce()
            elif happens < self.calm:
                self.step(self.dice.randrange(len(self.workers)))
            elif self.zombies and happens < (1 + self.calm) / 2:
                self.haunt(self.dice.choice(self.zombies))
            else:
                self.dice.choice([self.kill, self.freeze, self.move, self.retain, self.retain])()

    def produce(self) -> None:
        partition = 0 if self.dice.random() < 0.85 else 1
        value = self.dice.choice(self.pool) if self.dice.random() < self.sound else self.dice.choice(RUBBISH)
        for _ in range(2 if self.dice.random() < 0.1 else 1):
            self.cluster.append(partition, value)

    def step(self, number: int) -> None:
        try:
            self.workers[number].step()
        except KafkaException:  # the log it reads is gone: it ends, and is started again
            self.seen["out of range"] += 1
            self.replace(number)

    def haunt(self, zombie: Worker) -> None:
        with suppress(KafkaException):
            zombie.step()

    def kill(self) -> None:
        self.seen["kill"] += 1
        self.replace(self.dice.randrange(2))

    def replace(self, number: int) -> Worker:
        old = self.workers[number]
        old.die()
        return self.succeed(number, old)

    def succeed(self, number: int, old: Worker) -> Worker:
        heir = self.workers[number] = self.worker(f"w{number}")
        self.cluster.outlive(old, heir)
        return old

    def freeze(self) -> None:
        """Its session ends, somebody else goes on, and later it wakes and does not know."""
        self.seen["freeze"] += 1
        number = self.dice.randrange(2)
        self.zombies.append(self.succeed(number, self.workers[number]))

    def move(self) -> None:
        self.seen["move"] += 1
        self.cluster.give(self.dice.randrange(PARTITIONS), self.dice.choice(self.workers))

    def retain(self) -> None:
        """Retention takes what nobody has read, after a day without workers; it never ends in the window read last."""
        partition = self.dice.randrange(PARTITIONS)
        checkpoint = self.cluster.checkpoint(partition)
        low = self.dice.randint(max(self.cluster.low[partition], checkpoint.warm_offset), self.cluster.end(partition))
        if low > checkpoint.offset:
            if checkpoint.offset < self.published(partition):
                return
            self.seen["hole"] += 1
            self.zombies = []
            for number in range(2):
                self.replace(number)
        elif low > checkpoint.warm_offset:
            return
        self.cluster.low[partition] = low

    def published(self, partition: int) -> int:
        """Where the newest final window of a partition ends."""
        return max((w.through for w in self.windows() if w.final and w.partition == partition), default=FIRST)

    def windows(self) -> Iterator[CohortWindow]:
        """Everything that was said, in order."""
        return (CohortWindow.read(s.value or b"") for s in self.cluster.said if s.topic == "cohort-windows")

    def end(self) -> None:
        """The last ones read to the end, where ticks close the last window; then the zombies say what they had to say."""
        stamps = (r.timestamp_ms for log in self.cluster.logs for r in log)
        self.ended_ms = max([self.now, *stamps]) + 100 * WINDOW_MS
        for _ in range(2):
            self.ended_ms += WINDOW_MS
            for partition in range(PARTITIONS):
                self.cluster.append(partition, b"", {"content-type": b"application/vnd.davylamp.tick"})
        start = (self.ended_ms // WINDOW_MS - 1) * WINDOW_MS
        wanted = {f"{name}|{start}|{p}|final".encode() for name in SERVICES for p in range(PARTITIONS)}
        while not wanted <= self.cluster.keys:
            for number in range(2):
                self.step(number)
            for zombie in self.zombies:
                self.haunt(zombie)


def finals_of(schedule: Schedule) -> list[CohortWindow]:
    """As a reader folds them, who takes what is final while it reads."""
    books = {service: WindowBook() for service in SERVICES}
    taken: list[CohortWindow] = []
    for window in schedule.windows():
        books[window.service].read(window)
        taken += books[window.service].take_final()
    return taken


def unread(finals: Sequence[CohortWindow], partition: int) -> list[range]:
    """The offsets that no window holds. What a window says is missing before it is missing, no more and no less."""
    told = sorted({(w.first_offset, w.through, w.holes) for w in finals if w.partition == partition})
    through, found = 0, []
    for first, until, holes in told:
        if first < until or holes:
            assert (first - holes, first <= until) == (through, True)
            found += [range(through, first)] if holes else []
        through = max(through, until)
    return found


def closed_by(finals: Sequence[CohortWindow], partition: int, offset: int) -> int:
    """Where the newest window ends that a partition had closed before an offset."""
    return max((w.window_end for w in finals if w.partition == partition and w.through <= offset), default=0)


def true_words(schedule: Schedule, finals: Sequence[CohortWindow], holes: Sequence[Sequence[range]]) -> Said:
    """What all partitions' windows must say, by the scalar pass."""
    said = []
    for partition, (log, gone) in enumerate(zip(schedule.cluster.logs, holes, strict=True)):
        left = [r for r in log if not any(r.offset in some for some in gone)]
        closed = {some.stop: closed_by(finals, partition, some.start) for some in gone}
        said.append(truth(left, WINDOW_MS, closed, LETTERS))
    return summed(said)


def dead_letters(schedule: Schedule) -> set[tuple[int, int]]:
    """Where each came from."""
    letters = (s.headers for s in schedule.cluster.said if s.topic == "mcp-requests.dlq")
    return {(int(h["partition"]), int(h["offset"])) for h in letters}


def bad(records: Sequence[Record]) -> set[tuple[int, int]]:
    return {(r.partition, r.offset) for r in records if not read(r)[0] and not is_tick(r)}


def assert_exact(schedule: Schedule) -> None:
    """Per cell and counter, and in sum."""
    finals = finals_of(schedule)
    holes = [unread(finals, partition) for partition in range(PARTITIONS)]
    said = told(finals)
    assert said == true_words(schedule, finals, holes)
    records = [r for log in schedule.cluster.logs for r in log]
    lost = [r for r in records if any(r.offset in some for some in holes[r.partition])]
    letters = dead_letters(schedule)
    assert letters <= bad(records)
    words = Counter[str]()
    for (_, service), row in said.windows.items():
        words.update({} if service else row)
    schedule.seen["unkept"] += words["unkept"]
    assert len(letters - bad(lost)) == len(bad(records) - bad(lost)) - words["unkept"]
    acknowledged = sum(len(read(r)[0]) for r in records)
    counted = sum(n for row in said.cells.values() for name, n in row.items() if name.startswith("outcome "))
    duplicates = sum(row.get("duplicates", 0) for row in said.windows.values())
    assert acknowledged == counted + duplicates + sum(len(read(r)[0]) for r in lost)


LIMITS = "MAX_DEAD_LETTERS", "MAX_DEAD_LETTERS", "MORE_DEAD_LETTERS"


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between polls, and no digests, which decide nothing and take most of the time."""
    monkeypatch.setattr(telemetry, "time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr(digests, "MAX_DIGESTS", 0)
    for module, name, n in zip((checkpoint, windows, windows), LIMITS, (LETTERS[0], *LETTERS), strict=True):
        monkeypatch.setattr(module, name, n)


@pytest.mark.parametrize("quarter", range(4))
def test_acknowledged_events_are_counted_or_named_whatever_the_schedule(quarter: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(quarter * SCHEDULES // 4, (quarter + 1) * SCHEDULES // 4):
        schedule = Schedule(seed)
        schedule.live()
        schedule.end()
        try:
            assert_exact(schedule)
        except AssertionError as error:
            pytest.fail(f"schedule {seed}: {error}")
        seen += schedule.seen
    assert min(seen[name] for name in ("kill", "freeze", "move", "hole", "unkept")) > SCHEDULES // 16, seen
