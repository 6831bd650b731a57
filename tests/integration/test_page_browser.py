"""The page in a real Chromium: what a person on call sees, types and is told. Skipped where none is installed."""

import re
import shutil
from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright, expect

from schemas.control import RolloutView
from schemas.ledger import ServiceLedger
from status.tokens import Token, fingerprint
from tests.page_server import Served, served
from tests.page_states import BREACHED, SERVICE, Name, Scene, Span, scene

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
PAGE = f"/rollouts/{SERVICE}"
expect.set_options(timeout=30_000)
"""Milliseconds: a browser beside other work is slow, and nothing here is about its speed."""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
    pytest.mark.asyncio(loop_scope="module"),  # one browser for all
]

ANNA = Token(name="anna", role="operator", token_sha256=fingerprint(b"operate"))
DASH = Token(name="dash", role="viewer", token_sha256=fingerprint(b"view"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


class Eyes:
    """A page, and everything that it complained about or asked of others."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(url) else self.elsewhere.append(asked.url))

    async def live(self) -> None:
        """The stream has begun."""
        await expect(self.page.locator("[data-live]")).to_contain_text("live ·")

    def content(self) -> None:
        """Nothing was complained about, and nobody else was asked."""
        assert self.complaints == []
        assert self.elsewhere == []


async def look(browser: Browser, status: Served, path: str = PAGE, **options: Any) -> Eyes:
    page = await browser.new_page(viewport={"width": options.pop("width", 1280), "height": 800}, **options)
    eyes = Eyes(page, status.url)
    await page.goto(status.url + path)
    return eyes


def chain(status: Served) -> ServiceLedger:
    chain: ServiceLedger = status.app.state.desk.feed.overview.ledger.of(SERVICE)
    return chain


async def roll_back(status: Served, held: Scene) -> None:
    """The judge finds a breach."""
    before = len(held.records)
    back = held.decide(
        "rollback",
        1_340,
        "breach",
        "Error rate past its limit.",
        share=0,
        score=0.0,
        checks=BREACHED,
        culprit="error_rate",
    )
    held.confirm(back)
    held.look("rolled_back", BREACHED, score=0.0)
    await status.put(Scene(records=held.records[before:]))


async def test_a_rollback_is_seen_where_it_happens_without_a_reload(browser: Browser) -> None:
    held = scene("collecting")
    async with served([held]) as status:
        eyes = await look(browser, status)
        await eyes.live()
        await expect(eyes.page.locator("h1")).to_have_text(re.compile("Collecting at 10"))
        await eyes.page.evaluate("window.stillTheSame = true")
        await roll_back(status, held)
        await expect(eyes.page.locator("h1")).to_have_text("Rolled back")
        await expect(eyes.page).to_have_title(f"✖ {SERVICE} rolled back")
        await expect(eyes.page.locator(".why")).to_contain_text("limit +0.50 points")
        await expect(eyes.page.locator("#promises tr.breached")).to_have_count(1)
        await expect(eyes.page.locator("#track li.bad")).to_have_count(1)
        await expect(eyes.page.locator("#ledger")).to_contain_text("confirmed 0")
        await expect(eyes.page.locator("#ask-rollback")).to_be_disabled()
        assert await eyes.page.locator('link[rel="icon"]').get_attribute("href") == "/static/icons/breached.svg"
        assert await eyes.page.evaluate("window.stillTheSame")
        eyes.content()


HUES = """() => [...document.querySelectorAll("h1, .m-within, .m-breached, .verdict, .good, .bad, .seg.on, .dot")].flatMap(
  (element) => [getComputedStyle(element).color, getComputedStyle(element).stroke])"""


def greyish(colour: str) -> bool:
    """No channel differs from another as much as any status hue does."""
    channels = [int(part) for part in re.findall(r"\d+", colour)[:3]]
    return not channels or max(channels) - min(channels) <= 32


async def test_what_is_not_heard_is_never_green(browser: Browser) -> None:
    held = scene("collecting")
    async with served([held]) as status:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        eyes = Eyes(page, status.url)
        await page.clock.install()
        await page.goto(status.url + PAGE)
        await eyes.live()
        assert not all(map(greyish, await page.evaluate(HUES)))
        status.log.away_s = 60.0
        await page.clock.fast_forward(16_000)
        await expect(page.locator("html")).to_have_attribute("data-stale", "")
        await expect(page.locator(".lost")).to_contain_text(re.compile(r"Last heard \d+.s ago"))
        await expect(page).to_have_title(re.compile(rf"^\? {SERVICE}, last heard"))
        assert await page.locator('link[rel="icon"]').get_attribute("href") == "/static/icons/stale.svg"
        assert all(map(greyish, await page.evaluate(HUES)))
        await expect(page.locator("#ask-hold")).to_be_disabled()
        await expect(page.locator("#ask-promote")).to_be_disabled()
        await expect(page.locator("#ask-rollback")).to_be_enabled()
        await expect(page.locator(".direct")).to_be_visible()
        await expect(page.locator(".direct")).to_contain_text(f"davylamp rollback {SERVICE} --direct")
        status.log.away_s = 0.0
        await expect(page.locator("html")).not_to_have_attribute("data-stale", "")
        await expect(page.locator("#ask-hold")).to_be_enabled()
        await expect(page.locator(".lost")).to_be_hidden()
        eyes.content()


async def test_a_page_left_open_recovers_from_a_restart_of_the_service(browser: Browser) -> None:
    held = scene("collecting")
    async with served([held]) as first:
        eyes = await look(browser, first)
        await eyes.live()
    await first_is_gone(eyes)
    await first.put(_rollback_records(held))
    async with served([], clock=first.clock, log=first.log, port=first.port):
        await expect(eyes.page.locator("h1")).to_have_text("Rolled back")
        await eyes.live()


async def first_is_gone(eyes: Eyes) -> None:
    """Nobody answers any more."""
    answer = await eyes.page.evaluate("fetch('/healthz').then(() => 'here', () => 'gone')")
    assert answer == "gone"


def _rollback_records(held: Scene) -> Scene:
    before = len(held.records)
    held.decide("rollback", 1_340, "breach", "Past its limit.", share=0, checks=BREACHED, culprit="error_rate")
    return Scene(records=held.records[before:])


@pytest.mark.parametrize("script", [True, False])
async def test_a_person_rolls_back_by_keyboard_with_and_without_script(browser: Browser, *, script: bool) -> None:
    held = scene("collecting")
    async with served([held]) as status:
        eyes = await look(browser, status, java_script_enabled=script)
        if script:
            await eyes.live()
        await eyes.page.locator("#ask-rollback").press("Enter")
        dialog = eyes.page.locator("#do-rollback")
        await expect(dialog).to_be_visible()
        await expect(dialog).to_contain_text("New sessions go to v8 at once")
        await dialog.locator('input[value="evict"]').check()
        await dialog.locator("textarea").fill("errors in the field")
        await dialog.locator('button[type="submit"]').press("Enter")
        await expect(eyes.page.locator("h1")).to_have_text("Rolled back")
        await expect(eyes.page.locator("#ledger")).to_contain_text("api rolled back: errors in the field")
        head = chain(status).head
        assert head is not None
        assert (head.kind, head.hold_mode) == ("rollback", "evict")
        eyes.content()


async def test_a_dialog_wants_a_reason_and_the_tick_and_closes_by_escape(browser: Browser) -> None:
    async with served([scene("collecting")]) as status:
        eyes = await look(browser, status)
        await eyes.live()
        await eyes.page.locator("#ask-promote").click()
        dialog = eyes.page.locator("#do-promote")
        await dialog.locator('button[type="submit"]').click()
        await expect(dialog).to_be_visible()
        assert await dialog.locator("input:invalid, textarea:invalid").count() == 2
        await eyes.page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        assert len(chain(status).entries) == 2


async def test_what_is_being_typed_outlives_news(browser: Browser) -> None:
    held = scene("collecting")
    async with served([held]) as status:
        eyes = await look(browser, status)
        await eyes.live()
        await eyes.page.locator("#ask-rollback").click()
        field = eyes.page.locator("#do-rollback textarea")
        await field.fill("half a sen")
        before = len(held.records)
        held.look("collecting", BREACHED[1:], score=41.0, stage_elapsed_s=740.0)
        await status.put(Scene(records=held.records[before:]))
        await expect(eyes.page.locator(".score")).to_contain_text("41")
        await expect(field).to_be_visible()
        await expect(field).to_be_focused()
        await expect(field).to_have_value("half a sen")


async def test_a_refusal_is_told_on_the_page(browser: Browser) -> None:
    """No judge answers here: after its time the word is unanswered, and the page says what to look at."""
    async with served([scene("collecting")], answer_within_s=0.05) as status:
        eyes = await look(browser, status)
        await eyes.page.locator("#ask-hold").click()
        await eyes.page.locator("#do-hold textarea").fill("wait")
        await eyes.page.locator('#do-hold button[type="submit"]').click()
        await expect(eyes.page.locator(".refused")).to_contain_text("The judge has not answered hold")
        await expect(eyes.page.locator("h1")).to_have_text(re.compile("Collecting"))


async def test_a_viewer_logs_in_and_may_only_look(browser: Browser) -> None:
    async with served([scene("collecting")], tokens=(ANNA, DASH)) as status:
        eyes = await look(browser, status)
        await expect(eyes.page).to_have_title("Log in")
        await eyes.page.locator('input[name="token"]').fill("wrong")
        await eyes.page.keyboard.press("Enter")
        await expect(eyes.page.locator(".refused")).to_be_visible()
        await eyes.page.locator('input[name="token"]').fill("view")
        await eyes.page.keyboard.press("Enter")
        await eyes.live()
        assert await eyes.page.locator(".acts button:enabled").count() == 0
        await expect(eyes.page.locator(".told")).to_contain_text("dash only looks here")
        assert await eyes.page.evaluate("document.cookie") == ""
        answer = await eyes.page.request.post(
            f"{status.url}{PAGE}/rollback", form={"reason": "x"}, headers={"origin": status.url}
        )
        assert answer.status == 403
        await eyes.page.get_by_role("button", name="Log out dash").click()
        await expect(eyes.page).to_have_title("Log in")


async def test_a_session_that_is_over_leads_to_the_login(browser: Browser) -> None:
    async with served([scene("collecting")], tokens=(ANNA,)) as status:
        eyes = await look(browser, status)
        await eyes.page.locator('input[name="token"]').fill("operate")
        await eyes.page.keyboard.press("Enter")
        await eyes.live()
        await eyes.page.context.clear_cookies()
        view = RolloutView(service=SERVICE, rollout=1, looked_at=1)
        await status.log.put("rollouts", 0, view.dump(), SERVICE.encode())
        await expect(eyes.page).to_have_title("Log in")


async def test_an_operator_acts_under_the_tokens_name(browser: Browser) -> None:
    async with served([scene("collecting")], tokens=(ANNA, DASH)) as status:
        eyes = await look(browser, status)
        await eyes.page.locator('input[name="token"]').fill("operate")
        await eyes.page.keyboard.press("Enter")
        await eyes.live()
        await eyes.page.locator("#ask-rollback").click()
        await eyes.page.locator("#do-rollback textarea").fill("refunds fail")
        await eyes.page.locator('#do-rollback button[type="submit"]').click()
        await expect(eyes.page.locator("#ledger")).to_contain_text("anna rolled back: refunds fail")
        eyes.content()


async def test_charts_are_drawn_with_a_cursor_and_the_servers_picture_steps_back(browser: Browser) -> None:
    async with served([scene("rolled_back")]) as status:
        eyes = await look(browser, status)
        await expect(eyes.page.locator(".uplot canvas")).to_have_count(3)
        assert await eyes.page.locator("svg.chart:visible").count() == 0
        await eyes.page.locator(".uplot .u-over").first.hover()
        await expect(eyes.page.locator("figcaption .at").first).to_contain_text("canary")
        eyes.content()


async def test_charts_grow_with_the_windows_without_being_drawn_anew(browser: Browser) -> None:
    held = scene("collecting")
    async with served([held]) as status:
        eyes = await look(browser, status)
        await eyes.live()
        await expect(eyes.page.locator(".uplot canvas")).to_have_count(3)
        await eyes.page.evaluate(
            "document.querySelectorAll('.uplot canvas').forEach((canvas) => { canvas.same = true; })"
        )
        before = len(held.records)
        held.telemetry([Span(1_320, 1_350, 2, 0.1)])
        await status.put(Scene(records=held.records[before:]))
        await expect(eyes.page.locator("#facts")).to_contain_text("data complete to 03:15:30")
        await expect(eyes.page.locator(".uplot canvas")).to_have_count(3)
        assert await eyes.page.evaluate(
            "[...document.querySelectorAll('.uplot canvas')].every((canvas) => canvas.same)"
        )
        assert await eyes.page.locator("svg.chart:visible").count() == 0
        eyes.content()


async def test_without_script_the_pictures_are_the_servers_and_nothing_claims_to_be_live(browser: Browser) -> None:
    async with served([scene("rolled_back")]) as status:
        eyes = await look(browser, status, java_script_enabled=False)
        assert await eyes.page.locator("svg.chart:visible").count() == 3
        await expect(eyes.page.locator("[data-live]")).to_contain_text("reload for newer")
        await expect(eyes.page.locator(".lost")).to_be_hidden()


TOO_WIDE = """() => [...document.querySelectorAll("body *")]
  .filter((element) => !element.closest("svg svg, .plot, .chart, .vh, [popover]") && element.getBoundingClientRect().right > innerWidth + 1)
  .map((element) => `${element.tagName}.${element.className.baseVal ?? element.className}: ${element.textContent.slice(0, 40)}`)
  .slice(0, document.documentElement.scrollWidth > innerWidth ? 9 : 0)"""
"""What sticks out, where the page can be scrolled sideways."""


LONGEST = "w" * 40
"""No service's name is wider."""


async def test_no_state_is_wider_than_a_phone_or_complains(browser: Browser) -> None:
    for name in get_args(Name):
        async with served([scene(name, LONGEST)]) as status:
            page = f"/rollouts/{LONGEST}"
            for path in (page, "/") if name == "rolled_back" else (page,):
                eyes = await look(browser, status, path, width=360)
                await eyes.live()
                wide = await eyes.page.evaluate(TOO_WIDE)
                assert wide == [], (name, path)
                eyes.content()
                await eyes.page.close()


def violations(found: Any) -> list[str]:
    return [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in found.response["violations"]]


@pytest.mark.parametrize(("theme", "width"), [("dark", 1280), ("light", 360)])
async def test_axe_finds_nothing(browser: Browser, theme: Any, width: int) -> None:
    states: tuple[Name, ...] = ("rolled_back", "collecting", "no_data", "promoted")
    for name in states:
        async with served([scene(name)]) as status:
            for path in (PAGE, "/") if name == "rolled_back" else (PAGE,):
                eyes = await look(browser, status, path, width=width, color_scheme=theme)
                await eyes.live()
                assert violations(await Axe().run(eyes.page)) == [], (name, path)
                await eyes.page.close()


async def test_axe_finds_nothing_in_a_dialog_at_the_login_and_when_stale(browser: Browser) -> None:
    async with served([scene("collecting")]) as status:
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await page.clock.install()
        await page.goto(status.url + PAGE)
        await page.locator("#ask-rollback").click()
        assert violations(await Axe().run(page)) == []
        await page.keyboard.press("Escape")
        status.log.away_s = 60.0
        await page.clock.fast_forward(16_000)
        await expect(page.locator("html")).to_have_attribute("data-stale", "")
        assert violations(await Axe().run(page)) == []
    async with served([scene("new")], tokens=(ANNA,)) as status:
        eyes = await look(browser, status)
        assert violations(await Axe().run(eyes.page)) == []


async def test_the_list_is_live_and_leads_to_the_service(browser: Browser) -> None:
    held = scene("collecting")
    async with served([held]) as status:
        eyes = await look(browser, status, "/")
        await eyes.live()
        await expect(eyes.page.locator(".tally")).to_contain_text("1 collecting")
        await roll_back(status, held)
        await expect(eyes.page.locator(".tally")).to_contain_text("1 rolled back")
        await expect(eyes.page.locator(".list tbody tr")).to_contain_text("back on v8")
        await eyes.page.get_by_role("link", name=SERVICE).click()
        await expect(eyes.page.locator("h1")).to_have_text("Rolled back")
        eyes.content()


async def test_every_button_is_reached_by_tab(browser: Browser) -> None:
    async with served([scene("collecting")]) as status:
        eyes = await look(browser, status)
        await eyes.live()
        reached = set()
        for _ in range(12):
            await eyes.page.keyboard.press("Tab")
            reached.add(await eyes.page.evaluate("document.activeElement.id"))
        assert {"ask-hold", "ask-promote", "ask-rollback"} <= reached
