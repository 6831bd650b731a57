"""What servers sent about a service, for a recording: as it came, or under other names. Pure.

Only what can be read, and is the service's: what nobody can read may hold anything of anybody's.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from davylamp_sdk._event import EventBatch, RequestEvent
from davylamp_sdk._names import METHODS, SESSION_END
from judge.pseudonyms import Pseudonyms
from schemas.labels import split_assignment
from schemas.names import REVISIONS
from transport.log import Record

Sent = RequestEvent | EventBatch


def messages_about(records: Iterable[Record], service: str) -> Iterator[tuple[Record, Sent]]:
    """The records in which a server speaks of the service, with what they say."""
    for record in records:
        said = said_of(record, service)
        if said is not None:
            yield record, said


def said_of(record: Record, service: str) -> Sent | None:
    """What a server says of the service; None: something else, or nothing that can be read."""
    said = _read(record.value or b"")
    return said if said is not None and said.service == service else None


def _read(raw: bytes) -> Sent | None:
    for model in (RequestEvent, EventBatch):
        try:
            return model.read(raw)
        except ValidationError:
            continue
    return None


def renamed(record: Record, said: Sent, names: Pseudonyms) -> Record:
    """The same under other names: numbers, outcomes and times stay as they are, and what MCP itself, JSON-RPC or HTTP named."""
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
    return replace(record, topic=names.topic(record.topic), key=producer.encode(), value=value, headers={})


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


_RENAMED = "session", "assignment", "tool", "error_type", "method", "protocol_version"
_KEPT = ("outcome",)
_METHODS = METHODS | {SESSION_END}
_CODE = re.compile(r"-32[0-6]\d\d|-327[0-5]\d|-3276[0-8]|[45]\d\d")
"""JSON-RPC's own errors, and HTTP's. Another number may be anybody's: an emitter that is not ours writes what it likes."""


def _other(column: str, name: str | None, names: Pseudonyms) -> str | None:
    if name is None or column in _KEPT:
        return name
    if column == "assignment":
        label, version = split_assignment(name)
        return None if version is None else f"{names.label(label, version)};{names.of('version', version)}"
    if _is_nobodys(column, name):
        return name
    return names.of({"error_type": "error", "protocol_version": "revision"}.get(column, column), name)


def _is_nobodys(column: str, name: str) -> bool:
    match column:
        case "method":
            return name in _METHODS
        case "protocol_version":
            return name in REVISIONS
        case "error_type":
            return _CODE.fullmatch(name) is not None
    return False
