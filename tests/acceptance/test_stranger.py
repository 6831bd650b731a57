"""A stranger's path: a fresh clone, and the quickstart typed as it stands, on its default ports. `make acceptance`."""

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from demo.traffic import Seen, session
from schemas.decisions import LedgerEntry
from tests.webhook import webhook

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/quickstart.md").read_text(encoding="utf-8")
BLOCKS = [text.strip().splitlines() for text in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)]
INSTALL, UP, BASELINE, CANARY, ENVOY, CLIENTS, BAD, WHY, GOOD, BACK = BLOCKS
PORTS = (9092, 18000, 8642, 10000, 8001, 8002)
LISTENS = {"up": 8642, "v1": 8001, "v2": 8002, "envoy": 10000}

MCP = "http://127.0.0.1:10000/mcp"
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
def terminals(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Everything that goes on running, each in its terminal, until Ctrl-C."""
    running: list[subprocess.Popen[bytes]] = []
    env = {**os.environ, **environment}
    try:
        for name, block in {"up": UP, "v1": BASELINE, "v2": CANARY, "envoy": ENVOY, "clients": CLIENTS}.items():
            with (folder / f"{name}.out").open("wb") as out:
                command = ["bash", "-c", f"exec {block[0]}"]
                running.append(
                    subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=out, start_new_session=True)
                )
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


def answering(sessions: int = 8) -> Counter[str]:
    """Which versions new sessions meet now; each makes one call."""

    async def ask() -> Counter[str]:
        seen, stop = Seen(), asyncio.Event()
        stop.set()
        for seed in range(sessions):
            await session(MCP, seen, random.Random(seed), stop=stop)
        return seen.sessions

    return asyncio.run(ask())


def history(folder: Path) -> list[LedgerEntry]:
    told = typed(".venv/bin/davylamp history orders --json", folder).stdout
    return [LedgerEntry.model_validate(entry, extra="ignore") for entry in json.loads(told)]


def test_the_quickstart_does_what_it_says(clone: Path) -> None:
    assert typed(INSTALL[0], clone, 600).returncode == 0
    with webhook() as (url, pages), terminals(clone, {"DAVYLAMP_ALERTS_RECEIVERS": json.dumps([{"url": url}])}):
        apply, start, broken, watch = BAD
        for command in (apply, start):
            assert eventually(command, clone).returncode == 0
        assert typed(broken, clone).returncode == 0
        assert typed(watch, clone).returncode == ROLLED_BACK
        explained, alerts = (eventually(command, clone) for command in WHY)
        assert "rolled back" in explained.stdout.lower()
        assert "Error rate" in explained.stdout
        assert "rollback" in alerts.stdout
        until(
            lambda: any(page["title"].endswith("orders: rolled back") for page in pages), f"nobody was paged: {pages}"
        )
        page = next(page for page in pages if page["title"].endswith("orders: rolled back"))
        back = history(clone)[-1]
        assert back.reason.sentence in page["message"]
        assert "davylamp history orders" in page["message"]
        for command in GOOD:
            assert eventually(command, clone).returncode == 0
        until(lambda: set(answering()) == {"v2"}, "a promoted version does not serve everybody")
        undo, verify = (eventually(command, clone) for command in BACK)
        assert undo.returncode == 0
        assert verify.returncode == 0
        assert "differs" not in verify.stdout
        until(lambda: set(answering()) == {"v1"}, "what was undone still serves new sessions")
        until(lambda: any("release undone" in page["title"] for page in pages), f"nobody heard of the undo: {pages}")
        entries = history(clone)
    told = [(entry.rollout, entry.kind) for entry in without_pauses(entries)]
    assert told == [(1, "start"), (1, "rollback"), (2, "start"), (2, "proceed"), (2, "complete"), (2, "rollback")]
    assert entries[-1].share == 0
    assert "not today" in entries[-1].reason.sentence
    assert all(not listens(port) for port in PORTS)


def without_pauses(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Without the judge's holds that ended by themselves: on a machine that is busy, windows close late."""
    before = [None, *(entry.kind for entry in entries)]
    for entry, last in zip(entries, before, strict=False):
        assert (entry.kind == "resume") == (last == "hold"), "what held is resumed before anything else happens"
        assert entry.kind not in ("hold", "resume") or entry.actor == "judge"
    return [entry for entry in entries if entry.kind not in ("hold", "resume")]


def until(holds: Callable[[], bool], otherwise: str, patience_s: float = 30) -> None:
    end = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < end, otherwise
        time.sleep(0.5)


def eventually(command: str, folder: Path, patience_s: float = 30) -> subprocess.CompletedProcess[str]:
    """A person tries again for a while: services need a moment to start, and an alert to arrive."""
    end = time.monotonic() + patience_s
    while (done := typed(command, folder)).returncode != 0 and time.monotonic() < end:
        time.sleep(1)
    return done
