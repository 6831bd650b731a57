"""Where figures go: `docs/performance.md`, one section a command, so that every number names what made it."""

import os
import platform
import re
from pathlib import Path

FILE = Path(__file__).parents[1] / "docs" / "performance.md"
_HEAD = """# Performance

Each section was written by the command it names. Machines are shared and noisy: compare ratios within a section, not
milliseconds between machines.
"""


def machine() -> str:
    """What it ran on, in a few words."""
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


def write_section(title: str, command: str, text: str, file: Path = FILE) -> None:
    """Put a section in, in place of the one of the same title."""
    told = file.read_text(encoding="utf-8") if file.exists() else _HEAD
    section = f"## {title}\n\n`{command}`\n\n{text.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    known = pattern.search(told) is not None
    told = pattern.sub(lambda _: section + "\n", told) if known else f"{told.rstrip()}\n\n{section}"
    file.write_text(told.rstrip() + "\n", encoding="utf-8")
