"""The windows agent's state: what goes to the log, in which order, and when."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable

import pytest

from davylamp_sdk._event import EventBatch, RequestEvent
from schemas.windows import MAX_DEAD_LETTERS, CohortWindow
from streams.checkpoint import Checkpoint
from streams.handover import Assigned, Messages, Polled, Revoked
from streams.outbox import DeliveryError, MemoryOutbox, Outgoing
from streams.owner import FAILING_FOR, LostBatchError, Owner, Pace
from streams.publisher import Publisher
from streams.window import MAX_UNREGISTERED
from streams.windows import MORE_DEAD_LETTERS, OutOfOrderError
from tests.telemetry import TOPIC, WINDOW_MS, batch, event, record, tick
from transport.clock import FakeClock
from transport.log import Record

INTERVAL_S = 0.25


class SlowOutbox(MemoryOutbox):
    """Acknowledges when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = asyncio.Event()
        self.go_on = asyncio.Event()

    async def acknowledged(self) -> None:
        self.waiting.set()
        await self.go_on.wait()
        self.check()


class Scene:
    """An owner with everything around it."""

    def __init__(self, outbox: MemoryOutbox | None = None, registered: frozenset[str] = frozenset()) -> None:
        self.clock = FakeClock()
        self.outbox = outbox or MemoryOutbox()
        self.commits: list[tuple[int, Checkpoint]] = []
        self.numbers: dict[int, int] = {}
        publisher = Publisher(self.outbox, 3)
        pace = Pace(TOPIC, WINDOW_MS, INTERVAL_S, "w1")
        self.progress = 0
        self.owner = Owner(publisher, pace, self.clock, lambda: registered, self.commit, self.progressed)

    def commit(self, partition: int, checkpoint: Checkpoint) -> None:
        self.commits.append((partition, checkpoint))

    def progressed(self) -> None:
        self.progress += 1

    async def assign(self, partition: int = 0, start: Checkpoint | None = None, lost: int = 0) -> None:
        self.numbers[partition] = 0
        await self.owner.handle(Assigned(partition, 4, start or Checkpoint.earliest(0), lost))

    async def poll(self, *records: Record) -> None:
        partition = records[0].partition
        self.numbers[partition] += 1
        await self.owner.handle(Polled(partition, self.numbers[partition], Messages.of(records)))

    def sent(self, topic: str = "cohort-windows") -> list[Outgoing]:
        return [r for r in self.outbox.records if r.topic == topic]

    def told(self) -> list[tuple[int, bool, int]]:
        """(window start, final, requests) of each window message."""
        windows = [CohortWindow.read(r.value or b"") for r in self.sent()]
        return [(w.window_start, w.final, sum(sum(c.outcomes.values()) for c in w.cells)) for w in windows]


async def test_the_first_change_after_idleness_is_published_at_once() -> None:
    scene = Scene()
    await scene.assign()
    await scene.poll(record(0, 1000, event(1)))
    assert scene.told() == [(1000, False, 1)]


async def test_then_partials_wait_for_the_interval_and_the_beat() -> None:
    scene = Scene()
    await scene.assign()
    await scene.poll(record(0, 1000, event(1)))
    await scene.poll(record(1, 1001, event(2)))
    await scene.owner.beat()
    assert scene.told() == [(1000, False, 1)]
    scene.clock.advance(INTERVAL_S)
    await scene.owner.beat()
    assert scene.told() == [(1000, False, 1), (1000, False, 2)]


FAILED = [event(2, outcome="server_error"), batch([event(2), event(3, outcome="tool_error")])]


@pytest.mark.parametrize("failed", FAILED, ids=["single", "batch"])
async def test_failures_wait_half_as_long(failed: RequestEvent | EventBatch) -> None:
    scene = Scene()
    await scene.assign()
    await scene.poll(record(0, 1000, event(1)))
    await scene.poll(record(1, 1001, failed))
    scene.clock.advance(INTERVAL_S / 2)
    await scene.owner.beat()
    assert [told[1] for told in scene.told()] == [False, False]
    scene.clock.advance(FAILING_FOR * INTERVAL_S)
    for sequence in (8, 9):
        await scene.poll(record(sequence, 1002, event(sequence)))
    scene.clock.advance(INTERVAL_S / 2)
    await scene.owner.beat()
    assert len(scene.told()) == 3


async def test_a_failure_hurries_every_partition_for_they_are_compared_at_one_moment() -> None:
    scene = Scene()
    for partition in (0, 1):
        await scene.assign(partition)
        await scene.poll(record(0, 1000, event(1), partition=partition))
    await scene.poll(record(1, 1001, event(2, outcome="timeout")))
    await scene.poll(record(1, 1001, event(2), partition=1))
    scene.clock.advance(INTERVAL_S / 2)
    await scene.owner.beat()
    assert len(scene.told()) == 4


async def test_partials_that_take_long_to_say_leave_as_long_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    await scene.assign()
    monkeypatch.setattr(scene.outbox, "send", lambda sent, send=scene.outbox.send: slowly(scene, send(sent)))
    await scene.poll(record(0, 1000, event(1)))
    await scene.poll(record(1, 1001, event(2)))
    scene.clock.advance(2.9 - INTERVAL_S)
    await scene.owner.beat()
    assert scene.told() == [(1000, False, 1)]
    scene.clock.advance(0.1)
    await scene.owner.beat()
    assert scene.told() == [(1000, False, 1), (1000, False, 2)]


async def test_partitions_share_that_time_and_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    for partition in (0, 1):
        await scene.assign(partition)
    monkeypatch.setattr(scene.outbox, "send", lambda sent, send=scene.outbox.send: slowly(scene, send(sent)))
    began_s = scene.clock.monotonic_s()
    for offset in range(40):
        for partition in (0, 1):
            await scene.poll(record(offset, 1000, event(offset), partition=partition))
        scene.clock.advance(1)
    told = [CohortWindow.read(r.value or b"").partition for r in scene.sent()]
    assert told == [i % 2 for i in range(len(told))]
    half_s = (scene.clock.monotonic_s() - began_s) / 2
    assert half_s - 3 <= 3 * len(told) <= half_s + 3


async def slowly(scene: Scene, sent: Awaitable[None]) -> None:
    scene.clock.advance(3)
    await sent


async def test_partitions_do_not_wait_for_each_other() -> None:
    scene = Scene()
    await scene.assign(0)
    await scene.assign(1)
    await scene.poll(record(0, 1000, event(1)))
    await scene.poll(record(0, 1000, event(2), partition=1))
    assert len(scene.told()) == 2


async def test_a_beat_without_change_publishes_nothing() -> None:
    scene = Scene()
    await scene.assign()
    await scene.poll(record(0, 1000, event(1)))
    scene.clock.advance(INTERVAL_S)
    await scene.owner.beat()
    assert scene.told() == [(1000, False, 1)]


async def test_finals_go_out_then_the_checkpoint_is_committed_then_the_next_partials_follow() -> None:
    outbox = SlowOutbox()
    scene = Scene(outbox)
    await scene.assign()
    polled = asyncio.create_task(scene.poll(record(0, 1000, event(1)), record(1, 1100, event(2))))
    await outbox.waiting.wait()
    beat = asyncio.create_task(scene.owner.beat())
    await asyncio.sleep(0)
    assert (scene.told(), scene.commits) == ([(1000, True, 1)], [])

    outbox.go_on.set()
    await asyncio.gather(polled, beat)
    assert scene.told() == [(1000, True, 1), (1100, False, 1)]
    assert scene.commits == [(0, Checkpoint(1, 1000, 0))]


async def test_progress_is_what_was_acknowledged_and_no_beat_while_something_hangs() -> None:
    outbox = SlowOutbox()
    scene = Scene(outbox)
    await scene.assign()
    assert scene.progress == 1
    polled = asyncio.create_task(scene.poll(*(record(i, 1000 + i * WINDOW_MS, event(i)) for i in range(4))))
    await outbox.waiting.wait()
    assert scene.progress == 1
    outbox.go_on.set()
    await polled
    assert scene.progress == 1 + 3 + 1
    await scene.owner.beat()
    assert scene.progress == 5


async def test_what_the_log_refuses_is_never_committed() -> None:
    scene = Scene()
    await scene.assign()
    scene.outbox.refused = "cohort-windows: message timed out"
    with pytest.raises(DeliveryError, match="timed out"):
        await scene.poll(record(0, 1000, event(1)), record(1, 1100, event(2)))
    assert scene.commits == []


async def test_a_refusal_is_noticed_by_the_next_beat() -> None:
    scene = Scene()
    scene.outbox.refused = "gone"
    with pytest.raises(DeliveryError):
        await scene.owner.beat()


async def test_a_backlog_of_many_windows_is_committed_window_by_window() -> None:
    scene = Scene()
    await scene.assign()
    await scene.poll(*(record(i, 1000 + i * WINDOW_MS, event(i)) for i in range(4)))
    assert [c.offset for _, c in scene.commits] == [1, 2, 3]
    assert [start for start, is_final, _ in scene.told() if is_final] == [1000, 1100, 1200]


async def test_registered_services_are_told_that_nothing_happened() -> None:
    scene = Scene(registered=frozenset({"stock"}))
    await scene.assign()
    await scene.poll(tick(0, 1000), tick(1, 1100))
    assert scene.told() == [(1000, True, 0)]
    assert scene.sent()[0].key == b"stock|1000|0|final"


async def test_a_bad_event_is_kept_and_counted_before_its_window_is_committed(caplog: pytest.LogCaptureFixture) -> None:
    outbox = SlowOutbox()
    scene = Scene(outbox)
    await scene.assign()
    with caplog.at_level(logging.INFO):
        polled = asyncio.create_task(scene.poll(record(0, 1000, b"{"), record(1, 1100, event(1))))
        await outbox.waiting.wait()
        (letter,) = scene.sent("mcp-requests.dlq")
        assert (letter.key, letter.value, letter.headers["offset"]) == (b"orders-1/1", b"{", b"0")
        assert scene.commits == []
        outbox.go_on.set()
        await polled
    assert [r.__dict__["malformed"] for r in caplog.records] == [1]


@pytest.mark.parametrize("ends", ["refused", "revoked"])
async def test_a_bad_event_whose_letter_is_under_way_when_its_worker_ends_is_kept_and_counted_by_the_next(
    ends: str,
) -> None:
    log = record(0, 1000, b"{"), record(1, 1000, event(1)), tick(2, 1100)
    first = Scene()
    await first.assign()
    await first.poll(*log[:2])
    if ends == "refused":
        first.outbox.refused = "mcp-requests.dlq: message timed out"
        with pytest.raises(DeliveryError):
            await first.poll(log[2])
    else:
        await first.owner.handle(Revoked(0))
        await first.owner.beat()
    assert first.commits == []
    second = Scene()
    await second.assign()
    await second.poll(*log)
    assert [r.headers["offset"] for r in second.sent("mcp-requests.dlq")] == [b"0"]
    assert [(c.offset, c.letters) for _, c in second.commits] == [(2, MAX_DEAD_LETTERS)]
    (final,) = [w for w in (CohortWindow.read(r.value or b"") for r in second.sent()) if w.final]
    assert (final.malformed, final.unkept, second.told()[-1]) == (1, 0, (1000, True, 1))


async def test_a_flood_of_bad_events_is_counted_and_named_and_fills_no_topic(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(registered=frozenset({"orders"}))
    await scene.assign()
    flood = [record(i, 1000, b"{") for i in range(MAX_DEAD_LETTERS + 50)]
    await scene.poll(*flood, record(900, 1100, b"{"), tick(901, 1200))
    letters = [int(r.headers["offset"]) for r in scene.sent("mcp-requests.dlq")]
    assert letters == [*range(MAX_DEAD_LETTERS), 900]
    said = [CohortWindow.read(r.value or b"") for r in scene.sent()]
    assert [(w.malformed, w.incomplete) for w in said] == [(MAX_DEAD_LETTERS + 50, True), (1, False)]
    assert [r.__dict__["messages"] for r in caplog.records if r.levelno == logging.ERROR] == [MAX_DEAD_LETTERS + 50]


async def test_a_flood_that_lasts_leaves_few_letters_a_window_and_its_end_gives_all_of_them_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene(registered=frozenset({"orders"}))
    await scene.assign()
    bad = MAX_DEAD_LETTERS
    log = [record(1000 * w + i, 1000 + WINDOW_MS * w, b"{") for w in range(5) for i in range(bad)]
    await scene.poll(*log, tick(6000, 1000 + WINDOW_MS * 5), tick(6001, 1000 + WINDOW_MS * 6))
    kept = Counter(int(r.headers["offset"]) // 1000 for r in scene.sent("mcp-requests.dlq"))
    assert kept == {0: MAX_DEAD_LETTERS} | dict.fromkeys(range(1, 5), MORE_DEAD_LETTERS)
    finals = [w for w in (CohortWindow.read(r.value or b"") for r in scene.sent()) if w.malformed]
    lost = bad - MORE_DEAD_LETTERS
    assert [(w.malformed, w.unkept, w.incomplete) for w in finals] == [(bad, 0, False), *[(bad, lost, True)] * 4]
    (flood,) = (r.__dict__ for r in caplog.records if r.levelno == logging.ERROR)  # once a minute
    assert (flood["action"], flood["messages"], flood["kept"]) == ("flood", bad, MORE_DEAD_LETTERS)
    assert scene.owner._counters.unkept == 4 * lost

    later = 1000 + WINDOW_MS * (6 + MAX_DEAD_LETTERS // MORE_DEAD_LETTERS)
    await scene.poll(*(record(7000 + i, later, b"{") for i in range(bad)))
    assert len([r for r in scene.sent("mcp-requests.dlq") if int(r.headers["offset"]) >= 7000]) == MAX_DEAD_LETTERS


@pytest.mark.parametrize(
    "bad", [1, MORE_DEAD_LETTERS, MORE_DEAD_LETTERS + 1, 100, MAX_DEAD_LETTERS, MAX_DEAD_LETTERS + 1]
)
async def test_whatever_nobody_can_read_is_kept_or_its_window_is_incomplete(bad: int) -> None:
    scene = Scene(registered=frozenset({"orders"}))
    await scene.assign()
    windows = 15
    log = [record(1000 * w + i, 1000 + WINDOW_MS * w, b"{") for w in range(windows) for i in range(bad)]
    await scene.poll(*log, tick(1000 * windows, 1000 + WINDOW_MS * windows))
    kept = Counter(int(r.headers["offset"]) // 1000 for r in scene.sent("mcp-requests.dlq"))
    finals = [w for w in (CohortWindow.read(r.value or b"") for r in scene.sent()) if w.final]
    assert [w.malformed - w.unkept for w in finals] == [kept[w] for w in range(windows)]
    assert [w.incomplete for w in finals] == [kept[w] < bad for w in range(windows)]
    assert finals[-1].incomplete == (bad >= 100)


async def test_what_is_read_to_warm_up_is_not_kept_again() -> None:
    scene = Scene()
    await scene.assign(start=Checkpoint(1, 1000, 0))
    await scene.poll(record(0, 1000, b"{"), record(1, 1100, b"}"))
    assert [r.headers["offset"] for r in scene.sent("mcp-requests.dlq")] == [b"1"]


async def test_a_message_of_one_unregistered_service_too_many_is_kept() -> None:
    scene = Scene(registered=frozenset({"orders"}))
    await scene.assign()
    strangers = [record(i, 1000, event(i, service=f"s{i}")) for i in range(MAX_UNREGISTERED + 1)]
    await scene.poll(*strangers, record(900, 1000, event(900)))
    (letter,) = scene.sent("mcp-requests.dlq")
    assert letter.headers["reason"].startswith(b"unknown_service: s200 ")
    assert letter.headers["offset"] == b"200"


async def test_a_partition_that_was_silent_for_a_window_is_ticked_once_a_window() -> None:
    scene = Scene()
    await scene.assign(3)
    scene.clock.advance(WINDOW_MS / 1000 * 0.9)
    await scene.owner.beat()
    assert scene.sent(TOPIC) == []
    scene.clock.advance(WINDOW_MS / 1000 * 0.2)
    await scene.owner.beat()
    await scene.owner.beat()
    (sent,) = scene.sent(TOPIC)
    assert (sent.partition, sent.value, sent.headers) == (3, b"", {"content-type": b"application/vnd.davylamp.tick"})
    scene.clock.advance(WINDOW_MS / 1000 * 1.1)
    await scene.owner.beat()
    assert len(scene.sent(TOPIC)) == 2


async def test_a_partition_that_moves_is_not_ticked() -> None:
    scene = Scene()
    await scene.assign()
    for i in range(5):
        scene.clock.advance(WINDOW_MS / 1000 * 0.9)
        await scene.poll(tick(i, 1000))
        await scene.owner.beat()
    assert scene.sent(TOPIC) == []


async def test_a_missing_batch_is_an_error() -> None:
    scene = Scene()
    await scene.assign()
    await scene.poll(record(0, 1000, event(1)))
    with pytest.raises(LostBatchError, match="batch 3, expected 2"):
        await scene.owner.handle(Polled(0, 3, Messages.of([record(9, 1000, event(2))])))


async def test_a_batch_of_a_partition_that_is_not_ours_is_an_error() -> None:
    scene = Scene()
    await scene.assign()
    await scene.owner.handle(Revoked(0))
    with pytest.raises(LostBatchError, match="expected none"):
        await scene.poll(record(0, 1000, event(1)))


async def test_a_revoked_partition_says_nothing_any_more() -> None:
    scene = Scene()
    await scene.assign()
    await scene.poll(record(0, 1000, event(1)))
    await scene.poll(record(1, 1000, event(2)))
    await scene.owner.handle(Revoked(0))
    await scene.owner.handle(Revoked(0))
    scene.clock.advance(WINDOW_MS)
    await scene.owner.beat()
    assert scene.told() == [(1000, False, 1)]
    assert scene.sent(TOPIC) == []


async def test_a_partition_assigned_again_starts_from_its_checkpoint() -> None:
    scene = Scene()
    await scene.assign()
    await scene.poll(record(0, 1000, event(1)), record(1, 1000, event(2)))
    await scene.assign()
    await scene.poll(record(0, 1000, event(1)))
    with pytest.raises(OutOfOrderError):
        await scene.poll(record(0, 1000, event(1)))
    assert scene.told() == [(1000, False, 2), (1000, False, 1)]


async def test_messages_lost_to_retention_are_an_error_in_the_log_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    with caplog.at_level(logging.INFO):
        await scene.assign(lost=12)
        await scene.poll(record(0, 1000, event(1)), record(1, 1100, event(2)))
    hole, counters = caplog.records
    assert (hole.levelno, hole.__dict__["action"], hole.__dict__["messages"]) == (logging.ERROR, "holes", 12)
    assert counters.__dict__["holes"] == 12
    assert [CohortWindow.read(r.value or b"").holes for r in scene.sent()] == [12, 0]


async def test_counters_are_told_when_they_change_but_not_all_the_time(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    await scene.assign()
    with caplog.at_level(logging.INFO):
        await scene.poll(record(0, 1000, event(1)), record(1, 1000, event(1)), tick(2, 1100), tick(3, 1200))
        await scene.poll(record(4, 1200, event(2)), record(5, 1200, event(2)), tick(6, 1300))
        scene.clock.advance(60)
        await scene.poll(tick(7, 1400))
        scene.clock.advance(60)
        await scene.poll(tick(8, 1500))
    assert [r.__dict__["duplicates"] for r in caplog.records] == [1, 2]
