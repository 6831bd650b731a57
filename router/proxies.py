"""Which proxies this router knows, also after a restart, and which of them people have it forget. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import Field

from davylamp_sdk._message import Message
from schemas.control import Command

TOLD_S = 60.0
"""So long a router tells that it was asked to forget a proxy; whoever reads it counts the command once."""


class Known(Message):
    """What is kept of the proxies: who was ever connected, and how far people's commands were carried out."""

    names: tuple[str, ...] = ()
    commands: dict[str, int] = Field(
        default_factory=dict, description="By partition of `rollout-commands`: first offset not carried out."
    )

    def met(self, names: Iterable[str]) -> "Known":
        """With these, too."""
        return self.model_copy(update={"names": tuple(sorted({*self.names, *names}))})

    def forgot(self, forgetting: "Forgetting", left: Iterable[str]) -> "Known":
        """After a command to forget, `left` being who exists now. A later start does not carry it out again."""
        commands = {**self.commands, str(forgetting.partition): forgetting.offset + 1}
        return Known(names=tuple(sorted(set(left))), commands=commands)

    def is_new(self, forgetting: "Forgetting") -> bool:
        """Whether the command has still to be carried out here."""
        return forgetting.offset >= self.commands.get(str(forgetting.partition), 0)


@dataclass(frozen=True, slots=True)
class Forgetting:
    """A person's command to forget a proxy, and where it lies in `rollout-commands`."""

    service: str
    proxy: str
    partition: int
    offset: int

    @classmethod
    def of(cls, command: Command, partition: int, offset: int) -> "Forgetting | None":
        """None for any other command."""
        return cls(command.service, command.proxy, partition, offset) if command.proxy is not None else None


@dataclass(slots=True)
class Told:
    """What this router tells of its forgetting, for :data:`TOLD_S`. Times are seconds on one monotonic axis."""

    _since: dict[Forgetting, float] = field(default_factory=dict)

    def add(self, forgetting: Forgetting, now_s: float) -> None:
        """To be told from now on."""
        self._since[forgetting] = now_s

    def of(self, service: str, now_s: float) -> Mapping[str, int]:
        """By proxy: offset of the newest command of this service."""
        self._since = {f: since for f, since in self._since.items() if now_s - since < TOLD_S}
        mine = sorted((f for f in self._since if f.service == service), key=lambda f: f.offset)
        return {f.proxy: f.offset for f in mine}
