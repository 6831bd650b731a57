"""What the README tells a stranger to type exists."""

import re
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from cli.main import app
from schemas.plan import Plan

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\.venv/bin/davylamp (.*?)(?: {2,}#.*)?$", README, re.MULTILINE)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_its_python_runs(code: str) -> None:
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_exist_and_take_these_options(command: str) -> None:
    known = get_command(app)
    words = command.split()
    assert words[0] in getattr(known, "commands", {})
    shown = CliRunner().invoke(
        app, [w for w in words[:2] if w.isalpha() and w != "orders"] + ["--help"], env={"COLUMNS": "200"}
    )
    assert shown.exit_code == 0
    for option in re.findall(r"--[a-z]+", command):
        assert option in shown.output


@pytest.mark.parametrize("target", re.findall(r"`?make ([a-z]+)`?", README))
def test_its_make_targets_exist(target: str) -> None:
    assert f"\n{target}: " in MAKEFILE


@pytest.mark.parametrize(
    "link", re.findall(r"\]\(([^)h#][^)]*)\)", README) + re.findall(r"(examples/\S+\.yaml)", README)
)
def test_what_it_links_to_is_there(link: str) -> None:
    assert (ROOT / link).exists()


def test_the_example_plan_is_all_defaults_as_it_says() -> None:
    from cli.terminal import read_file

    written = read_file(Plan, ROOT / "examples/orders/plan.yaml")
    assert written == Plan(service="orders", canary="v2")
