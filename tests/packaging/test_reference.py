"""The reference pages are what the code says now."""

import pytest

from cli.reference import FOLDER, pages

PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_committed_page_is_the_one_the_code_writes(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name], "run `make reference`"


def test_defaults_are_told_as_people_write_them() -> None:
    assert "| `blind_after` | `10m` | `2m` |" in PAGES["plan.md"]
    assert "| `within` | `0.5pp` | `1pp` |" in PAGES["plan.md"]
    assert "| `observe` | boolean | `false` |" in PAGES["plan.md"]


def test_every_command_of_the_readme_is_there() -> None:
    for command in ("up", "start", "status", "rollback", "verify", "service apply", "kafka acls"):
        assert f"## davylamp {command}\n" in PAGES["cli.md"]
