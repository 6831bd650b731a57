"""One partition's log → windows in broker append time. Pure: no clock, no I/O.

The clock of a partition is the running maximum of its messages' append times, and a window is ``clock // size``: so a
window is a contiguous range of offsets, nothing is late, and it is final as soon as the log itself enters a later one.
What is in a window depends on the log alone. Whatever valid checkpoint a fold starts from, and however the log is cut
into batches, it gives the same windows: a record may be published twice, by anyone, and says the same.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from schemas.windows import MAX_DEAD_LETTERS, CohortWindow
from streams.batches import Batch
from streams.cells import Told
from streams.checkpoint import Checkpoint, ForeignCheckpointError
from streams.columns import Ints
from streams.counters import Counters
from streams.decoding import BadEvent, Heard
from streams.digests import with_digests
from streams.sequences import Sequences
from streams.service_window import Appended
from streams.singles import Loose
from streams.window import MAX_UNREGISTERED, Source, Window

MORE_DEAD_LETTERS = 20
"""By so many a window the dead letters that may be kept grow again: what lasts, however slow, must not fill the topic."""

_NOTHING_READ = -1
"""Index and first offset of the window before the first message."""


class OutOfOrderError(Exception):
    """A message came again or too late: the partition must be read again from its checkpoint."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A window that the log has left. Publish its finals, wait until they are acknowledged, then commit."""

    source: Source
    checkpoint: Checkpoint
    """What to commit then: nothing of this window has to be counted again."""
    window: Window
    newest: int
    """Index of the newest window that is closed; larger than the window's own if the log skipped some."""

    def finals(self, registered: Collection[str]) -> tuple[CohortWindow, ...]:
        """The final windows to publish, in order.

        One for each service that was heard. So that readers see time pass where nothing happens, every one of the
        ``registered`` gets an empty one; and where the log skipped windows, only the newest of them is published,
        empty, for all: a window is final once it, or a later one, is. What the window says of its partition (bad
        messages, a hole) is said to everybody.
        """
        heard, through = self.window.services.keys(), self.checkpoint.offset
        everybody, skipped = set(registered) | heard, self.newest > self.window.index
        whole = everybody if self.window.malformed or self.window.holes or not skipped else heard
        own = [self.window.published(self.source, name, through, 0, final=True) for name in sorted(whole)]
        if skipped:
            newest = Window(self.newest, through)
            own += [newest.published(self.source, name, through, 0, final=True) for name in sorted(everybody)]
        return with_digests(own)


class PartitionFold:
    """Folds one partition from a checkpoint on.

    A duplicate is an event whose (producer, sequence) a message of the same window or of the one directly before it
    has already brought, whether that one was counted or itself a duplicate; any later one is a new event. Because the
    checkpoint knows where the window before begins, this is the same live and after a restart.
    """

    def __init__(
        self,
        source: Source,
        start: Checkpoint,
        counters: Counters,
        registered: Callable[[], Collection[str]] = frozenset,
        holes: int = 0,
    ) -> None:
        """``counters`` are added to, and may be shared between folds.

        ``registered``: the services that are always heard. ``holes``: messages that retention removed between the
        checkpoint and what is left.
        """
        self._counters = counters
        self._source = source
        self._start = start
        self._registered = registered
        self._holes = holes
        self._clock_ms = start.clock_ms
        self._next = start.warm_offset
        self._is_muted = False
        self._window = Window(_NOTHING_READ, _NOTHING_READ)
        self._letters = start.letters
        """Dead letters that may be kept now."""
        self._sent_before = Sequences()
        self._changed: set[str] = set()
        self.failing = False
        """Whether requests that failed are among what :meth:`told` has not told yet."""

    def enter(self, offset: int, appended_ms: int) -> Closed | None:
        """Come to a message.

        Returns the window that this message closes, if any; the message itself belongs to the next. Raises
        :class:`OutOfOrderError` unless offsets ascend, and :class:`ForeignCheckpointError` where the log before the
        checkpoint is younger than that: it is another log.
        """
        if offset < self._next:
            raise OutOfOrderError(f"{self._source.topic}-{self._source.partition}: {offset} after {self._next - 1}")
        self._is_muted = self.muted(offset)
        if self._is_muted and appended_ms > self._start.clock_ms:
            raise ForeignCheckpointError(
                f"{self._source.topic}-{self._source.partition}: message {offset} is younger than the commit at offset "
                f"{self._start.offset}: was the topic made anew? Reset the group's offsets to go on"
            )
        clock_ms = max(self._clock_ms, appended_ms)
        closed = self._enter(clock_ms // self._source.window_ms, offset)
        self._clock_ms, self._next = clock_ms, offset + 1
        return closed

    def cut(self, offsets: Ints, appended_ms: Ints) -> list[tuple[int, int]]:
        """Where to cut messages to come, so that each piece lies in one window: first and end of each, in order."""
        window = np.maximum(np.maximum.accumulate(appended_ms), self._clock_ms) // self._source.window_ms
        muted = offsets < self._start.offset
        starts = [0, *(np.flatnonzero((np.diff(window) != 0) | (muted[1:] != muted[:-1])) + 1).tolist()]
        return list(zip(starts, [*starts[1:], len(offsets)], strict=True))

    def read_all(self, heard: Iterable[Heard], offsets: Ints, appended_ms: Ints) -> list[tuple[int, BadEvent]]:
        """Fold what messages say, all of the window to which the log has come with the first of them.

        Returns the numbers of those that are refused and to be kept, and why: they are counted as malformed then. Not of
        what is only read to warm up, nor of what comes after so many: a flood would fill the dead-letter topic. Raises
        :class:`OutOfOrderError` unless offsets ascend.
        """
        if (np.diff(offsets) <= 0).any():
            raise OutOfOrderError(f"{self._source.topic}-{self._source.partition}: {offsets.tolist()}")
        clock_ms = np.maximum(np.maximum.accumulate(appended_ms), self._clock_ms)
        refused: list[tuple[int, BadEvent]] = []
        for some in heard:
            said = some.said if isinstance(some.said, BadEvent) else self._take(some, offsets, appended_ms, clock_ms)
            if said is not None:
                refused += ((at, said) for at in some.messages.tolist())
        for service in self._window.services.values():
            service.pause()
        self._next, self._clock_ms = int(offsets[-1]) + 1, int(clock_ms[-1])
        return sorted(refused, key=itemgetter(0))[: self._refuse(len(refused))]

    def muted(self, offset: int) -> bool:
        """Whether a message is read only to warm up: all it says was published before the checkpoint."""
        return offset < self._start.offset

    def told(self) -> tuple[Told, ...]:
        """The open window of every service that has changed since this was last asked, as the JSON of a window."""
        changed, self._changed, self.failing = sorted(self._changed), set(), False
        return tuple(self._window.told(self._source, name, self._next, self._clock_ms, final=False) for name in changed)

    def _enter(self, index: int, offset: int) -> Closed | None:
        left = self._window
        if left.index == index:
            return None
        directly = left.index == index - 1
        self._window = Window(index, offset, 0 if self.muted(offset) else self._holes)
        self._holes = self._holes if self.muted(offset) else 0
        self._sent_before = left.sent if directly else Sequences()
        self._changed, self.failing = set(), False
        if self.muted(left.first_offset):
            return None
        self._letters = min(MAX_DEAD_LETTERS, self._letters + MORE_DEAD_LETTERS * (index - left.index))
        self._counters.folded += left.folded()
        # Not the clock of the last message: after skipped windows, which are said to be final, a successor whose first
        # message retention has taken must not open one of them again.
        clock_ms = self._clock_ms if directly else index * self._source.window_ms - 1
        checkpoint = Checkpoint(offset, clock_ms, left.first_offset if directly else offset, self._letters)
        return Closed(self._source, checkpoint, left, index - 1)

    def _take(self, some: Heard, offsets: Ints, appended_ms: Ints, clock_ms: Ints) -> BadEvent | None:
        said = some.said
        if not isinstance(said, Batch | Loose):
            return None
        again = said.came_again(self._window.sent, self._sent_before)
        if self._is_muted:
            return None
        service = self._window.service(said.service, self._source.window_ms, self._registered)
        if service is None:
            return BadEvent("unknown_service", f"{said.service} is one of more than {MAX_UNREGISTERED} unregistered")
        messages = some.messages
        service.count(said, again, Appended(offsets[messages], appended_ms[messages], clock_ms[messages]))
        if again is not None:
            self._counters.duplicates += int(again.sum())
        if again is None or not again.all():
            self._changed.add(said.service)
            self.failing = self.failing or said.fails
        return None

    def _refuse(self, n: int) -> int:
        """Count so many messages as malformed. Returns how many of them are to be kept."""
        if self._is_muted:
            return 0
        kept = min(n, self._letters)
        self._letters -= kept
        self._window.malformed += n
        self._window.unkept += n - kept
        self._counters.malformed += n
        self._counters.unkept += n - kept
        return kept
