"""The course of a recorded rollout under another plan: the same words at the same moments, as if that plan had been theirs.

A what-if asks the judge along the course that the rollout really took, for traffic is known of that one only. So the
recorded entries are written anew with the other plan in them, and all that names an entry (routes, commands) follows. Pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from pydantic import ValidationError

from davylamp_sdk._message import Message
from judge.verify import Changes, Records, Tape, links
from schemas.control import Command, RouteChange
from schemas.decisions import LedgerEntry
from schemas.ledger import ServiceLedger, Void
from schemas.plan import Plan
from schemas.units import format_share
from transport.log import Record

M = TypeVar("M", bound=Message)


class OtherCourseError(ValueError):
    """The plan would have taken another course from the start: nothing is known of it."""


@dataclass(frozen=True, slots=True)
class Word:
    """An entry of the recorded rollout."""

    recorded: LedgerEntry
    """As it was written."""
    expected: LedgerEntry
    """The same under the plan of the course."""
    written_ms: int
    """When the log took it."""


@dataclass(frozen=True, slots=True)
class Leg:
    """From one word of the rollout to the next."""

    before: ServiceLedger
    """What the ledger holds meanwhile."""
    ends: Word | None
    """None: the recording ended."""


@dataclass(frozen=True, slots=True)
class Course:
    """A rollout's legs in order, and its inputs as the judge would have read them."""

    legs: tuple[Leg, ...]
    tape: Tape


def course(records: Records, service: str, rollout: int, plan: Plan) -> Course:
    """The rollout as it went, under `plan`. Raises :class:`OtherCourseError`."""
    chain, legs, ids, command = ServiceLedger(), list[Leg](), dict[str, str](), None
    for link in links(records, service):
        entry = link.entry
        if entry.rollout > rollout:
            break
        expected = _under(plan, entry, ids) if entry.rollout == rollout else entry
        ids[entry.id] = expected.id
        if entry.rollout == rollout:
            command = entry.command if entry.kind == "start" else command
            legs.append(Leg(chain, Word(entry, expected, link.record.timestamp_ms)))
        chain, result = chain.read(expected, link.record.offset)
        if isinstance(result, Void):
            raise OtherCourseError(f"the recorded {entry.kind} is not possible under this plan: {result.reason}")
    return Course((*legs, Leg(chain, None)), Tape(records, service, _retold(ids, plan, command)))


def _under(plan: Plan, entry: LedgerEntry, ids: Mapping[str, str]) -> LedgerEntry:
    """The entry as it would have been written: with what follows from the plan, and with ids that follow from that."""
    if entry.opening is not None:
        _refuse_other_shares(entry.opening.plan, plan)
    opening = entry.opening and entry.opening.model_copy(update={"plan": plan})
    acknowledged = entry.acknowledged and entry.acknowledged.model_copy(
        update={"entry": ids.get(entry.acknowledged.entry, entry.acknowledged.entry)}
    )
    known = {name: getattr(entry, name) for name in LedgerEntry.model_fields if name not in {"id", "decided_at"}}
    follows = {"after": ids.get(entry.after, entry.after), "plan_hash": plan.hash}
    return LedgerEntry.make(**{**known, **follows, "acknowledged": acknowledged, "opening": opening})


def _refuse_other_shares(recorded: Plan, asked: Plan) -> None:
    was, wanted = (", ".join(format_share(stage.share) for stage in p.stages) for p in (recorded, asked))
    if was != wanted:
        raise OtherCourseError(
            f"stages: the recorded shares are {was}, and nothing is known of {wanted}: keep the shares; durations, checks, "
            "limits and policy may differ"
        )


def _retold(ids: Mapping[str, str], plan: Plan, start: str | None) -> Changes:
    """To the inputs with the ids of the course. The rollout is asked for with its plan."""

    def named(entry: str) -> str:
        return ids.get(entry, entry)

    def route(change: RouteChange) -> RouteChange:
        return change.model_copy(update={"entry": named(change.entry)})

    def asked(command: Command) -> Command:
        mine = command.opening is not None and command.id == start
        opening = command.opening.model_copy(update={"plan": plan}) if command.opening and mine else command.opening
        return command.model_copy(update={"seen": named(command.seen), "opening": opening})

    return {"route-changes": _each(RouteChange, route), "rollout-commands": _each(Command, asked)}


def _each(model: type[M], anew: Callable[[M], M]) -> Callable[[Record], Record]:
    """What is not understood stays as it is: the judge passes over it."""

    def change(record: Record) -> Record:
        try:
            return replace(record, value=anew(model.read(record.value or b"")).dump())
        except ValidationError:
            return record

    return change
