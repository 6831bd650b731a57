"""Sections of the performance page: each is replaced by its own command and by nothing else."""

from pathlib import Path

from bench.report import write_section


def test_a_section_is_written_beside_the_others_and_replaced_in_its_place(tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    write_section("One", "python -m one", "first\n\n| a |", file)
    write_section("Two", "python -m two", "second", file)
    write_section("One", "python -m one", "third", file)
    told = file.read_text()
    assert told.startswith("# Performance\n")
    assert told.index("## One") < told.index("third") < told.index("## Two") < told.index("second")
    assert "first" not in told
    assert "`python -m one`" in told
    assert told.endswith("second\n")
