"""A stage's clock, in data time: it starts when every proxy runs the stage's route, and a hold stops it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from schemas.decisions import Acknowledgement, EntryKind, LedgerEntry

_OPENS_STAGE: frozenset[EntryKind] = frozenset({"start", "proceed", "retry"})


@dataclass(frozen=True, slots=True)
class StageClock:
    """The current stage of a rollout."""

    acknowledged: Acknowledgement | None
    """When its route was first in force on every proxy; None: not yet."""
    elapsed_s: float
    """From then to the frontier, without the time held. 0 before."""
    held: LedgerEntry | None
    """The hold that stops it now."""


def stage_clock(
    entries: Sequence[LedgerEntry], acknowledged: Mapping[str, Acknowledgement], frontier_ms: int | None
) -> StageClock:
    """The clock of the newest stage of a rollout's `entries`.

    `frontier_ms` is the end of the newest window that every telemetry partition has closed. A hold counts from its
    cut's `now` to that of the entry which ends it: the ledger alone says how long it was.
    """
    stage = newest_stage(entries)
    first, holds = first_acknowledgement(stage, acknowledged), _holds(stage)
    held = holds[-1].entry if holds and holds[-1].to_ms is None else None
    if first is None or frontier_ms is None:
        return StageClock(first, 0.0, held)
    stopped = sum(h.within(first.at, frontier_ms) for h in holds)
    return StageClock(first, max(0, frontier_ms - first.at - stopped) / 1000, held)


def stage_starts(entries: Sequence[LedgerEntry], acknowledged: Mapping[str, Acknowledgement]) -> tuple[int, ...]:
    """When each stage so far was first in force on every proxy, Unix milliseconds.

    A retried stage keeps its start: its clock and its proof begin anew, while the evidence for a breach keeps what it has,
    good or bad. To stake a stage's weight anew whenever somebody asks for it would be to forget what it lost.
    """
    starts: dict[int, int] = {}
    opened = [i for i, e in enumerate(entries) if e.kind in _OPENS_STAGE and e.stage > 0]
    for i, j in zip(opened, [*opened[1:], len(entries)], strict=True):
        first = first_acknowledgement(entries[i:j], acknowledged)
        if first is not None:
            starts.setdefault(entries[i].stage, first.at)
    return tuple(at for _, at in sorted(starts.items()))


def newest_stage(entries: Sequence[LedgerEntry]) -> Sequence[LedgerEntry]:
    """The entries of a rollout since its newest stage began, or was begun anew."""
    opened = [i for i, e in enumerate(entries) if e.kind in _OPENS_STAGE]
    return entries[opened[-1] :] if opened else entries


def first_acknowledgement(
    entries: Sequence[LedgerEntry], acknowledged: Mapping[str, Acknowledgement]
) -> Acknowledgement | None:
    """When the route of the first of `entries`, which share it, was in force: a router asks for the newest only."""
    found = [acknowledged[e.id] for e in entries if e.id in acknowledged]
    return min(found, key=lambda a: a.at) if found else None


@dataclass(frozen=True, slots=True)
class _Held:
    entry: LedgerEntry
    """The newest word about it."""
    from_ms: int
    to_ms: int | None
    """None: it lasts."""

    def within(self, start_ms: int, end_ms: int) -> int:
        """How much of it lies between."""
        to_ms = end_ms if self.to_ms is None else min(self.to_ms, end_ms)
        return max(0, to_ms - max(self.from_ms, start_ms))


def _holds(stage: Sequence[LedgerEntry]) -> list[_Held]:
    holds: list[_Held] = []
    for entry in stage:
        lasting = holds[-1] if holds and holds[-1].to_ms is None else None
        if entry.kind == "hold" and lasting is None:
            holds.append(_Held(entry, entry.cut.now, None))
        elif entry.kind == "hold" and lasting is not None:
            holds[-1] = replace(lasting, entry=entry)
        elif entry.kind == "resume" and lasting is not None:
            holds[-1] = replace(lasting, to_ms=entry.cut.now)
    return holds
