"""Every region of the page, as strings."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from typing import get_args

import pytest
from fastapi.routing import APIRoute
from markupsafe import Markup

from schemas.windows import CohortWindow, ToolCount
from status import reads, stream
from status.page import figures
from status.page.actions import awaited, dialogs, offers
from status.page.answer import answer, headline, title
from status.page.charts import charts
from status.page.facts import facts
from status.page.forest import forest
from status.page.health import items
from status.page.ledger import ledger
from status.page.rollout import REGIONS, footer, page, regions
from status.page.snapshot import Viewer
from status.page.tools import tools, tools_of
from status.page.track import steps
from status.reach import nowhere
from tests.page_pictures import snapshot, snapshot_of
from tests.page_states import BREACHED, OPEN, SERVICE, Name, label, rate, scene

NAMES = get_args(Name)


def text(html: Markup) -> str:
    """What is read, every kind of space as one."""
    words = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html))).strip()
    return re.sub(r" ([,.)])", r"\1", words).replace("( ", "(")


class Balanced(HTMLParser):
    """Raises where a tag is closed that is not open."""

    VOID = frozenset({"meta", "link", "input", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", NAMES)
def test_every_state_is_a_whole_document_without_inline_style_or_script(name: Name) -> None:
    found = Balanced()
    found.feed(page(snapshot(name)))
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))
    assert not {a for a in found.attributes if a == "style" or a.startswith("on")}
    assert "<script>" not in page(snapshot(name))


@pytest.mark.parametrize(
    ("name", "word", "glyph"),
    [
        ("rolled_back", "Rolled back", "breached"),
        ("collecting", "Collecting at 10 %", "collecting"),
        ("no_data", "No data, held at 10 %", "nodata"),
        ("held", "Held at 50 %", "held"),
        ("promoted", "Promoted to v9", "within"),
        ("pending", "Waiting for approval", "undecided"),
        ("shifting", "Shifting to 10 %", "collecting"),
        ("new", "No rollout", "nodata"),
    ],
)
def test_the_state_is_a_word_with_a_glyph(name: Name, word: str, glyph: str) -> None:
    found = headline(snapshot(name))
    assert (found.text.replace("\u00a0", " "), found.glyph) == (word, glyph)


def test_only_what_ended_well_is_green() -> None:
    assert {name for name in NAMES if headline(snapshot(name)).style == "good"} == {"promoted"}


def test_the_tab_carries_the_state() -> None:
    assert title(snapshot("rolled_back")) == "✖ billing-mcp rolled back"
    assert 'data-icon="breached"' in answer(snapshot("rolled_back"))


def test_a_rollback_says_who_is_affected_why_with_numbers_by_whom_and_that_it_is_confirmed() -> None:
    said = text(answer(snapshot("rolled_back")))
    assert "Nobody new reaches v9. Sessions that began on it may run there until 03:22:41 at the latest." in said
    assert (
        "Error rate 2.71 % on the canary against 0.59 % on the baseline: +2.12 points (interval +0.52 … +4.13), "
        "limit +0.50 points."
    ) in said
    assert "Rolled back by the judge at 03:07:41, 4 min 11 s ago. Confirmed by 3 of 3 proxies 0.4 s later." in said
    assert "a breach is 0" in said


def plain(figure: str) -> str:
    """With one kind of space."""
    return re.sub(r"\s", " ", figure)


@pytest.mark.parametrize("name", ["rolled_back", "held", "promoted"])
def test_the_figures_of_the_checks_are_the_ledgers(name: Name) -> None:
    """Each rate, difference and bound that is shown of a decision is a number of the entry that quotes it, rounded."""
    shown = snapshot(name)
    entry = next(e for e in reversed(shown.entries) if e.checks)
    drawn = text(forest(shown))
    for check in entry.checks:
        sign = -1 if check.check in ("tool_success", "availability") else 1
        if check.kind in ("rate", "tools"):
            for number in (check.difference, check.low, check.high):
                assert number is not None
                assert figures.signed(sign * number) in drawn, (check.check, number)
            for count in (check.baseline, check.canary):
                assert count.rate is not None
                assert plain(figures.percent(count.rate if sign > 0 else 1 - count.rate)) in drawn
        if check.kind == "latency":
            assert check.baseline.value is not None
            assert check.canary.value is not None
            assert plain(figures.milliseconds(check.canary.value)) in drawn
            assert plain(figures.ratio(check.canary.value / check.baseline.value)) in drawn
    assert f"{entry.score:.0f} of 100" in text(answer(shown))


def test_an_ended_rollout_shows_the_checks_as_they_were_decided_on_whatever_the_judge_shows_later() -> None:
    held = scene("rolled_back")
    held.look("rolled_back", OPEN, score=50.0)
    shown = snapshot_of(held)
    assert shown.checks == BREACHED
    assert "frozen at 03:07:41" in text(forest(shown))
    assert "0 of 100" in text(answer(shown))


def test_the_forest_parts_gates_from_guards_and_keeps_the_judges_order() -> None:
    drawn = text(forest(snapshot("collecting")))
    names = ["Gate: must be within before 50", "Error rate", "Tool success", "p99", "Guards", "p90", "Session loss"]
    places = [drawn.index(name) for name in names]
    assert places == sorted(places)


def test_what_the_plan_has_switched_off_is_shown_apart_and_broken_by_nobody() -> None:
    held = scene("collecting")
    off = rate("cancel_rate", "breached", (0, 900), (90, 900), (5.0, 15.0), 0.5)
    held.look("collecting", (*OPEN, off), score=96.0)
    shown = snapshot_of(held)
    assert "Shown only: the plan has them switched off Cancelled requests" in text(forest(shown))
    assert "No promise is broken" in text(answer(shown))
    assert "Nobody beyond a limit" in text(facts(shown))


def test_marks_differ_by_shape_and_no_data_is_hatched() -> None:
    drawn = forest(snapshot("rolled_back"))
    assert drawn.count('<path class="pt" d="M0 -7.5') == 1
    assert '<path class="gate"' in drawn
    assert '<path class="head" d="M6 -4.5' in drawn
    assert forest(snapshot("no_data")).count('<rect class="void" x="0"') == 7


def test_at_the_last_stage_the_gate_is_the_limit_and_has_no_mark_of_its_own() -> None:
    assert '<svg x="52.94%" overflow="visible"><path class="gate"' not in forest(snapshot("held"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "rolled_back",
            [
                "done went on unproven after 10 min",
                "bad breached after 4 min 32 s",
                "todo not reached",
                "todo not reached",
            ],
        ),
        (
            "collecting",
            [
                "done went on unproven after 10 min",
                "on 12 min 18 s of 30 min",
                "todo 1 h",
                "todo v9 becomes the baseline",
            ],
        ),
        (
            "held",
            [
                "done went on unproven after 10 min",
                "done within after 30 min",
                "on held, 2 h of 1 h counted",
                "todo v9 becomes the baseline",
            ],
        ),
        (
            "promoted",
            [
                "done went on unproven after 10 min",
                "done within after 30 min",
                "done within after 1 h",
                "done v9 is the baseline",
            ],
        ),
        ("pending", ["todo 10 min", "todo 30 min", "todo 1 h", "todo v9 becomes the baseline"]),
        ("new", []),
    ],
)
def test_each_stage_says_how_it_ended(name: Name, expected: list[str]) -> None:
    assert [f"{s.state} {s.text}".replace("\u00a0", " ") for s in steps(snapshot(name))] == expected


def test_the_facts_answer_the_five_questions() -> None:
    said = text(facts(snapshot("collecting")))
    for fact in (
        "Nobody beyond a limit. 10 % asked; 3 of 3 proxies run it",
        "741 canary, 6 639 baseline sessions",
        "7 705 and 69 341 requests compared",
        "9.9 % of sessions assigned by the proxies for 10 % asked",
        "12 requests under way now, by the proxies",
        "50 % at 03:33:09, in 17 min 42 s",
        "What can I do now?",
    ):
        assert fact in said


def test_who_is_still_there_is_bounded_by_what_servers_tell_and_nothing_more_exact_is_claimed() -> None:
    held = scene("rolled_back")
    assert "Some of 325 sessions that began there" in text(facts(snapshot_of(held)))
    for at, (topic, message) in enumerate(held.records):
        if isinstance(message, CohortWindow):
            told = {"ends": {0: {0: 1}}}
            cells = tuple(c.model_copy(update={**told, "told_sessions": c.new_sessions}) for c in message.cells)
            held.records[at] = topic, message.model_copy(update={"cells": cells})
    shown = snapshot_of(held)
    assert shown.recent is not None
    ended = shown.recent.totals["v9"].ended
    assert ended > 0
    assert f"At most {325 - ended} of 325 sessions that began there" in text(facts(shown))


def test_coverage_says_which_part_of_the_requests_is_judged_at_all() -> None:
    def coverage(name: Name) -> tuple[str, str]:
        found = next(item for item in items(snapshot(name)) if item.name == "coverage")
        return found.health, plain(found.value)

    assert coverage("collecting") == ("good", "100.0 %")
    assert coverage("promoted") == ("idle", "at rest")
    assert coverage("pending") == ("unknown", "–")


def test_sessions_that_do_not_fit_the_share_are_marked() -> None:
    held = scene("collecting")
    held.records = [(topic, message) for topic, message in held.records if topic != "proxy-reports"]
    held.reports(3, {f"v9 {label(2, 'v9')}": 100, f"v8 {label(2, 'v8')}": 6_260})
    assert '<b class="bad">1.6' in facts(snapshot_of(held))


def test_a_judge_that_does_not_look_is_told_in_the_first_lines() -> None:
    assert "the judge has not looked for 47" in text(answer(snapshot("blind")))
    judge = next(item for item in items(snapshot("blind")) if item.name.startswith("judge"))
    assert judge.health == "bad"


def test_a_hold_says_whether_it_needs_a_person() -> None:
    assert "A person decides." in text(facts(snapshot("held")))
    assert "It resumes by itself once both cohorts report." in text(facts(snapshot("no_data")))
    held = scene("collecting")
    held.decide(
        "hold", 1_000, "blind", "The judge has not looked for 120 s: nobody watches the canary.", actor="router"
    )
    held.look("held", OPEN)
    assert "It resumes by itself once the judge looks again." in text(facts(snapshot_of(held)))
    assert "A person must decide" not in text(answer(snapshot_of(held)))


def test_silence_is_unknown_and_no_score() -> None:
    shown = snapshot("no_data")
    assert "no score without evidence" in answer(shown)
    assert 'class="none">unknown' in facts(shown)
    assert {i.name: i.health for i in items(shown)}["windows closed"] == "bad"


def test_nothing_has_to_be_fresh_where_nothing_is_compared() -> None:
    rest = snapshot("rolled_back")
    assert {i.name: i.health for i in items(rest)}["windows closed"] == "idle"
    old = replace(rest, now_ms=rest.now_ms + 3 * 86_400_000)
    assert {i.name: (i.health, plain(i.value)) for i in items(old)}["requests read"] == ("unknown", "3 d ago")


@pytest.mark.parametrize(
    ("name", "possible"),
    [
        ("collecting", {"hold", "promote", "rollback"}),
        ("shifting", {"hold", "promote", "rollback"}),
        ("held", {"resume", "promote", "rollback"}),
        ("rolled_back", set()),
        ("promoted", {"undo"}),
        ("pending", {"approve", "rollback"}),
        ("new", set()),
    ],
)
def test_what_is_not_possible_is_disabled_rather_than_gone(name: Name, possible: set[str]) -> None:
    shown = snapshot(name)
    assert {offer.act for offer in offers(shown) if offer.possible} == possible
    assert len(offers(shown)) == 4
    assert set(re.findall(r'popover id="do-(\w+)"', dialogs(shown))) == possible


def test_a_viewer_gets_no_dialog_and_is_told_why() -> None:
    shown = snapshot("collecting", viewer=Viewer("dash", nowhere))
    assert "<form" not in dialogs(shown)
    assert "dash only looks here" in text(facts(shown))


def test_a_dialog_says_the_consequence_first_and_carries_what_was_seen() -> None:
    shown = snapshot("collecting")
    drawn = dialogs(shown)
    assert "New sessions go to v8 at once: 10\u00a0% → 0\u00a0%" in drawn
    assert "They stay on v9 until they end, 15\u00a0min at most." in drawn
    assert "I skip the gate although p99 latency is unproven" in drawn
    assert drawn.count(f'name="seen" value="{shown.entries[-1].id}"') == 3
    assert "nothing rolls v9 back by itself any more" in dialogs(snapshot("held"))


def test_the_approval_that_is_awaited_is_named() -> None:
    assert awaited(snapshot("pending")) == "start"
    assert 'name="approves" value="start"' in dialogs(snapshot("pending"))
    assert awaited(snapshot("collecting")) is None


def test_the_ledger_is_newest_first_with_confirmations() -> None:
    drawn = text(ledger(snapshot("rolled_back")))
    order = [
        "confirmed 0 %",
        "rollback 10 → 0 %",
        "confirmed 10 %",
        "proceed 1 → 10 %",
        "confirmed 1 %",
        "start 0 → 1 %",
    ]
    places = [drawn.index(what) for what in order]
    assert places == sorted(places)
    assert "All 3 proxies acknowledged the route, 0.4 s after the decision." in drawn


def test_the_tool_that_fails_comes_first() -> None:
    shown = snapshot("rolled_back")
    assert next(tool.name for tool in tools_of(shown)) == "create_invoice"
    assert "fails" in tools(shown)
    assert "No call of a tool" in tools(snapshot("pending"))


def test_both_cohorts_share_one_axis_with_the_decisions() -> None:
    drawn = charts(snapshot("rolled_back"))
    assert drawn.count("<figure") == 3
    assert drawn.count('class="c line"') >= 3
    assert drawn.count(">rolled back</text>") == 3
    assert '<rect class="void" x="' in charts(snapshot("no_data"))


HOSTILE = '<img src=x onerror="alert(1)">'


def test_nothing_from_outside_becomes_markup() -> None:
    """Tool names, reasons and people's words are other people's strings."""
    held = scene("rolled_back")
    for at, (topic, message) in enumerate(held.records):
        if isinstance(message, CohortWindow):
            counts = dict.fromkeys([HOSTILE], ToolCount(n=9, bad=1))
            cells = tuple(cell.model_copy(update={"tools": counts}) for cell in message.cells)
            held.records[at] = topic, message.model_copy(update={"cells": cells})
    drawn = page(snapshot_of(held, refused=HOSTILE))
    assert "<img" not in drawn
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;" in drawn
    person = page(snapshot("person"))
    assert "<b>&#34;refunds" not in person
    assert "&lt;b&gt;&#34;refunds&#34; &amp; worse&lt;/b&gt;" in person


def test_every_region_can_be_asked_for_alone_and_is_the_pages_own() -> None:
    shown = snapshot("collecting")
    whole = page(shown)
    for name in REGIONS:
        alone = regions(shown, [name])
        assert f'data-region="{name}"' in alone
        assert alone in whole
    assert regions(shown, ["nothing"]) == ""


def test_the_footer_leads_to_all_that_programs_may_read_of_a_service() -> None:
    path = "/api/rollouts/{service}"
    ways = {way.path for way in reads.routes.routes + stream.routes.routes if isinstance(way, APIRoute)}
    wanted = {way.replace("{service}", SERVICE) for way in ways if way.startswith(path)}
    drawn = footer(snapshot("collecting"))
    assert set(re.findall(r'href="([^"]+)"', drawn)) == wanted


def test_a_log_that_does_not_answer_takes_the_colour_away() -> None:
    stale = page(snapshot("collecting", away_s=23.0))
    assert "data-stale" in stale.partition("<head>")[0]
    assert "Kafka has not answered for 23" in stale
    assert "<title>? billing-mcp</title>" in stale
    assert "data-stale" not in page(snapshot("collecting")).partition("<head>")[0]


def test_a_service_without_a_rollout_has_a_page() -> None:
    said = text(page(snapshot("new")))
    assert "v8 serves everybody." in said
    assert "Nothing is compared: there is no rollout." in said


def test_without_telemetry_the_page_says_so() -> None:
    shown = snapshot("collecting", recent=None, proxied=None)
    assert "No window has been counted" in charts(shown)
    assert "no window has closed" in facts(shown)
