"""Dead letters: telemetry that nobody could read, as `mcp-requests.dlq` keeps it; and how one is sent again. Pure."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol, Self, get_args

from schemas.topics import REPLAYED, Topic
from transport.log import Position, Reader, Record

DEAD_LETTERS: Topic = "mcp-requests.dlq"
SHOWN_BYTES = 4000
_ORIGIN = "topic", "partition", "offset", "reason"
_NO_TELEMETRY = frozenset(get_args(Topic)) - {"mcp-requests"}
"""Nobody may have a person write there whatever a letter says: where it came from is the word of who wrote it."""


@dataclass(frozen=True, slots=True)
class Posting:
    """A record for a named partition."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: Mapping[str, bytes]


class Sender(Protocol):
    """Appends records. There is one at a time: another that begins ends this one, and what it sent by then can be read.

    So whoever begins, and then reads what was sent before, sends nothing twice. Raises :class:`transport.log.LogError`.
    """

    async def put_all(self, *postings: Posting) -> Sequence[Position]:
        """Return once all of them are in the log; where it raises none is, unless the log did not answer."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One of them."""

    id: str
    """``<partition>@<offset>`` of the dead-letter topic."""
    at_ms: int
    reason: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    original_size: int | None
    """None: it is whole."""
    replayed_from: str | None = None
    """The origin of the letter that was sent again, where this is what became of it. Whoever sent the message says so."""

    @property
    def origin(self) -> str:
        """``<topic>-<partition>@<offset>`` of the message: two letters with the same one are one."""
        return f"{self.topic}-{self.partition}@{self.offset}"

    @classmethod
    def of(cls, record: Record) -> Self | None:
        """None of what is no dead letter: a note that one was sent again, or a stranger's."""
        headers = {name: value.decode(errors="replace") for name, value in record.headers.items()}
        if not all(name in headers for name in _ORIGIN):
            return None
        partition, offset = (_number(headers[name], most) for name, most in (("partition", 2**31), ("offset", 2**63)))
        if partition is None or offset is None:
            return None
        return cls(
            id=f"{record.partition}@{record.offset}",
            at_ms=record.timestamp_ms,
            reason=headers["reason"],
            topic=headers["topic"],
            partition=partition,
            offset=offset,
            key=record.key,
            value=record.value or b"",
            original_size=_number(headers.get("original_size", ""), 2**31),
            replayed_from=headers.get(REPLAYED),
        )


def _number(text: str, end: int) -> int | None:
    """Below ``end``; None: it is no such number. Whoever may write there writes what they like."""
    if re.fullmatch(r"[0-9]{1,19}", text) is None:
        return None
    return number if (number := int(text)) < end else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters: all of what is said here."""

    ids: frozenset[str] = frozenset()
    """Empty: any."""
    reason: str | None = None
    """The word before the colon."""
    topic: str | None = None

    def has(self, letter: DeadLetter) -> bool:
        """Whether it is one of them."""
        return (
            (not self.ids or letter.id in self.ids)
            and self.reason in (None, letter.reason.partition(":")[0])
            and self.topic in (None, letter.topic)
        )


async def letters(reader: Reader, wanted: Wanted) -> AsyncGenerator[DeadLetter, None]:
    """The wanted ones, one a message, in the order of the log within a partition: as far as the topic goes now, and maybe some that
    came meanwhile."""
    seen: set[str] = set()
    async for batch in reader.batches():
        for record in batch.records:
            letter = DeadLetter.of(record)
            if letter is not None and wanted.has(letter) and letter.origin not in seen:
                seen.add(letter.origin)
                yield letter
        if batch.caught_up:
            return


async def replayed(reader: Reader) -> frozenset[str]:
    """Origins of the messages that a topic says were sent again, as far as it goes now. A letter's word for it is its sender's."""
    found: set[str] = set()
    async for batch in reader.batches():
        notes = (r for r in batch.records if REPLAYED in r.headers and DeadLetter.of(r) is None)
        found |= {note.headers[REPLAYED].decode(errors="replace") for note in notes}
        if batch.caught_up:
            break
    return frozenset(found)


def why_not(letter: DeadLetter, done: Collection[str], *, by_id: bool = False) -> str | None:
    """Why a letter is not sent again; None: it can be. ``done``: origins of what was.

    What was sent again and could not be read either lies there as a letter of its own: that one is sent only ``by_id``, or
    whoever names a reason would send it at each call.
    """
    if letter.topic in _NO_TELEMETRY:
        return f"did not come from telemetry: {letter.topic} is none"
    if letter.origin in done:
        return "was sent again before"
    if letter.replayed_from in done and not by_id:
        return f"was sent again before, from {letter.replayed_from}, and could not be read: name its id to send it once more"
    if letter.original_size is not None:
        return f"is cut: {len(letter.value)} of {letter.original_size} bytes are kept"
    return None


def repaired(letter: DeadLetter, value: bytes) -> DeadLetter:
    """The letter with what a person made of it. Raises ``ValueError`` where who could not read it could not read that either."""
    from streams.letters import NOT_OTLP  # half the command line's start, for one of its commands

    who, why = (
        ("the bridge", _no_spans(value))
        if letter.reason.startswith(NOT_OTLP)
        else ("streams", _no_event(letter, value))
    )
    if why is not None:
        raise ValueError(f"{letter.id}: {who} could not read what it was repaired to either: {why}")
    return replace(letter, value=value, original_size=None)


def _no_event(letter: DeadLetter, value: bytes) -> str | None:
    from streams.decoding import BadEvent, Tick, decode

    said = decode(Record(letter.topic, letter.partition, letter.offset, letter.at_ms, letter.key, value))
    return str(said) if isinstance(said, BadEvent | Tick) else None


def _no_spans(value: bytes) -> str | None:
    from streams.otlp import OtlpError, spans_in

    try:
        spans_in(value)
    except OtlpError as error:
        return str(error)
    return None


async def replay(sender: Sender, letter: DeadLetter) -> Position:
    """Send it to the partition it came from, and with it a note beside the letter, which outlives the telemetry."""
    headers = {REPLAYED: letter.origin.encode()}
    partition, _, _ = letter.id.partition("@")
    sent, _ = await sender.put_all(
        Posting(letter.topic, letter.partition, letter.key, letter.value, headers),
        Posting(DEAD_LETTERS, int(partition), letter.key, b"", headers),
    )
    return sent


async def replay_all(
    found: AsyncIterator[DeadLetter], done: Collection[str], sender: Sender | None, *, by_id: bool
) -> AsyncIterator[tuple[DeadLetter, Position | str | None]]:
    """Each letter with where it was sent, why not, or None: it would be, had it a sender.

    Letters may come while it sends, of what it has sent: those are not sent.
    """
    sent = set(done)
    async for letter in found:
        why = why_not(letter, sent, by_id=by_id)
        if why is None and sender is not None:
            sent.add(letter.origin)
            yield letter, await replay(sender, letter)
        else:
            yield letter, why


def safe(raw: bytes, most: int = SHOWN_BYTES) -> str:
    """Bytes from anybody as a terminal may show them: printable ASCII, all else escaped, and not without end."""
    text = "".join(_plain(raw[:most]))
    return text if len(raw) <= most else f"{text}… ({len(raw)} bytes)"


def _plain(raw: bytes) -> Iterator[str]:
    for byte in raw:
        if byte == ord("\\"):
            yield "\\\\"
        elif 0x20 <= byte < 0x7F:  # noqa: PLR2004 - printable ASCII
            yield chr(byte)
        else:
            yield f"\\x{byte:02x}"


def render_line(letter: DeadLetter) -> str:
    """One in a list."""
    at = datetime.fromtimestamp(letter.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    place = safe(letter.origin.encode(), 120)
    return f"{letter.id:<10} {at}  {place}  {safe(letter.reason.encode(), 100)}"


def render(letter: DeadLetter) -> str:
    """All of one."""
    rows = {
        "id": letter.id,
        "kept at": datetime.fromtimestamp(letter.at_ms / 1000, UTC).isoformat(),
        "from": f"{safe(letter.topic.encode(), 250)}, partition {letter.partition}, offset {letter.offset}",
        "reason": safe(letter.reason.encode()),
        **({} if letter.replayed_from is None else {"again": f"sent from {safe(letter.replayed_from.encode(), 250)}"}),
        "key": "none" if letter.key is None else safe(letter.key),
        "size": f"{len(letter.value)} bytes"
        + (f", cut from {letter.original_size}" if letter.original_size is not None else ""),
    }
    return "\n".join([*(f"{name:<8} {value}" for name, value in rows.items()), "", safe(letter.value)])
