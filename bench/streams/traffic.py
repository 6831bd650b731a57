"""What is counted: the same requests in three forms, and what a right count of them says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from bench.streams_decode import EVENTS as SOME
from bench.streams_decode import batches, events, senders, singles, version_of
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
    """A message: of which cohort, and what."""

    key: bytes
    value: bytes


@cache
def _rows() -> list[dict[str, object]]:
    return events(SOME)


@cache
def _some(a_message: int, services: int = 1) -> list[bytes]:
    return singles(_rows(), services) if a_message == 1 else batches(_rows(), a_message, services)


def messages(form: Form, services: int = 1) -> Iterator[Sent]:
    """The same hundred thousand requests again and again, with sequences that go on: none is a duplicate."""
    some = _some(form.a_message, services)
    for again in range(form.events // SOME):
        for value in some:
            yield Sent(cohort_of(value), _later(value, again * SOME))


def cohort_of(value: bytes) -> bytes:
    """The key of a message: so those who count by key need not sort a topic anew by cohort."""
    return value.split(b'"version":"', 1)[1].split(b'"', 1)[0]


def bytes_an_event(form: Form) -> float:
    """Of the messages' values."""
    return sum(map(len, _some(form.a_message))) / SOME


def truth(form: Form) -> dict[str, tuple[int, float]]:
    """Count and p99 in milliseconds of each cohort."""
    of = senders(SOME) if form.a_message == 1 else [i // form.a_message for i in range(SOME)]
    cohorts: dict[str, list[dict[str, object]]] = {}
    for producer, row in zip(of, _rows(), strict=True):
        cohorts.setdefault(version_of(producer), []).append(row)
    return {
        cohort: (len(mine) * form.events // SOME, float(np.quantile(_latencies(mine), 0.99)))
        for cohort, mine in cohorts.items()
    }


def _latencies(rows: Sequence[dict[str, object]]) -> list[float]:
    return [float(str(row["duration_ms"])) for row in rows if row["outcome"] in LATENCY_COUNTED]


def _later(value: bytes, by: int) -> bytes:
    head, rest = value.split(b'"sequence":', 1)
    number, rest = rest.split(b",", 1)
    return b'%s"sequence":%d,%s' % (head, int(number) + by, rest)
