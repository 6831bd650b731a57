"""Rows of the list that are kept ready."""

from dataclasses import replace
from typing import Any, get_args

import pytest

from status.feed import Feed
from status.page.listed import row
from status.page.snapshot import Snapshot
from status.picture import Pictures
from status.rows import LOOKED_S, Rows
from tests.page_pictures import snapshot, snapshot_of
from tests.page_states import OPEN, SERVICE, Name, scene
from transport.clock import FakeClock
from transport.memory_log import MemoryLog

NAMES = get_args(Name)


def rows(clock: FakeClock | None = None, *records: Any) -> Rows:
    feed = Feed(MemoryLog().reader("services"))
    for offset, (topic, message) in enumerate(records):
        feed.overview.read(topic, message.dump(), offset, 0)
    return Rows(Pictures(feed, None, clock or FakeClock()))


def worked_out(shown: Snapshot) -> bool:
    """Whether its checks were looked at."""
    return "nearest" in vars(shown)


def test_a_row_is_what_it_would_be_without_any_that_was_kept() -> None:
    """Through every state of one service, there and back, as time goes on."""
    kept = rows()
    for name in (*NAMES, *reversed(NAMES)):
        for later_ms in (0, 61_000, 90_000_000):
            shown = snapshot(name)
            shown = replace(shown, now_ms=shown.now_ms + later_ms)
            assert kept(shown) == row(shown), (name, later_ms)


def changed(shown: Snapshot, what: str) -> Snapshot:
    if what == "view":
        view = shown.view.model_copy(update={"checks": OPEN[:1], "score": 12.0})
        return replace(shown, status=shown.status.model_copy(update={"rollout": view}))
    if what == "ledger":
        return snapshot("rolled_back")
    if what == "proxies":
        return replace(shown, proxies=tuple(p.model_copy(update={"state": "pending"}) for p in shown.proxies))
    return snapshot_of(scene("collecting"), recent=None)


@pytest.mark.parametrize("what", ["view", "ledger", "proxies", "telemetry"])
def test_whatever_a_row_rests_on_makes_it_another(what: str) -> None:
    kept, shown = rows(), snapshot("collecting")
    kept(shown)
    other = changed(shown, what)
    assert kept(other) == row(other) != row(shown)


def test_while_nothing_happens_only_the_age_is_written_anew() -> None:
    kept, shown = rows(), replace(snapshot("collecting"))
    first, later = kept(shown), replace(shown, now_ms=shown.now_ms + 1_000)
    second = kept(later)
    assert (worked_out(shown), worked_out(later)) == (True, False)
    assert second == row(replace(later)) != first


def test_windows_that_close_change_a_row_only_where_it_shows_a_latency() -> None:
    cases: tuple[tuple[Name, bool], ...] = (("collecting", True), ("rolled_back", False))
    for name, latency in cases:
        kept, shown = rows(), snapshot(name)
        kept(replace(shown))
        assert shown.recent is not None
        total = shown.recent.totals[shown.baseline]
        totals = {**shown.recent.totals, shown.baseline: replace(total, requests=total.requests + 1)}
        later = replace(shown, recent=replace(shown.recent, totals=totals))
        assert kept(later) == row(replace(later))
        assert worked_out(later) is latency


def test_news_draw_a_row_ahead_only_while_somebody_looks_at_the_list() -> None:
    clock = FakeClock()
    kept = rows(
        clock, *(r for r in scene("collecting").records if r[0] in ("services", "rollouts", "rollout-decisions"))
    )

    def ready() -> bool:
        """Whether whoever looks now finds it drawn. To find out is to look."""
        shown = kept._pictures.of(SERVICE, snapshot("new").viewer)
        kept(shown)
        return not worked_out(shown)

    kept.heard(SERVICE)
    assert not ready()
    kept._pictures.feed.overview.views[SERVICE] = snapshot("collecting").view.model_copy(update={"score": 1.0})
    kept.heard(SERVICE)
    assert ready()
    clock.advance(LOOKED_S + 1)
    kept._pictures.feed.overview.views[SERVICE] = snapshot("collecting").view.model_copy(update={"score": 2.0})
    kept.heard(SERVICE)
    assert not ready()
