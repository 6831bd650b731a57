"""The router between a log in memory and proxies in memory."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from router import keeper
from router import snapshot as snapshots
from router.agent import RECONCILE_S, Router
from router.disk import Disk
from router.errors import DiskError, IncapableError, NothingToRollBackError
from router.fold import TOPICS
from router.keeper import Keeper
from router.latch import Latches, Word
from router.memory import MemoryLoadBalancer
from router.proxies import Known
from router.snapshot import ServiceRoute, Snapshot, Weight, service_route
from schemas.control import Command, RolloutView, RouteChange
from schemas.decisions import Cut, LedgerEntry
from schemas.labels import Label
from schemas.ledger import ServiceLedger
from schemas.service import Service
from schemas.topics import Topic
from tests.builders import SEED, SERVICE, entry, opening
from tests.unit.control_time import VirtualLoop
from transport.clock import FakeClock
from transport.log import Batch, LogError, Position
from transport.memory_log import MemoryLog, MemoryWriter

START = entry("start")
PROCEED = entry("proceed", START)
ROLLBACK = entry("rollback", PROCEED)
BILLING = SERVICE.model_copy(update={"service": "billing"})


@dataclass
class Stage:
    """A router with everything it touches."""

    clock: FakeClock = field(default_factory=FakeClock)
    log: MemoryLog = field(default_factory=MemoryLog)
    proxies: MemoryLoadBalancer = field(default_factory=MemoryLoadBalancer)

    folder: Path | None = None

    def router(self) -> Router:
        kept = Keeper(Disk(self.folder), self.log.writer()) if self.folder else None
        return Router("router-1", self.log.reader(*TOPICS), self.log.writer(), self.proxies, self.clock, kept)

    async def write(self, *messages: Service | LedgerEntry) -> None:
        for message in messages:
            topic: Topic = "services" if isinstance(message, Service) else "rollout-decisions"
            await self.log.writer().append(topic, message.service, message.dump())

    @contextlib.asynccontextmanager
    async def running(self, router: Router | None = None) -> AsyncIterator[None]:
        task = asyncio.create_task((router or self.router()).run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def told(self, service: str, *, entry: str, acknowledged: bool, since: int = 0) -> RouteChange:
        """The first route change from offset `since` on that says so."""
        reader = self.log.reader("route-changes")
        async with asyncio.timeout(10):
            async for batch in reader.batches():
                for record in batch.records:
                    change = RouteChange.read(record.value or b"")
                    said = (change.service, change.entry, change.acknowledged)
                    if record.offset >= since and said == (service, entry, acknowledged):
                        return change
        raise AssertionError("the log ended")

    def changes(self) -> list[RouteChange]:
        return [RouteChange.read(r.value or b"") for r in self.log.records("route-changes")]


def runs(proxies: MemoryLoadBalancer, name: str = "lb0") -> Snapshot:
    found = proxies.proxies[name].runs
    assert found is not None
    return found


def weights(proxies: MemoryLoadBalancer) -> tuple[Weight, ...]:
    return runs(proxies).routes["orders"].weights


def label(stage: int, version: str) -> str:
    return str(Label.make(SEED, 1, stage, version, "session"))


async def test_proxies_run_what_the_ledger_says_and_the_log_learns_it() -> None:
    stage = Stage()
    stage.proxies.connect("lb0")
    await stage.write(SERVICE)
    async with stage.running():
        await stage.told("orders", entry="", acknowledged=True)
        assert weights(stage.proxies) == (Weight("v1", "-", 10_000),)
        await stage.write(START)
        change = await stage.told("orders", entry=START.id, acknowledged=True)
    assert weights(stage.proxies) == (Weight("v2", label(1, "v2"), 2_000), Weight("v1", label(1, "v1"), 8_000))
    assert change.router == "router-1"
    assert change.version == "00000000000000000001-00000000000000000001"
    assert [(p.proxy, p.state) for p in change.proxies] == [("lb0", "acknowledged")]


async def test_a_rollback_reaches_the_proxies_and_is_timed() -> None:
    stage = Stage()
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, START, PROCEED)
    async with stage.running():
        await stage.told("orders", entry=PROCEED.id, acknowledged=True)
        stage.clock.advance(seconds=1)
        rollback = entry("rollback", PROCEED, now=stage.clock.now_ms())
        stage.clock.advance(seconds=0.25)
        await stage.write(rollback)
        change = await stage.told("orders", entry=rollback.id, acknowledged=True)
    assert weights(stage.proxies) == (Weight("v1", "-", 10_000),)
    assert change.took_ms == 250.0


async def test_nothing_is_asked_before_the_log_has_been_read_to_its_end() -> None:
    stage = Stage()
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, START)
    services, ledger = stage.log.records("services"), stage.log.records("rollout-decisions")
    router = stage.router()
    await router.handle(Batch(tuple(services), caught_up=False))
    await router.reconcile()
    assert stage.proxies.newest is None
    await router.handle(Batch(tuple(ledger), caught_up=True))
    assert runs(stage.proxies).routes["orders"].entry == START.id


async def test_only_the_newest_of_a_backlog_is_asked_for() -> None:
    asked: list[str] = []
    stage = Stage()

    def note(snapshot: Snapshot) -> None:
        asked.append(snapshot.routes["orders"].entry)

    stage.proxies.connect("lb0", note)
    await stage.write(SERVICE, START, PROCEED, ROLLBACK)
    async with stage.running():
        await stage.told("orders", entry=ROLLBACK.id, acknowledged=True)
    assert set(asked) == {ROLLBACK.id}


async def test_a_restarted_router_tells_the_picture_without_timing_history() -> None:
    stage = Stage()
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, START)
    async with stage.running():
        change = await stage.told("orders", entry=START.id, acknowledged=True)
    assert change.took_ms is None
    before = len(stage.changes())
    async with stage.running():
        again = await stage.told("orders", entry=START.id, acknowledged=True, since=before)
    assert again.took_ms is None


async def test_without_a_proxy_nothing_is_acknowledged() -> None:
    stage = Stage()
    await stage.write(SERVICE)
    async with stage.running():
        change = await stage.told("orders", entry="", acknowledged=False)
    assert change.proxies == ()


async def test_a_proxy_that_does_not_answer_holds_up_no_later_route() -> None:
    stage = Stage()
    stage.proxies.connect("lb0")
    stage.proxies.connect("mute", None)
    await stage.write(SERVICE)
    async with stage.running():
        await stage.told("orders", entry="", acknowledged=False)
        for item in (START, PROCEED, ROLLBACK):
            await stage.write(item)
            await stage.told("orders", entry=item.id, acknowledged=False)
        assert weights(stage.proxies) == (Weight("v1", "-", 10_000),)
        stage.proxies.connect("mute")
        await stage.told("orders", entry=ROLLBACK.id, acknowledged=True)


async def test_a_refusal_is_told_in_the_proxys_words() -> None:
    stage = Stage()
    stage.proxies.connect("lb0", lambda s: "bad weights" if s.routes["orders"].entry else None)
    await stage.write(SERVICE)
    async with stage.running():
        await stage.told("orders", entry="", acknowledged=True)
        await stage.write(START)
        change = await stage.told("orders", entry=START.id, acknowledged=False)
    assert [(p.state, p.detail) for p in change.proxies] == [("rejected", "bad weights")]
    assert runs(stage.proxies).routes["orders"].entry == ""


async def test_a_proxy_that_is_cut_off_is_told() -> None:
    stage = Stage()
    stage.proxies.connect("lb0")
    await stage.write(SERVICE)
    async with stage.running():
        await stage.told("orders", entry="", acknowledged=True)
        stage.proxies.disconnect("lb0")
        change = await stage.told("orders", entry="", acknowledged=False)
    assert [p.state for p in change.proxies] == ["pending"]


async def test_a_service_hears_nothing_of_anothers_rollout() -> None:
    stage = Stage()
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, BILLING)
    async with stage.running():
        await stage.told("billing", entry="", acknowledged=True)
        await stage.write(START, PROCEED)
        await stage.told("orders", entry=PROCEED.id, acknowledged=True)
    assert [c.entry for c in stage.changes() if c.service == "billing"] == [""]


async def test_records_that_are_not_understood_are_skipped_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.proxies.connect("lb0")
    await stage.log.put("services", 0, b"not json", b"orders")
    await stage.log.put("rollout-decisions", 0, b"{}", b"orders")
    await stage.write(SERVICE, START)
    async with stage.running():
        await stage.told("orders", entry=START.id, acknowledged=True)
    skipped = [r for r in caplog.records if getattr(r, "action", None) == "record_skipped"]
    assert {getattr(r, "at", None) for r in skipped} == {"services-0@0", "rollout-decisions-0@0"}


async def test_a_void_entry_changes_no_route_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, START, entry("proceed", entry("start", now=999)), PROCEED)
    async with stage.running():
        await stage.told("orders", entry=PROCEED.id, acknowledged=True)
    assert weights(stage.proxies)[0].weight == 5_000
    assert "entry_void" in {getattr(r, "action", None) for r in caplog.records}


class AbsentLog(MemoryWriter):
    """A log that takes nothing until it is back."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log, 1)
        self.away = True
        self.refused = asyncio.Event()

    async def append(self, topic: Topic, service: str, value: bytes) -> Position:
        if self.away:
            self.refused.set()
            raise LogError("away")
        return await super().append(topic, service, value)


async def test_routes_follow_the_ledger_while_nothing_can_be_told_and_it_is_told_later() -> None:
    stage = Stage()
    stage.proxies.connect("lb0")
    writer = AbsentLog(stage.log)
    router = Router("router-1", stage.log.reader(*TOPICS), writer, stage.proxies, stage.clock)
    await stage.write(SERVICE, START)
    async with stage.running(router):
        await writer.refused.wait()
        assert weights(stage.proxies)[0].weight == 2_000
        writer.away = False
        await router.reconcile()
        await stage.told("orders", entry=START.id, acknowledged=True)


async def test_the_router_ends_when_its_log_does() -> None:
    stage = Stage()
    reader = stage.log.reader(*TOPICS)
    work = asyncio.create_task(
        Router("router-1", reader, stage.log.writer(), stage.proxies, stage.clock).run(),
    )
    await stage.write(SERVICE)
    await stage.told("orders", entry="", acknowledged=False)
    await reader.close()
    await asyncio.wait_for(work, 10)


async def test_proxies_that_cannot_carry_a_rollout_are_refused_by_what_they_lack() -> None:
    stage = Stage(proxies=MemoryLoadBalancer(frozenset({"session_pinning"})))
    with pytest.raises(IncapableError, match="lack assignment_header, read_back"):
        await stage.router().run()


async def test_a_router_that_is_cut_off_lets_its_proxies_go_and_comes_back_by_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, START)
    router = stage.router()
    async with stage.running(router):
        await stage.told("orders", entry=START.id, acknowledged=True)
        stage.log.away_s = 9.9
        await router.reconcile()
        assert stage.proxies.proxies["lb0"].connected
        stage.log.away_s = 10.0
        await router.reconcile()
        await router.reconcile()
        assert not stage.proxies.proxies["lb0"].connected
        assert [getattr(r, "action", None) for r in caplog.records].count("cut_off") == 1
        stage.log.away_s = 0.0
        stage.proxies.connect("lb0")
        await stage.write(PROCEED)
        await stage.told("orders", entry=PROCEED.id, acknowledged=True)


async def test_while_a_rollout_may_go_up_the_picture_is_told_each_second() -> None:
    stage = Stage()
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, BILLING, START)
    router = stage.router()
    async with stage.running(router):
        await stage.told("orders", entry=START.id, acknowledged=True)
        since = len(stage.changes())
        stage.clock.advance(seconds=1)
        await router.reconcile()
        again = await stage.told("orders", entry=START.id, acknowledged=True, since=since)
    assert (again.at, again.live) == (stage.clock.now_ms(), True)
    assert [c.live for c in stage.changes() if c.service == "billing"] == [False]


async def until(seen: Callable[[], bool]) -> None:
    """Threads are at work, which wake nobody here."""
    async with asyncio.timeout(10):
        while not seen():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def forget(stage: Stage, proxy: str, number: int = 1) -> int:
    """A person's command; its offset."""
    command = Command(id=f"c{number}", service="orders", kind="forget", seen="", actor="ada", proxy=proxy)
    return (await stage.log.writer().append("rollout-commands", "orders", command.dump())).offset


async def named(stage: Stage, *proxies: str) -> RouteChange:
    """The first route change of orders that names these proxies and no others, from the newest one on."""
    reader = stage.log.reader("route-changes")
    async with asyncio.timeout(10):
        async for batch in reader.batches():
            change = RouteChange.read(batch.records[-1].value or b"") if batch.records else None
            if change is not None and tuple(p.proxy for p in change.proxies) == proxies:
                return change
    raise AssertionError("the log ended")


async def test_a_restarted_router_still_knows_the_proxies_that_are_cut_off(tmp_path: Path) -> None:
    stage = Stage(folder=tmp_path)
    stage.proxies.connect("lb0")
    stage.proxies.connect("lb1")
    await stage.write(SERVICE, START)
    async with stage.running():
        await stage.told("orders", entry=START.id, acknowledged=True)
        await until(lambda: Disk(tmp_path).known().names == ("lb0", "lb1"))
    restarted = Stage(log=stage.log, folder=tmp_path)
    since = len(stage.changes())
    async with restarted.running():
        restarted.proxies.connect("lb0")
        change = await restarted.told("orders", entry=START.id, acknowledged=False, since=since)
        assert [(p.proxy, p.connected) for p in change.proxies][1:] == [("lb1", False)]
        restarted.proxies.connect("lb1")
        await restarted.told("orders", entry=START.id, acknowledged=True, since=since)


async def test_a_proxy_that_is_cut_off_is_forgotten_at_a_persons_word_and_that_is_told(tmp_path: Path) -> None:
    stage = Stage(folder=tmp_path)
    stage.proxies.connect("lb0")
    stage.proxies.connect("lb1")
    await stage.write(SERVICE, START)
    router = stage.router()
    async with stage.running(router):
        await stage.told("orders", entry=START.id, acknowledged=True)
        stage.proxies.disconnect("lb1")
        await stage.told("orders", entry=START.id, acknowledged=False)
        offset = await forget(stage, "lb1")
        change = await named(stage, "lb0")
        assert (change.forgotten, change.acknowledged) == ({"lb1": offset}, True)
        await until(lambda: Disk(tmp_path).known().names == ("lb0",))
        stage.clock.advance(seconds=61)
        since = len(stage.changes())
        await router.reconcile()
        assert (await stage.told("orders", entry=START.id, acknowledged=True, since=since)).forgotten == {}


async def test_a_proxy_that_lives_is_not_forgotten(tmp_path: Path) -> None:
    stage = Stage(folder=tmp_path)
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, START)
    async with stage.running():
        await stage.told("orders", entry=START.id, acknowledged=True)
        since = len(stage.changes())
        offset = await forget(stage, "lb0")
        change = await stage.told("orders", entry=START.id, acknowledged=True, since=since)
        assert [p.proxy for p in change.proxies] == ["lb0"]
        assert change.forgotten == {"lb0": offset}


async def test_what_was_forgotten_before_a_restart_is_not_forgotten_again(tmp_path: Path) -> None:
    stage = Stage(folder=tmp_path)
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, START)
    async with stage.running():
        await stage.told("orders", entry=START.id, acknowledged=True)
        stage.proxies.disconnect("lb0")
        await forget(stage, "lb0")
        await named(stage)
        stage.proxies.connect("lb0")
        await named(stage, "lb0")
        await until(lambda: Disk(tmp_path).known() == Known(names=("lb0",), commands={"0": 1}))
    restarted = Stage(log=stage.log, folder=tmp_path)
    since = len(stage.changes())
    async with restarted.running():
        change = await restarted.told("orders", entry=START.id, acknowledged=False, since=since)
    assert [(p.proxy, p.connected) for p in change.proxies] == [("lb0", False)]
    assert change.forgotten == {}


async def test_a_router_that_was_down_forgets_when_it_comes_back(tmp_path: Path) -> None:
    stage = Stage(folder=tmp_path)
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, START)
    async with stage.running():
        await stage.told("orders", entry=START.id, acknowledged=True)
        await until(lambda: Disk(tmp_path).known().names == ("lb0",))
    offset = await forget(stage, "lb0")
    restarted = Stage(log=stage.log, folder=tmp_path)
    async with restarted.running():
        assert (await named(restarted)).forgotten == {"lb0": offset}


WORD = Word(service="orders", rollout=1, reason="it burns", actor="ada")


def ledger_of(stage: Stage) -> list[LedgerEntry]:
    return [LedgerEntry.read(r.value or b"") for r in stage.log.records("rollout-decisions")]


async def test_a_direct_rollback_is_in_force_at_once_and_written_to_the_ledger_once(tmp_path: Path) -> None:
    stage = Stage(folder=tmp_path)
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, START)
    router = stage.router()
    async with stage.running(router):
        await stage.told("orders", entry=START.id, acknowledged=True)
        said = await router.roll_back(WORD)
        assert weights(stage.proxies) == (Weight("v1", "-", 10_000),)
        assert (await router.roll_back(WORD)).id == said.id
        await stage.told("orders", entry=said.id, acknowledged=True)
        await until(lambda: said in ledger_of(stage) and not Disk(tmp_path).latches())
        assert await router.roll_back(WORD) == said
    assert ledger_of(stage) == [START, said]
    assert (said.actor, said.share, said.hold_mode) == ("ada", 0, "drain")


async def test_a_direct_rollback_that_was_not_safe_on_disk_is_made_safe_when_it_is_said_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    stage = Stage(folder=folder)
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, START)
    router = stage.router()
    folder.write_text("a file where the folder should be")
    await router.handle(Batch(tuple(stage.log.records("services")), caught_up=False))
    await router.handle(Batch(tuple(stage.log.records("rollout-decisions")), caught_up=True))
    for _ in range(2):
        with pytest.raises(DiskError):
            await router.roll_back(WORD)
        assert weights(stage.proxies) == (Weight("v1", "-", 10_000),)
    folder.unlink()
    said = await router.roll_back(WORD)
    assert Disk(folder).latches().entries == {"orders": said}


async def test_a_direct_rollback_survives_restarts_without_a_log(tmp_path: Path) -> None:
    stage = Stage(folder=tmp_path)
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, START)
    async with stage.running():
        await stage.told("orders", entry=START.id, acknowledged=True)
        await until(lambda: Disk(tmp_path).acknowledged().ledger.of("orders").head == START)
    cut_off = Stage(folder=tmp_path)
    cut_off.log.away_s = 60.0
    said = await cut_off.router().roll_back(WORD)
    restarted = cut_off.router()
    cut_off.proxies.connect("lb0")
    await restarted.reconcile()
    assert weights(cut_off.proxies) == (Weight("v1", "-", 10_000),)
    assert {p.version for p in runs(cut_off.proxies).routes["orders"].pairs} == {"v2"}
    stage.proxies.connect("lb0")
    async with stage.running():
        await stage.told("orders", entry=said.id, acknowledged=True)
        await until(lambda: said in ledger_of(stage))
    assert weights(stage.proxies) == (Weight("v1", "-", 10_000),)


async def test_a_latch_holds_against_whatever_the_judge_decides_until_a_rollback_is_read(tmp_path: Path) -> None:
    stage = Stage(folder=tmp_path)
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, START)
    router = stage.router()
    await router.handle(Batch(tuple(stage.log.records("services")), caught_up=False))
    await router.handle(Batch(tuple(stage.log.records("rollout-decisions")), caught_up=True))
    await router.roll_back(WORD)
    await stage.write(PROCEED)
    await router.handle(Batch(tuple(stage.log.records("rollout-decisions")[1:]), caught_up=True))
    assert weights(stage.proxies) == (Weight("v1", "-", 10_000),)
    assert Disk(tmp_path).latches()
    await stage.write(ROLLBACK)
    await router.handle(Batch(tuple(stage.log.records("rollout-decisions")[2:]), caught_up=True))
    assert runs(stage.proxies).routes["orders"].entry == ROLLBACK.id
    assert not router.knowledge("orders").latched
    async with stage.running(router):
        await until(lambda: not Disk(tmp_path).latches())


class Hanging(Disk):
    """A disk that takes nothing until it is released."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.released = threading.Event()

    def latch(self, latches: Latches) -> None:
        self.released.wait(20)
        super().latch(latches)

    def know(self, known: Known) -> None:
        self.released.wait(20)
        super().know(known)


async def test_a_disk_that_hangs_holds_up_neither_a_direct_rollback_nor_its_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "SAFE_WITHIN_S", 0.0)
    stage, disk = Stage(), Hanging(tmp_path)
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, START)
    kept = Keeper(disk, stage.log.writer())
    router = Router("router-1", stage.log.reader(*TOPICS), stage.log.writer(), stage.proxies, stage.clock, kept)
    try:
        async with stage.running(router):
            await stage.told("orders", entry=START.id, acknowledged=True)
            with pytest.raises(DiskError, match="has not answered"):
                await router.roll_back(WORD)
            assert weights(stage.proxies) == (Weight("v1", "-", 10_000),)
            await until(lambda: len(ledger_of(stage)) == 2)
    finally:
        disk.released.set()


async def test_what_a_disk_that_hung_takes_at_last_is_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "SAFE_WITHIN_S", 0.0)
    stage, disk = Stage(), Hanging(tmp_path)
    await stage.write(SERVICE, START, BILLING)
    started = entry("start", service="billing")
    await stage.write(started)
    router = Router(
        "router-1",
        stage.log.reader(*TOPICS),
        stage.log.writer(),
        stage.proxies,
        stage.clock,
        Keeper(disk, stage.log.writer()),
    )
    records = (*stage.log.records("services"), *stage.log.records("rollout-decisions"))
    await router.handle(Batch(tuple(records), caught_up=True))
    for service in ("orders", "billing"):
        with pytest.raises(DiskError):
            await router.roll_back(WORD.model_copy(update={"service": service}))
    disk.released.set()
    await until(lambda: sorted(Disk(tmp_path).latches().entries) == ["billing", "orders"])


async def test_a_route_is_made_anew_only_where_something_of_its_service_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(chain: ServiceLedger, service: Service | None) -> ServiceRoute | None:
        made.append(service.service if service else "")
        return service_route(chain, service)

    monkeypatch.setattr(snapshots, "service_route", counted)
    stage = Stage()
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, BILLING, *long_ledger(rollouts=50))
    router = stage.router()
    await router.handle(Batch(tuple(stage.log.records("services")), caught_up=False))
    await router.handle(Batch(tuple(stage.log.records("rollout-decisions")), caught_up=True))
    assert sorted(made) == ["billing", "orders"]
    made.clear()
    for _ in range(10):
        await router.handle(Batch((), caught_up=True))
        await router.reconcile()
    assert made == []
    head = ledger_of(stage)[-1]
    await stage.write(entry("start", head))
    await router.handle(Batch(tuple(stage.log.records("rollout-decisions")[-1:]), caught_up=True))
    assert made == ["orders"]
    await router.roll_back(WORD.model_copy(update={"rollout": 51}))
    await router.reconcile()
    assert made == ["orders", "orders"]
    assert weights(stage.proxies) == (Weight("v1", "-", 10_000),)


def long_ledger(rollouts: int) -> list[LedgerEntry]:
    """Of rollouts that were started and rolled back, one after the other."""
    written: list[LedgerEntry] = []
    for _ in range(rollouts):
        written.append(entry("start", *written[-1:]))
        written.append(entry("rollback", written[-1]))
    return written


def in_virtual_time(story: Callable[[Stage], Coroutine[Any, Any, None]]) -> None:
    """With one proxy connected."""
    clock = FakeClock()
    stage = Stage(clock=clock, log=MemoryLog(clock=clock))
    stage.proxies.connect("lb0")
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
        runner.run(story(stage))


def test_each_second_a_proxy_that_lost_its_route_gets_it_again_although_nothing_is_new() -> None:
    async def story(stage: Stage) -> None:
        await stage.write(SERVICE, START)
        async with stage.running():
            await asyncio.sleep(0.5)
            newest = runs(stage.proxies)
            assert newest.routes["orders"].entry == START.id
            for _ in range(3):
                stage.proxies.proxies["lb0"].runs = None
                await asyncio.sleep(RECONCILE_S)
                assert runs(stage.proxies) == newest

    in_virtual_time(story)


def test_each_second_what_the_log_did_not_take_is_told_again() -> None:
    async def story(stage: Stage) -> None:
        await stage.write(SERVICE, START)
        async with stage.running():
            await asyncio.sleep(0.5)
            told = len(stage.changes())
            stage.log.away_s = 2.0
            stage.proxies.disconnect("lb0")
            await asyncio.sleep(2 * RECONCILE_S)
            assert len(stage.changes()) == told
            stage.log.away_s = 0.0
            await asyncio.sleep(RECONCILE_S)
            assert [p.connected for p in stage.changes()[-1].proxies] == [False]

    in_virtual_time(story)


@pytest.mark.parametrize(("rollout", "words"), [(2, "is rollout 1, not 2"), (1, "is retired")])
async def test_what_cannot_be_rolled_back_is_refused_in_a_sentence(rollout: int, words: str) -> None:
    stage = Stage()
    complete = entry("complete", START)
    await stage.write(SERVICE, START, *([complete, entry("retire", complete)] if rollout == 1 else []))
    router = stage.router()
    await router.handle(Batch(tuple(stage.log.records("services")), caught_up=False))
    await router.handle(Batch(tuple(stage.log.records("rollout-decisions")), caught_up=True))
    with pytest.raises(NothingToRollBackError, match=words):
        await router.roll_back(WORD.model_copy(update={"rollout": rollout}))


def view(judged: int, **changes: str) -> RolloutView:
    fields = {"head": START.id, "judged": {"route-changes-0": judged}, "looked_at": judged, **changes}
    return RolloutView.model_validate({"service": "orders", "rollout": 1, **fields})


async def seconds_pass(stage: Stage, router: Router, seconds: int, *, judge_looks: bool) -> None:
    """A picture is told each second, which the judge reads or not."""
    for _ in range(seconds):
        stage.clock.advance(seconds=1)
        await router.reconcile()
        for _ in range(20):  # whatever is under way arrives
            await asyncio.sleep(0)
        if judge_looks:
            judged = len(stage.log.records("route-changes"))
            await stage.log.writer().append("rollouts", "orders", view(judged).dump())


async def test_a_rollout_that_no_judge_looks_at_is_held_and_goes_on_when_it_looks_again() -> None:
    stage = Stage()
    stage.proxies.connect("lb0")
    await stage.write(SERVICE, START)
    router = stage.router()
    async with stage.running(router):
        await stage.told("orders", entry=START.id, acknowledged=True)
        await seconds_pass(stage, router, 200, judge_looks=True)
        assert ledger_of(stage) == [START]
        await seconds_pass(stage, router, 119, judge_looks=False)
        assert ledger_of(stage) == [START]
        await seconds_pass(stage, router, 20, judge_looks=False)
        await until(lambda: len(ledger_of(stage)) > 1)
        await seconds_pass(stage, router, 20, judge_looks=False)
        hold = ledger_of(stage)[-1]
        assert [(e.kind, e.actor) for e in ledger_of(stage)] == [("start", "judge"), ("hold", "router")]
        assert runs(stage.proxies).routes["orders"].entry == hold.id
        cut = Cut(offsets={"route-changes-0": len(stage.changes())}, now=9)
        await stage.write(entry("resume", hold, cut=cut))
        await seconds_pass(stage, router, 200, judge_looks=True)
    assert [e.kind for e in ledger_of(stage)] == ["start", "hold", "resume"]


async def test_a_plan_may_want_a_rollout_that_nobody_looks_at_rolled_back() -> None:
    stage = Stage()
    stage.proxies.connect("lb0")
    start = entry("start", opening=opening(on_blind="rollback", blind_after="10s"))
    await stage.write(SERVICE, start)
    router = stage.router()
    async with stage.running(router):
        await stage.told("orders", entry=start.id, acknowledged=True)
        await seconds_pass(stage, router, 12, judge_looks=False)
        await until(lambda: len(ledger_of(stage)) > 1)
        back = ledger_of(stage)[-1]
        await stage.told("orders", entry=back.id, acknowledged=True)
    assert (back.kind, back.actor, back.reason.code) == ("rollback", "router", "blind")
    assert weights(stage.proxies) == (Weight("v1", "-", 10_000),)
