"""Records of the log, sorted."""

from collections.abc import Iterable

from transport.log import Record


def by_topic(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The records of each topic, in the order in which they came."""
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.topic, []).append(record)
    return found
