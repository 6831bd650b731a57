"""Write the pictures of docs/screenshots from constructed rollouts: `make screenshots`.

With `--all FOLDER` every state, at two widths, light and dark.
"""

import argparse
import asyncio
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from playwright.async_api import Browser, async_playwright  # noqa: E402 - the path comes first

from tests.page_server import served  # noqa: E402
from tests.page_states import SCENES, SERVICE, Name, scene  # noqa: E402
from transport.clock import FakeClock  # noqa: E402

DOCUMENTED: list[tuple[Name, int, str]] = [
    ("rolled_back", 1280, "light"),
    ("collecting", 1280, "dark"),
    ("rolled_back", 390, "light"),
]


async def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", type=Path, help="every state, into this folder")
    parser.add_argument("--script", action="store_true", help="with script: charts by uPlot")
    args = parser.parse_args()
    folder = args.all or ROOT / "docs" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    everything = [(name, width, theme) for name in SCENES for width in (1280, 360) for theme in ("light", "dark")]
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, width, theme in everything if args.all else DOCUMENTED:
            await picture(browser, name, width, theme, folder / f"{name}-{width}-{theme}.png", script=args.script)
        await browser.close()


async def picture(browser: Browser, name: Name, width: int, theme: Any, file: Path, *, script: bool) -> None:
    """One state."""
    held = scene(name)
    async with served([held], clock=FakeClock(held.now_ms)) as status:
        page = await browser.new_page(
            viewport={"width": width, "height": 800}, color_scheme=theme, java_script_enabled=script
        )
        await page.goto(f"{status.url}/rollouts/{SERVICE}", wait_until="load")
        if script:
            await page.wait_for_selector("[data-live]:has-text('live ·')")
            await page.wait_for_timeout(800)
        await page.screenshot(path=file, full_page=True)
        await page.close()


if __name__ == "__main__":
    asyncio.run(main())
