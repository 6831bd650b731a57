"""One partition's log → windows in broker append time. Pure: no clock, no I/O.

The clock of a partition is the running maximum of its messages' append times, and a window is ``clock // size``: so a
window is a contiguous range of offsets, nothing is late, and it is final as soon as the log itself enters a later one.
What is in a window depends on the log alone. Whatever valid checkpoint a fold starts from, and however the log is cut
into batches, it gives the same windows: a record may be published twice, by anyone, and says the same.
"""

from collections.abc import Collection
from dataclasses import dataclass

from davylamp_sdk._event import RequestEvent
from schemas.windows import CohortWindow
from streams.checkpoint import Checkpoint
from streams.counters import Counters
from streams.window import Identities, Source, Window

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
        empty, for all: a window is final once it, or a later one, is.
        """
        heard, through = self.window.services.keys(), self.checkpoint.offset
        own = [self.window.published(self.source, name, through, 0, final=True) for name in sorted(heard)]
        skipped = self.newest > self.window.index
        silent = set(registered) | heard if skipped else set(registered) - heard
        newest = Window(self.newest, through) if skipped else self.window
        return (*own, *(newest.published(self.source, name, through, 0, final=True) for name in sorted(silent)))


class PartitionFold:
    """Folds one partition from a checkpoint on.

    A duplicate is an event whose (producer, sequence) a message of the same window or of the one directly before it
    has already brought, whether that one was counted or itself a duplicate; any later one is a new event. Because the
    checkpoint knows where the window before begins, this is the same live and after a restart.
    """

    def __init__(self, source: Source, start: Checkpoint, counters: Counters) -> None:
        """``counters`` are added to, and may be shared between folds."""
        self._counters = counters
        self._source = source
        self._start = start
        self._clock_ms = start.clock_ms
        self._next = start.warm_offset
        self._window = Window(_NOTHING_READ, _NOTHING_READ)
        self._sent_before: Identities = {}
        self._changed: set[str] = set()

    def add(self, offset: int, appended_ms: int, event: RequestEvent | None) -> Closed | None:
        """Fold one message; no event for one that only tells the time (a tick, a bad event).

        Returns the window that this message closes, if any; the message itself belongs to the next. Raises
        :class:`OutOfOrderError` unless offsets ascend.
        """
        if offset < self._next:
            raise OutOfOrderError(f"{self._source.topic}-{self._source.partition}: {offset} after {self._next - 1}")
        clock_ms = max(self._clock_ms, appended_ms)
        closed = self._enter(clock_ms // self._source.window_ms, offset)
        self._clock_ms, self._next = clock_ms, offset + 1
        if event is not None:
            self._read(offset, event)
        return closed

    def muted(self, offset: int) -> bool:
        """Whether a message is read only to warm up: all it says was published before the checkpoint."""
        return offset < self._start.offset

    def partials(self) -> tuple[CohortWindow, ...]:
        """The open window of every service that has changed since this was last asked."""
        changed, self._changed = sorted(self._changed), set()
        return tuple(
            self._window.published(self._source, name, self._next, self._clock_ms, final=False) for name in changed
        )

    def _enter(self, index: int, offset: int) -> Closed | None:
        left = self._window
        if left.index == index:
            return None
        directly = left.index == index - 1
        self._window = Window(index, offset)
        self._sent_before = left.sent if directly else {}
        self._changed = set()
        if self.muted(left.first_offset):
            return None
        checkpoint = Checkpoint(offset, self._clock_ms, left.first_offset if directly else offset)
        return Closed(self._source, checkpoint, left, index - 1)

    def _read(self, offset: int, event: RequestEvent) -> None:
        sent = self._window.sent.setdefault(event.producer, set())
        duplicate = event.sequence in sent or event.sequence in self._sent_before.get(event.producer, ())
        sent.add(event.sequence)
        if self.muted(offset):
            return
        if duplicate:
            self._counters.duplicates += 1
            return
        self._window.count(event, self._counters)
        self._changed.add(event.service)
