"""A recording under other names, whose every entry still follows from its cut. Pure.

Sentences name what they speak of, so the judge writes its entries anew over the renamed inputs; that it decides the same by
the same numbers is checked, entry by entry. What people wrote has the names replaced and their own words left out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, overload

from pydantic import ValidationError

from davylamp_sdk._message import Message
from judge.fold import LEDGER
from judge.impossible import unreadable
from judge.pseudonyms import REPLACED, Pseudonyms
from judge.rollout.machine import Machine
from judge.verdicts import Same
from judge.verify import Changes, Link, Records, Tape, by_person, links, verify
from schemas.control import Command, ProxyReport, RouteChange
from schemas.decisions import LedgerEntry
from schemas.ledger import ServiceLedger
from schemas.service import Service
from schemas.windows import CohortWindow
from transport.log import Record
from transport.recording import Header

M = TypeVar("M", bound=Message)


class NamesDecideError(ValueError):
    """Under other names an entry would be another one: what is replaced is more than a name."""


def anonymized(header: Header, records: Records, key: bytes, machine: Machine) -> tuple[Header, Records]:
    """Header and records of one recording, as :func:`judge.recording.records_of` gives them, under names by `key`.

    Raises :class:`NamesDecideError`.
    """
    opened = [link.entry for link in links(records, header.service) if link.entry.opening is not None]
    openings = {entry.rollout: entry.opening for entry in opened if entry.opening is not None}
    names = Pseudonyms(key, custom=frozenset(n for o in openings.values() for n in o.plan.checks.custom))
    names = replace(names, seeds={n: (o.seed, names.seed(o.seed)) for n, o in openings.items()})
    plans = {e.plan_hash: names.plan(e.opening.plan).hash for e in opened if e.opening is not None}
    service, renaming = names.of("service", header.service), _Renaming(names, plans)
    anew = _changes(names, renaming, service)
    tape = Tape(records, service, anew)
    verdicts = verify(records, header.service, header.rollout, machine, of_any_version=True)
    same = {verdict.entry.id for verdict in verdicts if isinstance(verdict, Same)}
    written = list(_ledger(links(records, header.service), renaming, tape, machine, same))
    others = {
        "service": tape.service,
        "plan": names.plan(header.plan),
        "definition": names.service(header.definition),
        "anonymized": True,
    }
    renamed: Records = {topic: _Changed(records.get(topic, ()), change) for topic, change in anew.items()}
    return header.model_copy(update=others), {**renamed, LEDGER: written}


@dataclass(frozen=True, slots=True)
class _Renaming:
    names: Pseudonyms
    plans: Mapping[str, str]
    """Old hash → new one."""
    ids: dict[str, str] = field(default_factory=dict)
    """Of the entries so far: what names one can follow only once that has its new id."""

    def entry(self, entry: LedgerEntry) -> LedgerEntry:
        """With other names, and without words."""
        names = self.names
        known = {name: getattr(entry, name) for name in LedgerEntry.model_fields if name not in {"id", "decided_at"}}
        acknowledged = entry.acknowledged and entry.acknowledged.model_copy(
            update={"entry": self.id(entry.acknowledged.entry)}
        )
        others: dict[str, object] = {
            "after": self.id(entry.after),
            "service": names.of("service", entry.service),
            "baseline": names.of("version", entry.baseline),
            "canary": names.of("version", entry.canary),
            "checks": tuple(map(names.check, entry.checks)),
            "culprit": names.check_name(entry.culprit) if entry.culprit else None,
            "reason": entry.reason.model_copy(update={"sentence": REPLACED}),
            "plan_hash": self.plans.get(entry.plan_hash, entry.plan_hash),
            "actor": names.of("person", entry.actor),
            "command": names.of("command", entry.command) if entry.command else None,
            "opening": names.opening(entry.opening) if entry.opening else None,
            "acknowledged": acknowledged,
        }
        return LedgerEntry.make(**{**known, **others})

    def id(self, entry: str) -> str:
        """Of an entry that is not known, nobody's."""
        return self.ids.get(entry, self.names.of("entry", entry))

    def route(self, change: RouteChange) -> RouteChange:
        return change.model_copy(update={"entry": self.id(change.entry)})

    def command(self, command: Command) -> Command:
        return command.model_copy(update={"seen": self.id(command.seen)})


def _ledger(
    chain: Iterable[Link], renaming: _Renaming, tape: Tape, machine: Machine, same: set[str]
) -> Iterator[Record]:
    newest = ServiceLedger()
    before = {newest.head_id: newest}
    for link in chain:
        entry = renaming.entry(link.entry)
        if link.entry.id in same and not by_person(link.entry):
            entry = _decided(before[entry.after], entry, tape, machine)
        renaming.ids[link.entry.id] = entry.id
        newest, _ = newest.read(entry, link.record.offset)
        if entry.kind == "start":
            before.clear()  # as `links` does
        before[newest.head_id] = newest
        yield _with(link.record, entry)


class _Changed(Sequence[Record]):
    """Records, each changed when it is asked for: windows of weeks need no memory."""

    def __init__(self, records: Sequence[Record], change: Callable[[Record], Record]) -> None:
        self._records, self._change = records, change

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return map(self._change, self._records)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> "_Changed": ...
    def __getitem__(self, place: int | slice) -> "Record | _Changed":
        if isinstance(place, slice):
            return _Changed(self._records[place], self._change)
        return self._change(self._records[place])


def _changes(names: Pseudonyms, renaming: _Renaming, service: str) -> Changes:
    """By topic. What names an entry follows as soon as that has its new id: an entry is decided after those that its inputs name."""

    def command(record: Record) -> Record:
        return _with(record, renaming.command(names.command(Command.read(record.value or b""))))

    def route(record: Record) -> Record:
        return _with(record, renaming.route(names.route(RouteChange.read(record.value or b""))))

    return {
        "services": lambda record: _with(record, names.service(Service.read(record.value or b""))),
        "rollout-commands": command,
        "route-changes": route,
        "proxy-reports": _counts_anew(ProxyReport, names.report, service),
        "cohort-windows": _counts_anew(CohortWindow, names.window, service),
    }


def _counts_anew(model: type[M], change: Callable[[M], M], service: str) -> Callable[[Record], Record]:
    """Of a record that could not be read nothing is known but that it was there."""

    def changed(record: Record) -> Record:
        try:
            message = model.read(record.value or b"")
        except ValidationError:
            return replace(record, key=service.encode(), value=unreadable(service), headers={})
        return _with(record, change(message))

    return changed


def _with(record: Record, message: Message) -> Record:
    service = str(getattr(message, "service", ""))
    return replace(record, key=service.encode(), value=message.dump(), headers={})


def _decided(chain: ServiceLedger, renamed: LedgerEntry, tape: Tape, machine: Machine) -> LedgerEntry:
    judge = replace(machine, code_version=renamed.code_version)
    entry = tape.decide(judge, chain, renamed.cut).entry
    if entry is None or _figures(entry) != _figures(renamed):
        raise NamesDecideError(
            f"the {renamed.kind} of rollout {renamed.rollout} would be another one under other names"
        )
    return entry


def _figures(entry: LedgerEntry) -> dict[str, Any]:
    """All but the sentence, the id, and the order of the checks."""
    content = entry.model_dump(mode="json", exclude={"id": True, "reason": {"sentence"}})
    return {**content, "checks": sorted(content["checks"], key=lambda check: str(check["check"]))}
