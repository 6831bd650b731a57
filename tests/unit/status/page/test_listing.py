"""The list of every service, as strings."""

from dataclasses import replace
from typing import get_args

import pytest

from status.page import figures
from status.page.listing import page, regions, table, urgent_first
from status.page.snapshot import Snapshot, Viewer
from tests.page_pictures import snapshot
from tests.page_states import Name
from tests.unit.status.page.test_regions import Balanced, plain, text

NAMES = get_args(Name)


def many() -> list[Snapshot]:
    """A service in each state, by name."""
    return [_named(name) for name in NAMES]


def _named(name: Name) -> Snapshot:
    shown = snapshot(name)
    return replace(shown, status=shown.status.model_copy(update={"service": name.replace("_", "-")}))


def whole(snapshots: list[Snapshot], away_s: float = 0.0) -> str:
    return page(snapshots, snapshots[0].now_ms, Viewer("anna"), away_s)


def test_the_list_is_a_whole_document_without_inline_style_or_script() -> None:
    found = Balanced()
    found.feed(whole(many()))
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert not {a for a in found.attributes if a == "style" or a.startswith("on")}


@pytest.mark.parametrize("name", NAMES)
def test_the_check_that_a_row_shows_is_the_services_own_with_the_same_figures(name: Name) -> None:
    shown = snapshot(name)
    nearest = shown.nearest
    if not shown.checks:
        assert nearest is None
        return
    assert nearest in shown.rows
    known = [r for r in shown.rows if r.decides and r.places.point is not None]
    breached = [r for r in known if r.verdict == "breached"]
    worst = max((r.places.point for r in breached or known if r.places.point is not None), default=None)
    assert nearest is not None
    assert nearest.places.point == worst


def test_a_row_says_state_share_check_sessions_and_score() -> None:
    said = text(table([snapshot("collecting")]))
    assert "billing-mcp v8 → v9 collecting 12 min 18 s ago 10 % 3 of 3" in said
    assert "p99 latency × 1.077 limit × 1.10" in said
    assert "741 canary sessions 96 738 s of 1800 s collected." in said


@pytest.mark.parametrize("name", ["rolled_back", "held"])
def test_the_figures_of_a_row_are_the_ledgers(name: Name) -> None:
    shown = snapshot(name)
    entry = next(e for e in reversed(shown.entries) if e.checks)
    said, row = text(table([shown])), shown.nearest
    assert row is not None
    check = next(c for c in entry.checks if c.check == row.check)
    if check.kind == "rate":
        assert check.difference is not None
        assert plain(figures.points(check.difference)) in said
    else:
        assert check.canary.value is not None
        assert check.baseline.value is not None
        assert plain(figures.ratio(check.canary.value / check.baseline.value)) in said
    assert f" {entry.score:.0f} " in said


def test_who_needs_a_person_comes_first() -> None:
    order = [s.service for s in urgent_first(many())]
    assert order[:4] == ["person", "rolled-back", "no-data", "held"]
    assert order[-2:] == ["promoted", "new"]


def test_a_list_that_is_asked_for_again_is_as_of_then() -> None:
    """Nothing that is kept between two requests may make an old picture look new."""
    shown = snapshot("collecting")
    later = replace(shown, now_ms=shown.now_ms + 60_000)
    assert "12 min 18 s ago" in text(table([shown]))
    assert "13 min 18 s ago" in text(table([later]))
    silent = replace(later, proxies=tuple(p.model_copy(update={"state": "pending"}) for p in later.proxies))
    assert "0 of 3" in text(table([silent]))
    assert "judge looked 1 min ago" in text(regions([later], ["health"]))


def test_a_list_whose_log_does_not_answer_is_stale() -> None:
    stale = whole(many(), away_s=23.0)
    assert "data-stale" in stale.partition("<head>")[0]
    assert "Kafka has not answered for 23" in stale
    assert "<title>? davylamp</title>" in stale


def test_nothing_from_outside_becomes_markup_in_the_list() -> None:
    shown = snapshot("collecting")
    view = shown.view.model_copy(update={"waiting_for": "<b>more</b>"})
    drawn = table([replace(shown, status=shown.status.model_copy(update={"rollout": view}))])
    assert "<b>more" not in drawn
    assert "&lt;b&gt;more&lt;/b&gt;" in drawn
