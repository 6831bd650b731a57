"""What the judge knows: its inputs and the ledger, folded from their topics. Live and in `verify` by this one code."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from judge.impossible import ImpossibleReportError, ImpossibleWindowError, service_named_in
from judge.rollout.state import ServiceState
from schemas.control import Command, ProxyReport, RouteChange
from schemas.decisions import Cut, LedgerEntry
from schemas.ledger import Void
from schemas.service import Service
from schemas.topics import Topic
from schemas.windows import CohortWindow
from transport.log import Record

INPUTS: tuple[Topic, ...] = ("services", "rollout-commands", "route-changes", "proxy-reports", "cohort-windows")
"""What a decision depends on beside the ledger: the topics of a cut."""

LEDGER: Topic = "rollout-decisions"
WINDOWS: Topic = "cohort-windows"
TOPICS: tuple[Topic, ...] = (*INPUTS, LEDGER)
"""All that the judge reads."""

COUNTS: frozenset[Topic] = frozenset({"proxy-reports", WINDOWS})
"""Of which a record that is not understood is missed."""

_SAID_AT = re.compile(rb'\{"acknowledged":(true|false),"at":(?:0|[1-9][0-9]*),')
"""How a picture of the proxies begins: in canonical JSON keys are sorted."""
_MOST_PICTURES = 1_000
"""So many at most are remembered: more than the routers and services of a fleet have at a time."""


@dataclass(slots=True)
class Fold:
    """Every service of the records read so far.

    What follows from it depends on how far each partition was read, and on nothing else: not on how topics were interleaved,
    nor on how records were batched. Windows that were let go (:meth:`ServiceState.forget`) are such that nothing follows from them.
    """

    states: dict[str, ServiceState] = field(default_factory=dict)
    _partition: dict[str, int] = field(default_factory=dict)
    _offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    _pictures: dict[tuple[bytes, bytes], RouteChange] = field(default_factory=dict)

    def read(self, record: Record) -> Void | None:
        """The next record of any topic; a ledger entry that has no effect is given back.

        Raises ``pydantic.ValidationError`` for a record that is not understood: it counts as read and changes nothing, but
        for counts that are missing then, of the service that it names; so it is with any other error of a record of counts.
        """
        self._offsets[record.topic, record.partition] = record.offset + 1
        reader = _READERS.get(record.topic)
        try:
            return reader(self, record) if reader is not None else None
        except (ImpossibleReportError, ImpossibleWindowError):  # whoever raised it has said what is missing
            raise
        except Exception:
            service = service_named_in(record.value) if record.topic in COUNTS else None
            if service is not None:
                state = self.states.get(service) or self.state(service, record.partition)
                state.lacks(record.timestamp_ms)
            raise

    def cut(self, service: str, now_ms: int) -> Cut:
        """How far the inputs of one service have been read."""
        partition = self._partition[service]
        offsets = {f"{topic}-{partition}": self._offsets.get((topic, partition), 0) for topic in INPUTS}
        return Cut(offsets=offsets, now=now_ms)

    def state(self, service: str, partition: int) -> ServiceState:
        """One service, new if nothing was said about it yet."""
        self._partition[service] = partition
        if service not in self.states:
            self.states[service] = ServiceState(service)
        return self.states[service]

    def picture(self, value: bytes) -> RouteChange:
        """A route change, but for `at`, which nobody asks here.

        While a rollout runs, each router tells the same picture again each second, for two weeks if need be: such a
        message is not parsed again, else a judge that restarts would read for minutes.
        """
        began = _SAID_AT.match(value)
        said = (began[1], value[began.end() :]) if began else (b"", value)
        known = self._pictures.get(said)
        if known is None:
            known = RouteChange.read(value)
            if len(self._pictures) >= _MOST_PICTURES:
                self._pictures.clear()
            self._pictures[said] = known
        return known


def _read_service(fold: Fold, record: Record) -> None:
    if record.value is None:
        removed = (record.key or b"").decode(errors="replace")
        if removed in fold.states:
            fold.states[removed].read_service(None)
        return
    service = Service.read(record.value)
    fold.state(service.service, record.partition).read_service(service)


def _read_command(fold: Fold, record: Record) -> None:
    command = Command.read(record.value or b"")
    fold.state(command.service, record.partition).read_command(command, record.timestamp_ms)


def _read_route(fold: Fold, record: Record) -> None:
    change = fold.picture(record.value or b"")
    state = fold.state(change.service, record.partition)
    state.read_route(change, record.partition, record.offset, record.timestamp_ms)


def _read_report(fold: Fold, record: Record) -> None:
    report = ProxyReport.read(record.value or b"")
    fold.state(report.service, record.partition).read_report(report, record.timestamp_ms)


def _read_window(fold: Fold, record: Record) -> None:
    window = CohortWindow.read(record.value or b"")
    fold.state(window.service, record.partition).read_window(window, record.timestamp_ms)


def _read_entry(fold: Fold, record: Record) -> Void | None:
    entry = LedgerEntry.read(record.value or b"")
    result = fold.state(entry.service, record.partition).read_entry(entry, record.offset)
    return result if isinstance(result, Void) else None


_READERS: dict[str, Callable[[Fold, Record], Void | None]] = {
    "services": _read_service,
    "rollout-commands": _read_command,
    "route-changes": _read_route,
    "proxy-reports": _read_report,
    "cohort-windows": _read_window,
    LEDGER: _read_entry,
}
