"""The reference pages are what the code says now."""

import re

import pytest
import yaml

from cli import terminal
from cli.reference import FOLDER, pages
from schemas.checks import SessionLoss

PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_committed_page_is_the_one_the_code_writes(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name], "run `make reference`"


def test_defaults_are_told_as_people_write_them() -> None:
    assert "| `blind_after` | `10m` | `2m` |" in PAGES["plan.md"]
    assert "| `within` | `0.5pp` | `1pp` |" in PAGES["plan.md"]
    assert "| `observe` | boolean | `false` |" in PAGES["plan.md"]
    assert "| `cancel_rate` | [RateCheck](#ratecheck) | as below; `enabled: false` |" in PAGES["plan.md"]
    assert "Default: 1% for 10m and 20 sessions, 10% for 30m" in PAGES["plan.md"]


def test_a_list_of_durations_is_told_in_a_form_that_a_plan_takes() -> None:
    (told,) = re.findall(r"^\| `ages` \| list of `10m` \| `(.+?)` \|", PAGES["plan.md"], re.MULTILINE)
    assert SessionLoss.model_validate({"ages": yaml.safe_load(told)}) == SessionLoss()


@pytest.mark.parametrize("name", ["plan.md", "settings.md"])
def test_everything_that_people_write_says_what_it_is(name: str) -> None:
    rows = [line for line in PAGES[name].splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert [row for row in rows if row.endswith("|  |")] == []


def test_every_exit_code_that_a_command_ends_with_is_explained() -> None:
    source = "\n".join(file.read_text(encoding="utf-8") for file in (FOLDER.parents[1] / "cli").glob("*.py"))
    named = {getattr(terminal, name) for name in re.findall(r"EXIT_[A-Z_]+", source)}
    written = {int(code) for code in re.findall(r"fail\(.*, (\d)\)", source)}
    assert named | written | {0} == set(terminal.EXITS)
    assert all(f"| `{code}` | {meaning} |" in PAGES["cli.md"] for code, meaning in terminal.EXITS.items())


def test_every_variable_that_an_option_takes_its_value_from_is_explained() -> None:
    for name in ("DAVYLAMP_URL", "DAVYLAMP_TOKEN", "DAVYLAMP_CONFIG"):
        assert f"| `{name}` | " in PAGES["cli.md"]
    assert "| `--kafka`, `--no-kafka` | `True` |" in PAGES["cli.md"]


def test_every_command_of_the_readme_is_there() -> None:
    for command in ("up", "start", "status", "rollback", "verify", "service apply", "kafka acls"):
        assert f"## davylamp {command}\n" in PAGES["cli.md"]
