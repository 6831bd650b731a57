"""A stranger's path: a fresh clone, and the quickstart typed as it stands, on its default ports. `make acceptance`."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/quickstart.md").read_text(encoding="utf-8")
BLOCKS = [text.strip().splitlines() for text in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)]
INSTALL, UP, BASELINE, CANARY, ENVOY, CLIENTS, BAD, WHY, GOOD, BACK = BLOCKS
PORTS = (9092, 18000, 8642, 10000, 8001, 8002)
LISTENS = {"up": 8642, "v1": 8001, "v2": 8002, "envoy": 10000}

ROLLED_BACK = 3


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is committed, and nothing else."""
    taken = [port for port in PORTS if listens(port)]
    if taken:
        pytest.skip(f"the quickstart's ports {taken} are taken on this machine")
    folder = tmp_path_factory.mktemp("stranger") / "davylamp"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return folder


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def typed(command: str, folder: Path, timeout_s: float = 180) -> subprocess.CompletedProcess[str]:
    """What a person types, with what it printed."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "UV_", "DAVYLAMP"))
    }
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=clean, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    sys.stdout.write(f"$ {command}\n{done.stdout}{done.stderr}\n")
    return done


@contextlib.contextmanager
def terminals(folder: Path) -> Iterator[None]:
    """Everything that goes on running, each in its terminal, until Ctrl-C."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for name, block in {"up": UP, "v1": BASELINE, "v2": CANARY, "envoy": ENVOY, "clients": CLIENTS}.items():
            with (folder / f"{name}.out").open("wb") as out:
                command = ["bash", "-c", f"exec {block[0]}"]
                running.append(subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, start_new_session=True))
            if name != "envoy":  # it has no route to listen for before a service is known
                await_listening(LISTENS.get(name), folder / f"{name}.out")
        yield
    finally:
        for process in reversed(running):
            process.send_signal(signal.SIGINT)
        for process in reversed(running):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def await_listening(port: int | None, out: Path) -> None:
    end = time.monotonic() + 90
    while port is not None and not listens(port):
        assert time.monotonic() < end, out.read_text(encoding="utf-8")
        time.sleep(0.2)


def test_the_quickstart_does_what_it_says(clone: Path) -> None:
    assert typed(INSTALL[0], clone, 600).returncode == 0
    with terminals(clone):
        apply, start, broken, watch = BAD
        for command in (apply, start):
            assert eventually(command, clone).returncode == 0
        assert typed(broken, clone).returncode == 0
        assert typed(watch, clone).returncode == ROLLED_BACK
        explained, alerts = (eventually(command, clone) for command in WHY)
        assert "rolled back" in explained.stdout.lower()
        assert "Error rate" in explained.stdout
        assert "rollback" in alerts.stdout
        for command in GOOD:
            assert eventually(command, clone).returncode == 0
        undo, verify = (eventually(command, clone) for command in BACK)
        assert undo.returncode == 0
        assert verify.returncode == 0
        assert "differs" not in verify.stdout
        history = typed(".venv/bin/davylamp history orders", clone).stdout
    kinds = re.findall(r"\b(start|proceed|complete|rollback)\b", history)
    assert [k for k in ("start", "rollback", "complete") if k in kinds] == ["start", "rollback", "complete"]
    assert all(not listens(port) for port in PORTS)


def eventually(command: str, folder: Path, patience_s: float = 30) -> subprocess.CompletedProcess[str]:
    """A person tries again for a while: services need a moment to start, and an alert to arrive."""
    end = time.monotonic() + patience_s
    while (done := typed(command, folder)).returncode != 0 and time.monotonic() < end:
        time.sleep(1)
    return done
