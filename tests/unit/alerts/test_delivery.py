"""Receivers fail, hang and come back; nobody waits for them and they miss nothing that still matters."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import pytest

from alerts.cause import Severity
from alerts.delivery import EVERYTHING, Patience, Post
from alerts.memory import InMemory, Told
from alerts.receivers import MemoryReceiver, Receiver
from alerts.wording import Message
from tests.unit.alerts.fakes import Time, began, ended, happened

PATIENCE = Patience(attempt_s=20, first_s=1, longest_s=8)


@pytest.fixture
def time() -> Time:
    return Time()


@contextlib.asynccontextmanager
async def running(
    time: Time, *receivers: Receiver, memory: InMemory | None = None, severities: frozenset[Severity] = EVERYTHING
) -> AsyncIterator[Post]:
    post = Post([(r, severities) for r in receivers], memory or InMemory(), time.clock, time.pause, PATIENCE)
    task = asyncio.create_task(post.run())
    await time.settle()
    try:
        yield post
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def taken(receiver: MemoryReceiver) -> list[tuple[str, str]]:
    return [(m.step, m.key) for m in receiver.taken]


async def test_messages_arrive_at_once_and_in_order(time: Time) -> None:
    receiver = MemoryReceiver()
    async with running(time, receiver) as post:
        for name in "abc":
            post.offer(began(name, time.clock.now_ms()))
        await time.settle()
        assert taken(receiver) == [("began", "a"), ("began", "b"), ("began", "c")]


async def test_a_receiver_hears_only_of_its_severities(time: Time) -> None:
    receiver = MemoryReceiver()
    async with running(time, receiver, severities=frozenset({"page"})) as post:
        post.offer(began("a", 0, severity="notice"))
        post.offer(began("b", 0))
        post.offer(ended("b", 0))
        await time.settle()
        assert taken(receiver) == [("began", "b"), ("ended", "b")]


async def test_a_failing_receiver_is_tried_again_ever_more_rarely_until_it_recovers(time: Time) -> None:
    receiver = MemoryReceiver()
    receiver.refuses = True
    async with running(time, receiver) as post:
        post.offer(began("a", 0))
        await time.settle()
        asked = [receiver.asked]
        for _ in range(5):
            await time.advance(8)
            asked.append(receiver.asked)
        assert asked == [1, 4, 5, 6, 7, 8]  # after 0, 1, 3, 7 s, then every 8 s
        receiver.refuses = False
        await time.advance(8)
        assert taken(receiver) == [("began", "a")]


async def test_after_a_success_patience_begins_anew(time: Time) -> None:
    receiver = MemoryReceiver()
    receiver.refuses = True
    async with running(time, receiver) as post:
        post.offer(began("a", 0))
        await time.advance(30)
        receiver.refuses = False
        await time.advance(8)
        receiver.refuses, asked = True, receiver.asked
        post.offer(began("b", 0))
        await time.advance(1)
        assert receiver.asked == asked + 2


async def test_a_hanging_receiver_is_given_up_in_time_and_asked_again(time: Time) -> None:
    receiver = MemoryReceiver()
    receiver.hangs = True
    async with running(time, receiver) as post:
        post.offer(began("a", 0))
        await time.advance(19)
        assert receiver.asked == 1
        await time.advance(2)
        assert receiver.asked == 2
        receiver.hangs = False
        await time.advance(25)
        assert taken(receiver) == [("began", "a")]


async def test_a_hanging_receiver_delays_no_other(time: Time) -> None:
    hanging, well = MemoryReceiver("hanging"), MemoryReceiver("well")
    hanging.hangs = True
    async with running(time, hanging, well) as post:
        post.offer(began("a", 0))
        post.offer(ended("a", 0))
        await time.settle()
        assert taken(well) == [("began", "a"), ("ended", "a")]
        assert taken(hanging) == []


async def test_a_message_that_is_never_taken_blocks_no_other(time: Time) -> None:
    class Picky(MemoryReceiver):
        async def send(self, message: Message) -> None:
            self.refuses = message.key == "poison"
            await super().send(message)

    receiver = Picky()
    async with running(time, receiver) as post:
        for name in ("poison", "a", "b"):
            post.offer(began(name, 0))
        await time.advance(10)
        assert taken(receiver) == [("began", "a"), ("began", "b")]


async def test_a_receiver_that_breaks_in_its_own_way_is_tried_again_without_quoting_it(
    time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(MemoryReceiver):
        async def send(self, message: Message) -> None:
            self.asked += 1
            raise RuntimeError("https://hunter2@mail")

    receiver = Broken()
    async with running(time, receiver) as post:
        post.offer(began("a", 0))
        await time.advance(4)
    assert receiver.asked == 3
    assert {getattr(r, "why", "") for r in caplog.records} == {"RuntimeError in the receiver"}


async def test_a_hanging_receivers_queue_stays_bounded_and_the_newest_are_kept(
    time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = MemoryReceiver()
    receiver.hangs = True
    async with running(time, receiver) as post:
        for number in range(1000):
            post.offer(began(f"k{number}", 0))
        await time.settle()
        receiver.hangs = False
        await time.advance(40)
        while len(receiver.taken) < 200:
            await time.settle()
    assert len(receiver.taken) == 200
    assert {f"k{n}" for n in range(801, 1000)} < {m.key for m in receiver.taken}
    assert any(getattr(r, "action", "") == "alert_dropped" for r in caplog.records)


async def test_what_was_delivered_is_remembered_over_a_restart_receiver_by_receiver(time: Time) -> None:
    memory, well, down = InMemory(), MemoryReceiver("well"), MemoryReceiver("down")
    down.refuses = True
    now_ms = time.clock.now_ms()
    news = [happened("f", now_ms), began("k", now_ms)]
    async with running(time, well, down, memory=memory) as post:
        for message in news:
            post.offer(message)
        await time.settle()
    down.refuses = False
    async with running(time, well, down, memory=memory) as post:
        assert set(post.open()) == {"k"}
        for message in news:
            post.offer(message)
        await time.settle()
    assert taken(well) == taken(down) == [("happened", "f"), ("began", "k")]


async def test_what_cannot_be_remembered_is_delivered_all_the_same(
    time: Time, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(InMemory):
        def save(self, receivers: Mapping[str, Told]) -> None:
            raise OSError("no space left")

    receiver = MemoryReceiver()
    async with running(time, receiver, memory=Full()) as post:
        post.offer(began("a", 0))
        await time.settle()
    assert taken(receiver) == [("began", "a")]
    assert any(getattr(r, "action", "") == "memory_unwritten" for r in caplog.records)


async def test_a_process_that_dies_between_telling_and_remembering_leaves_nothing_burning(time: Time) -> None:
    """Killed right after the receiver took it: the page is resolved by the next process, or told again if it lasts."""

    class Mortal(MemoryReceiver):
        async def send(self, message: Message) -> None:
            await super().send(message)
            await asyncio.Event().wait()

    memory, receiver = InMemory(), Mortal()
    async with running(time, receiver, memory=memory) as post:
        post.offer(began("a", 0))
        await time.settle()
        told = memory.load()
    assert set(told.receivers[receiver.name].telling) == {"a"}
    memory.book, well = told, MemoryReceiver()
    async with running(time, well, memory=memory) as post:
        assert set(post.open()) == {"a"}
        post.offer(ended("a", 0))
        await time.settle()
    assert taken(receiver) + taken(well) == [("began", "a"), ("ended", "a")]


async def test_a_disk_that_hangs_holds_a_page_up_for_a_second(time: Time) -> None:
    receiver = MemoryReceiver()
    post = Post([(receiver, EVERYTHING)], InMemory(), time.clock, time.pause, PATIENCE)
    courier, _ = post._couriers[receiver.name]
    courier._remember = asyncio.Event().wait  # type: ignore[assignment]  # never
    task = asyncio.create_task(courier.run())
    post.offer(began("a", 0))
    await time.advance(0.9)
    assert receiver.asked == 0
    await time.advance(0.2)
    assert taken(receiver) == [("began", "a")]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_has_not_changed_is_not_saved_again(time: Time) -> None:
    class Counting(InMemory):
        saves = 0

        def save(self, receivers: Mapping[str, Told]) -> None:
            self.saves += 1
            super().save(receivers)

    memory = Counting()
    async with running(time, MemoryReceiver(), memory=memory) as post:
        post.offer(began("a", 0))
        await time.settle()
    saved = memory.saves
    async with running(time, MemoryReceiver(), memory=memory) as post:
        post.read_until(0)
        await time.settle()
    assert memory.saves == saved
