"""From bytes to typed structs, by msgspec: what it takes the models take as well, and read the same. Pure.

It takes no number in quotes, no fraction for a whole number, no NaN: such things, and whatever is wrong, only the models
know to read or to refuse with a reason.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from davylamp_sdk._event import MAX_BATCH, Outcome

_Name = Annotated[str, Meta(min_length=1, max_length=120)]
_Names = Annotated[list[Annotated[str, Meta(max_length=120)]], Meta(max_length=3 * MAX_BATCH)]
_UsualNames = Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=3 * MAX_BATCH)]
"""That may stand in any column."""
_Wholes = tuple[int, ...]
_Reals = tuple[float, ...]
_Whole = Annotated[int, Meta(ge=0, lt=2**53)]
_Age = Annotated[float, Meta(ge=0, lt=1e12)]
_END = 2**53
_MOST_METRICS = 32
OPTIONAL_PLACES = ("session", "assignment", "tool", "error_type", "protocol_version")
AGES = ("session_age_ms", "session_gap_ms")
_DEEPEST = 150
"""Brackets of a message: the models read no JSON that is nested deeper than 200."""


class Event(msgspec.Struct, gc=False, forbid_unknown_fields=True, kw_only=True):
    """A `RequestEvent`; ages that are absent are -1, as in a batch.

    In the order of the canonical bytes: msgspec looks for a key from behind the one before.
    """

    assignment: Annotated[str, Meta(max_length=100)] | None = None
    duration_ms: Annotated[float, Meta(ge=0, lt=1e9)]
    error_type: _Name | None = None
    first_of_session: bool = False
    instance: _Name
    method: _Name
    metrics: dict[_Name, float] = {}
    outcome: Outcome
    producer: _Name
    protocol_version: _Name | None = None
    sequence: _Whole
    service: _Name
    session: Annotated[str, Meta(max_length=64)] | None = None
    session_age_ms: _Age | None = -1.0
    session_gap_ms: _Age | None = -1.0
    started_at: _Whole
    tells_ends: bool = False
    tool: _Name | None = None
    v: Literal[1] = 1
    version: _Name


class Sent(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """An `EventBatch` whose columns nobody has looked at yet; tuples, which `struct` takes without a copy."""

    producer: _Name
    sequence: _Whole
    service: _Name
    version: _Name
    instance: _Name
    names: _UsualNames
    method: _Wholes
    outcome: _Wholes
    started_at: _Wholes
    duration_ms: _Reals
    v: Literal[1] = 1
    dropped: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    tells_ends: bool = False
    session: _Wholes = ()
    assignment: _Wholes = ()
    tool: _Wholes = ()
    error_type: _Wholes = ()
    protocol_version: _Wholes = ()
    first_of_session: _Wholes = ()
    session_age_ms: _Reals = ()
    session_gap_ms: _Reals = ()
    metrics: dict[_Name, dict[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch whose columns are of one length each: lists of numbers are many times as large."""

    producer: str
    sequence: int
    service: str
    version: str
    instance: str
    dropped: int
    tells_ends: bool
    names: list[str]
    usual_names: bool
    """Whether each may stand in any column."""
    metrics: Mapping[str, Any]
    n: int
    columns: Mapping[str, bytes]
    """Those that are not empty, and the positions of `first_of_session`; places among the names are 16 bits each."""


@lru_cache(maxsize=1024)
def _writer(kind: str, n: int) -> Callable[..., bytes]:
    """From ``n`` numbers to an array: of all ways `struct` is the fastest, and it raises unless there are so many."""
    return struct.Struct(f"{n}{kind}").pack


def packed(sent: Sent) -> Packed | None:
    """None if columns are not of one length, or a number exceeds its bits: no batch has as many names as 15 count."""
    n = len(sent.method)
    if not 0 < n <= MAX_BATCH or sent.sequence + n > _END:
        return None
    places, wholes, reals = _writer("h", n), _writer("q", n), _writer("d", n)
    try:
        columns = {
            "method": places(*sent.method),
            "outcome": places(*sent.outcome),
            "started_at": wholes(*sent.started_at),
            "duration_ms": reals(*sent.duration_ms),
            "first_of_session": _writer("q", len(sent.first_of_session))(*sent.first_of_session),
        }
        for name in OPTIONAL_PLACES:
            if column := getattr(sent, name):
                columns[name] = places(*column)
        for name in AGES:
            if column := getattr(sent, name):
                columns[name] = reals(*column)
    except struct.error:
        return None
    who = sent.producer, sent.sequence, sent.service, sent.version, sent.instance
    usual = not isinstance(sent, _NewerSent)
    return Packed(*who, sent.dropped, sent.tells_ends, sent.names, usual, sent.metrics, n, columns)


class _NewerEvent(Event, gc=False, forbid_unknown_fields=False):
    """Of whoever says more."""


class _NewerSent(Sent, gc=False, forbid_unknown_fields=False):
    """Of a newer SDK, which may say more; or of whoever has long names, an empty one among them perhaps."""

    names: _Names


_event = msgspec.json.Decoder(Event).decode
_newer_event = msgspec.json.Decoder(_NewerEvent).decode
_sent = msgspec.json.Decoder(Sent).decode
_newer_sent = msgspec.json.Decoder(_NewerSent).decode


def parse_event(raw: bytes) -> Event | None:
    """The single event in ``raw``, as it is usually written."""
    try:
        event = _event(raw)
    except (ValueError, RecursionError):
        return None
    return None if event.metrics and _is_doubled(event, raw) else event


def parse_events(raws: Sequence[bytes | None]) -> list[Event] | None:
    """:func:`parse_event` of each; None if one is none, or not as usual."""
    try:
        events = list(map(_event, filter(None, raws)))
    except (ValueError, RecursionError):
        return None
    telling = [i for i, event in enumerate(events) if event.metrics]
    if len(events) < len(raws) or any(_is_doubled(events[i], raws[i] or b"") for i in telling):
        return None
    return events


def parse_batch(raw: bytes) -> Packed | None:
    """The batch in ``raw``, as it is usually written."""
    try:
        sent = _sent(raw)
    except (ValueError, RecursionError):
        return None
    return None if sent.metrics and _is_doubled(sent, raw) else packed(sent)


def parse_newer(raw: bytes) -> Event | Packed | None:
    """The event or batch in ``raw``, of whoever may say more, or has long names; None if only the models can tell."""
    if not _is_readable(raw):
        return None
    is_batch = b"names" in raw or b"\\u" in raw  # a batch is told by its names, however they are spelled
    try:
        found = _newer_sent(raw) if is_batch else _newer_event(raw)
    except (ValueError, RecursionError):
        return None
    if found.metrics and _is_doubled(found, raw):
        return None
    return packed(found) if isinstance(found, Sent) else found


def _is_doubled(found: Event | Sent, raw: bytes) -> bool:
    """Whether a metric may be named twice: the models look at both, and what is parsed only holds the last."""
    if isinstance(found, Event):
        return raw.count(b":") > _MOST_METRICS  # of an event only their number is looked at
    return b"\\" in raw or raw.count(b'"values"') != len(found.metrics)


def _is_readable(raw: bytes) -> bool:
    """Whether what msgspec passes over, the values of keys that it does not know, is JSON that the models read."""
    if raw.count(b"[") + raw.count(b"{") > _DEEPEST:
        return False
    try:
        return raw.isascii() or bool(raw.decode())
    except UnicodeDecodeError:
        return False
