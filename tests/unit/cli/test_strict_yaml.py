"""What stands twice in a file of a person's is refused with its line."""

from pathlib import Path

import pytest
import typer
import yaml

from cli.judge_files import parsed
from cli.strict_yaml import read_yaml
from cli.terminal import load


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("alpha: 0.05\nalpha: 0.1\n", "alpha stands twice: leave one of them out\n.*line 2, column 1"),
        ("checks:\n  tools: off\n  tools: {within: 2pp}\n", "tools stands twice.*\n.*line 3, column 3"),
        ("stages: [{share: 1%, for: 1m, share: 2%}]", "share stands twice"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(yaml.YAMLError, match=words):
        read_yaml(text)


def test_what_is_taken_from_an_anchor_may_be_written_again() -> None:
    text = "usual: &usual {share: 1%, for: 1m}\nstages: [{<<: *usual, for: 5m}, {<<: *usual, share: 2%}]\n"
    assert read_yaml(text)["stages"] == [{"share": "1%", "for": "5m"}, {"for": "1m", "share": "2%"}]


def test_keys_that_are_spelled_alike_and_differ_stand_beside_each_other() -> None:
    assert read_yaml("{1: a, '1': b}") == {1: "a", "1": "b"}


def test_what_was_taken_from_anchors_may_be_an_anchor_itself() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: [*b, *a], z: 3}\n"
    assert read_yaml(text)["c"] == {"x": 2, "y": 1, "z": 3}


def test_so_are_plans_of_every_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("canary: v2\ncanary: v3\n", encoding="utf-8")
    with pytest.raises(typer.Exit):
        load(file)
    assert "canary stands twice" in capsys.readouterr().err
    with pytest.raises(ValueError, match="neither JSON nor YAML: canary stands twice"):
        parsed(file.read_text(encoding="utf-8"))


def test_what_is_named_again_and_again_is_read_once() -> None:
    lines = ["a0: &a0 [1, 2]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40))]
    assert len(read_yaml("\n".join(lines))) == 40


def test_what_is_named_often_on_one_level_is_read_once() -> None:
    """Each level would be nine times as long as the one before."""
    lines = ["a0: &a0 {x: [1, 2]}", *(f"a{i}: &a{i} {{x: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 40))]
    assert read_yaml("\n".join(lines))["a39"]["x"][0]["x"]


def test_an_endless_plan_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("checks: " + "[" * 3_000 + "]" * 3_000, encoding="utf-8")
    with pytest.raises(typer.Exit):
        load(file)
    assert "nested more than 100 deep" in capsys.readouterr().err


def test_what_is_no_yaml_is_told_with_its_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("service: orders\nstages: [", encoding="utf-8")
    with pytest.raises(typer.Exit):
        load(file)
    assert 'in "plan.yaml", line 2, column 10' in capsys.readouterr().err
    with pytest.raises(ValueError, match='in "the document", line 2'):
        parsed(file.read_text(encoding="utf-8"))
