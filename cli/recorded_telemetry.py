"""What servers sent about a service, for a recording: as it came, or under other names. Pure.

Only what can be read, and is the service's: what nobody can read may hold anything of anybody's.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from davylamp_sdk._event import EventBatch, RequestEvent
from judge.pseudonyms import Pseudonyms
from schemas.labels import split_assignment
from transport.log import Record

Sent = RequestEvent | EventBatch


def telemetry_of(records: Iterable[Record], service: str) -> Iterator[tuple[Record, Sent]]:
    """The records in which a server speaks of the service, with what they say."""
    for record in records:
        said = _read(record.value or b"")
        if said is not None and said.service == service:
            yield record, said


def _read(raw: bytes) -> Sent | None:
    for model in (RequestEvent, EventBatch):
        try:
            return model.read(raw)
        except ValidationError:
            continue
    return None


def renamed(record: Record, said: Sent, names: Pseudonyms) -> Record:
    """The same under other names: numbers, outcomes, methods and times stay as they are."""
    producer = names.of("producer", said.producer)
    common = {
        "producer": producer,
        "service": names.of("service", said.service),
        "version": names.of("version", said.version),
        "instance": names.of("instance", said.instance),
        "metrics": {names.metric(name): value for name, value in said.metrics.items()},
    }
    own = _batch(said, names) if isinstance(said, EventBatch) else _event(said, names)
    value = said.model_copy(update={**common, **own}).dump()
    return replace(record, key=producer.encode(), value=value, headers={})


def _event(event: RequestEvent, names: Pseudonyms) -> Mapping[str, Any]:
    return {column: _other(column, getattr(event, column), names) for column in _RENAMED}


def _batch(batch: EventBatch, names: Pseudonyms) -> Mapping[str, Any]:
    """A name that stands in two columns may get two others, so the table of names is written anew."""
    places: dict[str, int] = {}
    columns: dict[str, Any] = {}
    for column in (*_RENAMED, *_KEPT):
        found = (None if place < 0 else batch.names[place] for place in getattr(batch, column))
        others = (_other(column, name, names) for name in found)
        columns[column] = tuple(-1 if name is None else places.setdefault(name, len(places)) for name in others)
    return {**columns, "names": tuple(places)}


_RENAMED = "session", "assignment", "tool", "error_type"
_KEPT = "method", "outcome", "protocol_version"


def _other(column: str, name: str | None, names: Pseudonyms) -> str | None:
    if name is None or column in _KEPT:
        return name
    if column == "assignment":
        label, version = split_assignment(name)
        return None if version is None else f"{names.label(label, version)};{names.of('version', version)}"
    if column == "error_type":
        return name if name.lstrip("-").isdigit() else names.of("error", name)
    return names.of(column, name)
