"""One receiver's queue: what still has to be told, in what order, and what need not be. Pure bookkeeping."""

from collections.abc import Sequence

from alerts.memory import OpenCause, Told
from alerts.wording import Message, Step

REPEAT_MS = 600_000
"""Facts younger than this are remembered one by one, older ones by a single moment; without a memory, they are told."""
_OLDEST_MS = 86_400_000
"""However long nobody ran: what is older is history."""

_LASTING = frozenset({"began", "again"})


def first_told(now_ms: int) -> Told:
    """What a receiver is taken to know that was never told anything."""
    return Told(settled_ms=now_ms - REPEAT_MS)


class Lane:
    """A bounded queue that knows what was told. Not thread-safe.

    A message waits until :meth:`delivered`; the one at the head may be under way and is never dropped. Of the others,
    the oldest give way when there are more than `most`, at least 2.
    """

    def __init__(self, told: Told, now_ms: int, most: int = 200) -> None:
        self.told = told.model_copy(update={"settled_ms": max(told.settled_ms, now_ms - _OLDEST_MS)})
        self.dropped = 0
        self._most = most
        self._read_ms = self.told.settled_ms + REPEAT_MS
        self._waiting: list[Message] = []

    @property
    def head(self) -> Message | None:
        """What to tell next."""
        return self._waiting[0] if self._waiting else None

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def offer(self, message: Message) -> None:
        """To be told, unless it was, or its cause came and went untold."""
        if not self._wanted(message):
            return
        self._waiting.append(message)
        if len(self._waiting) > self._most:
            self._make_room()

    def starting(self, message: Message, now_ms: int) -> bool:
        """It is about to be sent; whether that is news, to be remembered first.

        Else a process that dies over it would leave a page that nobody ever resolves.
        """
        known = self.told.open.keys() | self.told.telling.keys()
        if message.step not in _LASTING or message.key in known:
            return False
        telling = {**self.told.telling, message.key: _open(message, None, now_ms)}
        self.told = self.told.model_copy(update={"telling": telling})
        return True

    def delivered(self, message: Message, now_ms: int) -> None:
        """The receiver has taken it."""
        self._waiting.remove(message)
        done, lasting = dict(self.told.done), dict(self.told.open)
        telling = {key: cause for key, cause in self.told.telling.items() if key != message.key}
        if message.step == "happened":
            done[message.key] = message.at_ms
        elif message.step == "ended":
            lasting.pop(message.key, None)
        else:
            lasting[message.key] = _open(message, lasting.get(message.key), now_ms)
        self.told = self.told.model_copy(update={"done": done, "open": lasting, "telling": telling})
        self._settle()

    def postpone(self, message: Message) -> None:
        """The receiver has not taken it: others come first, since it may never take this one."""
        self._waiting.sort(key=lambda m: m.key == message.key)

    def read_until(self, at_ms: int) -> None:
        """Every fact of the ledger up to here has been offered."""
        self._read_ms = max(self._read_ms, at_ms)
        self._settle()

    def _wanted(self, message: Message) -> bool:
        last = self._last(message.key, self._waiting)
        if message.step == "happened":
            return last is None and message.key not in self.told.done and message.at_ms > self.told.settled_ms
        if message.step == "again":
            waiting = [m.step for m in self._waiting if m.key == message.key]
            return not _LASTING.intersection(waiting[-1:])
        if message.step == "ended":
            return last in _LASTING or (last is None and message.key in self.told.telling)
        return last not in _LASTING

    def _last(self, key: str, waiting: Sequence[Message]) -> Step | None:
        """The newest that the receiver will know of a cause once it has taken `waiting`."""
        known: Step | None = "began" if key in self.told.open else None
        return next((m.step for m in reversed(waiting) if m.key == key), known)

    def _make_room(self) -> None:
        """Ends give way last: without its end a page would seem to burn for ever."""
        at = next((n for n, m in enumerate(self._waiting) if n and m.step != "ended"), 1)
        message, before = self._waiting[at], self._last(self._waiting[at].key, self._waiting[:at])
        self._drop(at)
        after = next((n for n, m in enumerate(self._waiting) if n >= at and m.key == message.key), None)
        if message.step in _LASTING and before not in _LASTING and after is not None:
            self._drop(after)  # the end of what nobody hears of

    def _drop(self, at: int) -> None:
        del self._waiting[at]
        self.dropped += 1

    def _settle(self) -> None:
        facts = (m.at_ms for m in self._waiting if m.step == "happened")
        settled = max(self.told.settled_ms, min((self._read_ms, *facts)) - REPEAT_MS)
        if settled > self.told.settled_ms:
            done = {key: at for key, at in self.told.done.items() if at > settled}
            self.told = self.told.model_copy(update={"settled_ms": settled, "done": done})


def _open(message: Message, before: OpenCause | None, now_ms: int) -> OpenCause:
    cause = message.cause
    return OpenCause.model_validate(
        {
            "kind": cause.kind,
            "severity": cause.severity,
            "service": cause.service,
            "rollout": cause.rollout,
            "sentence": cause.sentence,
            "since_ms": message.since_ms if before is None else before.since_ms,
            "told_ms": now_ms,
        }
    )
