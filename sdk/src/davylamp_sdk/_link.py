"""What the chain rule must know of a ledger entry, however a reader keeps it."""

from collections.abc import Collection, Sized
from typing import Literal, Protocol, TypeVar

EntryKind = Literal[
    "start",
    "approve",
    "proceed",
    "retry",
    "hold",
    "resume",
    "rollback",
    "drained",
    "complete",
    "retire",
    "freeze",
    "unfreeze",
]

NO_ENTRY = ""
"""What the first entry of a service follows."""


class PlanLike(Protocol):
    """What a rollout's plan says of its stages."""

    @property
    def service(self) -> str: ...
    @property
    def canary(self) -> str: ...
    @property
    def approve(self) -> Collection[str]: ...
    @property
    def stages(self) -> Sized: ...
    def share_of(self, stage: int) -> int:
        """Of new sessions to the canary, of 10,000: 0 before the first stage, 10,000 after the last."""
        ...


class ServiceLike(Protocol):
    """What a service's definition says of its versions."""

    @property
    def service(self) -> str: ...
    @property
    def baseline(self) -> str: ...


class OpeningLike(Protocol):
    """What `start` fixes for the whole rollout."""

    @property
    def plan(self) -> PlanLike: ...
    @property
    def service(self) -> ServiceLike: ...


Opening = TypeVar("Opening", bound=OpeningLike)
Opening_co = TypeVar("Opening_co", bound=OpeningLike, covariant=True)


class Link(Protocol[Opening_co]):
    """A ledger entry, as far as the rule goes."""

    @property
    def id(self) -> str: ...
    @property
    def after(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def kind(self) -> EntryKind: ...
    @property
    def rollout(self) -> int: ...
    @property
    def stage(self) -> int: ...
    @property
    def share(self) -> int: ...
    @property
    def baseline(self) -> str: ...
    @property
    def canary(self) -> str: ...
    @property
    def approves(self) -> str | None: ...
    @property
    def opening(self) -> Opening_co | None: ...
    def derived_id(self) -> str:
        """The id that follows from everything else in the entry."""
        ...
