"""The sign of life: it goes on as long as on-call would hear of a rollback, and stops when not."""

import logging
from contextlib import AbstractAsyncContextManager

import httpx2
import pytest

from alerts.agent import TOPICS, UNREAD_S, Alerts
from alerts.delivery import EVERYTHING, Post
from alerts.heartbeat import Heartbeat, HeartbeatError, HttpWatchman
from alerts.memory import InMemory
from alerts.receivers import MemoryReceiver
from tests.builders import entry
from tests.unit.alerts.fakes import Time, running
from transport.memory_log import MemoryLog
from transport.process import run_together

URL = "https://switch.example/s3cret"
EVERY_S = 60.0


class Ear:
    """A watchman that counts, and refuses when it is told to."""

    def __init__(self) -> None:
        self.heard = 0
        self.refuses = False

    async def hear(self) -> None:
        if self.refuses:
            raise HeartbeatError("it answers 500")
        self.heard += 1


class World:
    """Alerts with a heartbeat, in time that moves when told to."""

    def __init__(self) -> None:
        self.time, self.ear, self.receiver = Time(), Ear(), MemoryReceiver("on-call")
        self.log = MemoryLog(clock=self.time.clock)

    def alerts(self) -> AbstractAsyncContextManager[None]:
        post = Post([(self.receiver, EVERYTHING)], InMemory(), self.time.clock, self.time.pause)
        agent = Alerts(self.log.reader(*TOPICS), self.time.clock, post, pause=self.time.pause)
        heartbeat = Heartbeat(self.ear, agent.trouble, EVERY_S, self.time.pause)
        return running(self.time, run_together(agent.run(), heartbeat.run()))

    async def intervals(self, number: int) -> int:
        """How often it was heard in so many."""
        before = self.ear.heard
        await self.time.advance(number * EVERY_S)
        return self.ear.heard - before


def reasons(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {r.why for r in caplog.records if getattr(r, "action", "").startswith("heartbeat_")}  # type: ignore[attr-defined]  # extra


@pytest.fixture
def world() -> World:
    return World()


async def test_it_is_heard_once_an_interval_while_all_is_well(world: World) -> None:
    async with world.alerts():
        assert await world.intervals(5) == 5


async def test_it_stops_while_the_log_does_not_answer_and_goes_on_when_it_does(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.alerts():
        world.log.away_s = UNREAD_S + 1
        assert await world.intervals(3) == 0
        assert reasons(caplog) == {"the log has not answered for 31 s"}
        world.log.away_s = 0.0
        assert await world.intervals(3) == 3


@pytest.mark.parametrize("trouble", ["refuses", "hangs"])
async def test_it_stops_while_a_receiver_takes_nothing_and_goes_on_when_it_does(
    world: World, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.alerts():
        setattr(world.receiver, trouble, True)
        assert await world.intervals(2) == 2  # it was told nothing: nobody knows
        started = entry("start")
        for message in (started, entry("rollback", started, now=2)):
            await world.log.put("rollout-decisions", 0, message.dump())
        await world.time.settle()
        assert await world.intervals(3) == 0
        assert reasons(caplog) == {"not told: on-call"}
        setattr(world.receiver, trouble, False)
        await world.time.advance(2 * EVERY_S)
        assert world.receiver.taken
        assert await world.intervals(3) == 3


def test_nothing_is_said_before_the_log_was_read_to_its_end(world: World) -> None:
    post = Post([(world.receiver, EVERYTHING)], InMemory(), world.time.clock, world.time.pause)
    agent = Alerts(world.log.reader(*TOPICS), world.time.clock, post)
    assert agent.trouble() == "the log has not been read to its end"


async def test_a_watchman_that_refuses_ends_nothing_and_is_asked_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.ear.refuses = True
    async with world.alerts():
        assert await world.intervals(2) == 0
        world.ear.refuses = False
        assert await world.intervals(2) == 2
    assert "it answers 500" in reasons(caplog)


async def test_the_url_is_asked_for_by_get_and_redirects_are_followed(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append((request.method, str(request.url)))
        there = "https://elsewhere.example/s3cret"
        return httpx2.Response(200) if len(asked) > 1 else httpx2.Response(301, headers={"location": there})

    with caplog.at_level(logging.INFO):
        await HttpWatchman(URL, httpx2.MockTransport(answer)).hear()
    assert asked == [("GET", URL), ("GET", "https://elsewhere.example/s3cret")]
    assert "s3cret" not in caplog.text


def _refuses(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError(f"no way to {request.url}")


def _hangs_up(_: httpx2.Request) -> httpx2.Response:
    raise TimeoutError


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda _: httpx2.Response(404), "^it answers 404$"),
        (_refuses, "^ConnectError$"),
        (_hangs_up, "^no answer within 10 s$"),
    ],
)
async def test_what_is_not_taken_is_an_error_without_the_url(answer: object, words: str) -> None:
    with pytest.raises(HeartbeatError, match=words):
        await HttpWatchman(URL, httpx2.MockTransport(answer)).hear()  # type: ignore[arg-type]  # of the parameters
