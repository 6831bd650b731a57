"""When something is said on `route-changes`, and what happens if the log does not take it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from router.reports import Pictures, Publisher
from router.snapshot import ServiceRoute, Snapshot, Weight
from schemas.control import ProxyRoute, RouteChange
from schemas.topics import Topic
from tests.builders import entry
from transport.log import LogError, Position

ACKNOWLEDGED = (ProxyRoute(proxy="lb0", state="acknowledged", version="1"),)
PENDING = (ProxyRoute(proxy="lb0", state="pending", version="0"),)


def snapshot(version: str, **entries: str) -> Snapshot:
    weights = (Weight("v1", "-", 10_000),)
    routes = {s: ServiceRoute(s, entry, "/mcp", ("*",), {}, weights, (), ("v1",)) for s, entry in entries.items()}
    return Snapshot(version, "1", routes)


def pictures(version: str = "1", **entries: str) -> Pictures:
    made = Pictures("router-1")
    made.asked(snapshot(version, **entries))
    return made


def test_the_first_picture_is_told_even_without_a_proxy() -> None:
    change = pictures(orders="").draw("orders", (), 5)
    assert change == RouteChange(
        service="orders", router="router-1", entry="", version="1", proxies=(), acknowledged=False, at=5
    )


def test_the_same_picture_is_told_once() -> None:
    drawn = pictures(orders="")
    assert drawn.draw("orders", ACKNOWLEDGED, 5) is not None
    assert drawn.draw("orders", ACKNOWLEDGED, 6) is None
    assert drawn.draw("orders", PENDING, 7) is not None


def test_the_picture_of_a_live_rollout_is_told_each_second() -> None:
    drawn = pictures(orders="e1")
    times = [at for at in range(0, 5_000, 1_000) if drawn.draw("orders", ACKNOWLEDGED, at, live=True) is not None]
    assert times == [0, 1_000, 2_000, 3_000, 4_000]
    resting = drawn.draw("orders", ACKNOWLEDGED, 5_000)
    assert resting is not None
    assert not resting.live, "whoever counts on the next picture must hear that none will come"
    assert drawn.draw("orders", ACKNOWLEDGED, 60_000) is None


def test_a_picture_of_a_live_rollout_says_that_it_will_be_told_again() -> None:
    change = pictures(orders="e1").draw("orders", ACKNOWLEDGED, 5, live=True)
    assert change is not None
    assert change.live


def test_a_proxy_that_is_cut_off_is_news_also_when_its_route_was_not_known_before() -> None:
    drawn = pictures(orders="e1")
    cut_off = (PENDING[0].model_copy(update={"connected": False}),)
    assert drawn.draw("orders", PENDING, 5) is not None
    change = drawn.draw("orders", cut_off, 6)
    assert change is not None
    assert change.proxies == cut_off


def test_what_was_forgotten_is_told_with_the_picture() -> None:
    drawn = pictures(orders="e1")
    assert drawn.draw("orders", ACKNOWLEDGED, 5) is not None
    change = drawn.draw("orders", ACKNOWLEDGED, 6, forgotten={"lb7": 3})
    assert change is not None
    assert change.forgotten == {"lb7": 3}
    assert drawn.draw("orders", ACKNOWLEDGED, 7, forgotten={"lb7": 3}) is None


def test_a_clock_that_was_set_back_silences_nobody() -> None:
    drawn = pictures(orders="e1")
    assert drawn.draw("orders", ACKNOWLEDGED, 60_000, live=True) is not None
    assert drawn.draw("orders", ACKNOWLEDGED, 5_000, live=True) is not None


def test_another_services_change_is_no_news() -> None:
    drawn = pictures(orders="e1", billing="")
    assert drawn.draw("orders", ACKNOWLEDGED, 5) is not None
    drawn.asked(snapshot("2", orders="e1", billing="e2"))
    assert drawn.draw("orders", (ProxyRoute(proxy="lb0", state="acknowledged", version="2"),), 6) is None


def test_a_services_version_is_that_of_its_own_last_change() -> None:
    drawn = pictures("1", orders="e1", billing="")
    drawn.asked(snapshot("2", orders="e1", billing="e2"))
    orders, billing = drawn.draw("orders", ACKNOWLEDGED, 5), drawn.draw("billing", ACKNOWLEDGED, 5)
    assert orders is not None
    assert billing is not None
    assert (orders.version, billing.version) == ("1", "2")


@pytest.mark.parametrize("second", ["pending", "rejected"])
def test_one_proxy_that_lags_means_not_acknowledged(second: str) -> None:
    lagging = ProxyRoute.model_validate({"proxy": "lb1", "state": second})
    change = pictures(orders="").draw("orders", (*ACKNOWLEDGED, lagging), 5)
    assert change is not None
    assert not change.acknowledged


def test_the_way_of_an_entry_is_timed_from_its_decision_to_the_last_proxy() -> None:
    start = entry("start", now=100)
    drawn = pictures(orders=start.id)
    drawn.decided(start)
    waiting, done = drawn.draw("orders", PENDING, 104), drawn.draw("orders", ACKNOWLEDGED, 112)
    assert waiting is not None
    assert done is not None
    assert waiting.took_ms is None
    assert done.took_ms == 12.0


def test_a_proxy_that_comes_later_does_not_make_the_way_longer() -> None:
    start = entry("start", now=100)
    drawn = pictures(orders=start.id)
    drawn.decided(start)
    drawn.draw("orders", ACKNOWLEDGED, 112)
    late = ProxyRoute(proxy="lb1", state="acknowledged")
    change = drawn.draw("orders", (*ACKNOWLEDGED, late), 9_000)
    assert change is not None
    assert change.took_ms == 12.0


def test_history_is_not_timed() -> None:
    change = pictures(orders=entry("start", now=100).id).draw("orders", ACKNOWLEDGED, 9_000)
    assert change is not None
    assert change.acknowledged
    assert change.took_ms is None


def test_a_clock_behind_the_judges_gives_no_negative_time() -> None:
    start = entry("start", now=100)
    drawn = pictures(orders=start.id)
    drawn.decided(start)
    change = drawn.draw("orders", ACKNOWLEDGED, 90)
    assert change is not None
    assert change.took_ms == 0.0


class ShyWriter:
    """A log that takes records only while it is open, and says how many it was offered."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.refuses = False
        self.offered = asyncio.Semaphore(0)
        self.taken: asyncio.Queue[RouteChange] = asyncio.Queue()

    async def append(self, topic: Topic, service: str, value: bytes) -> Position:
        assert topic == "route-changes"
        self.offered.release()
        if self.refuses:
            raise LogError("away")
        await self.open.wait()
        self.taken.put_nowait(RouteChange.read(value))
        return Position(0, 0, 0)

    async def close(self) -> None:
        """Nothing to let go of."""


@contextlib.asynccontextmanager
async def running(publisher: Publisher) -> AsyncIterator[None]:
    task = asyncio.create_task(publisher.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def change(at: int, service: str = "orders") -> RouteChange:
    return RouteChange(service=service, router="r", entry="", version="1", proxies=(), acknowledged=False, at=at)


async def test_of_each_service_only_the_newest_waits() -> None:
    writer = ShyWriter()
    publisher = Publisher(writer, lambda _, __: None)
    async with running(publisher):
        publisher.offer(change(1))
        await writer.offered.acquire()
        for at in (2, 3, 4):
            publisher.offer(change(at))
        publisher.offer(change(9, "billing"))
        writer.open.set()
        taken = [await writer.taken.get() for _ in range(3)]
    assert [c.at for c in taken if c.service == "orders"] == [1, 4]
    assert [c.at for c in taken if c.service == "billing"] == [9]


async def test_what_the_log_refuses_is_offered_again_and_the_refusal_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = ShyWriter()
    writer.open.set()
    writer.refuses = True
    publisher = Publisher(writer, lambda _, __: None)
    async with running(publisher):
        publisher.offer(change(1))
        await writer.offered.acquire()
        writer.refuses = False
        publisher.retry()
        assert (await writer.taken.get()).at == 1
    assert [getattr(r, "action", None) for r in caplog.records if r.levelname == "ERROR"] == ["route_change_unwritten"]


async def test_what_was_taken_is_not_offered_again() -> None:
    writer = ShyWriter()
    writer.open.set()
    publisher = Publisher(writer, lambda _, __: None)
    async with running(publisher):
        publisher.offer(change(1))
        await writer.taken.get()
        publisher.retry()
        publisher.offer(change(2, "billing"))
        assert (await writer.taken.get()).service == "billing"
    assert writer.taken.empty()
