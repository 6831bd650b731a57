"""Gets messages to receivers: each at its own pace, again after a failure, and nobody waits for anybody."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from alerts.cause import Severity
from alerts.lane import Lane, first_told
from alerts.memory import Memory, OpenCause
from alerts.receivers import Receiver, ReceiverError
from alerts.wording import Message
from transport.clock import Clock

logger = logging.getLogger(__name__)

Pause = Callable[[float], Awaitable[None]]
"""``asyncio.sleep``, or a test's."""

EVERYTHING: frozenset[Severity] = frozenset({"page", "notice", "info"})


_TELL_EVERY = 100
"""Of so many dropped messages, the log names the first."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: how long an attempt may take, and the wait after a failure, which doubles."""

    attempt_s: float = 20.0
    memory_s: float = 1.0
    """How long a slow disk may hold up a message."""
    first_s: float = 1.0
    longest_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Queue:
    """How far one receiver has been told."""

    receiver: str
    waiting: int
    """Messages that it has not taken."""
    failing: bool
    dropped: int
    """Messages that it will never be told."""


class Courier:
    """Brings one receiver what its lane holds, for ever."""

    def __init__(
        self,
        receiver: Receiver,
        lane: Lane,
        clock: Clock,
        remember: Callable[[], Awaitable[None]],
        on_delivered: Callable[[], None],
        pause: Pause = asyncio.sleep,
        patience: Patience | None = None,
    ) -> None:
        self.lane = lane
        self._receiver = receiver
        self._clock = clock
        self._remember = remember
        self._on_delivered = on_delivered
        self._pause = pause
        self._patience = patience or Patience()
        self._wake = asyncio.Event()
        self._failing = False

    @property
    def failing(self) -> bool:
        """Its receiver did not take what was last offered to it, and something still waits."""
        return self._failing and self.lane.head is not None

    def offer(self, message: Message) -> None:
        """Never blocks."""
        dropped = self.lane.dropped
        self.lane.offer(message)
        if self.lane.dropped > dropped and self.lane.dropped % _TELL_EVERY == 1:
            extra = {"action": "alert_dropped", "receiver": self._receiver.name, "dropped": self.lane.dropped}
            logger.error("too many alerts wait: the oldest are dropped", extra=extra)
        self._wake.set()

    async def run(self) -> None:
        """Deliver for ever; a receiver's failures never end it."""
        failures = 0
        while True:
            message = await self._next()
            if self.lane.starting(message, self._clock.now_ms()):
                await self._within(self._remember(), self._patience.memory_s)
            why_not = await self._attempt(message)
            if why_not is None:
                failures, self._failing = 0, False
                self.lane.delivered(message, self._clock.now_ms())
                self._on_delivered()
                continue
            self._failed(message, why_not, failures)
            await self._pause(min(self._patience.first_s * 2**failures, self._patience.longest_s))
            failures = min(failures + 1, 30)

    async def _next(self) -> Message:
        while (message := self.lane.head) is None:
            self._wake.clear()
            await self._wake.wait()
        return message

    async def _attempt(self, message: Message) -> str | None:
        """None if the receiver took it, else why it did not."""
        error = await self._within(self._receiver.send(message), self._patience.attempt_s)
        if error is None or isinstance(error, ReceiverError):
            return None if error is None else str(error)
        if isinstance(error, TimeoutError):
            return f"no answer within {self._patience.attempt_s:g} s"
        return f"{type(error).__name__} in the receiver"

    async def _within(self, work: Awaitable[None], seconds: float) -> BaseException | None:
        """What `work` raised, a ``TimeoutError`` if it was given up, or None."""
        doing = asyncio.ensure_future(work)
        limit = asyncio.ensure_future(self._pause(seconds))
        try:
            await asyncio.wait({doing, limit}, return_when=asyncio.FIRST_COMPLETED)
            return doing.exception() if doing.done() else TimeoutError()
        finally:
            doing.cancel()
            limit.cancel()

    def _failed(self, message: Message, why: str, failures: int) -> None:
        self.lane.postpone(message)
        self._failing = True
        extra = {"action": "alert_undelivered", "receiver": self._receiver.name, "why": why, "failures": failures + 1}
        logger.warning("alert not delivered: it is tried again", extra={**extra, "cause": message.key})


class Post:
    """All receivers with the severities each wants, and the memory of what they were told."""

    def __init__(
        self,
        receivers: Sequence[tuple[Receiver, frozenset[Severity]]],
        memory: Memory,
        clock: Clock,
        pause: Pause = asyncio.sleep,
        patience: Patience | None = None,
    ) -> None:
        now_ms, told = clock.now_ms(), memory.load().receivers
        self._memory = memory
        self._saved = dict(told)
        self._saving = threading.Lock()
        self._changed = asyncio.Event()
        self._couriers: dict[str, tuple[Courier, frozenset[Severity]]] = {}
        for receiver, severities in receivers:
            lane = Lane(told.get(receiver.name, first_told(now_ms)), now_ms)
            courier = Courier(receiver, lane, clock, self._write_down, self._changed.set, pause, patience)
            self._couriers[receiver.name] = courier, severities

    def offer(self, message: Message) -> None:
        """Tell whom it concerns. Never blocks."""
        for courier, severities in self._couriers.values():
            if message.severity in severities:
                courier.offer(message)

    def read_until(self, at_ms: int) -> None:
        """Every fact of the ledger up to here has been offered."""
        for courier, _ in self._couriers.values():
            courier.lane.read_until(at_ms)
        self._changed.set()

    def open(self) -> dict[str, OpenCause]:
        """Conditions that some receiver believes to last, or may believe, by key; of several tellings the newest."""
        lanes = [courier.lane.told for courier, _ in self._couriers.values()]
        told = [item for lane in lanes for item in (*lane.telling.items(), *lane.open.items())]
        return dict(sorted(told, key=lambda item: item[1].told_ms))

    def failing(self) -> tuple[str, ...]:
        """The names of receivers that do not take what they are told."""
        return tuple(name for name, (courier, _) in self._couriers.items() if courier.failing)

    def queues(self) -> tuple[Queue, ...]:
        """Of every receiver. From any thread."""
        couriers = [(name, courier) for name, (courier, _) in self._couriers.items()]
        return tuple(Queue(name, c.lane.waiting, c.failing, c.lane.dropped) for name, c in couriers)

    async def run(self) -> None:
        """Deliver and remember for ever; what was delivered when it is cancelled is remembered too."""
        tasks = [asyncio.ensure_future(courier.run()) for courier, _ in self._couriers.values()]
        tasks.append(asyncio.ensure_future(self._remember()))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._save()

    async def _remember(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._write_down()

    async def _write_down(self) -> None:
        await asyncio.to_thread(self._save)

    def _save(self) -> None:
        with self._saving:
            told = {name: courier.lane.told for name, (courier, _) in self._couriers.items()}
            if told == self._saved:
                return
            try:
                self._memory.save(told)
            except OSError as error:
                extra = {"action": "memory_unwritten", "why": str(error)}
                logger.warning("what was told is not remembered: a restart may repeat it", extra=extra)
                return
            self._saved = told
