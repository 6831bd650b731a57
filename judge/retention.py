"""Which inputs of an entry the log no longer holds. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from judge.rollout.commands import COMMAND_EXPIRES_S
from judge.rollout.look import HOUR_BEFORE_MS
from schemas.decisions import LedgerEntry
from schemas.ledger import ServiceLedger
from schemas.topics import Topic
from transport.log import Record

COMPACTED: Topic = "services"
"""Of this one the log keeps only the newest word about each service."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A service's accepted entries, and when the log took each."""

    ledger: ServiceLedger
    written_ms: tuple[int, ...]


def expired(below: Mapping[Topic, Sequence[Record]], entry: LedgerEntry, before: Chain) -> tuple[Topic, ...]:
    """The inputs of `entry` that miss records it may rest on; `below` is what is left of each below its cut."""
    needed = _needed_since_ms(entry, before)
    return tuple(
        topic
        for topic, records in below.items()
        if (end := _end(topic, entry)) > 0
        and (_replaced(records, end, entry.service) if topic == COMPACTED else _cut_off(records, end, needed[topic]))
    )


def _needed_since_ms(entry: LedgerEntry, before: Chain) -> dict[Topic, int | None]:
    """From which append time on a decision may look at a topic; None: not at all.

    Commands count while they are fresh, acknowledgements, windows and reports from the start of the rollout, the latter
    two only where one is being compared; windows also from the hour before, which says how sick a baseline is.
    """
    standing = before.ledger.standing
    began = next(
        (at for e, at in zip(before.ledger.entries, before.written_ms, strict=True) if _of_newest(e, before)), None
    )
    compared = began if standing.live and standing.stage > 0 else None
    return {
        "rollout-commands": entry.cut.now - round(COMMAND_EXPIRES_S * 1000),
        "route-changes": began,
        "proxy-reports": compared,
        "cohort-windows": compared - HOUR_BEFORE_MS if compared is not None else None,
    }


def _of_newest(entry: LedgerEntry, before: Chain) -> bool:
    return entry.rollout == before.ledger.standing.rollout


def _end(topic: Topic, entry: LedgerEntry) -> int:
    """First offset not read; a cut names one partition."""
    return next((end for place, end in entry.cut.offsets.items() if place.rpartition("-")[0] == topic), 0)


def _cut_off(records: Sequence[Record], end: int, since_ms: int | None) -> bool:
    """Whether retention may have taken something younger than `since_ms`, or the newest records are not there."""
    if since_ms is None:
        return False
    if not records or records[-1].offset != end - 1:
        return True
    return records[0].offset > 0 and records[0].timestamp_ms > since_ms


def _replaced(records: Sequence[Record], end: int, service: str) -> bool:
    """Whether compaction may have taken what was in force: compaction takes older words about a key before newer ones."""
    return len(records) < end and not any(record.key == service.encode() for record in records)
