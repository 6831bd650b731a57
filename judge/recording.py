"""What of the log a rollout's decisions rest on: the records that its recording holds. Pure.

Much of a log is older than the rollout. It is left out, but for what still speaks when the rollout starts: the chain up
to it, the proxies that exist, what had been acknowledged, and the reports from which the next differences are taken.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from pydantic import ValidationError

from davylamp_sdk import __version__
from davylamp_sdk._message import Message
from judge.fold import COUNTS, INPUTS, LEDGER
from judge.impossible import ImpossibleReportError, service_named_in, unreadable
from judge.proxies import ProxyBook
from judge.rollout.look import HOUR_BEFORE_MS
from judge.rollout.state import CLOCKS_DIFFER_MS, ServiceState
from judge.verify import Records, links
from schemas.control import Command, ProxyReport, RouteChange
from schemas.decisions import LedgerEntry, Opening
from schemas.service import Service
from schemas.topics import Topic
from schemas.windows import CohortWindow
from transport.log import Record
from transport.recording import Header

M = TypeVar("M", bound=Message)
Told = tuple[Record, M]
"""A record with what it says."""


class NoRolloutError(ValueError):
    """The log holds no such rollout."""


def header_of(records: Records, service: str, rollout: int | None) -> Header:
    """What a recording of the rollout says first; of the newest one by default. Raises :class:`NoRolloutError`."""
    starts = {link.entry.rollout: link.entry for link in links(records, service) if link.entry.opening is not None}
    number = max(starts, default=0) if rollout is None else rollout
    if number not in starts:
        known = ", ".join(map(str, sorted(starts))) or "none"
        raise NoRolloutError(f"{service} has no rollout {number}; the log holds {known}")
    opening = _opening(starts[number])
    return Header(davylamp=__version__, service=service, rollout=number, plan=opening.plan, definition=opening.service)


def records_of(records: Records, header: Header) -> Iterator[Record]:
    """In the order of :data:`judge.fold.TOPICS`, each topic by offset."""
    written = _written_ms(records, header.service)
    over = written.get(header.rollout + 1)
    since_ms = written.get(header.rollout, 0) - HOUR_BEFORE_MS - CLOCKS_DIFFER_MS
    for topic in INPUTS:
        told = records.get(topic, ())
        older = (record for record in told if record.timestamp_ms < since_ms)
        speaking = _STILL_SPEAKING[topic](_told(older, header.service, _MODELS[topic]))
        kept = (r for r in told if _upto(r, over) and (r.timestamp_ms >= since_ms or r.offset in speaking))
        yield from _of_service(kept, header.service, topic)
    for record in records.get(LEDGER, ()):
        if _upto(record, over, itself=False) and _says(record, header.service, LedgerEntry):
            yield record


def _opening(start: LedgerEntry) -> Opening:
    if start.opening is None:
        raise ValueError(f"entry {start.id} is a start without its plan")
    return start.opening


def _written_ms(records: Records, service: str) -> dict[int, int]:
    """By rollout: when the log took its start."""
    starts = (link for link in links(records, service) if link.entry.kind == "start")
    return {link.entry.rollout: link.record.timestamp_ms for link in starts}


def _upto(record: Record, over_ms: int | None, *, itself: bool = True) -> bool:
    return over_ms is None or record.timestamp_ms < over_ms + itself


def _told(records: Iterable[Record], service: str, model: type[M]) -> Iterator[Told[M]]:
    for record in records:
        found = _says(record, service, model)
        if found is not None:
            yield record, found


def _of_service(records: Iterable[Record], service: str, topic: Topic) -> Iterator[Record]:
    """Counts that could not be read are missed, and hold a rollout: their content is unknown, so it is left out."""
    for record in records:
        if _says(record, service, _MODELS[topic]) is not None:
            yield record
        elif topic in COUNTS and _is_missed(record, service):
            yield replace(record, value=unreadable(service))


def _is_missed(record: Record, service: str) -> bool:
    return service_named_in(record.value) == service


def _says(record: Record, service: str, model: type[M]) -> M | None:
    """None for what the judge passes over, and for what is about another service."""
    try:
        found = model.read(record.value or b"")
    except ValidationError:
        return None
    return found if getattr(found, "service", None) == service else None


def _nothing(_: Iterable[Told[Message]]) -> set[int]:
    return set()


def _everything(older: Iterable[Told[Message]]) -> set[int]:
    return {record.offset for record, _ in older}


def _standing_routes(older: Iterable[Told[RouteChange]]) -> set[int]:
    """Where a proxy came to exist or was forgotten, and where an entry came into force, with what all routers said then."""
    state, newest, kept = ServiceState(""), dict[str, int](), set[int]()
    for record, change in older:
        before = state.fleet.roster, len(state.acknowledged)
        state.read_route(change, record.partition, record.offset, record.timestamp_ms)
        newest[change.router] = record.offset
        if (state.fleet.roster, len(state.acknowledged)) != before:
            kept |= set(newest.values())
    return kept | set(newest.values())


def _bases(older: Iterable[Told[ProxyReport]]) -> set[int]:
    """Of each life of a proxy the report from which its next difference is taken."""
    book, bases = ProxyBook(), dict[tuple[str, int], int]()
    for record, report in older:
        try:
            book.read(report, record.timestamp_ms)
        except ImpossibleReportError:
            bases.pop((report.proxy, report.started), None)
        if book.counts_from(report):
            bases[report.proxy, report.started] = record.offset
    return set(bases.values())


_MODELS: Mapping[Topic, type[Message]] = {
    "services": Service,
    "rollout-commands": Command,
    "route-changes": RouteChange,
    "proxy-reports": ProxyReport,
    "cohort-windows": CohortWindow,
}
_STILL_SPEAKING: Mapping[Topic, Callable[..., set[int]]] = {
    "services": _everything,
    "rollout-commands": _nothing,
    "route-changes": _standing_routes,
    "proxy-reports": _bases,
    "cohort-windows": _nothing,
}
"""What of the records from long before the rollout is needed, by offset."""
