"""A recording: records of the log in a file, to be looked at far from it (docs/reference/recording.md).

Gzip of JSON lines: a header, a line for each record, and a last line that says how many there were, so that a file that
was cut off is told from a whole one. What lies in a record is kept to the byte.
"""

import base64
import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Literal

from pydantic import Field, ValidationError

from davylamp_sdk._message import Message, canonical_json
from schemas.names import ServiceName
from schemas.plan import Plan
from schemas.service import Service
from transport.log import Record

FORMAT: Literal["davylamp-recording"] = "davylamp-recording"
NEWEST = 1
"""The newest version of the format that is read here, and the one that is written."""

_LONGEST_LINE = 16 * 1024 * 1024
"""A record of the log has at most a megabyte; what is longer is no recording."""

What = Literal["windows", "events"]
"""What the judge reads about one rollout, or what servers sent meanwhile."""


class Header(Message):
    """The first line: what follows, and what it is about."""

    format: Literal["davylamp-recording"] = FORMAT
    v: Annotated[int, Field(ge=1, description="Version of the format.")] = NEWEST
    what: What = "windows"
    davylamp: str = Field(description="The version that wrote the file.")
    service: ServiceName
    rollout: int
    plan: Plan = Field(description="As the rollout was started.")
    definition: Service = Field(description="The service, as the rollout was started.")
    anonymized: bool = False


class RecordingFileError(ValueError):
    """The file is no recording that can be read here."""


@dataclass(frozen=True, slots=True)
class RecordingFile:
    """A recording that is being read."""

    header: Header
    records: Iterator[Record]
    """In the order of the file; raises :class:`RecordingFileError` where the file turns out to be damaged."""


def write_recording(path: Path, header: Header, records: Iterable[Record]) -> int:
    """How many records were written. The same content gives the same bytes; a file is there whole or not at all."""
    whole = path.with_name(f".{path.name}.part")
    try:
        with whole.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
            written = _write(file, header, records)
        os.replace(whole, path)  # noqa: PTH105 - the atomic one, whatever the platform
    finally:
        whole.unlink(missing_ok=True)
    return written


def _write(file: gzip.GzipFile, header: Header, records: Iterable[Record]) -> int:
    written = 0
    file.write(header.dump() + b"\n")
    for record in records:
        file.write(to_line(record))
        written += 1
    file.write(canonical_json({"end": written}) + b"\n")
    return written


def to_line(record: Record) -> bytes:
    """A record as it stands in the file."""
    return canonical_json(_to_json(record)) + b"\n"


def from_line(line: bytes) -> Record:
    """The record of a line that :func:`to_line` made."""
    return _from_json(json.loads(line), 0)


def open_recording(file: IO[bytes]) -> RecordingFile:
    """Read the header, and the rest as it is asked for. Raises :class:`RecordingFileError` with the line."""
    lines = _lines(gzip.GzipFile(fileobj=file))
    first = next(lines, None)
    if first is None:
        raise RecordingFileError("the file is empty: make a recording with davylamp record")
    return RecordingFile(_header(first[1]), _records(lines))


def _header(line: bytes) -> Header:
    content = _object(line, 1)
    if content.get("format") != FORMAT:
        raise RecordingFileError(f"line 1: this is no header of a recording ({FORMAT}): make one with davylamp record")
    version = content.get("v")
    if isinstance(version, int) and version > NEWEST:
        by = content.get("davylamp", "a newer davylamp")
        raise RecordingFileError(
            f"line 1: format {version} was written by davylamp {by}, and this one reads up to {NEWEST}: upgrade davylamp"
        )
    try:
        return Header.read(line)
    except ValidationError as error:
        raise RecordingFileError(f"line 1: the header is not understood: {_first(error)}") from error


def _records(lines: Iterator[tuple[int, bytes]]) -> Iterator[Record]:
    reached: dict[tuple[str, int], int] = {}
    number = 1
    for number, line in lines:
        content = _object(line, number)
        if "end" in content:
            _ended(content["end"], number - 2, number)
            if next(lines, None) is not None:  # reading on also compares the checksum
                raise RecordingFileError(f"line {number + 1}: something follows the last line: {_DAMAGED}")
            return
        record = _from_json(content, number)
        at = record.topic, record.partition
        if record.offset <= reached.get(at, -1):
            raise RecordingFileError(
                f"line {number}: offset {record.offset} of {record.topic} comes too late: {_DAMAGED}"
            )
        reached[at] = record.offset
        yield record
    raise RecordingFileError(f"line {number}: the file ends here without its last line: {_CUT_OFF}")


def _ended(said: Any, read: int, number: int) -> None:
    if said != read:
        raise RecordingFileError(f"line {number}: {said} records were written and {read} are there: {_DAMAGED}")


def _lines(file: gzip.GzipFile) -> Iterator[tuple[int, bytes]]:
    """Numbered from 1."""
    number = 0
    while True:
        try:
            line = file.readline(_LONGEST_LINE)
        except EOFError:
            raise RecordingFileError(f"line {number + 1}: the file ends here in the middle: {_CUT_OFF}") from None
        except (OSError, zlib.error) as error:
            what = "the file is not compressed by gzip" if not number else f"damaged ({error})"
            raise RecordingFileError(f"line {number + 1}: {what}: {_DAMAGED}") from error
        if not line:
            return
        number += 1
        if not line.endswith(b"\n") and len(line) >= _LONGEST_LINE:
            raise RecordingFileError(f"line {number}: longer than any record can be: {_DAMAGED}")
        yield number, line


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise RecordingFileError(f"line {number}: no JSON ({error}): {_DAMAGED}") from error
    if not isinstance(content, dict):
        raise RecordingFileError(f"line {number}: no JSON object: {_DAMAGED}")
    return content


class _Line(Message):
    """A record as it stands in the file. Bytes are text where they are UTF-8, else base64 under another key."""

    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    timestamp_ms: int
    key: str | None = None
    key_base64: str | None = None
    value: str | None = None
    value_base64: str | None = None
    headers: dict[str, str] = Field(default_factory=dict, description="Name → base64.")


def _to_json(record: Record) -> dict[str, Any]:
    headers = {name: base64.b64encode(value).decode() for name, value in record.headers.items()}
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        **_text("key", record.key),
        **_text("value", record.value),
        **({"headers": headers} if headers else {}),
    }


def _text(name: str, value: bytes | None) -> dict[str, str]:
    if value is None:
        return {}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}


def _from_json(content: dict[str, Any], number: int) -> Record:
    try:
        line = _Line.model_validate(content, extra="ignore")
        return Record(
            line.topic,
            line.partition,
            line.offset,
            line.timestamp_ms,
            _bytes(line.key, line.key_base64),
            _bytes(line.value, line.value_base64),
            {name: base64.b64decode(value, validate=True) for name, value in line.headers.items()},
        )
    except ValidationError as error:
        raise RecordingFileError(f"line {number}: the record is not understood: {_first(error)}") from error
    except ValueError as error:
        raise RecordingFileError(f"line {number}: not base64 ({error}): {_DAMAGED}") from error


def _bytes(text: str | None, encoded: str | None) -> bytes | None:
    if encoded is not None:
        return base64.b64decode(encoded, validate=True)
    return None if text is None else text.encode()


def _first(error: ValidationError) -> str:
    found = error.errors()[0]
    return f"{'.'.join(map(str, found['loc'])) or 'the whole'}: {found['msg']}"


_DAMAGED = "copy the file again, or make another recording with davylamp record"
_CUT_OFF = "it was cut off; copy it again, or make another recording with davylamp record"
