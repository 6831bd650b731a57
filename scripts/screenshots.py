"""Write the pictures of docs/screenshots from constructed rollouts: `make screenshots`.

With `--all FOLDER` every state, at two widths, light and dark. Inter stands in for the reader's system font.
"""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from playwright.async_api import Browser, async_playwright  # noqa: E402 - the path comes first

from tests.page_server import served  # noqa: E402
from tests.page_states import SCENES, SERVICE, Name, Scene, scene  # noqa: E402
from transport.clock import FakeClock  # noqa: E402

DOCUMENTED: list[tuple[Name, int, str]] = [
    ("rolled_back", 1280, "light"),
    ("collecting", 1280, "dark"),
    ("rolled_back", 390, "light"),
]
PHONE = 400
"""A phone shows its first screen: the bar of actions stays at its foot."""
LISTED: list[tuple[Name, str]] = [
    ("rolled_back", "billing-mcp"),
    ("no_data", "tickets-mcp"),
    ("held", "files-mcp"),
    ("collecting", "search-tools"),
    ("pending", "crm-mcp"),
    ("promoted", "maps-mcp"),
]

_FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include>/etc/fonts/fonts.conf</include>
<match target="pattern"><test name="family"><string>system-ui</string></test>
<edit name="family" mode="assign" binding="strong"><string>Inter</string></edit></match>
<match target="pattern"><test name="family"><string>sans</string></test>
<edit name="family" mode="assign" binding="strong"><string>Inter</string></edit></match>
<match target="pattern"><test name="family"><string>sans-serif</string></test>
<edit name="family" mode="assign" binding="strong"><string>Inter</string></edit></match></fontconfig>"""


async def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", type=Path, help="every state, into this folder")
    folder = parser.parse_args().all
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium: apt-get install chromium fonts-inter")
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as fonts:
        fonts.write(_FONTS)
        fonts.flush()
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox"], env={**os.environ, "FONTCONFIG_FILE": fonts.name}
            )
            await pictures(browser, folder)
            await browser.close()


async def pictures(browser: Browser, everything: Path | None) -> None:
    """All of them, or those that the documentation shows."""
    folder = everything or ROOT / "docs" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    combinations = [(name, width, theme) for name in SCENES for width in (1280, 360) for theme in ("light", "dark")]
    for name, width, theme in combinations if everything else DOCUMENTED:
        held = [scene(name)]
        await picture(browser, held, f"/rollouts/{SERVICE}", width, theme, folder / f"{name}-{width}-{theme}.png")
    now_ms = scene("collecting").now_ms
    listed = [scene(name, service, now_ms=now_ms) for name, service in LISTED]
    await picture(browser, listed, "/", 1280, "light", folder / "list-1280-light.png")


async def picture(browser: Browser, held: list[Scene], path: str, width: int, theme: Any, file: Path) -> None:
    """One page."""
    async with served(held, clock=FakeClock(held[0].now_ms)) as status:
        page = await browser.new_page(viewport={"width": width, "height": 844}, color_scheme=theme)
        await page.goto(status.url + path, wait_until="load")
        await page.wait_for_selector("[data-live]:has-text('live ·')")
        await page.wait_for_timeout(800)  # the charts are drawn
        await page.screenshot(path=file, full_page=width > PHONE)
        await page.close()


if __name__ == "__main__":
    asyncio.run(main())
