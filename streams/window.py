"""One window of one partition while it fills: its services, and what it was sent. Pure."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from schemas.windows import CohortWindow
from streams.cells import Told, told_cells
from streams.sequences import Sequences
from streams.service_window import ServiceWindow

MAX_UNREGISTERED = 200
"""Services in a window that nobody registered; messages of further ones are refused."""


@dataclass(frozen=True, slots=True)
class Source:
    """Which log is folded, and by whom."""

    topic: str
    partition: int
    partitions: int
    window_ms: int
    instance: str


@dataclass(slots=True)
class Window:
    """A contiguous range of offsets, from ``first_offset`` on."""

    index: int
    """``window_start = index * window_ms``."""
    first_offset: int
    holes: int = 0
    """Messages that retention removed unread before this window."""
    malformed: int = 0
    unkept: int = 0
    """Of the malformed those of which there is no dead letter."""
    services: dict[str, ServiceWindow] = field(default_factory=dict)
    sent: Sequences = field(default_factory=Sequences)
    """Every event that a message of this window brought, duplicates too."""
    _strangers: int = 0

    def service(self, name: str, window_ms: int, registered: Callable[[], Collection[str]]) -> ServiceWindow | None:
        """The service's counts; None if it is one too many of those that nobody registered."""
        heard = self.services.get(name)
        if heard is not None:
            return heard
        if name not in registered():
            if self._strangers == MAX_UNREGISTERED:
                return None
            self._strangers += 1
        return self.services.setdefault(name, ServiceWindow(self.index, window_ms))

    def folded(self) -> int:
        """Of all services."""
        for service in self.services.values():
            service.settle()
        return sum(service.folded for service in self.services.values())

    def published(self, source: Source, service: str, through: int, clock_ms: int, *, final: bool) -> CohortWindow:
        """:meth:`told` as a model."""
        return CohortWindow.model_validate(self.told(source, service, through, clock_ms, final=final))

    def told(self, source: Source, service: str, through: int, clock_ms: int, *, final: bool) -> Told:
        """What the window says of a service, as the JSON of a window: that nothing was heard of it, perhaps."""
        heard = self.services.get(service)
        return {
            "v": 1,
            "service": service,
            "source": source.topic,
            "partition": source.partition,
            "partitions": source.partitions,
            "window_start": self.index * source.window_ms,
            "window_ms": source.window_ms,
            "first_offset": self.first_offset,
            "through": through,
            "clock_ms": (self.index + 1) * source.window_ms if final else clock_ms,
            "final": final,
            "instance": source.instance,
            "part": 1,
            "parts": 1,
            "cells": [] if heard is None else told_cells(heard, final=final),
            "malformed": self.malformed,
            "unkept": self.unkept,
            "holes": self.holes,
            "duplicates": heard.duplicates if heard else 0,
            "dropped": heard.dropped if heard else {},
            "folded": heard.folded if heard else 0,
        }
