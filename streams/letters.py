"""Dead letters, as `mcp-requests.dlq` keeps them. Pure."""

from schemas.topics import REPLAYED, Topic
from streams.outbox import Outgoing
from transport.log import Record

DEAD_LETTERS: Topic = "mcp-requests.dlq"
NOT_OTLP = "not_otlp"
"""Reason of a letter that came to the topic of spans."""
DEAD_LETTER_BYTES = 900_000
"""A longer one is cut, or its headers would make it too large for the log that took it."""
_KEY_BYTES = 1000
_REASON_BYTES = 1000
_ORIGIN_BYTES = 300
"""Of a key, a reason, which quotes what it is about, and the place that a message was sent again from, so much is kept."""


def dead_letter(record: Record, reason: str) -> Outgoing:
    """A record that nobody can read, as it came, with where it came from and why it is here."""
    value = record.value or b""
    headers = {
        "reason": reason.encode(errors="replace")[:_REASON_BYTES],
        "topic": record.topic.encode(),
        "partition": str(record.partition).encode(),
        "offset": str(record.offset).encode(),
    }
    if REPLAYED in record.headers:
        headers[REPLAYED] = record.headers[REPLAYED][:_ORIGIN_BYTES]
    if len(value) > DEAD_LETTER_BYTES:
        headers["original_size"] = str(len(value)).encode()
    key = None if record.key is None else record.key[:_KEY_BYTES]
    return Outgoing(DEAD_LETTERS, None, key, value[:DEAD_LETTER_BYTES], headers)
