"""What outlives the router on its own disk: latches, proxies, and of each service the route acknowledged last."""

import contextlib
import os
from functools import reduce
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, ValidationError

from davylamp_sdk._message import Message
from router.errors import DiskError
from router.fold import Fold
from router.latch import Latches
from router.proxies import Known
from router.rollouts import living
from router.snapshot import Offsets
from schemas.decisions import LedgerEntry
from schemas.ledger import Ledger, ServiceLedger
from schemas.service import Service
from schemas.standing import Standing


def _read(value: Any) -> Any:
    """Entries were objects once."""
    return LedgerEntry.read(value) if isinstance(value, str) else value


def _written(entry: LedgerEntry) -> str:
    return entry.dump().decode()


Kept = Annotated[LedgerEntry, BeforeValidator(_read), PlainSerializer(_written)]
"""An entry as the text that was written, whose id follows from all of it, also from what is not understood here."""


class _LatchFile(Message):
    entries: tuple[Kept, ...]


class Acknowledged(Message):
    """What one service's acknowledged route follows from."""

    name: str
    service: Service | None
    entries: tuple[Kept, ...]
    """Those that the route follows from: the others are in the log, and ever more."""
    offset: int
    rejected: tuple[str, ...] = ()
    """Versions that were when the first of the entries, a start, was written: all that it does not say itself."""
    ledger: int
    """How far everybody's ledger and services reached then."""
    services: int

    @property
    def head(self) -> LedgerEntry | None:
        """The newest of the entries."""
        return self.entries[-1] if self.entries else None

    @classmethod
    def of(cls, fold: Fold, name: str) -> "Acknowledged":
        """As `fold` has it."""
        chain = fold.ledger.of(name)
        kept = tuple(living(chain.entries))
        before = reduce(Standing.after, chain.entries[: len(chain.entries) - len(kept)], Standing())
        return cls(
            name=name,
            service=fold.services.get(name),
            entries=kept,
            offset=chain.offset,
            rejected=tuple(sorted(before.rejected)),
            ledger=fold.offsets.ledger,
            services=fold.offsets.services,
        )

    def chain(self) -> ServiceLedger:
        """The service's ledger, from the first of the entries on. They were accepted when they were kept."""
        before = Standing(rejected=frozenset(self.rejected))
        return ServiceLedger(self.entries, self.offset, reduce(Standing.after, self.entries, before))


class Disk:
    """A folder of this router alone. Every file is replaced as a whole and synced: a crash leaves the old or the new."""

    def __init__(self, folder: Path) -> None:
        self._latches = folder / "latches.json"
        self._proxies = folder / "proxies.json"
        self._routes = folder / "routes"

    def latches(self) -> Latches:
        """Raises :class:`DiskError` for a file that is not understood: a rollback must not be forgotten in silence."""
        try:
            kept = _LatchFile.read(self._latches.read_bytes())
        except FileNotFoundError:
            return Latches()
        except (OSError, ValidationError) as error:
            raise DiskError(f"{self._latches}: {error}") from error
        return Latches({entry.service: entry for entry in kept.entries})

    def latch(self, latches: Latches) -> None:
        """Return once they are safe. Raises :class:`DiskError`."""
        _replace(self._latches, _LatchFile(entries=tuple(latches.entries.values())).dump())

    def known(self) -> Known:
        """Which proxies existed. A file that is not understood counts as absent: what routers told is in the log."""
        with contextlib.suppress(OSError, ValidationError):
            return Known.read(self._proxies.read_bytes())
        return Known()

    def know(self, known: Known) -> None:
        """Remember the proxies. Raises :class:`DiskError`."""
        _replace(self._proxies, known.dump())

    def keep(self, acknowledged: Acknowledged) -> None:
        """Remember a service's route. Raises :class:`DiskError`."""
        _replace(self._routes / f"{acknowledged.name}.json", acknowledged.dump())

    def only(self, services: frozenset[str]) -> None:
        """Forget every other service. Raises :class:`DiskError`."""
        try:
            for path in self._routes.glob("*.json"):
                if path.stem not in services:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise DiskError(f"{self._routes}: {error}") from error

    def acknowledged(self) -> Fold:
        """Every service as it was acknowledged last. Files that are not understood count as absent."""
        kept = [one for path in sorted(self._routes.glob("*.json")) if (one := _acknowledged(path)) is not None]
        return Fold(
            ledger=Ledger({one.name: one.chain() for one in kept if one.entries}),
            services={one.name: one.service for one in kept if one.service is not None},
            before=Offsets(max((o.ledger for o in kept), default=0), max((o.services for o in kept), default=0)),
        )


class NoDisk:
    """Forgets everything."""

    def latches(self) -> Latches:
        return Latches()

    def latch(self, latches: Latches) -> None:
        """In memory only."""

    def known(self) -> Known:
        return Known()

    def know(self, known: Known) -> None:
        """In memory only."""

    def keep(self, acknowledged: Acknowledged) -> None:
        """In memory only."""

    def only(self, services: frozenset[str]) -> None:
        """Nothing to forget."""

    def acknowledged(self) -> Fold:
        return Fold()


def _acknowledged(path: Path) -> Acknowledged | None:
    with contextlib.suppress(OSError, ValidationError):
        return Acknowledged.read(path.read_bytes())
    return None


def _replace(path: Path, content: bytes) -> None:
    """Atomic and durable (POSIX rename, then fsync of the folder)."""
    fresh = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise DiskError(f"{path}: {error}") from error
