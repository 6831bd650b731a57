"""What streams say to the log: cohort windows, dead letters, ticks."""

from collections.abc import Iterable

from schemas.partitions import partition_of
from schemas.topics import Topic
from schemas.windows import CohortWindow
from streams.cells import Told
from streams.decoding import CONTENT_TYPE, TICK, BadEvent
from streams.encoding import encode, encode_partial, key_of, key_of_partial
from streams.letters import dead_letter
from streams.outbox import Outbox, Outgoing
from transport.log import Record

WINDOWS: Topic = "cohort-windows"


class Publisher:
    """Turns what a fold says into records of the right topic, partition and key. Raises what its outbox raises."""

    def __init__(self, outbox: Outbox, partitions: int) -> None:
        """``partitions`` of `cohort-windows`, as of every control topic."""
        self._outbox = outbox
        self._partitions = partitions

    async def windows(self, windows: Iterable[CohortWindow]) -> None:
        """Publish, in order."""
        for window in windows:
            await self._send(window.service, key_of(window), encode(window))

    async def partials(self, partials: Iterable[Told]) -> None:
        """Publish open windows, in order."""
        for told in partials:
            await self._send(told["service"], key_of_partial(told), encode_partial(told))

    async def _send(self, service: str, key: bytes, values: Iterable[bytes]) -> None:
        partition = partition_of(service, self._partitions)
        for value in values:
            await self._outbox.send(Outgoing(WINDOWS, partition, key, value))

    async def dead_letter(self, record: Record, bad: BadEvent) -> None:
        """Keep a record that nobody can read, as it came, with where it came from and why it is here."""
        await self._outbox.send(dead_letter(record, str(bad)))

    async def tick(self, topic: str, partition: int) -> None:
        """Let the log of an idle partition say what time it is."""
        await self._outbox.send(Outgoing(topic, partition, None, b"", {CONTENT_TYPE: TICK}))

    async def acknowledged(self) -> None:
        """Return once all of this is in the log."""
        await self._outbox.acknowledged()

    def check(self) -> None:
        """Raise if the log has refused something."""
        self._outbox.check()
