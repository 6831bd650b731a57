"""Where a successor goes on: the commit of a consumer group, with the partition's clock in its metadata."""

from dataclasses import dataclass, replace
from typing import Self

from schemas.windows import MAX_DEAD_LETTERS

_FORMAT = 2
_WITHOUT_LETTERS = 1
"""The format before this one."""


class ForeignCheckpointError(Exception):
    """The committed offset was not written by this version of streams with this window size."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A window boundary of one partition: everything before ``offset`` is in acknowledged final windows.

    A successor reads from ``warm_offset``, but only to remember which events the window before was sent, so that it
    drops the same duplicates; it publishes nothing until ``offset``.
    """

    offset: int
    """The first message of the window that follows."""
    clock_ms: int
    """The partition's clock before that message: it lies in the newest window that closed. 0: nothing was ever read."""
    warm_offset: int
    """First message of the window that closed if it directly precedes, else ``offset``."""
    letters: int = MAX_DEAD_LETTERS
    """Dead letters that may be kept of the window that follows: so a successor keeps, and loses, the same ones."""

    @classmethod
    def earliest(cls, low: int) -> Self:
        """Where to begin when nothing was ever committed: at the first retained offset."""
        return cls(low, 0, low, MAX_DEAD_LETTERS)

    def metadata(self, window_ms: int) -> str:
        """What is committed beside the offset: ``<format>,<window size>,<clock>,<warm-up offset>,<dead letters>``."""
        return f"{_FORMAT},{window_ms},{self.clock_ms},{self.warm_offset},{self.letters}"

    @classmethod
    def parse(cls, offset: int, metadata: str | None, window_ms: int) -> Self:
        """Read a commit. Raises :class:`ForeignCheckpointError`: its windows are not ours, so nobody may guess."""
        try:
            version, *fields = map(int, (metadata or "").split(","))
            if version == _WITHOUT_LETTERS:
                fields.append(MAX_DEAD_LETTERS)
            size, clock_ms, warm_offset, letters = fields
        except ValueError:
            version = size = clock_ms = warm_offset = letters = 0
        if version not in (_FORMAT, _WITHOUT_LETTERS):
            raise ForeignCheckpointError(
                f"commit at offset {offset} has foreign metadata {metadata!r}; reset the group's offsets to go on"
            )
        if size != window_ms:
            raise ForeignCheckpointError(
                f"commit at offset {offset} was made with windows of {size} ms, not {window_ms} ms; "
                "set window_s back, or stop every worker and reset the group's offsets"
            )
        return cls(offset, clock_ms, warm_offset, letters)

    def retained(self, low: int, window_ms: int) -> Self:
        """The checkpoint where retention has removed everything below ``low``.

        If unread messages are among that, the lost first one was later than the window that closed: the clock is at
        least that window's end, so a closed window never opens again.
        """
        if low <= self.offset:
            return replace(self, warm_offset=max(self.warm_offset, low))
        return type(self)(low, (self.clock_ms // window_ms + 1) * window_ms, low, MAX_DEAD_LETTERS)
