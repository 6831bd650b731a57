"""From the JSON of one `EventBatch` to columns, without an object a request. Pure.

:class:`EventBatch` and :class:`RequestEvent` say what a batch is; here it is only read faster. What stands as the SDK
writes it is checked column by column. Anything else goes by way of the model, which accepts it after all (a number in
quotes) or gives the reason why not. Most batches never come here: see :mod:`streams.joint`.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from pydantic import ValidationError

from davylamp_sdk._event import MAX_BATCH, EventBatch, RequestEvent
from streams import strict
from streams.columns import ABSENT, OUTCOME_INDEX, TOOL_CALL, Bools, Coded, Columns, Floats, Ints, Values
from streams.counts import TOOL_FAILURES
from streams.parsing import OPTIONAL_PLACES
from streams.sequences import Sequences, flags
from streams.strict import UnusualError, must

NEVER_EMPTY = ("method", "tool", "error_type", "protocol_version")
LIMITS = {"session": 64, "assignment": 100}
_LONGEST_NAME = 120
_MOST_METRICS = 32
_END = 2**53
_HUGE = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests of one producer and service: the i-th has the sequence ``sequence + i``."""

    producer: str
    sequence: int
    service: str
    instance: str
    dropped: int
    table: Columns
    """Its requests; others may stand there before and behind."""
    start: int
    end: int
    fails: bool
    """Whether it may speak against a release."""

    @classmethod
    def alone(cls, producer: str, sequence: int, service: str, instance: str, dropped: int, table: Columns) -> Self:
        """All of a table."""
        fails = bool(TOOL_FAILURES[table.outcome].any())
        return cls(producer, sequence, service, instance, dropped, table, 0, len(table), fails)

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def columns(self) -> Columns:
        """Its requests alone."""
        return self.table.part(self.start, self.end)

    def came_again(self, sent: Sequences, before: Sequences) -> Bools | None:
        """Which of its requests were sent in this window or the one before, a flag each; None for none. Now all were."""
        again = sent.add(self.producer, self.sequence, len(self), before)
        return flags(again, len(self)) if again else None


class BadRequestError(Exception):
    """A request of a batch is none."""


def read_batch(raw: bytes, fields: Mapping[str, Any]) -> Batch:
    """The batch in ``raw``, of which ``fields`` is the parsed JSON.

    Raises ``pydantic.ValidationError`` if it is no `EventBatch`, and :class:`BadRequestError`, which names the first
    request that is no `RequestEvent`.
    """
    try:
        _refuse_doubled_metrics(raw, fields)
        return _read(fields)
    except UnusualError:
        return _read(EventBatch.read(raw).model_dump())


def _read(fields: Mapping[str, Any]) -> Batch:
    v = fields.get("v", 1)
    must(type(v) is int and v == 1)
    names = strict.texts(fields.get("names"), _LONGEST_NAME, 3 * MAX_BATCH)
    places = _places(fields, len(names))
    n = len(places["method"])
    batch = Batch.alone(
        producer=strict.text(fields, "producer", _LONGEST_NAME),
        sequence=strict.whole(fields, "sequence", _END),
        service=strict.text(fields, "service", _LONGEST_NAME),
        instance=strict.text(fields, "instance", _LONGEST_NAME),
        dropped=strict.whole(fields, "dropped", 2**31, absent=0),
        table=Columns(
            version=Coded([strict.text(fields, "version", _LONGEST_NAME)], np.zeros(n, np.int64)),
            assignment=Coded(names, places["assignment"]),
            session=Coded(names, places["session"]),
            tool=Coded(names, places["tool"]),
            tool_call=Coded(names, places["method"]).looked_up(lambda name: name == TOOL_CALL) == 1,
            outcome=Coded(names, places["outcome"]).looked_up(lambda name: OUTCOME_INDEX.get(name, ABSENT)),
            started_at=strict.numbers(fields.get("started_at"), "q", 0, _END, n),
            duration_ms=strict.numbers(fields.get("duration_ms"), "d", 0, 1e9, n),
            **_ages(fields, n),
            first_of_session=_first_of_session(fields, n),
            tells_ends=_tells_ends(fields, n),
            metrics=metrics_of(fields.get("metrics", {}), n),
        ),
    )
    _refuse_bad_request(batch, names, places)
    return batch


def _refuse_doubled_metrics(raw: bytes, fields: Mapping[str, Any]) -> None:
    """JSON may name a metric twice: the model looks at both, and parsed JSON only holds the last."""
    metrics = fields.get("metrics", {})
    must(isinstance(metrics, dict))
    must(not metrics or (b"\\" not in raw and raw.count(b'"values"') == len(metrics)))


def _places(fields: Mapping[str, Any], names: int) -> dict[str, Ints]:
    method = fields.get("method")
    n = len(method) if isinstance(method, list | tuple) else 0
    must(0 < n <= MAX_BATCH)
    places = strict.table(fields, ("method", "outcome", *OPTIONAL_PLACES), "q", ABSENT, names, n)
    must("outcome" in places)
    return dict.fromkeys(OPTIONAL_PLACES, np.full(n, ABSENT)) | places


def _ages(fields: Mapping[str, Any], n: int) -> dict[str, Floats]:
    ages = strict.table(fields, ("session_age_ms", "session_gap_ms"), "d", ABSENT, 1e12, n)
    absent = np.full(n, float(ABSENT))
    return {"age_ms": ages.get("session_age_ms", absent), "gap_ms": ages.get("session_gap_ms", absent)}


def _first_of_session(fields: Mapping[str, Any], n: int) -> Bools:
    first = np.zeros(n, np.bool_)
    first[strict.positions(fields.get("first_of_session", ()), n)] = True
    return first


def _tells_ends(fields: Mapping[str, Any], n: int) -> Bools:
    tells = fields.get("tells_ends", False)
    must(type(tells) is bool)
    return np.full(n, tells, np.bool_)


def metrics_of(metrics: Mapping[str, Any], n: int) -> dict[str, Values]:
    """The custom metrics of ``n`` requests. Raises :class:`UnusualError`."""
    must(len(metrics) <= _MOST_METRICS)
    found = {}
    for name, metric in metrics.items():
        must(0 < len(name) <= _LONGEST_NAME and isinstance(metric, dict))
        at = strict.positions(metric.get("at"), n)
        values = strict.numbers(metric.get("values"), "d", -_HUGE, np.inf, len(at))
        if len(at):
            found[name] = Values(at, values)
    return found


def _refuse_bad_request(batch: Batch, names: list[str], places: Mapping[str, Ints]) -> None:
    """What the form of a batch leaves open, and that of a single event does not."""
    bad = _bad(batch, names, places)
    if not bad.any():
        return
    i = int(bad.argmax())
    why = "not what a request says"
    try:
        RequestEvent.model_validate(_request(batch, names, places, i))
    except ValidationError as error:
        first = error.errors()[0]
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    raise BadRequestError(f"request {i} of {len(bad)}: {why}")


def _bad(batch: Batch, names: list[str], places: Mapping[str, Ints]) -> Bools:
    rows = batch.table
    bad: Bools = (rows.outcome == ABSENT) | (places["method"] == ABSENT)
    for ages in (rows.age_ms, rows.gap_ms):
        bad |= (ages < 0) & (ages != ABSENT)
    bad[_END - batch.sequence :] = True
    lengths = list(map(len, names))
    if max(lengths) > min(LIMITS.values()):
        for name, longest in LIMITS.items():
            bad |= _measured(lengths, places[name]) > longest
    if not min(lengths):
        for name in NEVER_EMPTY:
            bad |= _measured(lengths, places[name]) == 0
    return bad


def _measured(lengths: list[int], places: Ints) -> Ints:
    """The length of each row's name; that of an absent one is in order."""
    return np.array([*lengths, 1])[places]


def _request(batch: Batch, names: list[str], places: Mapping[str, Ints], i: int) -> dict[str, Any]:
    """The i-th request in the form of a single event, as far as it may be bad."""
    rows = batch.table
    texts = {name: names[column[i]] for name, column in places.items() if column[i] != ABSENT}
    ages = {"session_age_ms": float(rows.age_ms[i]), "session_gap_ms": float(rows.gap_ms[i])}
    return {
        "producer": batch.producer,
        "sequence": batch.sequence + i,
        "service": batch.service,
        "version": rows.version.values[0],
        "instance": batch.instance,
        "started_at": int(rows.started_at[i]),
        "duration_ms": float(rows.duration_ms[i]),
        **texts,
        **{name: age for name, age in ages.items() if age != ABSENT},
    }
