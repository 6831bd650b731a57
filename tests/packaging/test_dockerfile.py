"""Dockerfile: what can be known of it without a daemon. It is not built here."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
INSTRUCTIONS = [line.split(" ", 1) for line in TEXT.splitlines() if line.strip() and not line.startswith(("#", " "))]


def said(instruction: str) -> list[str]:
    return [rest for name, rest in INSTRUCTIONS if name == instruction]


def test_the_compiler_stays_in_the_first_stage() -> None:
    first, second = re.split(r"^FROM ", TEXT, flags=re.MULTILINE)[1:]
    assert "gcc" in first
    assert "gcc" not in second
    assert "COPY --from=build /opt/davylamp /opt/davylamp" in second


def test_whoever_runs_it_is_not_root() -> None:
    assert said("USER") == ["10001"]


def test_everything_that_the_wheel_is_made_of_is_copied() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    rooms = {name.split("/")[0] for name in packages["wheel"]["packages"]}
    copied = {word.removeprefix("./") for rest in said("COPY") for word in rest.split()[:-1]}
    assert rooms <= copied
    assert {"pyproject.toml", "uv.lock", "README.md", "LICENSE"} <= copied
    assert all((ROOT / name).exists() for name in copied if not name.startswith(("-", "/")))
