"""A tethered program is the program itself, and it dies with the process that started it."""

import os
import socket
import subprocess
import sys

import pytest

from transport.tether import tethered

linux = pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")

CALL = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); s.sendall(b'!'); s.recv(1)"
"""Says that it lives, then lives as long as its connection: the end of one is the end of the other."""

PARENT = """
import subprocess, sys
from transport.tether import tethered
subprocess.run(tethered([sys.executable, "-c", *sys.argv[1:]]))
"""


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(tethered(argv), capture_output=True, text=True, check=False)


def test_the_program_gets_its_arguments_and_its_streams_and_exit_code_are_its_own() -> None:
    done = run(sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.stderr.write('!'); sys.exit(3)", "a b", "-c")
    assert (done.returncode, done.stdout, done.stderr) == (3, "['a b', '-c']\n", "!")


def test_the_program_keeps_the_process_it_was_started_in() -> None:
    with subprocess.Popen(
        tethered([sys.executable, "-c", "import os; print(os.getpid())"]), stdout=subprocess.PIPE, text=True
    ) as process:
        told, _ = process.communicate()
    assert int(told) == process.pid


@linux
def test_a_program_that_is_not_there_exits_127_and_says_so() -> None:
    done = run("/no/such/program", "x")
    assert (done.returncode, done.stderr) == (127, "/no/such/program: No such file or directory\n")


@linux
def test_a_program_whose_parent_has_gone_already_is_not_started() -> None:
    command = tethered([sys.executable, "-c", "print('started')"])
    command[command.index(str(os.getpid()))] = "1" if os.getpid() != 1 else "2"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (127, "")


@linux
def test_a_program_is_killed_when_its_parent_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        parent = subprocess.Popen([sys.executable, "-c", PARENT, CALL, str(server.getsockname()[1])])
        connection, _ = server.accept()
        with connection, parent:
            connection.settimeout(30)
            assert connection.recv(1) == b"!"
            parent.kill()
            assert connection.recv(1) == b""


def test_elsewhere_than_on_linux_the_command_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert tethered(("program", "x")) == ["program", "x"]
