"""A dead letter and the note of its place are in the log together or not at all, whatever happens to who sends them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from cli import dlq
from cli.dead_letters import DEAD_LETTERS, Posting, Wanted
from cli.dlq_sender import KafkaSender, sender_settings
from schemas.topics import REPLAYED
from tests.transactions import Broker, CommittedReader, Producer
from transport.log import LogError
from transport.settings import KafkaSettings

TELEMETRY = "mcp-requests"
ORIGIN = f"{TELEMETRY}-0@41"
HEADERS = {REPLAYED: ORIGIN.encode()}
LETTER = Posting(TELEMETRY, 0, b"k", b"{", HEADERS)
NOTE = Posting(DEAD_LETTERS, 0, b"k", b"", HEADERS)
KEPT = {"reason": b"not_json", "topic": TELEMETRY.encode(), "partition": b"0", "offset": b"41"}


class Scene:
    """A broker that keeps one dead letter, and senders of it."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.broker.append(DEAD_LETTERS, b"?")
        self.seen: list[tuple[int, int]] = []
        """Letters and notes that could be read, after each change."""
        self.broker.changed = lambda: self.seen.append(self.readable())

    async def sender(self) -> tuple[KafkaSender, Producer]:
        producer = Producer(self.broker, "davylamp-dlq")
        sender = KafkaSender(producer)
        await sender.begin()
        return sender, producer

    def readable(self) -> tuple[int, int]:
        letters, notes = (self.broker.committed(topic) for topic in (TELEMETRY, DEAD_LETTERS))
        return len(letters), sum(REPLAYED in note.headers for note in notes)


def refuse_letters(scene: Scene, _: Producer) -> None:
    scene.broker.refuses = lambda topic, _: topic == TELEMETRY


def refuse_notes(scene: Scene, _: Producer) -> None:
    scene.broker.refuses = lambda topic, _: topic == DEAD_LETTERS


def no_room(_: Scene, producer: Producer) -> None:
    producer.room = 1


def no_room_at_all(_: Scene, producer: Producer) -> None:
    producer.room = 0


def mend(scene: Scene, producer: Producer) -> None:
    scene.broker.refuses = lambda *_: False
    producer.room = 100


Fails = Callable[[Scene, Producer], None]
FAILURES = [refuse_letters, refuse_notes, no_room, no_room_at_all]


async def test_a_letter_and_its_note_are_read_together_and_their_places_are_those_of_the_log() -> None:
    scene = Scene()
    sender, _ = await scene.sender()
    sent, note = await sender.put_all(LETTER, NOTE)
    assert scene.seen == [(1, 1)]
    assert scene.broker.committed(TELEMETRY)[0].offset == sent.offset
    assert scene.broker.committed(DEAD_LETTERS)[-1].offset == note.offset
    again, _ = await sender.put_all(LETTER, NOTE)
    assert again.offset == sent.offset + 2  # behind the marker


@pytest.mark.parametrize("fails", FAILURES)
async def test_where_a_send_fails_nothing_is_in_the_log_and_the_same_sender_can_send_it_then(fails: Fails) -> None:
    scene = Scene()
    sender, producer = await scene.sender()
    fails(scene, producer)
    with pytest.raises(LogError):
        await sender.put_all(LETTER, NOTE)
    assert scene.seen == [(0, 0)]  # aborted: nobody who reads has to wait for its end
    mend(scene, producer)
    await sender.put_all(LETTER, NOTE)
    assert scene.readable() == (1, 1)


async def test_who_is_fenced_sends_nothing_and_whoever_fenced_it_sends_it_once() -> None:
    scene = Scene()
    earlier, _ = await scene.sender()
    later, _ = await scene.sender()
    with pytest.raises(LogError, match="somebody else began to replay"):
        await earlier.put_all(LETTER, NOTE)
    assert scene.readable() == (0, 0)
    await later.put_all(LETTER, NOTE)
    with pytest.raises(LogError, match="somebody else began to replay"):
        await earlier.put_all(LETTER, NOTE)
    assert scene.readable() == (1, 1)


@pytest.mark.parametrize("when", ["before the log has it", "when the log has it"])
async def test_who_is_fenced_in_the_middle_leaves_nothing_that_can_be_read(when: str) -> None:
    scene = Scene()
    earlier, producer = await scene.sender()

    def fence() -> None:
        if when == "when the log has it":
            producer.poll(0)
        Producer(scene.broker, "davylamp-dlq").init_transactions(0)

    producer.before_commit = fence
    with pytest.raises(LogError, match="somebody else began to replay"):
        await earlier.put_all(LETTER, NOTE)
    assert (scene.readable(), scene.broker.under_way) == ((0, 0), {})


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Of the whole command, over the broker in memory."""
    scene = Scene()
    scene.broker.logs[DEAD_LETTERS, 0].clear()
    for _ in range(2):  # a worker that was killed before its commit kept it twice
        scene.broker.append(DEAD_LETTERS, b"{", headers=KEPT)

    @asynccontextmanager
    async def reading(_: str | None) -> AsyncIterator[CommittedReader]:
        yield scene.broker.reader(DEAD_LETTERS)

    monkeypatch.setattr(dlq, "_reading", reading)
    return scene


async def ask(scene: Scene, monkeypatch: pytest.MonkeyPatch, fails: Fails = lambda *_: None) -> None:
    """`davylamp dlq replay --reason not_json --yes`, by a process of its own."""
    sender, producer = await scene.sender()
    fails(scene, producer)

    async def begun() -> KafkaSender:
        return sender

    monkeypatch.setattr(dlq, "_sender", begun)
    await dlq._send_again("1d", Wanted(reason="not_json"), None, yes=True)


def no_answer(_: Scene, producer: Producer) -> None:
    producer.answers = False


def fenced(scene: Scene, producer: Producer) -> None:
    producer.before_commit = lambda: Producer(scene.broker, "davylamp-dlq").init_transactions(0)


@pytest.mark.parametrize("fails", [*FAILURES, no_answer, fenced])
async def test_whatever_happens_to_who_replays_who_asks_again_has_it_in_the_log_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fails: Fails
) -> None:
    with pytest.raises(LogError):
        await ask(scene, monkeypatch, fails)
    assert "sent to" not in capsys.readouterr().out  # no place is told of what is not known to be there
    mend(scene, Producer(scene.broker, "nobody"))
    for _ in range(2):
        await ask(scene, monkeypatch)
    assert scene.readable() == (1, 1)
    assert all(letters == notes for letters, notes in scene.seen)
    assert "was sent again before" in capsys.readouterr().out


async def test_who_does_not_wait_for_the_end_and_asks_again_has_it_in_the_log_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def wait() -> None:
        commits.set()
        go_on.wait(20)

    def hang(_: Scene, producer: Producer) -> None:
        producer.before_commit = wait
        scene.broker.changed = over.set

    asked = asyncio.create_task(ask(scene, monkeypatch, hang))
    assert await asyncio.to_thread(commits.wait, 20)
    asked.cancel()
    with suppress(asyncio.CancelledError):
        await asked
    assert scene.readable() == (0, 0)
    go_on.set()
    assert await asyncio.to_thread(over.wait, 20)
    await ask(scene, monkeypatch)
    assert scene.readable() == (1, 1)


def test_the_producer_has_one_id_and_holds_up_nobody_for_long() -> None:
    settings = sender_settings(KafkaSettings())
    assert (settings["transactional.id"], settings["transaction.timeout.ms"], settings["acks"]) == (
        "davylamp-dlq",
        10_000,
        "all",
    )
