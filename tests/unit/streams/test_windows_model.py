"""A model of one partition: any log, owners that crash anywhere and zombies that go on; a reader counts exactly."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, repeat
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from davylamp_sdk._event import EventBatch, RequestEvent
from schemas.window_book import WindowBook
from schemas.windows import CohortWindow
from streams.checkpoint import Checkpoint
from streams.columns import OUTCOMES
from streams.counters import Counters
from streams.decoding import decode_all
from streams.encoding import encode
from streams.handover import Messages
from streams.window import Source
from streams.windows import PartitionFold
from tests.telemetry import (
    BASELINE,
    CANARY,
    LABEL,
    TOPIC,
    WINDOW_MS,
    batch,
    event,
    is_tick,
    read,
    record,
    tick,
    told,
    told_counts,
    true_counts,
    truth,
)
from tests.unit.streams.as_models import partials
from transport.log import Record

REGISTERED = frozenset({"orders", "idle"})
SERVICES = "orders", "stock"
FIRST = 3
"""First retained offset."""
SMALL_PART = 700
"""Bytes: so that windows come in parts."""

ASSIGNMENTS = (
    BASELINE,
    BASELINE,
    CANARY,
    CANARY,
    None,
    f"{LABEL};v9",
    "07.1.session.786db6f38e0cd8b7;v2",
    "junk;v1",
    "-",
)

SAID: dict[str, Sequence[Any]] = {
    "session": [None, *"stuvwxyz"],
    "assignment": ASSIGNMENTS,
    "method": ["tools/call", "tools/call", "resources/read"],
    "tool": [None, "search", "fetch", "_unknown"],
    "outcome": OUTCOMES,
    "duration_ms": [0.0, -0.0, 0.5, 12.5, 13.0, 1e8],
    "started_at": [0, 1000, 3_600_000 + 10 * WINDOW_MS],
    "first_of_session": [True, False],
    "session_age_ms": [None, 0.0, 0.25, 999.75, 1000.0, 31_000.5, 4e6, 1e11],
    "session_gap_ms": [None, 0.0, 0.5, 1000.0, 30_000.5, 5e6],
    "metrics": [
        {},
        {"tokens": 812.0},
        {"cost": 1 / 3, "miss": 0.0},
        {"tokens": 1e9, "cost": 0.1},
        {"miss": -1.0},
        {"cost": 2e9},
    ],
}
"""What two events of one batch may say differently."""
NAMED: dict[str, Sequence[Any]] = {
    "producer": ["a", "b", "c"],
    "service": SERVICES,
    "version": ["v1", "v2"],
    "instance": ["i", "j"],
    "tells_ends": [True, False],
}


def picked(of: Mapping[str, Sequence[Any]], dice: Random) -> dict[str, Any]:
    return {name: dice.choice(values) for name, values in of.items()}


def made_event(seed: int) -> RequestEvent:
    dice = Random(seed)
    return event(dice.randrange(31), **picked(NAMED, dice), **picked(SAID, dice))


def made_batch(seed: int) -> EventBatch:
    """Some events of one producer."""
    dice = Random(seed)
    names, first = picked(NAMED, dice), dice.randrange(31)
    rows = [event(first + i, **names, **picked(SAID, dice)) for i in range(dice.randint(1, 8))]
    return batch(rows, dropped=dice.choice([0, 0, 3]))


seeds = st.integers(0, 2**32)
"""One number an event: Hypothesis would take longer to draw the fields than the test takes."""
events, batches = seeds.map(made_event), seeds.map(made_batch)
RUBBISH = (b"{", b"", b'{"v": 2}', b'{"names": []}', batch([event()]).dump().replace(b'"ok"', b'"no"'))
steps = st.tuples(
    st.sampled_from([0, 0, 0, 1, 3, 10, 40, WINDOW_MS, 3 * WINDOW_MS, -30, -2 * WINDOW_MS]),
    st.one_of(events, events, batches, batches, st.integers(1, 12), st.sampled_from(RUBBISH), st.none()),
)


Step = tuple[int, RequestEvent | EventBatch | int | bytes | None]
"""Milliseconds since the last one, and an event or a batch, how many records back to send one again, rubbish, or a tick."""


def log_of(made: Sequence[Step], *, ended: bool = True) -> list[Record]:
    """Steps → records. In the end the log goes quiet and a tick says so, or the last window stays open."""
    log: list[Record] = []
    now = 10 * WINDOW_MS
    for step, content in made:
        now = max(1, now + step)
        offset = FIRST + 2 * len(log)  # offsets have gaps, and begin where retention left them
        if content is None:
            log.append(tick(offset, now))
        elif isinstance(content, int):
            log.append(record(offset, now, log[-content].value if content <= len(log) else b"?"))
        else:
            log.append(record(offset, now, content))
    if not ended:
        return log
    newest = max((r.timestamp_ms for r in log), default=now)
    return [*log, tick(FIRST + 2 * len(log), newest + 2 * WINDOW_MS)]


@dataclass
class Kafka:
    """One partition of the telemetry, the group's commit, and the windows' topic."""

    log: list[Record]
    commit: tuple[int, str] | None = None
    windows: list[bytes] = field(default_factory=list)


class Worker:
    """An owner of the partition. It stops before each thing it does to the outside: there it may die, or freeze."""

    def __init__(self, kafka: Kafka, instance: str) -> None:
        self.kafka = kafka
        self.counters = Counters()
        source = Source(TOPIC, 0, 1, WINDOW_MS, instance)
        start = Checkpoint.earliest(FIRST) if kafka.commit is None else Checkpoint.parse(*kafka.commit, WINDOW_MS)
        self.fold = PartitionFold(source, start, self.counters)
        self.unread = [r for r in kafka.log if r.offset >= start.warm_offset]

    def life(self, batches: Iterable[int]) -> Iterator[None]:
        """Read the log in batches: finals, commit, then partials."""
        for size in batches:
            polled, self.unread = self.unread[:size], self.unread[size:]
            if polled:
                yield from self.read(polled)
            yield from self.publish(partials(self.fold))

    def read(self, polled: Sequence[Record]) -> Iterator[None]:
        """As the owner of a partition does: in pieces, each of one window."""
        messages = Messages.of(polled)
        for start, end in self.fold.cut(messages.offsets, messages.appended_ms):
            offsets, appended_ms = messages.offsets[start:end], messages.appended_ms[start:end]
            closed = self.fold.enter(int(offsets[0]), int(appended_ms[0]))
            if closed is not None:
                yield from self.publish(closed.finals(REGISTERED))
                yield
                self.kafka.commit = closed.checkpoint.offset, closed.checkpoint.metadata(WINDOW_MS)
            heard = decode_all(messages.values[start:end], TOPIC, polled[start:end].__getitem__)
            self.fold.read_all(heard, offsets, appended_ms)

    def publish(self, windows: Sequence[CohortWindow]) -> Iterator[None]:
        for window in windows:
            for part in encode(window, SMALL_PART):
                yield
                self.kafka.windows.append(part)


@dataclass(frozen=True)
class Term:
    """How a worker reads while it owns the partition, and how that ends."""

    batch: int
    acts: int
    """What it gets done to the outside."""
    freezes: bool
    """Else it dies. A frozen one goes on later, as a zombie: nothing fences its windows or commits."""
    haunted: list[tuple[int, int]]
    """Which zombie gets how much done after this term."""


terms = st.builds(
    Term,
    st.integers(1, 12),
    st.integers(0, 40),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9))),
)


def live_through(kafka: Kafka, owners: Sequence[Term]) -> Worker:
    """Owners follow each other, zombies act in between, the last one reads to the end, and then the zombies do."""
    zombies: list[Iterator[None]] = []
    for number, term in enumerate(owners):
        life = Worker(kafka, f"w{number % 2}").life(repeat(term.batch, len(kafka.log)))
        let(life, term.acts)
        if term.freezes:
            zombies.append(life)
        for which, acts in term.haunted:
            for zombie in zombies[which : which + 1]:
                let(zombie, acts)
    last = Worker(kafka, "last")
    for life in (last.life([5, 1, len(kafka.log)]), *zombies):
        let(life, sys.maxsize)
    return last


def let(life: Iterator[None], acts: int) -> None:
    """Let a worker do so much."""
    for _ in islice(life, acts):
        pass


def read_all(kafka: Kafka) -> tuple[list[CohortWindow], list[CohortWindow]]:
    """What a reader folds as final, and what it knows beyond."""
    read = [CohortWindow.read(value) for value in kafka.windows]
    taken: list[CohortWindow] = []
    still_open: list[CohortWindow] = []
    for service in (*SERVICES, "idle"):
        book = WindowBook()
        for window in (w for w in read if w.service == service):
            book.read(window)
            taken += book.take_final()
        still_open += book.open_windows()
    return taken, still_open


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, min_size=10, max_size=80), st.lists(terms, max_size=6))
def test_readers_count_exactly_whatever_crashes(made: list[Step], owners: list[Term]) -> None:
    kafka = Kafka(log_of(made))
    live_through(kafka, owners)

    taken, still_open = read_all(kafka)
    assert told(taken) == truth(kafka.log)
    assert still_open == []


@settings(max_examples=30, deadline=None)
@given(st.lists(steps, min_size=10, max_size=80), st.lists(terms, max_size=6))
def test_the_open_window_is_known_as_far_as_its_owner_has_read(made: list[Step], owners: list[Term]) -> None:
    kafka = Kafka(log_of(made, ended=False))
    live_through(kafka, owners)

    taken, still_open = read_all(kafka)
    assert {w.final for w in still_open} <= {False}
    assert told_counts([*taken, *still_open]) == true_counts(kafka.log)


@settings(max_examples=30, deadline=None)
@given(st.lists(steps, max_size=60), st.lists(terms, max_size=6))
def test_finals_of_a_window_all_say_the_same(made: list[Step], owners: list[Term]) -> None:
    kafka = Kafka(log_of(made))
    live_through(kafka, owners)

    words: dict[tuple[str, int, int], set[bytes]] = {}
    for window in map(CohortWindow.read, kafka.windows):
        if window.final:
            at = window.service, window.window_start, window.part
            words.setdefault(at, set()).add(window.model_copy(update={"instance": ""}).dump())
    assert {at: len(said) for at, said in words.items()} == dict.fromkeys(words, 1)


@settings(max_examples=30, deadline=None)
@given(st.lists(steps, max_size=60), st.lists(st.integers(1, 20), max_size=20))
def test_how_the_log_is_cut_into_batches_changes_no_final(made: list[Step], batches: list[int]) -> None:
    finals = []
    for cuts in ([10_000], [*batches, 10_000]):
        kafka = Kafka(log_of(made))
        let(Worker(kafka, "w").life(cuts), sys.maxsize)
        finals.append([value for value in kafka.windows if CohortWindow.read(value).final])
    assert finals[0] == finals[1]


@settings(max_examples=30, deadline=None)
@given(st.lists(steps, min_size=1, max_size=60))
def test_events_are_counted_or_dropped_as_duplicates_never_both(made: list[Step]) -> None:
    kafka = Kafka(log_of(made))
    worker = live_through(kafka, [])

    counted = sum(
        n for row in true_counts(kafka.log).values() for name, n in row.items() if name.startswith("outcome ")
    )
    sent = [read(message)[0] for message in kafka.log]
    assert sum(map(len, sent)) == counted + worker.counters.duplicates
    assert worker.counters.malformed == sum(not e and not is_tick(m) for m, e in zip(kafka.log, sent, strict=True))
