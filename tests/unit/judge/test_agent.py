"""The judge over the log in memory: it acts on nothing before it has read it back."""

import asyncio

import pytest

from judge.agent import Judge
from judge.fold import TOPICS
from judge.rollout.machine import Decision, Machine
from judge.rollout.state import ServiceState
from schemas.control import Command, RolloutView
from schemas.decisions import Cut, LedgerEntry
from schemas.topics import Topic
from tests.builders import SERVICE, entry, opening, route
from tests.unit.judge.test_machine import BREACH, CALM, Says
from transport.clock import FakeClock
from transport.log import Batch, LogError, Position
from transport.memory_log import MemoryLog

NOW = FakeClock().now_ms()
START = entry("start", now=NOW)


class Scene:
    """A log, a judge, and the judge's reader turned by hand."""

    def __init__(self, assessment: object = CALM) -> None:
        self.clock = FakeClock()
        self.log = MemoryLog(clock=self.clock)
        self.policy = Says(assessment)  # type: ignore[arg-type]  # an assessment
        self.judge = self.new_judge()

    def new_judge(self) -> Judge:
        self.taken: dict[str, int] = dict.fromkeys(TOPICS, 0)
        return Judge(Machine(self.policy, "0.1"), self.log.writer(), self.clock)

    async def turn(self, *, caught_up: bool = True) -> None:
        """Give the judge everything that is new in the log."""
        records = tuple(r for t in TOPICS for r in self.log.records(t)[self.taken[t] :])
        for topic in TOPICS:
            self.taken[topic] = len(self.log.records(topic))
        await self.judge.handle(Batch(records, caught_up))

    async def write(self, *entries: LedgerEntry, acknowledged: bool = True) -> None:
        await self.log.writer().append("services", "orders", SERVICE.dump())
        for item in entries:
            await self.log.writer().append("rollout-decisions", "orders", item.dump())
            if acknowledged:
                await self.log.writer().append("route-changes", "orders", route(item.id).dump())

    async def ask(self, canary: str = "v2") -> None:
        command = Command(id="c-9", service="orders", kind="start", seen="", actor="anna", opening=opening(canary))
        await self.log.writer().append("rollout-commands", "orders", command.dump())

    @property
    def entries(self) -> list[LedgerEntry]:
        return [LedgerEntry.read(r.value or b"") for r in self.log.records("rollout-decisions")]

    @property
    def views(self) -> list[RolloutView]:
        return [RolloutView.read(r.value or b"") for r in self.log.records("rollouts")]


async def test_a_command_becomes_a_start_in_the_ledger() -> None:
    scene = Scene()
    await scene.write()
    await scene.ask()
    await scene.turn()
    assert [e.kind for e in scene.entries] == ["start"]
    await scene.turn()
    assert scene.views[-1].state == "shifting"
    assert len(scene.entries) == 1


async def test_before_the_log_was_read_to_its_end_nothing_is_decided() -> None:
    scene = Scene(BREACH)
    await scene.write(START)
    await scene.turn(caught_up=False)
    assert len(scene.entries) == 1
    await scene.turn()
    assert [e.kind for e in scene.entries] == ["start", "rollback"]


async def test_while_an_entry_is_under_way_nothing_else_is_proposed() -> None:
    scene = Scene(BREACH)
    await scene.write(START)
    await scene.turn()
    for _ in range(5):
        await scene.judge.look()
    assert [e.kind for e in scene.entries] == ["start", "rollback"]


async def test_an_entry_that_never_comes_back_is_proposed_again() -> None:
    scene = Scene(BREACH)
    await scene.write(START)
    await scene.turn()
    scene.clock.advance(5)
    await scene.judge.look()
    assert [e.kind for e in scene.entries] == ["start", "rollback", "rollback"]
    await scene.turn()
    await scene.turn()
    assert [e.kind for e in scene.entries] == ["start", "rollback", "rollback"]


async def test_a_rollback_is_decided_once_and_the_view_says_so() -> None:
    scene = Scene(BREACH)
    await scene.write(START)
    for _ in range(4):
        await scene.turn()
    assert [e.kind for e in scene.entries] == ["start", "rollback"]
    assert scene.views[-1].state == "rolled_back"


async def test_a_restarted_judge_folds_the_ledger_and_repeats_nothing() -> None:
    scene = Scene(BREACH)
    await scene.write(START)
    for _ in range(3):
        await scene.turn()
    scene.judge = scene.new_judge()
    for _ in range(3):
        await scene.turn()
    assert [e.kind for e in scene.entries] == ["start", "rollback"]


async def test_a_judge_that_dies_before_its_entry_is_taken_leaves_it_to_the_next_one() -> None:
    scene = Scene(BREACH)
    await scene.write(START)

    class Broken:
        async def append(self, *_: object) -> Position:
            raise LogError("gone")

        async def close(self) -> None: ...

    scene.judge = Judge(Machine(scene.policy, "0.1"), Broken(), scene.clock)
    await scene.turn()
    assert [e.kind for e in scene.entries] == ["start"]
    scene.judge = scene.new_judge()
    await scene.turn()
    assert [e.kind for e in scene.entries] == ["start", "rollback"]


async def test_two_judges_write_one_rollback_that_holds() -> None:
    scene = Scene(BREACH)
    await scene.write(START)
    other = Judge(Machine(scene.policy, "0.1"), scene.log.writer(), scene.clock)
    await other.handle(Batch(tuple(r for t in TOPICS for r in scene.log.records(t)), caught_up=True))
    await scene.turn()
    await scene.turn()
    assert scene.views[-1].head == scene.entries[1].id


async def test_the_cut_says_how_far_each_input_was_read() -> None:
    scene = Scene(BREACH)
    await scene.write(START)
    await scene.turn()
    cut = scene.entries[-1].cut
    read = {"services": 1, "rollout-commands": 0, "route-changes": 1, "proxy-reports": 0, "cohort-windows": 0}
    assert cut.offsets == {f"{topic}-0": offset for topic, offset in read.items()}
    assert cut.now == scene.clock.now_ms()


async def test_the_heart_beats_while_a_rollout_runs_and_rests_when_it_has_ended() -> None:
    scene = Scene()
    await scene.write(START)
    await scene.turn()
    running = len(scene.views)
    scene.clock.advance(1)
    await scene.judge.look()
    assert len(scene.views) == running + 1
    await scene.judge.look()
    assert len(scene.views) == running + 1
    await scene.write(entry("rollback", START, now=NOW))
    await scene.turn()
    ended = len(scene.views)
    scene.clock.advance(60)
    await scene.judge.look()
    assert len(scene.views) == ended


async def test_a_record_that_is_not_understood_is_skipped_and_named(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(BREACH)
    await scene.log.put("rollout-decisions", 0, b"{}")
    await scene.log.put("cohort-windows", 0, b"not json")
    await scene.write(START)
    await scene.turn()
    assert [getattr(r, "at", None) for r in caplog.records if r.levelname == "ERROR"] == [
        "cohort-windows-0@0",
        "rollout-decisions-0@0",
    ]
    assert (
        scene.log.records("rollout-decisions")[-1].value
        == LedgerEntry.read(scene.log.records("rollout-decisions")[-1].value or b"").dump()
    )


class SlowLog:
    """Takes what is told to hang only when it is released, and everything else at once."""

    def __init__(self, log: MemoryLog, *hanging: str) -> None:
        self._inner = log.writer()
        self._hanging = set(hanging)
        self.released = asyncio.Event()

    async def append(self, topic: Topic, service: str, value: bytes) -> Position:
        if topic in self._hanging and not (topic == "rollout-decisions" and b'"kind":"rollback"' in value):
            await self.released.wait()
        return await self._inner.append(topic, service, value)

    async def close(self) -> None: ...


async def test_a_log_that_takes_no_views_holds_up_no_rollback() -> None:
    scene = Scene(BREACH)
    slow = SlowLog(scene.log, "rollouts")
    scene.judge = Judge(Machine(scene.policy, "0.1"), slow, scene.clock)
    await scene.write(START)
    await scene.turn()
    assert [e.kind for e in scene.entries] == ["start", "rollback"]
    await scene.turn()
    slow.released.set()
    await scene.turn()
    await scene.turn()
    assert scene.views[-1].state == "rolled_back"


async def test_a_rollback_overtakes_the_judges_own_entry_under_way() -> None:
    scene = Scene(CALM)
    slow = SlowLog(scene.log, "rollout-decisions")
    scene.judge = Judge(Machine(scene.policy, "0.1"), slow, scene.clock)
    await scene.write(START)
    hold = Command(id="c-9", service="orders", kind="hold", seen=START.id, actor="anna")
    await scene.log.writer().append("rollout-commands", "orders", hold.dump())
    await scene.turn()
    assert [e.kind for e in scene.entries] == ["start"]
    scene.policy.assessment = BREACH
    await scene.judge.look()
    assert [e.kind for e in scene.entries] == ["start", "rollback"]
    slow.released.set()
    await scene.turn()
    await scene.turn()
    assert scene.views[-1].state == "rolled_back"


async def test_a_view_that_the_log_refused_is_said_again() -> None:
    scene = Scene()
    await scene.write(START)

    class RefusesOnce(SlowLog):
        refused = False

        async def append(self, topic: Topic, service: str, value: bytes) -> Position:
            if not self.refused:
                self.refused = True
                raise LogError("not now")
            return await super().append(topic, service, value)

    scene.judge = Judge(Machine(scene.policy, "0.1"), RefusesOnce(scene.log), scene.clock)
    await scene.turn()
    assert scene.views == []
    await scene.judge.look()
    assert [v.state for v in scene.views] == ["collecting"]


async def test_a_service_that_cannot_be_judged_stands_in_nobodys_way(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(BREACH)
    await scene.write(START)
    broken = SERVICE.model_copy(update={"service": "billing"})
    await scene.log.writer().append("services", "billing", broken.dump())

    class Fails(Machine):
        def decide(self, state: ServiceState, cut: Cut) -> Decision:
            if state.name == "billing":
                raise ArithmeticError("no")
            return super().decide(state, cut)

    scene.judge = Judge(Fails(scene.policy, "0.1"), scene.log.writer(), scene.clock)
    await scene.turn()
    assert [e.kind for e in scene.entries] == ["start", "rollback"]
    assert [getattr(r, "service", None) for r in caplog.records if r.levelname == "ERROR"] == ["billing"]


async def test_what_could_not_be_written_yet_is_proposed_as_soon_as_it_can() -> None:
    """Of one kind one entry is under way at a time; the next one waits for it, and no longer."""
    scene, taken = Scene(), asyncio.Event()

    class Slow:
        async def append(self, topic: Topic, service: str, value: bytes) -> Position:
            await taken.wait()
            return await scene.log.writer().append(topic, service, value)

        async def close(self) -> None: ...

    async def freeze(number: int, seen: str) -> None:
        command = Command(id=f"c-{number}", service="orders", kind="freeze", seen=seen, actor="anna")
        await scene.log.writer().append("rollout-commands", "orders", command.dump())

    scene.judge = Judge(Machine(scene.policy, "0.1"), Slow(), scene.clock)
    await scene.write()
    await freeze(1, "")
    await scene.turn()
    theirs = entry("freeze", now=NOW)
    await scene.write(theirs, thawed := entry("unfreeze", theirs, now=NOW))
    await freeze(2, thawed.id)
    await scene.turn()
    taken.set()
    await scene.turn()
    await scene.turn()
    assert [e.command for e in scene.entries] == [None, None, "c-1", "c-2"]
