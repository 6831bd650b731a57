"""Completion in a real bash; zsh and fish by what their scripts ask the command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.completion import services
from cli.main import app

PROGRAM = Path(sys.executable).with_name("davylamp")
TABBED = """
source {script}
complete -p davylamp >/dev/null || exit 9
tab() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _davylamp_completion davylamp; echo "${{COMPREPLY[*]}}"; }}
tab davylamp roll
tab davylamp rollback orders --mode e
"""


def script(shell: str) -> str:
    shown = CliRunner().invoke(app, ["completion", shell])
    assert shown.exit_code == 0
    return shown.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_and_modes(tmp_path: Path) -> None:
    file = tmp_path / "davylamp.bash"
    file.write_text(script("bash"), encoding="utf-8")
    environment = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}
    command = ["bash", "--norc", "-c", TABBED.format(script=file)]
    got = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert got.stdout.splitlines() == ["rollback", "evict"]


@pytest.mark.parametrize(
    ("shell", "asks"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "davylamp und"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "davylamp und", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_other_shells_are_answered_what_their_scripts_ask(shell: str, asks: dict[str, str]) -> None:
    assert all(variable in script(shell) for variable in (*asks, f"_DAVYLAMP_COMPLETE=complete_{shell}"))
    environment = {**asks, "_DAVYLAMP_COMPLETE": f"complete_{shell}"}
    got = CliRunner().invoke(app, [], env=environment, prog_name="davylamp")
    assert "undo" in got.output
    assert "rollback" not in got.output


def test_a_shell_that_is_unknown_is_wrong_usage() -> None:
    got = CliRunner().invoke(app, ["completion", "tcsh"])
    assert got.exit_code == 2
    assert got.stderr == "tcsh is no shell that is known; known are bash, zsh, fish.\n"


def test_without_an_api_no_service_is_offered_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAVYLAMP_URL", "http://127.0.0.1:9")
    assert services("or") == []
