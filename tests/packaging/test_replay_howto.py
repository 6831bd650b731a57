"""The page about replays shows what the commands print over the recordings that lie beside it: goldens of both."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from davylamp_sdk import __version__

ROOT = Path(__file__).parents[2]
RECORDINGS = sorted((ROOT / "examples" / "recordings").glob("*.gz"))
PAGE = (ROOT / "docs" / "howto" / "ask-what-would-have-happened.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```sh\ndavylamp ([^\n]*)\n```\n\n```text\n(.*?)\n```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("command", "printed"), SHOWN, ids=[command for command, _ in SHOWN])
def test_a_command_prints_what_the_page_shows(command: str, printed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    got = CliRunner().invoke(app, command.split())
    assert got.exit_code == 0, got.output
    assert got.stdout.rstrip().replace(f", replayed by {__version__}", "") == printed


def test_the_page_asks_about_both_recordings_in_every_way() -> None:
    commands = "\n".join(command for command, _ in SHOWN)
    assert [file.name for file in RECORDINGS] == ["healthy.jsonl.gz", "regression.jsonl.gz"]
    for words in ("--plan", "--policy kayenta", "--policy threshold", *(file.name for file in RECORDINGS)):
        assert words in commands


@pytest.mark.parametrize("file", RECORDINGS, ids=lambda file: file.name)
def test_every_entry_of_a_recording_of_the_real_demo_is_the_same_to_the_byte(file: Path) -> None:
    assert file.stat().st_size < 300_000
    got = CliRunner().invoke(app, ["replay", str(file)])
    assert got.exit_code == 0, got.output
    same = got.stdout.splitlines()[-1]
    assert re.fullmatch(r"same (\d) of \1, byte for byte(| but for what was added .*)", same), same
