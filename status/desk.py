"""Takes people's words to the log, and answers only with what was read back from it."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Request

from davylamp_sdk._message import Message
from schemas.control import Command
from schemas.decisions import LedgerEntry
from schemas.ledger import Void
from schemas.topics import Topic
from status.feed import Feed
from status.problems import Forbidden, NotReady, Refused, Unanswered, Unknown
from status.reach import Reach, everywhere, nowhere
from transport.clock import Clock
from transport.log import Position, Writer

ANSWER_WITHIN_S = 10.0
"""How long a request waits for what became of its word before it is reported as unanswered."""


class Answer(Message):
    """A word that holds."""

    command: str | None = None
    """Id of the command that the judge has carried out."""
    entry: str | None = None
    """Id of the entry, where the status service has written it itself."""
    sentence: str


@dataclass(frozen=True, slots=True)
class Desk:
    """What the routes work with. `may_change` is the reach of whoever asks."""

    feed: Feed
    writer: Writer
    clock: Clock
    answer_within_s: float = ANSWER_WITHIN_S
    may_change: Reach = everywhere

    def require_ready(self) -> None:
        """Raise :class:`NotReady` before the log was read to its end, and when it is no longer followed."""
        if not self.feed.caught_up:
            raise NotReady("The log has not been read to its end, or is no longer followed: nobody knows what holds.")

    def require(self, service: str) -> None:
        """Raise :class:`NotReady`, or :class:`Unknown` if nobody knows the service."""
        self.require_ready()
        if not self.feed.overview.knows(service):
            raise Unknown(unknown(service))

    def require_reach(self, service: str) -> None:
        """Raise :class:`Forbidden` unless whoever asks may change the service."""
        if not self.may_change(service):
            raise Forbidden(f"{service} is not among the services that this token may change.")

    async def write(self, topic: Topic, service: str, value: bytes) -> Position:
        """The routes' one way to the log. Raises :class:`Forbidden`."""
        self.require_reach(service)
        return await self.writer.append(topic, service, value)

    async def ask(self, command: Command) -> Answer:
        """Write a command and wait for the judge. Raises :class:`Refused` and :class:`Unanswered`."""
        await self.write("rollout-commands", command.service, command.dump())
        outcome = await self.feed.wait_for(lambda o: o.answer(command), self.answer_within_s)
        if outcome is None:
            raise Unanswered(
                f"The judge has not answered {command.kind} (command {command.id}) within {self.answer_within_s:g} s. "
                f"It may still do it: davylamp history {command.service} shows whether it did."
            )
        if not outcome.accepted:
            raise Refused(outcome.sentence)
        return Answer(command=command.id, sentence=outcome.sentence)

    async def decide(self, entry: LedgerEntry) -> Answer:
        """Append an entry and wait until the chain has taken it. Raises :class:`Refused` and :class:`Unanswered`."""
        position = await self.write("rollout-decisions", entry.service, entry.dump())
        at = entry.service, position.offset
        fate = await self.feed.wait_for(lambda o: o.fates.get(at), self.answer_within_s)
        if fate is None:
            raise Unanswered(
                f"The {entry.kind} is in the ledger at offset {position.offset}, and was not read back within "
                f"{self.answer_within_s:g} s: davylamp status {entry.service} shows whether it holds."
            )
        if isinstance(fate, Void):
            raise Refused(f"The {entry.kind} has no effect: {fate.reason}.")
        return Answer(entry=entry.id, sentence=entry.reason.sentence)


def unknown(service: str) -> str:
    """What to tell whoever names a service that nobody knows."""
    return f"Service {service} is not known: davylamp service apply FILE first."


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return replace(desk, may_change=getattr(request.state, "may_change", nowhere))


def _actor(request: Request) -> str:
    actor: str = request.state.actor
    return actor


AtDesk = Annotated[Desk, Depends(_desk)]
Actor = Annotated[str, Depends(_actor)]
