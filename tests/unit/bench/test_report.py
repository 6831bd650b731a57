"""Sections of the performance page: each is replaced by its own command and by nothing else."""

from pathlib import Path

from bench.report import write_section


def test_a_section_is_written_beside_the_others_and_replaced_in_its_place(tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    write_section("One", "python -m one", "alpha\n\n| a |", file)
    write_section("Two", "python -m two", "beta", file)
    write_section("One", "python -m one", "gamma", file)
    told = file.read_text()
    assert told.startswith("# Performance\n")
    assert told.index("## One") < told.index("gamma") < told.index("## Two") < told.index("beta")
    assert "alpha" not in told
    assert "`python -m one`" in told
    assert told.endswith("beta\n")
