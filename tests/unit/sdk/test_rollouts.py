"""Following a rollout: the newest picture for whoever listens, whatever the log, the loop or a callback does."""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator

import pytest

from davylamp_sdk import Rollout, Rollouts
from davylamp_sdk._control_log import LEDGER, VIEWS, Heard, Said
from schemas.decisions import LedgerEntry
from tests.builders import entry
from tests.unit.sdk.test_rollout import view

START = entry("start")
PROCEED = entry("proceed", START, now=2)
BACK = entry("rollback", PROCEED, now=3)


class ScriptedLog:
    """A log to which the test writes; every reader of it begins at its start."""

    def __init__(self) -> None:
        self._written: list[Said] = []
        self._grown = threading.Condition()
        self._broken: Exception | None = None
        self._end = 0
        self.opened = 0
        self.closed = 0

    def write(self, *items: LedgerEntry | bytes) -> None:
        with self._grown:
            for item in items:
                is_view = isinstance(item, bytes)
                self._written.append(Said(VIEWS, item) if is_view else Said(LEDGER, item.dump()))  # type: ignore[union-attr, arg-type]
            self._grown.notify_all()

    def break_down(self, error: Exception) -> None:
        """The reader meets it once."""
        with self._grown:
            self._broken = error
            self._grown.notify_all()

    def open(self) -> "ScriptedReader":
        self.opened += 1
        return ScriptedReader(self)

    def after(self, position: int, timeout_s: float) -> list[Said]:
        with self._grown:
            self._grown.wait_for(lambda: len(self._written) > position or self._broken is not None, timeout_s)
            broken, self._broken = self._broken, None
            if broken is not None:
                raise broken
            return self._written[position:]


class ScriptedReader:
    def __init__(self, log: ScriptedLog) -> None:
        self._log = log
        self._position = 0

    def poll(self, timeout_s: float) -> Heard:
        records = self._log.after(self._position, 0.01)
        self._position += len(records)
        return Heard(records, caught_up=True)

    def close(self) -> None:
        self._log.closed += 1


@pytest.fixture
def log() -> ScriptedLog:
    return ScriptedLog()


@pytest.fixture
def rollouts(log: ScriptedLog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rollouts]:
    monkeypatch.setattr("davylamp_sdk._rollouts.RETRY_S", 0.01)
    rollouts = Rollouts("orders", open_log=log.open)
    yield rollouts
    rollouts.close()


async def take(rollouts: Rollouts, until: Callable[[Rollout], bool]) -> list[Rollout]:
    """What is told up to the first that fits."""
    seen = []
    async with asyncio.timeout(10):
        async for rollout in rollouts:
            seen.append(rollout)
            if until(rollout):
                break
    return seen


def phase(name: str | None) -> Callable[[Rollout], bool]:
    return lambda rollout: rollout.phase == name


async def test_whoever_listens_is_told_where_the_rollout_stands_and_each_change(
    log: ScriptedLog, rollouts: Rollouts
) -> None:
    log.write(START)
    phases = []
    async with asyncio.timeout(10):
        async for rollout in rollouts:
            phases.append((rollout.phase, rollout.stage))
            if rollout.stage == 1:
                log.write(PROCEED)
            elif rollout.phase == "running":
                log.write(BACK)
            else:
                break
    assert phases == [("running", 1), ("running", 2), ("rolled_back", 2)]
    assert rollouts.current is not None
    assert rollouts.current.phase == "rolled_back"


async def test_history_is_not_told_only_where_it_led(log: ScriptedLog, rollouts: Rollouts) -> None:
    log.write(START, PROCEED, BACK)
    assert [rollout.phase for rollout in await take(rollouts, lambda _: True)] == ["rolled_back"]


async def test_an_entry_that_holds_nowhere_is_not_told(log: ScriptedLog, rollouts: Rollouts) -> None:
    log.write(START, entry("proceed", BACK, now=9), PROCEED)
    seen = await take(rollouts, lambda rollout: rollout.stage == 2)
    assert {rollout.phase for rollout in seen} == {"running"}


async def test_what_is_not_understood_is_passed_over_and_mentioned_once(
    log: ScriptedLog, rollouts: Rollouts, caplog: pytest.LogCaptureFixture
) -> None:
    log.write(b"{}", b"{}", START)
    await take(rollouts, phase("running"))
    assert [record.__dict__["action"] for record in caplog.records] == ["rollouts_unreadable"]


async def test_the_judges_score_is_told_and_its_heartbeat_is_not(log: ScriptedLog, rollouts: Rollouts) -> None:
    log.write(START, view(score=50))
    scores = []
    async with asyncio.timeout(10):
        async for rollout in rollouts:
            scores.append(rollout.score)
            if rollout.score == 50:
                log.write(view(score=50, looked_at=6), view(score=50, looked_at=7), view(score=60))
            elif rollout.score == 60:
                break
    assert scores[-2:] == [50, 60]


async def test_while_the_log_is_away_the_last_picture_stays_and_afterwards_a_newer_one_comes(
    log: ScriptedLog, rollouts: Rollouts, caplog: pytest.LogCaptureFixture
) -> None:
    log.write(START)
    await take(rollouts, phase("running"))
    log.break_down(OSError("Kafka is away"))
    log.break_down(OSError("Kafka is away"))
    log.write(BACK)
    seen = await take(rollouts, phase("rolled_back"))
    assert seen[0].phase in {"running", "rolled_back"}
    rollouts.close()
    assert log.opened == log.closed >= 2
    assert "rollouts_unreachable" in [record.__dict__["action"] for record in caplog.records]


async def test_a_log_that_cannot_be_opened_is_tried_again(monkeypatch: pytest.MonkeyPatch, log: ScriptedLog) -> None:
    monkeypatch.setattr("davylamp_sdk._rollouts.RETRY_S", 0.01)
    failures = iter([OSError("away"), OSError("away")])

    def open_log() -> ScriptedReader:
        for error in failures:
            raise error
        return log.open()

    rollouts = Rollouts("orders", open_log=open_log)
    log.write(START)
    await take(rollouts, phase("running"))
    rollouts.close()


async def test_many_may_listen_and_one_that_leaves_takes_nothing_from_the_others(
    log: ScriptedLog, rollouts: Rollouts
) -> None:
    log.write(START)
    first = await take(rollouts, phase("running"))
    later = asyncio.gather(*(take(rollouts, phase("rolled_back")) for _ in range(3)))
    log.write(PROCEED, BACK)
    assert [seen[-1].phase for seen in await later] == ["rolled_back"] * 3
    assert first[-1].phase == "running"
    assert rollouts._listeners == set()


async def test_a_listener_ends_when_following_ends(log: ScriptedLog, rollouts: Rollouts) -> None:
    listening = asyncio.create_task(take(rollouts, lambda _: False))
    log.write(START)
    await take(rollouts, phase("running"))
    await asyncio.to_thread(rollouts.close)
    assert {rollout.phase for rollout in await listening} <= {None, "running"}
    assert await take(rollouts, lambda _: True) == []


def test_a_loop_that_has_gone_disturbs_nobody(log: ScriptedLog, rollouts: Rollouts) -> None:
    log.write(START)
    asyncio.run(take(rollouts, phase("running")))
    log.write(PROCEED, BACK)
    asyncio.run(take(rollouts, phase("rolled_back")))


def test_a_callback_is_told_the_same_on_a_thread_of_ours(log: ScriptedLog, rollouts: Rollouts) -> None:
    told: queue.Queue[tuple[str | None, str]] = queue.Queue()
    rollouts.call(lambda rollout: told.put((rollout.phase, threading.current_thread().name)))
    log.write(START)
    while told.get(timeout=10) != ("running", "davylamp-rollouts"):
        pass
    late: queue.Queue[str | None] = queue.Queue()
    rollouts.call(lambda rollout: late.put(rollout.phase))
    assert late.get(timeout=10) == "running"
    log.write(PROCEED, BACK)
    while told.get(timeout=10)[0] != "rolled_back":
        pass


def test_a_callback_that_raises_is_called_again_and_the_others_too(
    log: ScriptedLog, rollouts: Rollouts, caplog: pytest.LogCaptureFixture
) -> None:
    told: queue.Queue[str | None] = queue.Queue()

    def raises(_rollout: Rollout) -> None:
        raise LookupError("callback")

    rollouts.call(raises)
    rollouts.call(lambda rollout: told.put(rollout.phase))
    log.write(START)
    while told.get(timeout=10) != "running":
        pass
    log.write(BACK)
    rollouts.close()
    assert [record.__dict__["action"] for record in caplog.records] == ["rollouts_callback"]


def test_a_machine_without_room_for_a_thread_costs_the_server_nothing(
    rollouts: Rollouts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_thread(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    rollouts.call(print)
    rollouts.close()
    assert [record.__dict__["action"] for record in caplog.records] == ["rollouts_unstarted"]


def test_nobody_reads_before_somebody_listens(log: ScriptedLog, rollouts: Rollouts) -> None:
    assert rollouts.current is None
    assert log.opened == 0
    rollouts.close()
    rollouts.close()
    assert log.opened == 0


@pytest.mark.parametrize(
    ("service", "bootstrap", "complaint"), [("", "k:9092", "DAVYLAMP_SERVICE"), ("orders", "", "DAVYLAMP_BOOTSTRAP")]
)
def test_what_is_missing_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, service: str, bootstrap: str, complaint: str
) -> None:
    monkeypatch.delenv("DAVYLAMP_SERVICE", raising=False)
    monkeypatch.delenv("DAVYLAMP_BOOTSTRAP", raising=False)
    with pytest.raises(ValueError, match=complaint):
        Rollouts(service, bootstrap)
