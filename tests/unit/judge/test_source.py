"""Windows of another telemetry topic than the service's say nothing, whatever they say."""

from collections.abc import Sequence

import pytest

from judge.anonymous import anonymized
from judge.fold import TOPICS, WINDOWS
from judge.impossible import ImpossibleWindowError
from judge.recording import header_of, records_of
from judge.rollout.source import KEPT_MS
from judge.rollout.state import ServiceState
from judge.verdicts import Same
from judge.verify import verify
from schemas.decisions import Cut
from schemas.windows import Bucket, Cell, CohortWindow
from tests.builders import SERVICE, entry, opening
from tests.records import by_topic
from tests.unit.judge.rollouts import CHECKS, MACHINE, T0, Rollout, cell, window
from transport.log import Batch

SHARED, OWN = "mcp-requests", "mcp-requests.orders"
MOVED = SERVICE.model_copy(update={"telemetry": OWN})
OPENING = opening("v2", checks=CHECKS).model_copy(update={"service": MOVED})


class Moved(Rollout):
    """A rollout of a service with a telemetry topic of its own, of two partitions; somebody writes to the shared one, too."""

    def __init__(self, *strays: Cell, partitions: int = 2) -> None:
        super().__init__()
        self.strays = strays
        self.partitions = partitions

    async def begin(self) -> None:
        await self.put("services", MOVED)
        await self.ask("start", opening=OPENING)

    async def _count(self, bad: int) -> None:
        now, stage = self.clock.now_ms(), min(max(self.chain.standing.stage, 1), 2)
        if self.strays:
            await self.put("cohort-windows", window(now, *self.strays, partitions=self.partitions, source=SHARED))
        await self.put(
            "cohort-windows", window(now, cell("v1", stage, 800, 0), cell("v2", stage, 800, bad), source=OWN)
        )
        await self.put("cohort-windows", window(now, partition=1, source=OWN))

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(entry.kind, entry.reason.code) for entry in self.chain.entries]


PROMOTED = [("start", "started"), ("proceed", "within"), ("complete", "within")]
BAD = cell("v1", 1, 800, 0), cell("v2", 1, 800, 400)
UNLABELLED = cell("v1", 1, 8, 0).model_copy(update={"label": "-", "buckets": {}, "new_sessions": 0})


async def test_who_writes_to_the_shared_topic_cannot_have_a_healthy_canary_rolled_back() -> None:
    rollout = Moved(*BAD)
    await rollout.begin()
    await rollout.run(30)
    assert rollout.told == PROMOTED


async def test_who_writes_to_the_shared_topic_cannot_hide_a_canary_that_fails() -> None:
    rollout = Moved(UNLABELLED)
    await rollout.begin()
    await rollout.run(10, bad=800)
    assert rollout.told == [("start", "started"), ("rollback", "breach")]


async def test_a_service_may_move_to_a_topic_of_fewer_partitions() -> None:
    rollout = Moved()
    await rollout.put("services", SERVICE)
    for partition in range(4):
        now = rollout.clock.now_ms()
        await rollout.put("cohort-windows", window(now, partition=partition, partitions=4, source=SHARED))
    rollout.clock.advance(3600)
    await rollout.begin()
    await rollout.run(30)
    assert rollout.told == PROMOTED


async def test_what_was_decided_among_strays_is_recomputed_to_the_byte() -> None:
    rollout = Moved(*BAD)
    await rollout.begin()
    await rollout.run(30)
    assert {type(verdict) for verdict in verify(rollout.tapes, "orders", 1, MACHINE)} == {Same}


async def test_a_recording_among_strays_says_the_same_also_under_other_names() -> None:
    rollout = Moved(*BAD)
    await rollout.begin()
    await rollout.run(30)
    header = header_of(rollout.tapes, "orders", None)
    records = by_topic(records_of(rollout.tapes, header))
    other, renamed = anonymized(header, records, b"key", MACHINE)
    for head, kept in ((header, records), (other, renamed)):
        assert {CohortWindow.read(record.value or b"").source for record in kept["cohort-windows"]} > {
            head.definition.telemetry
        }
        assert {type(verdict) for verdict in verify(kept, head.service, 1, MACHINE)} == {Same}


async def test_a_judge_that_restarts_goes_on_with_the_windows_of_the_topic_that_counts() -> None:
    rollout = Moved(*BAD)
    await rollout.begin()
    await rollout.run(4)
    again = Moved(*BAD)
    again.clock, again.log, again.acknowledged = rollout.clock, rollout.log, rollout.acknowledged
    again.judge = type(rollout.judge)(MACHINE, rollout.log.writer(), rollout.clock)
    await again.run(26)
    assert again.told == PROMOTED


def state_of(*windows: CohortWindow, live: bool = False) -> ServiceState:
    state = ServiceState("orders", service=MOVED)
    if live:
        state.read_entry(entry("start", opening=OPENING), 0)
    for each in windows:
        state.read_window(each)
    return state


def strays(n: int, source: str = SHARED) -> Sequence[CohortWindow]:
    """Of one of two partitions: nothing of it is ever closed."""
    return [window(T0 + 60_000 * i, UNLABELLED, source=source) for i in range(n)]


def test_before_a_rollout_the_service_file_says_which_topic_counts() -> None:
    state = state_of(*(window(T0, partition=p, source=s) for p in (0, 1) for s in (SHARED, OWN)))
    assert state.heard is state.sources[OWN]
    state.read_service(SERVICE)
    assert state.heard is state.sources[SHARED]
    state.read_service(None)
    assert state.book.frontier() is None


def test_while_a_rollout_is_live_its_start_says_so() -> None:
    state = state_of(window(T0, source=OWN), live=True)
    state.read_service(SERVICE)
    assert state.heard is state.sources[OWN]


def test_a_rollout_that_is_over_keeps_the_sessions_of_its_own_topic_when_the_service_moves() -> None:
    start = entry("start", opening=OPENING, now=T0)
    state = state_of()
    for offset, said in enumerate((start, entry("rollback", start, now=T0))):
        state.read_entry(said, offset)
    state.read_service(SERVICE)
    compared = state.under(MACHINE.policy)
    for source, n in ((SHARED, 1600), (OWN, 80)):
        for partition in (0, 1):
            state.read_window(window(T0, cell("v1", 1, n, 0), partition=partition, source=source))
    assert state.heard is state.sources[SHARED]
    assert compared.evidence.sessions("baseline") == 2 * 80


@pytest.mark.parametrize("live", [False, True])
def test_what_another_topic_says_takes_no_more_memory_than_two_hours_of_it(*, live: bool) -> None:
    state = state_of(live=live)
    for number, stray in enumerate(strays(1000)):
        state.read_window(stray)
        state.forget()
        assert len(state.sources[SHARED].book.open_windows()) <= min(number + 1, KEPT_MS // 60_000 + 1)


def test_while_a_rollout_is_live_nothing_of_its_own_topic_is_let_go() -> None:
    state = state_of(*strays(1000, OWN), live=True)
    state.forget()
    assert len(state.book.open_windows()) == 1000


def test_who_restarts_after_a_rollout_still_shows_all_of_its_sessions() -> None:
    start = entry("start", opening=OPENING, now=T0)
    state = ServiceState("orders", service=MOVED)
    for offset, said in enumerate((start, entry("rollback", start, now=T0))):
        state.read_entry(said, offset)
    for i in range(1000):
        for partition in (0, 1):
            state.read_window(window(T0 + 60_000 * i, cell("v1", 1, 8, 0), partition=partition, source=OWN))
    view = MACHINE.decide(state, Cut(offsets={}, now=T0 + 60_000_000)).view
    assert view.baseline_sessions == 2 * 1000 * 8


def test_windows_that_were_let_go_are_not_taken_when_they_are_said_again() -> None:
    state = state_of(*strays(1000))
    state.forget()
    kept = len(state.sources[SHARED].book.open_windows())
    for stray in strays(500):
        state.read_window(stray)
    assert len(state.sources[SHARED].book.open_windows()) == kept


def test_sessions_of_rollouts_that_nobody_started_are_let_go_too() -> None:
    state = state_of()
    for i in range(200):
        for partition in (0, 1):
            state.read_window(window(T0 + 60_000 * i, cell("v2", 1, 8, 0, rollout=99), partition=partition))
    state.forget()
    assert len(state.sources[SHARED].windows[99]) == KEPT_MS // 60_000


def test_what_another_topic_lacks_is_missed_by_nobody() -> None:
    impossible = cell("v2", 1, 8, 0).model_copy(update={"buckets": {0: Bucket(n=1, err=2)}})
    state = state_of(*(window(T0, partition=p, holes=1) for p in (0, 1)))
    with pytest.raises(ImpossibleWindowError):
        state.read_window(window(T0 + 1000, impossible))
    assert state.incomplete_ms is None
    with pytest.raises(ImpossibleWindowError):
        state.read_window(window(T0 + 1000, impossible, source=OWN))
    assert state.incomplete_ms == T0 + 1000


class Restarted(Moved):
    """A judge that reads again what another one's log holds: windows last, and a few at a time."""

    def __init__(self, before: Moved) -> None:
        super().__init__()
        self.clock, self.log, self.acknowledged = before.clock, before.log, before.acknowledged
        self.judge = type(before.judge)(MACHINE, before.log.writer(), before.clock)
        self.most = 0
        """Windows of the shared topic that it held at once."""

    async def reread(self, at_once: int) -> None:
        await self.judge.handle(
            Batch(tuple(r for topic, told in self.tapes.items() if topic != WINDOWS for r in told), caught_up=False)
        )
        windows = tuple(self.log.records(WINDOWS))
        for start in range(0, len(windows), at_once):
            await self.judge.handle(Batch(windows[start : start + at_once], caught_up=False))
            shared = self.state.sources.get(SHARED)
            self.most = max(self.most, len(shared.book.open_windows()) if shared else 0)
        self.read = {topic: len(self.log.records(topic)) for topic in TOPICS}

    @property
    def state(self) -> ServiceState:
        return self.judge._fold.states["orders"]


async def misdirected(rollout: Moved, hours: int) -> None:
    """Somebody sends to the shared topic, and only one of its two partitions hears it."""
    for _ in range(60 * hours):
        rollout.clock.advance(60)
        await rollout.put(WINDOWS, window(rollout.clock.now_ms(), UNLABELLED, source=SHARED))


@pytest.mark.parametrize("live", [False, True])
async def test_a_judge_that_restarts_holds_two_hours_of_a_topic_that_does_not_count(*, live: bool) -> None:
    rollout = Moved()
    await (rollout.begin() if live else rollout.put("services", MOVED))
    await misdirected(rollout, 5)
    again = Restarted(rollout)
    await again.reread(20)
    assert again.state.chain.standing.live is live
    assert again.most <= KEPT_MS // 60_000 + 20


async def waits_for_a_partition(rollout: Moved, minutes: int) -> None:
    """One partition of the service's own topic says nothing for a long time, and then closes all of it."""
    for _ in range(minutes):
        rollout.clock.advance(60)
        await rollout.put(WINDOWS, window(rollout.clock.now_ms(), cell("v1", 1, 8, 0), source=OWN))
    await rollout.put(WINDOWS, window(rollout.clock.now_ms(), partition=1, source=OWN))


async def test_a_judge_that_restarts_lets_nothing_go_that_waits_on_the_topic_that_counts() -> None:
    rollout = Moved()
    await rollout.begin()
    await rollout.run(2)
    await waits_for_a_partition(rollout, 150)
    await rollout.turn()
    again = Restarted(rollout)
    await again.reread(7)
    await again.turn()
    found = [one.judge._fold.states["orders"].compared for one in (rollout, again)]
    assert [compared and compared.evidence.sessions("baseline") for compared in found] == [2 * 800 + 150 * 8] * 2


async def test_a_judge_that_restarts_after_a_rollout_still_shows_all_of_its_sessions() -> None:
    rollout = Moved()
    await rollout.begin()
    await rollout.run(2)
    await rollout.put("rollout-decisions", entry("rollback", rollout.chain.head, now=rollout.clock.now_ms()))
    for _ in range(150):
        await waits_for_a_partition(rollout, 1)
    again = Restarted(rollout)
    await again.reread(20)
    assert again.state.under(MACHINE.policy).evidence.sessions("baseline") == 2 * 800 + 150 * 8


async def test_what_is_decided_after_such_a_restart_is_recomputed_to_the_byte() -> None:
    rollout = Moved(*BAD)
    await rollout.put("services", MOVED)
    await misdirected(rollout, 4)
    await rollout.begin()
    await rollout.run(4)
    again = Restarted(rollout)
    again.strays = BAD
    await again.reread(7)
    await again.run(26)
    assert again.told == PROMOTED
    assert {type(verdict) for verdict in verify(again.tapes, "orders", 1, MACHINE)} == {Same}
