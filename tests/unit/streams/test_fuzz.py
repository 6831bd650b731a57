"""Nothing that a client or a server sends ends a worker: it is counted, or kept with its reason.

`DAVYLAMP_FUZZ=100000 pytest --timeout 0 tests/unit/streams` looks longer.
"""

import asyncio
import json
import math
import os
import tracemalloc
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.window_book import WindowBook
from schemas.windows import OTHER, CohortWindow
from streams.checkpoint import Checkpoint
from streams.counts import MAX_LABELS, MAX_TOOLS
from streams.handover import Assigned, Messages, Polled
from streams.outbox import MemoryOutbox, Outgoing
from streams.owner import Owner, Pace
from streams.publisher import Publisher
from tests.mutations import JUNK, mutated
from tests.rows import made_event
from tests.telemetry import TOPIC, WINDOW_MS, Said, batch, event, is_tick, read, record, tick, told, truth
from transport.clock import FakeClock
from transport.log import Record

MESSAGES = 40
LOGS = int(os.environ.get("DAVYLAMP_FUZZ", "2000")) // MESSAGES
NOW = 1_700_000_000_000


class Outcome:
    """What a worker made of a log."""

    def __init__(self, log: Sequence[Record]) -> None:
        self.log = log
        outbox = MemoryOutbox()
        pace = Pace(TOPIC, WINDOW_MS, 0.0, "w1")
        owner = Owner(Publisher(outbox, 3), pace, FakeClock(), lambda: frozenset({"orders"}), lambda _p, _c: None)
        asyncio.run(self._own(owner))
        self.sent = outbox.records

    async def _own(self, owner: Owner) -> None:
        await owner.handle(Assigned(0, 1, Checkpoint.earliest(0), 0))
        await owner.handle(Polled(0, 1, Messages.of(self.log)))
        await owner.beat()

    def finals(self) -> list[CohortWindow]:
        """As a reader folds them, service by service."""
        books: dict[str, WindowBook] = {}
        for window in (CohortWindow.read(r.value or b"") for r in self.on("cohort-windows")):
            books.setdefault(window.service, WindowBook()).read(window)
        return [window for book in books.values() for window in book.take_final()]

    def on(self, topic: str) -> list[Outgoing]:
        return [r for r in self.sent if r.topic == topic]

    def refused(self) -> list[str]:
        return [r.headers["reason"].decode().partition(":")[0] for r in self.on("mcp-requests.dlq")]


def log_of(values: Sequence[bytes | None], every_ms: int = 7) -> list[Record]:
    """Values one after another, and then the ticks that close their windows."""
    log = [record(i, NOW + i * every_ms, value) for i, value in enumerate(values)]
    end = NOW + len(log) * every_ms + 2 * WINDOW_MS
    return [*log, tick(len(log), end), tick(len(log) + 1, end + WINDOW_MS)]


def made(seed: int) -> list[bytes]:
    """Messages of few producers, so that some come twice; most of them changed."""
    dice = Random(seed)
    values = []
    for _ in range(MESSAGES):
        first, producer = dice.randrange(40), dice.choice("ab")
        events = [
            made_event(first + i, dice).model_copy(update={"producer": producer}) for i in range(dice.randint(1, 4))
        ]
        raw = events[0].dump() if dice.random() < 0.4 else batch(events, dropped=dice.choice([0, 3])).dump()
        values.append(mutated(raw, dice.getrandbits(32)) if dice.random() < 0.8 else raw)
    return values


def assert_nothing_is_lost(outcome: Outcome) -> Said:
    """Events acknowledged = counted + duplicates + those in messages that were refused, whose number is known."""
    said = told(outcome.finals())
    assert said == truth(outcome.log)
    events = [read(message)[0] for message in outcome.log]
    counted = sum(n for row in said.cells.values() for name, n in row.items() if name.startswith("outcome "))
    duplicates = sum(row.get("duplicates", 0) for row in said.windows.values())
    assert sum(map(len, events)) == counted + duplicates
    malformed = sum(not found and not is_tick(m) for m, found in zip(outcome.log, events, strict=True))
    assert malformed == sum(row.get("malformed", 0) for row in said.windows.values()) == len(outcome.refused())
    return said


@settings(max_examples=LOGS, deadline=None)
@given(st.integers(0, 2**64))
def test_whatever_comes_is_counted_or_kept_with_its_reason(seed: int) -> None:
    assert_nothing_is_lost(Outcome(log_of(made(seed))))


def test_the_messages_that_are_made_up_are_good_and_bad_and_come_twice() -> None:
    outcome = Outcome(log_of([value for seed in range(20) for value in made(seed)]))
    said = assert_nothing_is_lost(outcome)
    counted = sum(row.get("outcome ok", 0) for row in said.cells.values())
    duplicates = sum(row.get("duplicates", 0) for row in said.windows.values())
    assert min(counted, duplicates, len(outcome.refused())) >= 10
    assert {"invalid", "not_json", "unknown_version", "unnamed_service"} <= set(outcome.refused())


EVENT, BATCH = json.loads(event(1).dump()), json.loads(batch([event(1), event(2)]).dump())


@pytest.mark.parametrize("fields", [EVENT, BATCH], ids=["event", "batch"])
@pytest.mark.parametrize("field", sorted(EVENT.keys() | BATCH.keys()))
def test_any_value_in_any_field_is_counted_or_refused(fields: dict[str, Any], field: str) -> None:
    values = [json.dumps(fields | {field: junk}).encode() for junk in JUNK]
    assert_nothing_is_lost(Outcome(log_of(values, every_ms=3 * WINDOW_MS)))  # none is a duplicate of another


DEEP = b'{"a":' * 100_000
HUGE = b'"' + b"x" * 1_000_000 + b'"'


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (DEEP, "not_json"),
        (DEEP + b"1" + b"}" * 100_000, "not_json"),
        (b"[" * 100_000 + b"]" * 100_000, "not_json"),
        (b'{"names":' * 5000, "not_json"),
        (b'{"names":[' + HUGE + b"]}", "invalid"),
        (b'{"v":1,"service":' + HUGE + b"}", "invalid"),
        (b'{"v":' + b"9" * 100_000 + b"}", "not_json"),  # a number longer than anybody parses
        (b'{"v":' + b"9" * 1000 + b',"names":[]}', "unknown_version"),
        (b'{"v":2,"names":{}}', "unknown_version"),
        (b'{"metrics":{' + HUGE + b":1}}", "invalid"),
        (json.dumps(EVENT | {"metrics": {"x" * 900_000: 1.0}}).encode(), "invalid"),
        (json.dumps(EVENT | {"metrics": {f"m{i}": 1.0 for i in range(100_000)}}).encode(), "invalid"),
        (json.dumps(BATCH | {"names": [f"t{i}" for i in range(100_000)]}).encode(), "invalid"),
        (json.dumps(BATCH | {"method": [0] * 100_000}).encode(), "invalid"),
        (json.dumps(BATCH | {"method": ["x"] * 100_000}).encode(), "invalid"),
        (json.dumps(EVENT).encode()[:-1], "not_json"),
        (json.dumps(EVENT).encode("utf-16"), "not_json"),
        (b"\xef\xbb\xbf" + json.dumps(EVENT).encode(), "not_json"),
        (b"\x00" * 1000, "not_json"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value[:12]!r}-{len(value)}",
)
def test_the_absurd_is_refused(value: bytes, reason: str) -> None:
    outcome = Outcome(log_of([value, event(7).dump()]))
    assert_nothing_is_lost(outcome)
    assert outcome.refused() == [reason]
    (letter,) = outcome.on("mcp-requests.dlq")
    assert len(letter.value or b"") + sum(map(len, letter.headers.values())) < 1_000_000


def test_names_at_their_longest_do_not_make_a_window_too_large_for_the_log() -> None:
    def named(i: int) -> str:
        return "\x01" * 114 + f"{i:06}"

    values = [
        batch(
            [
                event(
                    200 * v + i,
                    version=f"v{v}",
                    instance=named(v),
                    assignment=f"7.1.session.{v:016x};v{v}",
                    tool=named(i),
                    session=f"s{i}",
                    duration_ms=1.07**i,
                    session_age_ms=1e4 * i,
                    metrics={named(m): 1.1 ** (i + m) for m in range(8)},
                )
                for i in range(200 if v < 3 else 20)
            ],
            dropped=1,
        ).dump()
        for v in range(66)
    ]
    outcome = Outcome(log_of(values, every_ms=0))
    windows = outcome.on("cohort-windows")
    assert len([r for r in windows if (r.key or b"").endswith(b"final")]) > 1
    assert max(len(r.value or b"") for r in windows) < 900_000
    finals = [w for w in outcome.finals() if w.cells]
    assert [len(w.cells) for w in finals] == [66]
    assert sum(c.outcomes["ok"] for w in finals for c in w.cells) == 200 * 3 + 20 * 63
    assert finals[0].folded == 20 * 2


def test_events_that_each_name_all_there_is_to_name_are_counted_in_little_memory() -> None:
    """Two megabytes of them took as many gigabytes, again after each restart: a place for each version and assignment."""
    tracemalloc.start()
    said = [
        EVENT
        | {"sequence": i, "session": f"s{i}", "version": f"v{i}", "instance": f"i{i}", "tool": f"t{i}"}
        | {"assignment": f"{i}.1.session.{i:016x};w{i}", "metrics": {f"m{i}": 1.0}, "session_age_ms": 1e6 * i}
        for i in range(1000)
    ]
    outcome = Outcome(log_of([json.dumps(one).encode() for one in said], every_ms=0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert_nothing_of_many_is_lost(outcome, len(said))
    assert peak < 40_000_000


def assert_nothing_of_many_is_lost(outcome: Outcome, events: int) -> None:
    """However many share a cell."""
    (window,) = [w for w in outcome.finals() if w.cells]
    assert sum(n for cell in window.cells for n in cell.outcomes.values()) == events
    assert sum(tool.n for cell in window.cells for tool in cell.tools.values()) == events


NOBODY_COUNTS = {
    "NaN": (json.dumps(EVENT | {"duration_ms": math.nan}), "invalid"),
    "NaN of a batch": (json.dumps(BATCH | {"duration_ms": [1.0, math.nan]}), "invalid"),
    "negative": (json.dumps(EVENT | {"duration_ms": -1.0}), "invalid"),
    "1e300": (json.dumps(EVENT | {"duration_ms": 1e300}), "invalid"),
    "1e400": (json.dumps(EVENT).replace("12.5", "1e400"), "invalid"),
    "a huge name": (json.dumps(EVENT | {"tool": "x" * 1_000_000}), "invalid"),
    "another version": (json.dumps(EVENT | {"v": 2}), "unknown_version"),
    "no message at all": ("\x00", "not_json"),
}
FORGED = ["7.1.session.zz;v1", "7.1.session.786DB6F38E0CD8B7;v1", ";v1", "07.1.session.786db6f38e0cd8b7;v1", "é;v1"]
STRANGERS, TOOL_NAMES = 100, 100_000
"""Labels of the right form that nobody gave out, and tools that nobody registered."""


def test_whatever_a_client_or_a_broken_server_makes_up_is_refused_with_its_reason_or_counted_by_name() -> None:
    """Invariant 6: events = counted; of messages that hold none each is dead-lettered, and told as malformed."""
    made_up = [event(i, assignment=forged) for i, forged in enumerate(FORGED)]
    made_up += [event(1000 + i, assignment=f"7.1.session.{i:016x};v1") for i in range(STRANGERS)]
    called = [event(10_000 + i, tool=f"made-up-{i}", assignment=None) for i in range(TOOL_NAMES)]
    batches = [batch(called[i : i + 5000]) for i in range(0, TOOL_NAMES, 5000)]
    values = [raw.encode() for raw, _ in NOBODY_COUNTS.values()] + [said.dump() for said in (*made_up, *batches)]
    outcome = Outcome(log_of(values, every_ms=0))
    assert outcome.refused() == [reason for _, reason in NOBODY_COUNTS.values()]
    (window,) = [w for w in outcome.finals() if w.cells]
    assert window.malformed == len(NOBODY_COUNTS)
    counted = sum(n for cell in window.cells for n in cell.outcomes.values())
    assert counted == len(FORGED) + STRANGERS + TOOL_NAMES
    judged = [cell for cell in window.cells if cell.label != "-"]
    assert len(judged) == MAX_LABELS
    (unjudged,) = [cell for cell in window.cells if cell.label == "-"]
    assert unjudged.outcomes == {"ok": counted - MAX_LABELS}
    assert len(unjudged.tools) == MAX_TOOLS + 1
    assert unjudged.tools[OTHER].n > TOOL_NAMES - MAX_TOOLS
    assert window.folded == (STRANGERS - MAX_LABELS) + unjudged.tools[OTHER].n
