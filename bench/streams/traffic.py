"""What is counted: the same requests in three forms, and what a right count of them says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from bench.streams_decode import EVENTS as SOME
from bench.streams_decode import PAIRS, batches, events, singles
from schemas.outcomes import LATENCY_COUNTED


@dataclass(frozen=True, slots=True)
class Form:
    """How requests come."""

    name: str
    a_message: int
    events: int
    """How many are counted."""


FORMS = (Form("batches of 500", 500, 3_000_000), Form("batches of 100", 100, 1_500_000), Form("singles", 1, 300_000))


@dataclass(frozen=True, slots=True)
class Sent:
    """A message: of whom, and what."""

    key: bytes
    value: bytes


@cache
def _rows() -> list[dict[str, object]]:
    return events(SOME)


@cache
def _some(a_message: int) -> list[bytes]:
    return singles(_rows()) if a_message == 1 else batches(_rows(), a_message)


def messages(form: Form) -> Iterator[Sent]:
    """The same hundred thousand requests again and again, with sequences that count on: none is a duplicate."""
    some = _some(form.a_message)
    for again in range(form.events // SOME):
        for number, value in enumerate(some):
            at = number * form.a_message
            yield Sent(producer_of(value), value.replace(_sequence(at), _sequence(at + again * SOME), 1))


def producer_of(value: bytes) -> bytes:
    """The key of a message."""
    return value.split(b'"producer":"', 1)[1].split(b'"', 1)[0]


def bytes_an_event(form: Form) -> float:
    """Of the messages' values."""
    return sum(map(len, _some(form.a_message))) / SOME


def truth(form: Form) -> dict[str, tuple[int, float]]:
    """Count and p99 in milliseconds of each cohort."""
    rows, step = _rows(), max(form.a_message, 100)
    cohorts: dict[str, list[dict[str, object]]] = {}
    for number, start in enumerate(range(0, SOME, step)):
        version, _ = PAIRS[number % len(PAIRS)]
        cohorts.setdefault(version, []).extend(rows[start : start + step])
    return {
        cohort: (len(mine) * form.events // SOME, float(np.quantile(_latencies(mine), 0.99)))
        for cohort, mine in cohorts.items()
    }


def _latencies(rows: Sequence[dict[str, object]]) -> list[float]:
    return [float(str(row["duration_ms"])) for row in rows if row["outcome"] in LATENCY_COUNTED]


def _sequence(number: int) -> bytes:
    return b'"sequence":%d,' % number
