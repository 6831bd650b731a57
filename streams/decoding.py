"""From a record of the telemetry to what it says. Pure: the same record is always read in the same way."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from davylamp_sdk._event import RequestEvent
from schemas.names import ServiceName
from streams.batches import BadRequestError, Batch, read_batch
from streams.columns import Ints
from streams.joint import read_joint
from streams.parsing import Event, Packed, parse_batch, parse_event, parse_events, parse_newer
from streams.singles import Loose, Singles, batch_of
from transport.log import Record

CONTENT_TYPE = "content-type"
TICK = b"application/vnd.davylamp.tick"
"""Content type of a tick: an empty message by which an idle partition's log says what time it is."""

Reason = Literal[
    "empty",  # no value, and no tick either
    "not_json",
    "unknown_version",  # of the event's schema
    "invalid",  # a field is missing or not what the schema says
    "unnamed_service",  # no window could bear the name
    "foreign_service",  # on the topic of another service
    "unknown_service",  # not registered, and too many such in the window
]

TOGETHER = 128
"""Single events that become columns together: so few that the processor's cache still holds what was parsed."""

_OWN_TOPIC = "mcp-requests."
"""Prefix of a service's own telemetry topic, where teams do not trust each other."""

_MOST_ERRORS = 100
_LONGEST_DETAIL = 500

_service_name: TypeAdapter[str] = TypeAdapter(ServiceName)


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing happened, later."""


@dataclass(frozen=True, slots=True)
class BadEvent:
    """A record that is no event: counted, and kept in the dead-letter topic."""

    reason: Reason
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


Said = RequestEvent | Batch | Tick | BadEvent


@dataclass(frozen=True, slots=True)
class Heard:
    """What a message says, or several single events of a service."""

    at: int
    """Number of the message, of several the first."""
    said: Batch | Loose | Tick | BadEvent

    @property
    def messages(self) -> Ints:
        """The numbers of all."""
        return self.said.at if isinstance(self.said, Loose) else np.array([self.at])


def decode(record: Record) -> Said:
    """What a record says. Keys that it has beyond the schema are ignored: a canary's SDK is often the newer one."""
    raw = record.value
    if not raw:
        return Tick() if record.headers.get(CONTENT_TYPE) == TICK else BadEvent("empty")
    try:
        fields = _fields_of_batch(raw)
        said = RequestEvent.read(raw) if fields is None else read_batch(raw, fields)
    except ValidationError as error:
        return _refused(error, raw)
    except BadRequestError as error:
        return BadEvent("invalid", str(error))
    return misplaced(said.service, record.topic) or said


def decode_all(values: Sequence[bytes | None], topic: str, record: Callable[[int], Record]) -> list[Heard]:
    """What many records of a topic say, in order: :func:`decode` of each, most of them read together.

    ``record``: gives the i-th whole, for what has to be read alone.
    """
    heard: list[Heard] = []
    batches: dict[int, Packed] = {}
    singles = Singles()
    for start in range(0, len(values), TOGETHER):
        some = values[start : start + TOGETHER]
        events = None if batches else parse_events(some)  # what came before is likely to come again
        if events is not None:
            singles.add(range(start, start + len(some)), events)
            continue
        read: dict[int, Event | RequestEvent] = {}
        for i, raw in enumerate(some, start):
            parse, other = (parse_event, parse_batch) if singles.at or read else (parse_batch, parse_event)
            said = (raw and (parse(raw) or other(raw) or parse_newer(raw))) or decode(record(i))
            if isinstance(said, Packed):
                batches[i] = said
            elif isinstance(said, Event | RequestEvent):
                read[i] = said
            else:
                heard.append(Heard(i, said))
        singles.add(read, list(read.values()))
    for i, batch in zip(batches, read_joint(list(batches.values())), strict=True):
        heard.append(Heard(i, _alone(record(i)) if batch is None else misplaced(batch.service, topic) or batch))
    producers = {one.said.producer for one in heard if isinstance(one.said, Batch)}
    for i, loose in singles.by_service(producers):
        one, why = Heard(i, loose), misplaced(loose.service, topic)
        heard += [one] if why is None else [Heard(at, why) for at in one.messages.tolist()]
    return sorted(heard, key=attrgetter("at"))


def _alone(record: Record) -> Batch | Tick | BadEvent:
    said = decode(record)
    return batch_of(said) if isinstance(said, RequestEvent) else said


def _fields_of_batch(raw: bytes) -> Mapping[str, Any] | None:
    """The parsed JSON, if it is a batch: it has `names`. Single events, the most of messages, are not parsed for it."""
    if b'"names"' not in raw and b"\\u" not in raw:
        return None
    try:
        fields = from_json(raw)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and "names" in fields else None


def _refused(error: ValidationError, raw: bytes) -> BadEvent:
    if error.error_count() > _MOST_ERRORS:
        return _refused_whole(error.error_count(), raw)
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    first = errors[0]
    if first["type"] == "json_invalid":
        return BadEvent("not_json", first["msg"])
    versions = [e["msg"] for e in errors if e["loc"] == ("v",)]
    if versions:  # of an unknown version nothing else is known either
        return BadEvent("unknown_version", versions[0])
    return BadEvent("invalid", f"{'.'.join(map(str, first['loc'])) or 'event'}: {first['msg']}"[:_LONGEST_DETAIL])


def _refused_whole(errors: int, raw: bytes) -> BadEvent:
    """Without asking for the errors: pydantic can only list all."""
    if from_json(raw).get("v", 1) != 1:
        return BadEvent("unknown_version", "Input should be 1")
    return BadEvent("invalid", f"{errors} values are not what the schema says")


@lru_cache(maxsize=1024)
def misplaced(service: str, topic: str) -> BadEvent | None:
    """Why a service's events may not stand on a topic."""
    try:
        _service_name.validate_python(service)
    except ValidationError:
        return BadEvent("unnamed_service", repr(service))
    owner = topic.removeprefix(_OWN_TOPIC) if topic.startswith(_OWN_TOPIC) else service
    return None if owner == service else BadEvent("foreign_service", f"{service} on the topic of {owner}")
