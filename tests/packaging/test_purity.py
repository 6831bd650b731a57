"""What says of itself that it is pure is held to it by the import contract."""

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "transport", "streams", "judge", "router", "alerts", "status", "cli", "sdk/src/davylamp_sdk")
PURE = re.compile(r"\bPure\b(?! but)")


def contract() -> set[str]:
    """The modules, and packages, of the contract."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    return {name for found in told if "pure cores" in found["name"] for name in found["source_modules"]}


def claimed() -> set[str]:
    """The modules whose docstring says so."""
    files = {file for room in ROOMS for file in (ROOT / room).rglob("*.py")}
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removeprefix("sdk.src.").removesuffix(".__init__")
        for file in files
        if PURE.search(ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "")
    }


def test_whatever_calls_itself_pure_is_in_the_contract() -> None:
    held = contract()
    unheld = [name for name in claimed() if not any(name == h or name.startswith(f"{h}.") for h in held)]
    assert len(claimed()) > 100
    assert sorted(unheld) == []
