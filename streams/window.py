"""One window of one partition while it fills: the cells of each service, and what it was sent. Pure."""

from dataclasses import dataclass, field

from davylamp_sdk._event import RequestEvent
from schemas.labels import UNJUDGED
from schemas.windows import Cell, CohortWindow
from streams.cells import Tally, bucket_of, read_assignment
from streams.counters import Counters

MAX_LABELS = 64
"""Live labels a service in a window; events of further ones count under ``-``."""

Identities = dict[str, set[int]]
"""Producer → sequences: the identity of an event."""


@dataclass(frozen=True, slots=True)
class Source:
    """Which log is folded, and by whom."""

    topic: str
    partition: int
    partitions: int
    window_ms: int
    instance: str


@dataclass(slots=True)
class _ServiceCells:
    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)

    def admit(self, label: str) -> bool:
        if len(self.labels) < MAX_LABELS:
            self.labels.add(label)
        return label in self.labels

    def published(self, *, final: bool) -> tuple[Cell, ...]:
        return tuple(tally.cell(*key, final=final) for key, tally in sorted(self.tallies.items()))


@dataclass(slots=True)
class Window:
    """A contiguous range of offsets, from ``first_offset`` on."""

    index: int
    """``window_start = index * window_ms``."""
    first_offset: int
    services: dict[str, _ServiceCells] = field(default_factory=dict)
    sent: Identities = field(default_factory=dict)
    """Every event that a message of this window brought, duplicates too."""

    def count(self, event: RequestEvent, counters: Counters) -> None:
        """Count an event in the cell of the version that the proxy assigned: intention to treat."""
        service = self.services.setdefault(event.service, _ServiceCells())
        assignment = read_assignment(event.assignment)
        version = event.version if assignment.version is None else assignment.version
        label, bucket = UNJUDGED, None
        if assignment.rollout is not None and event.session is not None:  # without one there is no cluster to judge by
            if service.admit(assignment.label):
                label, bucket = assignment.label, bucket_of(event.session, assignment.rollout)
            else:
                counters.folded_labels += 1
        tally = service.tallies.setdefault((version, label), Tally())
        tally.add(event, bucket, mismatch=version != event.version)

    def published(self, source: Source, service: str, through: int, clock_ms: int, *, final: bool) -> CohortWindow:
        """What the window says of a service: nothing, if it was not heard."""
        heard = self.services.get(service)
        return CohortWindow(
            service=service,
            source=source.topic,
            partition=source.partition,
            partitions=source.partitions,
            window_start=self.index * source.window_ms,
            window_ms=source.window_ms,
            first_offset=self.first_offset,
            through=through,
            clock_ms=(self.index + 1) * source.window_ms if final else clock_ms,
            final=final,
            instance=source.instance,
            cells=heard.published(final=final) if heard else (),
        )
