"""Ctrl-C before a command has begun."""

import os
import signal
import subprocess
import sys

import pytest

_STOPPED_AT = """
import os, signal, sys
class Stopped:
    def find_spec(self, name, *_):
        if name == {late!r}:
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, {handler})
sys.meta_path.insert(0, Stopped())
from cli import entrance
{call}
"""
"""A process that is told to stop when it comes to import a module."""


def stopped_at(late: str, call: str, handler: str = "signal.default_int_handler") -> subprocess.CompletedProcess[str]:
    script = _STOPPED_AT.format(late=late, call=call, handler=handler)
    return subprocess.run([sys.executable, "-c", script, "--version"], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("late", "call"), [("typer", "entrance.main()"), ("router", "entrance.serve('router.__main__')")]
)
def test_who_is_told_to_stop_while_it_imports_ends_in_silence(late: str, call: str) -> None:
    done = stopped_at(late, call)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")  # 130 in a shell


def test_a_command_line_that_is_to_hear_no_interrupt_hears_none_while_it_imports_either() -> None:
    done = stopped_at("typer", "entrance.main()", "signal.SIG_IGN")
    assert (done.returncode, done.stdout.startswith("davylamp "), done.stderr) == (0, True, "")


def test_a_service_that_is_told_to_stop_before_it_listens_for_that_ends_in_silence() -> None:
    call = "import types; entrance.importlib.import_module = lambda _: types.SimpleNamespace(main=lambda: __import__('late'))"
    done = stopped_at("late", f"{call}; entrance.serve('any')")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_terminal_that_cannot_write_a_glyph_gets_the_words() -> None:
    fake = (
        "import sys, types; sys.modules['cli.main'] = types.SimpleNamespace(app=lambda: print('✔ completed, größer'))"
    )
    script = f"{fake}\nfrom cli import entrance\nentrance.main()"
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stdout.decode("latin-1"), done.stderr) == (0, "? completed, größer\n", b"")
