"""What a process does to the outside, in the control tests: every moment before and after a write has a name there."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from alerts.memory import Book, Told
from alerts.wording import Message
from router.disk import Acknowledged, Disk
from router.latch import Latches
from router.memory import Answer, MemoryLoadBalancer
from router.proxies import Known
from router.snapshot import Snapshot, is_later
from schemas.decisions import LedgerEntry
from schemas.topics import Topic
from streams.outbox import Outgoing
from transport.log import Batch, Position
from transport.memory_log import MemoryWriter

if TYPE_CHECKING:
    from tests.unit.control_world import World

Name = Literal["judge", "router", "status", "alerts", "streams"]
Blow = Literal["killed", "frozen"]


class DiedError(BaseException):
    """The process is gone."""


@dataclass
class Hands:
    """What one process does to the outside."""

    world: "World"
    name: Name
    dead: bool = False
    woken: asyncio.Event | None = None
    """Set: it is frozen until then."""

    async def at(self, point: str) -> None:
        """It is about to do something, or has just done it. A dead one never comes back from here."""
        if not self.dead and self.world.strikes(self, point):
            self.world.struck(self)
        elif not self.dead:
            await self.world.at(self, point)
        await self.awake()

    async def awake(self) -> None:
        """A frozen one waits here."""
        if self.woken is not None:
            await self.woken.wait()
        if self.dead:
            await asyncio.get_running_loop().create_future()

    def at_once(self, point: str) -> None:
        """The same where nobody can wait: nothing is frozen here. What a frozen one has just handed to its own disk
        arrives there."""
        if not self.dead and self.world.strikes(self, point):
            self.world.struck(self, "killed")
        if self.dead:
            raise DiedError


class Eyes:
    """A process's reader."""

    def __init__(self, hands: Hands, *topics: Topic) -> None:
        self._hands = hands
        self._reader = hands.world.log.reader(*topics)

    @property
    def away_s(self) -> float:
        return self._reader.away_s

    async def batches(self) -> AsyncIterator[Batch]:
        async for batch in self._reader.batches():
            await self._hands.awake()
            yield batch

    async def read_to_end(self) -> None:
        await self._reader.read_to_end()

    async def close(self) -> None:
        await self._reader.close()


class Pen(MemoryWriter):
    """A process's writer."""

    _WRITES: dict[tuple[Name, str], str] = {  # noqa: RUF012 - a constant
        ("judge", "rollouts"): "view",
        ("router", "route-changes"): "picture",
        ("router", "proxy-reports"): "report",
        ("status", "rollout-commands"): "command",
        ("status", "services"): "service",
    }
    _NAMED = frozenset({"replaced", "would_rollback", "blind", "direct"})
    """Codes of entries that are written in a way of their own."""

    def __init__(self, hands: Hands) -> None:
        super().__init__(hands.world.log, 1)
        self._hands = hands

    async def append(self, topic: Topic, service: str, value: bytes) -> Position:
        what = self._entry(value) if topic == "rollout-decisions" else self._WRITES[self._hands.name, topic]
        await self._hands.at(f"{what} not written")
        position = await super().append(topic, service, value)
        self._hands.world.wrote.add((self._hands.name, topic))
        await self._hands.at(f"{what} written")
        return position

    def _entry(self, value: bytes) -> str:
        entry = LedgerEntry.read(value)
        return f"{entry.kind} ({entry.reason.code})" if entry.reason.code in self._NAMED else entry.kind


class Door(MemoryLoadBalancer):
    """A router's proxies: `lb0` answers at once, `lb1` takes its time. They move to whichever router opens last."""

    def __init__(self, hands: Hands) -> None:
        super().__init__()
        self._hands = hands

    async def apply(self, snapshot: Snapshot) -> None:
        new = snapshot != self.newest
        if new:
            await self._hands.at("route not applied")
        await super().apply(snapshot)
        self._hands.world.arrive(self)
        if new:
            await self._hands.at("route applied, not told")

    async def close(self) -> None:
        await super().close()
        self._hands.world.left(self)

    def changes_to(self, proxy: str) -> Answer:
        """What a proxy says of a route. Nobody may give it an older one than it has."""

        def answer(snapshot: Snapshot) -> str | None:
            runs = self.proxies[proxy].runs
            if runs is not None and is_later(runs.version, than=snapshot.version):
                self._hands.world.wrongs.append(f"{proxy} went back from {runs.version} to {snapshot.version}")
            return self._hands.world.refuses.get(proxy)

        return answer


class Platter(Disk):
    """A router's disk."""

    def __init__(self, folder: Path, hands: Hands) -> None:
        super().__init__(folder)
        self._hands = hands

    def latch(self, latches: Latches) -> None:
        self._hands.at_once("latch not on disk")
        super().latch(latches)
        self._hands.at_once("latch on disk, not told")

    def keep(self, acknowledged: Acknowledged) -> None:
        self._hands.at_once("route not kept")
        super().keep(acknowledged)
        self._hands.at_once("route kept")

    def know(self, known: Known) -> None:
        self._hands.at_once("proxies not kept")
        super().know(known)
        self._hands.at_once("proxies kept")

    def only(self, services: frozenset[str]) -> None:
        self._hands.at_once("other services not forgotten")
        super().only(services)
        self._hands.at_once("other services forgotten")


class Pager:
    """On-call: what they were told outlives every process."""

    name = "pager"

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    async def send(self, message: Message) -> None:
        await self._hands.at("alert not told")
        if self._hands.world.pager_hangs:
            await asyncio.get_running_loop().create_future()
        self._hands.world.told.append(message)
        await self._hands.at("alert told, not remembered")


class Notebook:
    """What alerts remember."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    def load(self) -> Book:
        return self._hands.world.book

    def save(self, receivers: Any) -> None:
        self._hands.at_once("alerts not remembered")
        kept: dict[str, Told] = dict(receivers)
        self._hands.world.book = Book(receivers=kept)
        self._hands.at_once("alerts remembered")


class Windows:
    """The streams' outbox."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    async def send(self, record: Outgoing) -> None:
        while self._hands.world.log.away_s:  # noqa: ASYNC110 - librdkafka tries again by itself
            await asyncio.sleep(0.1)
        what = self._what(record)
        await self._hands.at(f"{what} not published")
        await self._hands.world.log.put(
            record.topic, record.partition or 0, record.value, record.key, dict(record.headers)
        )
        self._hands.world.wrote.add((self._hands.name, record.topic))
        await self._hands.at(f"{what} published" + (", not committed" if what == "final window" else ""))

    async def acknowledged(self) -> None:
        await self._hands.at("windows not acknowledged")

    def check(self) -> None:
        """The log in memory refuses nothing."""

    async def close(self) -> None:
        """Nothing is under way."""

    def _what(self, record: Outgoing) -> str:
        if record.topic == "mcp-requests.dlq":
            return "dead letter"
        if record.topic != "cohort-windows":
            return "tick"
        return "final window" if (record.key or b"").endswith(b"final") else "open window"
