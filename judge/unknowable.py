"""What a replay that differs from its recording cannot tell, in sentences. Pure."""

from collections.abc import Callable, Iterator, Mapping

from judge.policies.cohort_series import Tally, total_of
from judge.whatif import Said, WhatIf
from schemas.labels import Label
from schemas.outcomes import ERROR_BAD, total
from schemas.units import format_share
from schemas.window_book import WindowBook
from schemas.windows import Cell, CohortWindow


def unknowable(found: WhatIf) -> tuple[str, ...]:
    """Nothing where nothing differs."""
    if found.divergence is None:
        return ()
    said, word = found.divergence, found.divergence.instead_of
    if said.entry is not None:
        return tuple(_SAID.get(said.entry.kind, _any_other)(found, said))
    return tuple(_SILENT.get(word.recorded.kind if word else "", _any_other)(found, said))


def _rolled_back(found: WhatIf, said: Said) -> Iterator[str]:
    after = _canary_after(found, said.at_ms)
    requests, failed = sum(after.outcomes.values()), total(after.outcomes, ERROR_BAD)
    yield (
        "What was recorded after this is of a world where the canary went on, and says nothing about one where it was out: "
        f"{after.new_sessions} more sessions met it there, with {requests} requests, {failed} of which failed."
    )
    if found.divergence is not None and found.divergence.instead_of is None:
        yield "The recording ends without a word: whether somebody would have ended it later is not known."


def _risen(_: WhatIf, said: Said) -> Iterator[str]:
    entry, word = said.entry, said.instead_of
    if entry is None:
        return
    later = word is not None and word.recorded.share == entry.share
    until = f"before {(word.recorded.cut.now - said.at_ms) / 1000:.1f} s later" if word and later else "after this"
    yield f"At {format_share(entry.share)} no traffic was seen {until}: what it would have shown is not known."


def _held(_: WhatIf, __: Said) -> Iterator[str]:
    yield "A hold stops the stage's clock until a person resumes it, or the data is back: when that would have been is not known."


def _not_risen(_: WhatIf, said: Said) -> Iterator[str]:
    if said.instead_of is None:
        return
    share = format_share(said.instead_of.recorded.share)
    yield (
        f"From here on new sessions met the canary at {share}, which the replay would not have given it: what is recorded "
        "later holds sessions of a stage that it had not begun, and none of the longer stage that it asked for."
    )


def _not_rolled_back(_: WhatIf, __: Said) -> Iterator[str]:
    yield "No new session met the canary after this: whether the replay would have rolled it back later is not known."


def _not_held(_: WhatIf, __: Said) -> Iterator[str]:
    yield "The recorded rollout stood still after this, where the replay would have gone on: nothing is known of how."


def _any_other(_: WhatIf, __: Said) -> Iterator[str]:
    yield "From here on the recording is of another course than the replay's: nothing later is known of that one."


_SAID: Mapping[str, Callable[[WhatIf, Said], Iterator[str]]] = {
    "rollback": _rolled_back,
    "proceed": _risen,
    "complete": _risen,
    "hold": _held,
}
"""By what the replay says where the recording says something else, or nothing."""

_SILENT: Mapping[str, Callable[[WhatIf, Said], Iterator[str]]] = {
    "proceed": _not_risen,
    "complete": _not_risen,
    "rollback": _not_rolled_back,
    "hold": _not_held,
}
"""By what the recording says where the replay says nothing."""


def _canary_after(found: WhatIf, at_ms: int) -> Tally:
    """What the canary's sessions did in final windows that ended later."""
    tape, standing = found.course.tape, found.course.legs[-1].before.standing
    canary = standing.opening.plan.canary if standing.opening else standing.canary or ""
    book, after = WindowBook(), Tally()
    for record in tape.records.get("cohort-windows", ()):
        window = CohortWindow.read(record.value) if record.value else None
        if window is None or window.service != tape.service:
            continue
        book.read(window)
        later = (final for final in book.take_final() if final.window_end > at_ms)
        after = total_of((after, *(Tally.of(c) for w in later for c in w.cells if _is_of(c, canary, standing.rollout))))
    return after


def _is_of(cell: Cell, version: str, rollout: int) -> bool:
    label = Label.parse(cell.label)
    return cell.version == version and label is not None and label.rollout == rollout
