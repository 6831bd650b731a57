"""How many events a CPU-second streams count: decode → fold → publish, without Kafka. `python -m bench.streams_decode`.

Prints events per CPU-second of this process, the best of some runs, for batches as the SDK sends them and for single
events; and as ratios to `json.loads` of the same bytes, alone: decoding into checked columns, and all of it.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from davylamp_sdk._event import EventBatch, RequestEvent
from streams.checkpoint import Checkpoint
from streams.counters import Counters
from streams.decoding import Heard, decode_all
from streams.encoding import encode, encode_partial
from streams.window import Source
from streams.windows import PartitionFold
from transport.log import Record

EVENTS = 100_000
RUNS = 5
WINDOW_MS = 5000
EVENTS_A_SECOND = 20_000
"""Of the log's own time."""
PUBLISHED_A_SECOND = 4
TOPIC = "mcp-requests"
POLL_MESSAGES, POLL_BYTES = 2000, 512 * 1024
"""Of a poll; messages of a run are about as long as each other."""

NOW = 1_795_485_600_000
PAIRS = (("v1", "7.1.session.786db6f38e0cd8b7"), ("v2", "7.1.session.0123456789abcdef"))
PRODUCERS = 20
"""Servers that send single events, half of each version; of many services that share a topic two each."""
OUTCOMES = ("ok",) * 47 + ("tool_error", "rpc_error", "timeout")


def events(n: int) -> list[dict[str, object]]:
    """Requests of two versions, two thousand sessions and ten tools, as single events."""
    dice = random.Random(20130)
    sessions = [f"{dice.getrandbits(128):032x}" for _ in range(2000)]
    return [
        {
            "session": dice.choice(sessions),
            "method": "tools/call" if i % 3 else "resources/read",
            "tool": f"tool_{dice.randrange(10)}" if i % 3 else None,
            "outcome": dice.choice(OUTCOMES),
            "protocol_version": "2025-06-18",
            "started_at": NOW + i * 1000 // EVENTS_A_SECOND,
            "duration_ms": round(dice.lognormvariate(3, 1), 3),
            "first_of_session": not i % 40,
            "session_age_ms": round(dice.random() * 300_000, 3),
            "session_gap_ms": None if not i % 40 else round(dice.random() * 3000, 3),
        }
        for i in range(n)
    ]


def batches(rows: Sequence[dict[str, object]], n: int, services: int = 1) -> list[bytes]:
    """The requests in messages of ``n``, as the SDK writes them, of a producer each service and version, in turns."""
    made = []
    for number, start in enumerate(range(0, len(rows), n)):
        producer = number % (len(PAIRS) * services)
        version, label = PAIRS[producer % len(PAIRS)]
        names: dict[str, int] = {}
        some = [{**row, "assignment": f"{label};{version}"} for row in rows[start : start + n]]
        columns = {
            name: [-1 if row[name] is None else names.setdefault(str(row[name]), len(names)) for row in some]
            for name in ("method", "outcome", "session", "assignment", "tool", "protocol_version")
        }
        plain = {name: [row[name] for row in some] for name in ("started_at", "duration_ms")}
        ages = {
            name: [-1 if row[name] is None else row[name] for row in some]
            for name in ("session_age_ms", "session_gap_ms")
        }
        first = [i for i, row in enumerate(some) if row["first_of_session"]]
        said = _who(producer, start, services) | columns | plain | ages
        said |= {"names": list(names), "first_of_session": first}
        made.append(EventBatch.model_validate(said).dump())
    return made


def senders(n: int, services: int = 1) -> list[int]:
    """Which server sends each of so many single events: their messages stand among each other, as a topic has them."""
    dice = random.Random(20131)
    return [dice.randrange(max(PRODUCERS, len(PAIRS) * services)) for _ in range(n)]


def version_of(producer: int) -> str:
    """What a server runs."""
    return PAIRS[producer % len(PAIRS)][0]


def singles(rows: Sequence[dict[str, object]], services: int = 1) -> list[bytes]:
    """The requests as a message each; every producer counts its own."""
    made, sent = [], Counter[int]()
    for producer, row in zip(senders(len(rows), services), rows, strict=True):
        version, label = PAIRS[producer % len(PAIRS)]
        said = _who(producer, sent[producer], services) | row | {"assignment": f"{label};{version}"}
        made.append(RequestEvent.model_validate(said).dump())
        sent[producer] += 1
    return made


def _who(producer: int, sequence: int, services: int) -> dict[str, object]:
    version, service = version_of(producer), producer // len(PAIRS) % services
    return {
        "producer": f"0f7d2b6c8a9e138a4e2f0d9b1c37{producer:04x}",
        "sequence": sequence,
        "service": f"orders-{service}" if services > 1 else "orders",
        "version": version,
        "instance": f"orders-{version}-{producer}",
    }


def count(messages: Sequence[bytes]) -> None:
    """What an owner does, but for the broker: poll by poll, window by window."""
    counters = Counters()
    fold = PartitionFold(Source(TOPIC, 0, 4, WINDOW_MS, "w1"), Checkpoint.earliest(0), counters)
    published = NOW
    for first, values in polls(messages):
        offsets = np.arange(first, first + len(values))
        at = NOW + offsets * EVENTS * 1000 // EVENTS_A_SECOND // len(messages)
        for start, end in fold.cut(offsets, at):
            closed = fold.enter(int(offsets[start]), int(at[start]))
            for window in closed.finals(frozenset({"orders"})) if closed is not None else ():
                encode(window)
            refused = fold.read_all(_heard(values[start:end]), offsets[start:end], at[start:end])
            if refused or counters.duplicates:
                raise RuntimeError(f"{refused}, {counters}")
        if at[-1] - published >= 1000 // PUBLISHED_A_SECOND:
            published = int(at[-1])
            _publish(fold)
    _publish(fold)


def polls(messages: Sequence[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """As the consumer polls: the number of the first, and the values."""
    found: list[bytes] = []
    for number, value in enumerate(messages):
        if len(found) == POLL_MESSAGES or sum(map(len, found[:1])) * len(found) >= POLL_BYTES:
            yield number - len(found), found
            found = []
        found.append(value)
    yield len(messages) - len(found), found


def _heard(values: Sequence[bytes]) -> list[Heard]:
    return decode_all(values, TOPIC, lambda i: Record(TOPIC, 0, i, NOW, b"", values[i]))


def _publish(fold: PartitionFold) -> None:
    for told in fold.told():
        encode_partial(told)


def check(messages: Sequence[bytes]) -> None:
    """Decoding alone."""
    for _, values in polls(messages):
        _heard(values)


def parse(messages: Sequence[bytes]) -> None:
    """The yardstick."""
    for value in messages:
        json.loads(value)


def events_a_second(work: Callable[[Sequence[bytes]], None], messages: Sequence[bytes]) -> float:
    """The best of some runs, in CPU time."""
    seconds = []
    for _ in range(RUNS):
        start = time.process_time()
        work(messages)
        seconds.append(time.process_time() - start)
    return EVENTS / min(seconds)


def main() -> None:
    """Measure and print."""
    rows = events(EVENTS)
    kinds = {"singles": singles(rows)} | {f"batches of {n}": batches(rows, n) for n in (100, 500)}
    print(f"{'':<16}{'bytes/event':>12}{'events/CPU-s':>14}{'decoding':>10}{'all':>7}   × json.loads")
    for name, messages in kinds.items():
        counted, checked, parsed = (events_a_second(work, messages) for work in (count, check, parse))
        size = sum(map(len, messages)) / EVENTS
        print(f"{name:<16}{size:>12.0f}{counted:>14,.0f}{checked / parsed:>10.2f}{counted / parsed:>7.2f}")


if __name__ == "__main__":
    main()
