"""What other people wrote and we serve."""

import hashlib
import re

from status.pages import STATIC

VENDOR = STATIC / "vendor"


def test_vendored_files_are_what_their_readme_says() -> None:
    listed = dict(re.findall(r"^\| `([^`]+)` .*`([0-9a-f]{64})`", (VENDOR / "README.md").read_text(), re.MULTILINE))
    files = {file.name for file in VENDOR.iterdir()} - {"README.md", "uPlot-LICENSE"}
    assert files == set(listed)
    for name, digest in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest


def test_our_own_stays_within_its_budget_and_asks_nobody_else() -> None:
    lines = {file.name: len(file.read_text().splitlines()) for file in STATIC.iterdir() if file.is_file()}
    assert sum(n for name, n in lines.items() if name.endswith(".js")) <= 400
    assert sum(n for name, n in lines.items() if name.endswith(".css")) <= 300
    for file in STATIC.glob("*.*s"):
        assert "http://" not in file.read_text()
        assert "https://" not in file.read_text()
