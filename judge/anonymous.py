"""A recording under other names, whose every entry still follows from its cut. Pure.

Sentences name what they speak of, so the judge writes its entries anew over the renamed inputs; that it decides the same by
the same numbers is checked, entry by entry. What people wrote has the names replaced and their own words left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import ValidationError

from davylamp_sdk._message import Message
from judge.fold import LEDGER
from judge.impossible import unreadable
from judge.pseudonyms import REPLACED, Pseudonyms
from judge.rollout.machine import Machine
from judge.verdicts import Same
from judge.verify import Link, Records, Tape, by_person, links, verify
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
    chain = list(links(records, header.service))
    openings = {link.entry.rollout: link.entry.opening for link in chain if link.entry.opening is not None}
    names = Pseudonyms(key, custom=frozenset(n for o in openings.values() for n in o.plan.checks.custom))
    names = replace(names, seeds={n: (o.seed, names.seed(o.seed)) for n, o in openings.items()})
    plans = {
        link.entry.plan_hash: names.plan(link.entry.opening.plan).hash
        for link in chain
        if link.entry.opening is not None
    }
    service = names.of("service", header.service)
    renamed: Records = {
        "services": [*_anew(records.get("services", ()), Service, names.service)],
        "rollout-commands": [*_anew(records.get("rollout-commands", ()), Command, names.command)],
        "route-changes": [*_anew(records.get("route-changes", ()), RouteChange, names.route)],
        "proxy-reports": [*_counts_anew(records.get("proxy-reports", ()), ProxyReport, names.report, service)],
        "cohort-windows": [*_counts_anew(records.get("cohort-windows", ()), CohortWindow, names.window, service)],
    }
    tape = Tape(renamed, service)
    verdicts = verify(records, header.service, header.rollout, machine, of_any_version=True)
    same = {verdict.entry.id for verdict in verdicts if isinstance(verdict, Same)}
    written = list(_ledger(chain, _Renaming(names, plans), tape, machine, same))
    others = {
        "service": tape.service,
        "plan": names.plan(header.plan),
        "definition": names.service(header.definition),
        "anonymized": True,
    }
    return header.model_copy(update=others), {**tape.records, LEDGER: written}


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
    chain: Sequence[Link], renaming: _Renaming, tape: Tape, machine: Machine, same: set[str]
) -> Iterator[Record]:
    named = tape.records
    newest = ServiceLedger()
    before = {newest.head_id: newest}
    for link in chain:
        tape.records = _pointed(named, renaming)
        entry = renaming.entry(link.entry)
        if link.entry.id in same and not by_person(link.entry):
            entry = _decided(before[entry.after], entry, tape, machine)
        renaming.ids[link.entry.id] = entry.id
        newest, _ = newest.read(entry, link.record.offset)
        before[newest.head_id] = newest
        yield _with(link.record, entry)
    tape.records = _pointed(named, renaming)


def _pointed(named: Records, renaming: _Renaming) -> Records:
    """What was read already names entries that have their new ids: it stays as it was read."""
    return {
        **named,
        "route-changes": [*_anew(named["route-changes"], RouteChange, renaming.route)],
        "rollout-commands": [*_anew(named["rollout-commands"], Command, renaming.command)],
    }


def _anew(records: Sequence[Record], model: type[M], change: Callable[[M], M]) -> Iterator[Record]:
    """Each record changed; one that takes a service away says nothing that could be."""
    for record in records:
        if record.value is not None:
            yield _with(record, change(model.read(record.value)))


def _counts_anew(records: Sequence[Record], model: type[M], change: Callable[[M], M], service: str) -> Iterator[Record]:
    """The same; of one that could not be read nothing is known but that it was there."""
    for record in records:
        try:
            message = model.read(record.value or b"")
        except ValidationError:
            yield replace(record, key=service.encode(), value=unreadable(service), headers={})
        else:
            yield _with(record, change(message))


def _with(record: Record, message: Message) -> Record:
    service = str(getattr(message, "service", ""))
    return replace(record, key=service.encode(), value=message.dump(), headers={})


def _decided(chain: ServiceLedger, renamed: LedgerEntry, tape: Tape, machine: Machine) -> LedgerEntry:
    judge = replace(machine, code_version=renamed.code_version)
    entry = judge.decide(tape.state(chain, renamed.cut), renamed.cut).entry
    if entry is None or _figures(entry) != _figures(renamed):
        raise NamesDecideError(
            f"the {renamed.kind} of rollout {renamed.rollout} would be another one under other names"
        )
    return entry


def _figures(entry: LedgerEntry) -> dict[str, Any]:
    """All but the sentence, the id, and the order of the checks."""
    content = entry.model_dump(mode="json", exclude={"id": True, "reason": {"sentence"}})
    return {**content, "checks": sorted(content["checks"], key=lambda check: str(check["check"]))}
