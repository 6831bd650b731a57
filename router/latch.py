"""Rollbacks that were said to the router itself: in force at once, until the ledger holds a rollback of the rollout. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from davylamp_sdk._message import Message
from router.entries import draft
from router.errors import NothingToRollBackError
from schemas.decisions import LedgerEntry, Reason
from schemas.ledger import Accepted, Ledger, ServiceLedger
from schemas.names import ActorName, Line, ServiceName


class Word(Message):
    """What a person says to a router's own port."""

    service: ServiceName
    rollout: Annotated[int, Field(ge=1)]
    reason: Line = ""
    actor: ActorName


def rollback(chain: ServiceLedger, word: Word, now_ms: int) -> LedgerEntry:
    """The entry that the word stands for, as it will be written to the ledger.

    Raises :class:`NothingToRollBackError` if the rollout is not the newest that this router knows, or is over.
    """
    standing = chain.standing
    if standing.opening is None or standing.rollout != word.rollout:
        known = f"rollout {standing.rollout}" if standing.rollout else "no rollout"
        raise NothingToRollBackError(
            f"The newest that this router knows of {word.service} is {known}, not {word.rollout}."
        )
    if not standing.may_follow("rollback"):
        raise NothingToRollBackError(
            f"Rollout {word.rollout} of {word.service} is {standing.phase}: nothing to roll back."
        )
    sentence = f"{word.actor} rolled back directly at a router" + (f": {word.reason}" if word.reason else ".")
    reason = Reason(code="direct", sentence=sentence)
    return draft(chain, "rollback", reason, share=0, actor=word.actor, now_ms=now_ms)


@dataclass(frozen=True, slots=True)
class Latches:
    """The rollbacks in force. Immutable."""

    entries: Mapping[str, LedgerEntry] = field(default_factory=dict)
    """By service: only its newest rollout can be rolled back."""

    def __bool__(self) -> bool:
        return bool(self.entries)

    def latched(self, entry: LedgerEntry) -> "Latches":
        """With one more, in place of an older one of its service."""
        return Latches({**self.entries, entry.service: entry})

    def over(self, ledger: Ledger) -> Ledger:
        """The ledger as it will be once the rollbacks are written."""
        for entry in self.entries.values():
            ledger = _over(ledger, entry)
        return ledger

    def still(self, ledger: Ledger) -> "Latches":
        """What is left once `ledger` is known to its end.

        A latch ends with a rollback of its rollout in the ledger, whoever wrote it, or if the rollout is over
        otherwise, so that it can be no more. A rollout that the ledger has not reached keeps its latch.
        """
        return Latches({service: e for service, e in self.entries.items() if not _ended(ledger.of(service), e)})


def _over(ledger: Ledger, entry: LedgerEntry) -> Ledger:
    chain = ledger.of(entry.service)
    after, result = chain.read(entry, chain.offset)
    return Ledger({**ledger.services, entry.service: after}) if isinstance(result, Accepted) else ledger


def _ended(chain: ServiceLedger, entry: LedgerEntry) -> bool:
    standing = chain.standing
    return standing.rollout > entry.rollout or (
        standing.rollout == entry.rollout and not standing.may_follow("rollback")
    )
