"""What was told, so that a restart neither repeats nor forgets it."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from alerts.cause import Cause, CauseKind, Severity

logger = logging.getLogger(__name__)


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class OpenCause(_Kept):
    """A condition whose beginning was told and whose end was not. Times are Unix milliseconds."""

    kind: CauseKind
    severity: Severity
    service: str
    rollout: int
    sentence: str
    since_ms: int
    told_ms: int

    def cause(self, key: str, since_s: float) -> Cause:
        """The cause it stands for."""
        return Cause(key, self.kind, self.severity, self.service, self.rollout, since_s, self.sentence)


class Told(_Kept):
    """What one receiver knows."""

    settled_ms: int
    """Every fact up to here needs no telling any more."""
    done: dict[str, int] = {}
    """Facts since then that were told: by key, when they happened."""
    open: dict[str, OpenCause] = {}
    """By key."""
    telling: dict[str, OpenCause] = {}
    """By key: what it was about to be told. If that is all that is remembered, nobody knows whether it was."""


class Book(_Kept):
    """What every receiver knows, by its name."""

    v: Literal[1] = 1
    receivers: dict[str, Told] = {}


class Memory(Protocol):
    """Keeps a :class:`Book` over restarts, all of it or none."""

    def load(self) -> Book:
        """What was saved last; an empty book if there is none that can be read. Never raises."""

    def save(self, receivers: Mapping[str, Told]) -> None:
        """Return once it outlives a crash. Raises ``OSError``. May be called from another thread, one at a time."""


class InMemory:
    """A :class:`Memory` that outlives nothing but its users."""

    def __init__(self) -> None:
        self.book = Book()

    def load(self) -> Book:
        return self.book

    def save(self, receivers: Mapping[str, Told]) -> None:
        self.book = Book(receivers=dict(receivers))


class MemoryFile:
    """A :class:`Memory` in one small JSON file: written beside, synced, and moved into place."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Book:
        try:
            return Book.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return Book()
        except (OSError, ValidationError) as error:
            extra = {"action": "memory_unreadable", "path": str(self._path), "why": str(error)}
            logger.warning("what was told is not known: recent alerts are told again", extra=extra)
            return Book()

    def save(self, receivers: Mapping[str, Told]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(Book(receivers=dict(receivers)).model_dump_json().encode())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # else the move itself may be lost
        finally:
            os.close(folder)
