"""From the log to the receiver: what is told live, after a restart, and after a sleep."""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager

import pytest

from alerts.agent import TOPICS, Alerts
from alerts.delivery import EVERYTHING, Post
from alerts.lane import REPEAT_MS
from alerts.memory import InMemory
from alerts.receivers import LogReceiver, MemoryReceiver, Receiver
from davylamp_sdk._message import Message
from schemas.decisions import Reason
from schemas.topics import Topic
from streams.encoding import key_of
from tests.builders import entry
from tests.unit.alerts.fakes import Time, running, says, view
from tests.unit.alerts.test_unreadable import WINDOW_S, window
from transport.log import Batch
from transport.memory_log import MemoryLog

START = entry("start")
ROLLBACK = entry("rollback", START, now=2)
HOLD = entry("hold", START, now=2, reason=Reason(code="stale", sentence="No window has closed for 65 s."))
RESUME = entry("resume", HOLD, now=3)
REPEAT_S = REPEAT_MS / 1000


class World:
    """A log, a memory and a receiver that outlive the alerts process."""

    def __init__(self) -> None:
        self.time = Time()
        self.log = MemoryLog(clock=self.time.clock)
        self.memory = InMemory()
        self.receiver = MemoryReceiver()
        self.beats = 0

    async def write(self, *messages: Message) -> None:
        for message in messages:
            await self.log.put(topic_of(message), 0, message.dump())
        await self.time.settle()

    async def pass_by(self, seconds: int, head: str | None = None) -> None:
        """Time passes; with a head, judge and router are alive."""
        for _ in range(seconds):
            if head is not None:
                self.beats += 1
                read = {"route-changes-0": len(self.log.records("route-changes"))}
                await self.write(view(self.beats, judged=read), says(head, lb0="acknowledged"))
            await self.time.advance(1)

    def alerts(self, receiver: Receiver | None = None) -> AbstractAsyncContextManager[None]:
        """A process that runs until the block ends."""
        receivers = [(receiver or self.receiver, EVERYTHING)]
        post = Post(receivers, self.memory, self.time.clock, self.time.pause)
        agent = Alerts(self.log.reader(*TOPICS), self.time.clock, post, pause=self.time.pause)
        return running(self.time, agent.run())

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(m.step, m.cause.kind) for m in self.receiver.taken]


def topic_of(message: Message) -> Topic:
    names: dict[str, Topic] = {"RouteChange": "route-changes", "RolloutView": "rollouts"}
    return names.get(type(message).__name__, "rollout-decisions")


@pytest.fixture
def world() -> World:
    return World()


async def test_a_rollback_pages_with_its_sentence_and_what_to_type_next(world: World) -> None:
    async with world.alerts():
        await world.write(START, ROLLBACK)
    assert world.told == [("happened", "rollback")]
    (message,) = world.receiver.taken
    assert message.title == "[page] orders: rolled back"
    sentence = "It is a rollback. Its living sessions end by themselves within 15m."
    assert message.body.startswith(f"{sentence}\n\nNext: davylamp history orders\n")


async def test_the_log_has_its_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async with world.alerts(LogReceiver()):
        await world.write(START, ROLLBACK)
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.CRITICAL] == [
        "ALERT orders rollback: It is a rollback. Its living sessions end by themselves within 15m."
    ]


async def test_a_completion_informs_and_a_start_says_nothing(world: World) -> None:
    async with world.alerts():
        await world.write(START, entry("complete", START, now=2))
    assert [(m.step, m.cause.kind, m.severity) for m in world.receiver.taken] == [("happened", "complete", "info")]


async def test_a_void_entry_alerts_nobody(world: World) -> None:
    async with world.alerts():
        await world.write(START, ROLLBACK, entry("rollback", ROLLBACK, now=3))
    assert world.told == [("happened", "rollback")]


async def test_a_rejected_route_pages_once_with_the_proxys_own_words_and_resolves(world: World) -> None:
    no = says(START, lb0="rejected: no such cluster")
    async with world.alerts():
        await world.write(START, no, no, says(START, lb0="acknowledged"))
    assert world.told == [("began", "route_rejected"), ("ended", "route_rejected")]
    assert "Proxy lb0 rejected its route: no such cluster" in world.receiver.taken[0].body


async def test_a_hold_is_told_and_resolved_between_two_looks_at_the_clock(world: World) -> None:
    async with world.alerts():
        await world.write(START, HOLD, RESUME)
    assert world.told == [("began", "no_data"), ("ended", "no_data")]


async def test_a_rollout_that_goes_well_is_silent_for_hours(world: World) -> None:
    async with world.alerts():
        await world.write(START)
        await world.pass_by(400, START.id)
    assert world.told == []


async def test_a_judge_that_dies_pages_after_two_minutes_and_resolves_when_it_is_back(world: World) -> None:
    async with world.alerts():
        await world.write(START)
        await world.pass_by(3, START.id)
        for _ in range(125):
            await world.write(says(START, lb0="acknowledged"))
            await world.pass_by(1)
        assert world.told == [("began", "blind")]
        await world.pass_by(2, START.id)
    assert world.told == [("began", "blind"), ("ended", "blind")]


async def test_a_judge_whose_reader_gets_nothing_pages_although_it_beats(world: World) -> None:
    async with world.alerts():
        await world.write(START)
        await world.pass_by(3, START.id)
        for beat in range(125):
            await world.write(says(START, lb0="acknowledged"), view(10 + beat, judged={"route-changes-0": 2}))
            await world.pass_by(1)
        assert world.told == [("began", "blind")]


async def test_a_record_that_is_not_understood_is_skipped_and_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.log.put("rollout-decisions", 0, b"{")
    await world.log.put("rollouts", 0, None)
    async with world.alerts():
        await world.write(START, ROLLBACK)
    assert world.told == [("happened", "rollback")]
    assert any(getattr(r, "at", None) == "rollout-decisions-0@0" for r in caplog.records)


@pytest.mark.parametrize(("age_s", "messages"), [(REPEAT_S - 1, 1), (REPEAT_S + 1, 0)])
async def test_without_a_memory_the_last_ten_minutes_are_told_and_older_facts_are_not(
    world: World, age_s: float, messages: int
) -> None:
    await world.write(START, ROLLBACK)
    await world.time.advance(age_s)
    async with world.alerts():
        pass
    assert len(world.receiver.taken) == messages


async def test_a_restart_repeats_nothing_that_was_delivered(world: World) -> None:
    async with world.alerts():
        await world.write(START, HOLD)
    for _ in range(3):
        async with world.alerts():
            await world.pass_by(5, HOLD.id)
    async with world.alerts():
        await world.write(entry("rollback", HOLD, now=4))
    async with world.alerts():
        await world.pass_by(2)
    assert world.told == [("began", "no_data"), ("happened", "rollback"), ("ended", "no_data")]


async def test_without_a_memory_a_restart_tells_again_once(world: World) -> None:
    async with world.alerts():
        await world.write(START, ROLLBACK)
    world.memory = InMemory()
    for _ in range(2):
        async with world.alerts():
            pass
    assert world.told == [("happened", "rollback")] * 2


async def test_what_happened_while_nobody_ran_is_told(world: World) -> None:
    async with world.alerts():
        await world.write(START)
    await world.write(ROLLBACK)
    await world.time.advance(5 * REPEAT_S)
    async with world.alerts():
        pass
    assert world.told == [("happened", "rollback")]


async def test_what_began_while_nobody_ran_is_told_with_its_true_age(world: World) -> None:
    await world.write(START, HOLD)
    await world.time.advance(1000)
    async with world.alerts():
        pass
    assert world.told == [("began", "no_data"), ("began", "hold_too_long")]
    assert "Held for 16m 40s" in world.receiver.taken[1].body


async def test_what_ended_while_nobody_ran_is_resolved(world: World) -> None:
    async with world.alerts():
        await world.write(START, HOLD)
    await world.write(RESUME)
    await world.time.advance(60)
    async with world.alerts():
        pass
    assert world.told == [("began", "no_data"), ("ended", "no_data")]
    assert "It lasted 1m." in world.receiver.taken[1].body


async def test_a_silence_that_was_told_before_a_restart_is_neither_repeated_nor_called_over(world: World) -> None:
    async with world.alerts():
        await world.write(START)
        await world.pass_by(1, START.id)
        await world.pass_by(20)
    async with world.alerts():
        await world.pass_by(20)
    assert world.told == [("began", "router_silent")]
    async with world.alerts():
        await world.pass_by(1, START.id)
    assert world.told[1:] == [("ended", "router_silent")]


async def test_silence_before_a_start_of_the_process_is_not_held_against_anybody(world: World) -> None:
    await world.write(START, says(START, lb0="acknowledged"), view(1))
    await world.time.advance(5000)
    async with world.alerts():
        await world.pass_by(10)
        assert world.told == []
        await world.pass_by(10)
        assert world.told == [("began", "router_silent")]


async def test_a_page_that_burns_over_restarts_is_told_again_every_half_hour(world: World) -> None:
    for _ in range(4):
        async with world.alerts():
            await world.write(START, HOLD)
            await world.pass_by(60, HOLD.id)
        await world.time.advance(840)
    again = [kind for step, kind in world.told if step == "again"]
    assert again == ["no_data", "hold_too_long"]
    assert world.told.count(("began", "no_data")) == 1


async def test_a_process_that_was_stopped_calls_nobody_silent_when_it_wakes(world: World) -> None:
    async with world.alerts():
        await world.write(START)
        await world.pass_by(3, START.id)
        world.time.clock.advance(3600)
        await world.pass_by(3)
    assert world.told == []


async def test_a_hanging_receiver_delays_no_reading(world: World) -> None:
    world.receiver.hangs = True
    async with world.alerts():
        await world.write(START, HOLD)
        await world.pass_by(30, HOLD.id)
        back = entry("rollback", HOLD, now=4)
        await world.write(back)
        world.receiver.hangs = False
        await world.pass_by(30, back.id)
    assert sorted(world.told) == [("began", "no_data"), ("ended", "no_data"), ("happened", "rollback")]


async def test_a_clock_of_the_broker_that_is_wrong_drops_no_alert() -> None:
    for skew_s in (-7200, 7200):
        world = World()
        broker = Time()
        broker.clock.advance(skew_s)
        world.log = MemoryLog(clock=broker.clock)
        async with world.alerts():
            await world.write(START, HOLD, RESUME)
            await world.write(entry("rollback", RESUME, now=4))
        assert ("happened", "rollback") in world.told


async def test_telemetry_that_nobody_can_read_is_told_without_any_rollout(world: World) -> None:
    post = Post([(world.receiver, EVERYTHING)], world.memory, world.time.clock, world.time.pause)
    windows = world.log.reader("cohort-windows")
    url = "https://davylamp.example/"
    agent = Alerts(world.log.reader(*TOPICS), world.time.clock, post, None, url, world.time.pause, windows)
    task = asyncio.create_task(agent.run())
    await world.log.put("cohort-windows", 0, b"no window", b"orders|0|0|final")
    for number in range(1, 15):
        one = window(number, malformed=40)
        await world.log.put("cohort-windows", 0, one.dump(), key_of(one))
        await world.time.advance(WINDOW_S)
    for number in range(15, 28):
        await world.log.put("cohort-windows", 0, window(number).dump(), key_of(window(number)))
        await world.time.advance(WINDOW_S)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    began, ended = world.receiver.taken
    assert world.told == [("began", "unreadable"), ("ended", "unreadable")]
    assert began.title == "[notice] mcp-requests: telemetry that nobody can read"
    assert "Next: davylamp dlq list --topic mcp-requests" in began.body
    assert began.body.endswith("Status: https://davylamp.example")
    assert ended.title == "[resolved] mcp-requests: telemetry that nobody can read"


async def test_nothing_that_lasts_is_told_before_the_log_was_read_to_its_end(world: World) -> None:
    await world.write(START, HOLD, RESUME)
    post = Post([(world.receiver, EVERYTHING)], world.memory, world.time.clock, world.time.pause)
    agent = Alerts(world.log.reader(*TOPICS), world.time.clock, post, pause=world.time.pause)
    records = tuple(world.log.records("rollout-decisions"))
    agent.handle(Batch(records[:2], caught_up=False))
    agent.tick()
    agent.handle(Batch(records[2:], caught_up=True))
    task = asyncio.create_task(post.run())
    await world.time.settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.told == []
