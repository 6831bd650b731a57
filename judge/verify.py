"""Recompute each ledger entry of a rollout from its cut, byte for byte. Pure but for :func:`read_partition`, its edge."""

import contextlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from judge.fold import INPUTS, LEDGER, TOPICS, WINDOWS, Fold
from judge.retention import Chain, expired
from judge.rollout.machine import Decision, Machine
from judge.rollout.state import ServiceState
from judge.verdicts import ByPerson, Differs, Expired, OtherVersion, Same, Verdict
from schemas.decisions import Cut, EntryKind, LedgerEntry
from schemas.ledger import Accepted, ServiceLedger
from schemas.topics import Topic
from transport.log import Reader, Record

Records = Mapping[str, Sequence[Record]]
"""By topic: what one partition holds, in the order of its offsets; a list, or on disk (:class:`transport.shelf.Shelved`)."""

Changes = Mapping[str, Callable[[Record], Record]]
"""By topic: a record → what stands in its place."""

_LET_GO_EVERY = 256
"""Windows that are read between two looks at what nobody will ask for."""

_BY_PEOPLE: frozenset[EntryKind] = frozenset({"rollback", "hold"})
"""What may stand in the ledger without the judge: people's rollback, and what a router writes for them."""


def verify(
    records: Records, service: str, rollout: int | None, machine: Machine, *, of_any_version: bool = False
) -> list[Verdict]:
    """One verdict an accepted entry of the service, in the ledger's order; of one rollout, or of all.

    `records` holds the service's partition of :data:`judge.fold.TOPICS`. `machine` is that of the judge, in policy and version; with
    `of_any_version` what other code decided is recomputed, too, as if this code bore its name.
    """
    tape = Tape(records, service)
    return [
        _verdict_of_any_version(link, tape, machine) if of_any_version else _verdict(link, tape, machine)
        for link in links(records, service)
        if rollout in (None, link.entry.rollout)
    ]


async def read_partition(reader: Reader, partition: int, put: Callable[[Record], None]) -> None:
    """Put one partition of every topic aside, up to where it ends now. Raises :class:`transport.log.LogError`."""
    async for batch in reader.batches():
        for record in batch.records:
            if record.partition == partition:
                put(record)
        if batch.caught_up:
            break


@dataclass(frozen=True, slots=True)
class Link:
    """An accepted entry as it lies in the log, and the chain that its writer had read."""

    entry: LedgerEntry
    record: Record
    before: Chain | None
    """Up to the entry it names in `after`; None if that was never accepted before it."""


def links(records: Records, service: str) -> Iterator[Link]:
    """The accepted entries of a service. A rollback may follow an older head of its rollout than the one it found.

    So the chains of one rollout are known at a time: a ledger is kept for ever, and each chain is as long as it.
    """
    chain = ServiceLedger()
    seen = {chain.head_id: Chain(chain, ())}
    for record in records.get(LEDGER, ()):
        entry = _entry(record)
        if entry is None or entry.service != service:
            continue
        times = seen[chain.head_id].written_ms
        chain, result = chain.read(entry, record.offset)
        if isinstance(result, Accepted):
            yield Link(entry, record, seen.get(entry.after))
            if entry.kind == "start":
                seen.clear()
            seen[chain.head_id] = Chain(chain, (*times, record.timestamp_ms))


def _entry(record: Record) -> LedgerEntry | None:
    try:
        return LedgerEntry.read(record.value or b"")
    except ValidationError:
        return None


def _verdict_of_any_version(link: Link, tape: "Tape", machine: Machine) -> Verdict:
    verdict = _verdict(link, tape, replace(machine, code_version=link.entry.code_version))
    if isinstance(verdict, Differs) and verdict.recomputed == _with_additions(link.entry):
        return Same(link.entry, but_for_additions=True)
    return verdict


def _with_additions(entry: LedgerEntry) -> LedgerEntry:
    """The entry as it would be written today: a start's plan may have keys that were added since."""
    known = {name: getattr(entry, name) for name in LedgerEntry.model_fields if name not in {"id", "decided_at"}}
    plan_hash = entry.opening.plan.hash if entry.opening else entry.plan_hash
    return LedgerEntry.make(**{**known, "plan_hash": plan_hash})


def by_person(entry: LedgerEntry) -> bool:
    """Whether the entry was written without the judge: it follows from no input."""
    return not entry.cut.offsets and entry.kind in _BY_PEOPLE and entry.actor != "judge"


def _verdict(link: Link, tape: "Tape", machine: Machine) -> Verdict:
    entry = link.entry
    if by_person(entry):
        return ByPerson(entry)
    if entry.code_version != machine.code_version:
        return OtherVersion(entry)
    if link.before is None:
        return Differs(entry, None)
    recomputed = tape.decide(machine, link.before.ledger, entry.cut).entry
    if recomputed is not None and recomputed.dump() == link.record.value:
        return Same(entry)
    missing = expired(tape.below(entry.cut), entry, link.before)
    return Expired(entry, missing) if missing else Differs(entry, recomputed)


def _below(records: Sequence[Record], end: int) -> Sequence[Record]:
    return records[: bisect_left(records, end, key=lambda record: record.offset)]


class Tape:
    """The inputs of one service, wound to any cut: from the last one on, or from the start again where a cut lies before it.

    Memory holds what a judge that restarts would hold, not what was read: of windows those that a rollout may still ask for.
    """

    def __init__(self, records: Records, service: str, changes: Changes | None = None) -> None:
        """``changes``: what of a topic's records is folded in their place."""
        self.records = records
        self.service = service
        self.partition = next((r.partition for topic in TOPICS for r in records.get(topic, ())[:1]), 0)
        self._changes = changes or {}
        self._fold = Fold()
        self._done = dict.fromkeys(INPUTS, 0)

    def decide(self, machine: Machine, chain: ServiceLedger, cut: Cut) -> Decision:
        """What `machine` says at `cut` when it has read the ledger up to the head of `chain`. Of one tape ask one policy."""
        below = self.below(cut)
        if any(len(below[topic]) < self._done[topic] for topic in INPUTS):
            self._fold, self._done = Fold(), dict.fromkeys(INPUTS, 0)
        state = self._fold.state(self.service, self.partition)
        state.chain = (
            chain  # first, as a judge that restarts reads the ledger before windows: it says which of them count
        )
        for topic, records in below.items():
            for number, record in enumerate(records[self._done[topic] :], 1):
                self._read(topic, record)
                if number % _LET_GO_EVERY == 0:
                    self._fold.states = {self.service: state}  # others are asked for nothing
                    self._let_go(machine, state, topic)
            self._done[topic] = len(records)
        return machine.decide(state, cut)

    def below(self, cut: Cut) -> dict[Topic, Sequence[Record]]:
        """What the judge had read of each input."""
        ends = {topic: cut.offsets.get(f"{topic}-{self.partition}", 0) for topic in INPUTS}
        return {topic: _below(self.records.get(topic, ()), end) for topic, end in ends.items()}

    def _read(self, topic: Topic, record: Record) -> None:
        change = self._changes.get(topic)
        with contextlib.suppress(Exception):  # whatever it was, the judge skipped the record too
            self._fold.read(record if change is None else change(record))

    def _let_go(self, machine: Machine, state: ServiceState, topic: Topic) -> None:
        """Of windows, which come last: those that have been compared, or that nobody will ask for."""
        if topic == WINDOWS:
            with contextlib.suppress(Exception):  # what cannot be judged, the decision says
                machine.follow(state)
