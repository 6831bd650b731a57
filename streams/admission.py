"""Caps on what clients and servers may name: the first so many in the order of the log, the rest together. Pure."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from schemas.windows import OTHER

Name = TypeVar("Name", bound=Hashable)


@dataclass(slots=True)
class Admission(Generic[Name]):
    """Gives each of the first ``cap`` names a place of its own; ``cap`` itself is the place of all others."""

    cap: int
    places: dict[Name, int] = field(default_factory=dict)

    def place(self, name: Name) -> int:
        """The place of a name. A client's own ``_other`` is one of the others."""
        known = self.places.get(name)
        if known is not None:
            return known
        if len(self.places) == self.cap or name == OTHER:
            return self.cap
        return self.places.setdefault(name, len(self.places))

    def names(self) -> list[Name]:
        """By place."""
        return list(self.places)
