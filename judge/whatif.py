"""What a judge would have said along the course of a recorded rollout, by another plan or policy. Pure.

It is asked at the moments of the recorded decisions, with what the judge had read then, and in between as the log went
on. The first word that is not the recorded one is the divergence; whatever is said after it holds only if the rollout had
gone on as it did all the same.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from judge.course import Course, Leg, Word
from judge.fold import INPUTS
from judge.rollout.machine import Machine
from judge.verify import Tape, by_person
from schemas.decisions import Cut, LedgerEntry

LOOK_EVERY_MS = 250
"""As often as the judge looks where nothing comes."""

_IDLE_LOOK_EVERY_MS = 1_000
"""Where nothing came only the clock can change what is said."""

SAME_WITHIN_MS = 2_000
"""A decision that is taken so little earlier is the same one: the moments of the looks are not those of the live judge."""


@dataclass(frozen=True, slots=True)
class Said:
    """A word that is not the recorded one."""

    at_ms: int
    entry: LedgerEntry | None
    """None: where the recording has a decision, nothing is decided."""
    waits_for: str | None
    """Why nothing is decided."""
    instead_of: Word | None
    """What the recording says then, or next; None: it ends without another word."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A replay under another plan or policy."""

    course: Course
    same: tuple[Word, ...]
    """Entries that would have been written before anything differs; people's words are taken as given."""
    total: int
    """Entries of the recording, up to the moment asked for."""
    divergence: Said | None
    later: tuple[Said, ...] = ()
    """What else would be said if the rollout had gone on as it did: up to a rollback."""


def what_if(course: Course, machine: Machine, until_ms: int | None = None) -> WhatIf:
    """Ask `machine` along `course`, up to a moment by the judge's clock."""
    words = [leg.ends for leg in course.legs if leg.ends is not None and not _later_than(until_ms, _end_ms(leg.ends))]
    said = list(_differences(course, machine, until_ms))
    if not said:
        return WhatIf(course, tuple(words), len(words), None)
    first = said[0].instead_of
    same = words[: words.index(first)] if first in words else words
    return WhatIf(course, tuple(same), len(words), said[0], tuple(said[1:]))


def _differences(course: Course, machine: Machine, until_ms: int | None) -> Iterator[Said]:
    """Each kind of word once a leg, when it is first said."""
    for number, leg in enumerate(course.legs):
        told: set[str | None] = set()
        for look in _looks(course, number):
            if _later_than(until_ms, look.cut.now):
                return
            decision = course.tape.decide(machine, leg.before, look.cut)
            if _agrees(decision.entry, leg.ends, look.cut.now):
                break
            kind = decision.entry.kind if decision.entry else None
            if (kind is not None or look.decided) and kind not in told:
                told.add(kind)
                yield Said(look.cut.now, decision.entry, decision.view.waiting_for, leg.ends)
            if kind == "rollback":
                return


def _agrees(said: LedgerEntry | None, word: Word | None, at_ms: int) -> bool:
    if said is None or word is None or _end_ms(word) - at_ms > SAME_WITHIN_MS:
        return False
    recorded = word.recorded
    return (said.kind, said.stage, said.share) == (recorded.kind, recorded.stage, recorded.share)


def _later_than(until_ms: int | None, at_ms: int) -> bool:
    return until_ms is not None and at_ms > until_ms


def _end_ms(word: Word) -> int:
    """By the judge's clock, where the judge said it."""
    return word.written_ms if by_person(word.recorded) else word.recorded.cut.now


@dataclass(frozen=True, slots=True)
class _Look:
    cut: Cut
    decided: bool = False
    """The recorded judge decided here."""


def _looks(course: Course, number: int) -> Iterator[_Look]:
    """As the log went on during a leg, and then the look that ended it, exactly."""
    leg, bound = course.legs[number], _bound(course.legs[number:])
    if number > 0:
        before = course.legs[number - 1].ends
        yield from _looks_between(course.tape, _reached(course.legs[:number]), before, leg.ends, bound)
    if leg.ends is not None and not by_person(leg.ends.recorded):
        yield _Look(leg.ends.recorded.cut, decided=True)


def _looks_between(
    tape: Tape, reached: Cut, before: Word | None, after: Word | None, bound: Cut | None
) -> Iterator[_Look]:
    start_ms = _end_ms(before) if before else 0
    end_ms = _end_ms(after) if after else _newest_ms(tape)
    offsets, looked_ms = reached.offsets, start_ms
    for now in range(start_ms + LOOK_EVERY_MS, end_ms, LOOK_EVERY_MS):
        read = {place: _upto(tape, place, now, at, bound) for place, at in offsets.items()}
        if read != offsets or now - looked_ms >= _IDLE_LOOK_EVERY_MS:
            offsets, looked_ms = read, now
            yield _Look(Cut(offsets=read, now=now))


def _upto(tape: Tape, place: str, now_ms: int, at: int, bound: Cut | None) -> int:
    """First offset of a topic not read by `now_ms`: at least `at`, and not beyond what the recorded judge had read."""
    records = tape.records.get(place.rpartition("-")[0], ())
    count = bisect_right(records, now_ms, key=lambda record: record.timestamp_ms)
    if bound is not None:
        count = min(count, bisect_left(records, bound.offsets.get(place, 0), key=lambda record: record.offset))
    return max(at, records[count - 1].offset + 1 if count else 0)


def _bound(legs: Sequence[Leg]) -> Cut | None:
    """How far the judge had read when it spoke next."""
    return next((leg.ends.recorded.cut for leg in legs if leg.ends and not by_person(leg.ends.recorded)), None)


def _reached(legs: Sequence[Leg]) -> Cut:
    """How far the judge had read when it spoke last."""
    spoken = [leg.ends.recorded.cut for leg in legs if leg.ends and not by_person(leg.ends.recorded)]
    return spoken[-1] if spoken else Cut(offsets={}, now=0)


def _newest_ms(tape: Tape) -> int:
    return max((tape.records[topic][-1].timestamp_ms for topic in INPUTS if tape.records.get(topic)), default=0)
