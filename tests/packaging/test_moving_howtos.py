"""The pages for those who come from elsewhere: every file on them is written, every judgement run, every exit code true."""

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from tests.unit.judge.policies.made_windows import constant

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
PAGES = ("from-kayenta.md", "from-flagger-and-argo.md")
RUN_HERE = re.compile(r"^davylamp ((?:judge|kayenta) .*?)(?:  # exits with (\d))?$", re.MULTILINE)


def text(page: str) -> str:
    return (HOWTO / page).read_text(encoding="utf-8")


def files(page: str) -> dict[str, str]:
    """The blocks that a sentence before them names as a file."""
    return dict(
        re.findall(
            r"`([\w-]+\.(?:json|yaml))`[^`\n]*:\n\n```(?:json|yaml)\n(.*?)^```", text(page), re.DOTALL | re.MULTILINE
        )
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every file of both pages, a canary config, and the windows of an outage."""
    for page in PAGES:
        for name, content in files(page).items():
            (tmp_path / name).write_text(content)
    config = json.loads((tmp_path / "judge.json").read_text())["config"]
    (tmp_path / "canary-config.json").write_text(json.dumps(config))
    windows = "".join(window.dump().decode() + "\n" for window in constant(120, (99, 1), (5, 5)))
    (tmp_path / "windows.jsonl").write_text(windows)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("page", "command", "code"), [(page, *found) for page in PAGES for found in RUN_HERE.findall(text(page))]
)
def test_a_command_ends_as_the_page_says(page: str, command: str, code: str, folder: Path) -> None:
    words, _, target = command.partition(" > ")
    arguments = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', words)]
    got = CliRunner().invoke(app, arguments)
    assert got.exit_code == int(code or 0), got.output
    if target:
        (folder / target).write_text(got.stdout)
        assert CliRunner().invoke(app, ["check", target]).exit_code == 0


def test_the_pages_show_the_files_that_they_name() -> None:
    assert [*files("from-kayenta.md")] == ["judge.json"]
    assert [*files("from-flagger-and-argo.md")] == ["flagger.yaml", "argo.yaml", "rule.yaml", "plan.yaml"]


def test_a_sentence_about_ticks_is_what_the_example_does(folder: Path) -> None:
    told = json.loads(CliRunner().invoke(app, ["judge", "--policy", "threshold", "flagger.yaml"]).stdout)
    assert [tick["action"] for tick in told["ticks"]] == [
        "started",
        "advanced",
        "halted",
        "advanced",
        "halted",
        "rolled_back",
    ]


def test_a_weaker_word_for_rare_errors_is_in_the_golden_cases() -> None:
    """More errors, better verdict; the same numbers in another unit, another verdict."""
    golden = json.loads((HOWTO.parents[1] / "tests/golden/kayenta/05-metric-edge.json").read_text())["cases"]
    labels = {
        case["id"][:7]: case["expected"]["results"][0]["classification"]
        for case in golden
        if case["id"][:7] in {"edge-84", "edge-85", "edge-86", "edge-87"}
    }
    assert labels == {"edge-84": "High", "edge-85": "Pass", "edge-86": "Pass", "edge-87": "High"}


def test_kayentas_own_settings_are_those_that_it_reads() -> None:
    (block,) = re.findall(r"```yml\n(.*?)```", text("from-kayenta.md"), re.DOTALL)
    assert yaml.safe_load(block)["kayenta"]["remote-judge"]["endpoint"]["baseUrl"].startswith("http://")
