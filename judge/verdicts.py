"""What comes of recomputing a ledger entry."""

from dataclasses import dataclass

from schemas.decisions import LedgerEntry


@dataclass(frozen=True, slots=True)
class Same:
    """The cut gives the entry, byte for byte."""

    entry: LedgerEntry
    but_for_additions: bool = False
    """But for fields that were not known yet when it was written, and have their defaults."""


@dataclass(frozen=True, slots=True)
class Differs:
    """The cut gives something else although everything it names is there."""

    entry: LedgerEntry
    recomputed: LedgerEntry | None
    """None: nothing would have been written."""


@dataclass(frozen=True, slots=True)
class Expired:
    """The entry rests on records that the log no longer holds."""

    entry: LedgerEntry
    inputs: tuple[str, ...]
    """The topics that miss some."""


@dataclass(frozen=True, slots=True)
class OtherVersion:
    """Other code decided: only that code can recompute it."""

    entry: LedgerEntry


@dataclass(frozen=True, slots=True)
class ByPerson:
    """A word written without the judge: a person's, or a router's while the judge is blind. It follows from no input."""

    entry: LedgerEntry


Verdict = Same | Differs | Expired | OtherVersion | ByPerson
