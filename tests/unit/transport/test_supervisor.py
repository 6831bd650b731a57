"""The supervisor, on real processes that call in when they start and hang up when they end, however they end."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport import supervisor
from transport.supervisor import Backoff, Child, Supervisor

AT_ONCE = Backoff(first_s=0.001, longest_s=0.001)

CALLER = """
import os, signal, socket, sys
port, name, *flags = sys.argv[1:]
call = socket.create_connection(("127.0.0.1", int(port)))
def say(*words): call.sendall((" ".join(map(str, words)) + "\\n").encode())
for number in (signal.SIGINT, signal.SIGTERM):
    if "stubborn" in flags: signal.signal(number, signal.SIG_IGN)
    if "told" in flags: signal.signal(number, lambda n, _: (say(signal.Signals(n).name), sys.exit(0)))
if "parent" in flags:
    import subprocess
    subprocess.Popen([sys.executable, "-c", os.environ["CALLER"], port, name + "-child", "stubborn"])
say(name, os.getpid(), os.getpgid(0), os.environ.get("WORD", "-"))
while line := call.makefile().readline():
    sys.exit(int(line))
"""
"""Calls in, then exits with the code that it is sent."""

SUPERVISOR = """
import asyncio, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
from transport.supervisor import Child, Supervisor
async def run():
    async with Supervisor() as supervisor:
        for name in ("one", "two"):
            supervisor.add(Child(name, [sys.executable, "-c", *sys.argv[1:3], name, "told"]))
        await supervisor.wait()
asyncio.run(run())
"""


@dataclass(frozen=True)
class Call:
    """One life of a child."""

    name: str
    pid: int
    group: int
    word: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def exit(self, code: int) -> None:
        """Make it exit with `code`."""
        self.writer.write(b"%d\n" % code)

    async def last_words(self) -> str:
        """What it said until it hung up, which a process does when it ends, if not before."""
        try:
            return (await self.reader.read()).decode()
        except ConnectionResetError:  # it left something unread
            return ""


class Switchboard:
    """Where children call in."""

    def __init__(self) -> None:
        self._calls: asyncio.Queue[Call] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        name, pid, group, word = (await reader.readline()).decode().split()
        self._calls.put_nowait(Call(name, int(pid), int(group), word, reader, writer))

    async def call(self) -> Call:
        """The next child that starts."""
        return await self._calls.get()

    async def calls(self, count: int) -> dict[str, Call]:
        """The next `count` that start, by name."""
        return {call.name: call for call in [await self.call() for _ in range(count)]}

    def child(self, name: str, *flags: str, **options: Any) -> Child:
        return Child(name, [sys.executable, "-c", CALLER, str(self.port), name, *flags], **options)

    async def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()


@pytest.fixture
async def board() -> AsyncIterator[Switchboard]:
    board = Switchboard()
    server = await asyncio.start_server(board.answer, "127.0.0.1", 0)
    board.port = server.sockets[0].getsockname()[1]
    yield board
    await board.hang_up()
    server.close()
    await server.wait_closed()


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Every logged action with its child."""
    return [
        (record.__dict__["action"], record.__dict__["child"])
        for record in caplog.records
        if record.name == supervisor.__name__
    ]


async def test_a_child_that_ends_is_started_again_and_again(board: Switchboard) -> None:
    async with Supervisor(AT_ONCE) as supervised:
        supervised.add(board.child("streams"))
        lives = []
        for code in (0, 1, 0):
            lives.append(await board.call())
            lives[-1].exit(code)
        lives.append(await board.call())
    assert {life.name for life in lives} == {"streams"}
    assert len({life.pid for life in lives}) == 4


async def test_a_child_that_is_killed_is_started_again(board: Switchboard) -> None:
    async with Supervisor(AT_ONCE) as supervised:
        supervised.add(board.child("streams"))
        first = await board.call()
        os.kill(first.pid, signal.SIGKILL)
        second = await board.call()
        assert second.pid != first.pid


async def test_a_child_without_restart_runs_once_and_tells_its_exit_code(board: Switchboard) -> None:
    async with Supervisor(AT_ONCE) as supervised:
        code = supervised.add(board.child("job", restart=False))
        (await board.call()).exit(7)
        assert await code == 7
        await supervised.wait()


async def test_a_signal_is_a_negative_exit_code(board: Switchboard) -> None:
    async with Supervisor() as supervised:
        code = supervised.add(board.child("job", restart=False))
        os.kill((await board.call()).pid, signal.SIGKILL)
        assert await code == -signal.SIGKILL


async def test_one_childs_end_leaves_the_others_alone(board: Switchboard) -> None:
    async with Supervisor(AT_ONCE) as supervised:
        supervised.add(board.child("judge", "told"))
        supervised.add(board.child("job", restart=False))
        calls = await board.calls(2)
        calls["job"].exit(1)
        await calls["job"].last_words()
        os.kill(calls["judge"].pid, 0)
    assert await calls["judge"].last_words() == "SIGTERM\n"


async def test_leaving_the_block_ends_every_child(board: Switchboard) -> None:
    async with Supervisor() as supervised:
        for name in ("streams", "judge", "router"):
            supervised.add(board.child(name, "told"))
        calls = await board.calls(3)
    assert [await call.last_words() for call in calls.values()] == ["SIGTERM\n"] * 3
    for call in calls.values():
        with pytest.raises(ProcessLookupError):
            os.kill(call.pid, 0)


async def test_an_exception_in_the_block_ends_every_child(board: Switchboard) -> None:
    async def fail(supervised: Supervisor) -> Call:
        async with supervised:
            supervised.add(board.child("streams"))
            calls.append(await board.call())
            raise OSError("the block failed")

    calls: list[Call] = []
    with pytest.raises(OSError, match="the block failed"):
        await fail(Supervisor())
    assert await calls[0].last_words() == ""


async def test_children_are_told_to_end_in_the_reverse_of_their_start(
    board: Switchboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    killpg = os.killpg

    def record(group: int, number: int) -> None:
        if number == signal.SIGTERM:
            told.append(group)
        killpg(group, number)

    monkeypatch.setattr(os, "killpg", record)
    names = ["kafka", "streams", "judge", "router"]
    async with Supervisor(AT_ONCE) as supervised:
        for name in names:
            supervised.add(board.child(name))
        calls = await board.calls(4)
        calls["kafka"].exit(1)
        calls |= await board.calls(1)  # a restart does not change the order
    assert told == [calls[name].group for name in reversed(names)]


async def test_a_child_that_does_not_end_is_killed(board: Switchboard) -> None:
    async with Supervisor(stop_s=0.01) as supervised:
        code = supervised.add(board.child("stubborn", "stubborn"))
        call = await board.call()
    assert await code == -signal.SIGKILL
    assert await call.last_words() == ""


async def test_what_a_child_started_does_not_outlive_it(board: Switchboard) -> None:
    async with Supervisor() as supervised:
        code = supervised.add(board.child("judge", "parent", restart=False, env={**os.environ, "CALLER": CALLER}))
        calls = await board.calls(2)
        calls["judge"].exit(0)
        assert await code == 0
        assert await calls["judge-child"].last_words() == ""


async def test_each_child_leads_a_group_of_its_own(board: Switchboard) -> None:
    async with Supervisor() as supervised:
        for name in ("streams", "judge"):
            supervised.add(board.child(name))
        for call in (await board.calls(2)).values():
            assert call.group == call.pid
            assert call.group != os.getpgid(0)


async def test_cancelling_who_waits_ends_the_children_in_order_not_by_force(board: Switchboard) -> None:
    async def serve() -> None:
        async with Supervisor() as supervised:
            supervised.add(board.child("judge", "told"))
            await supervised.wait()

    serving = asyncio.create_task(serve())
    call = await board.call()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert await call.last_words() == "SIGTERM\n"


async def test_cancelling_an_awaited_exit_code_ends_no_child(board: Switchboard) -> None:
    async with Supervisor() as supervised:
        code = supervised.add(board.child("judge", "told", restart=False))
        call = await board.call()
        code.cancel()
        call.exit(0)
        await supervised.wait()
    assert await call.last_words() == ""


async def test_wait_ends_when_it_is_stopped(board: Switchboard) -> None:
    async with Supervisor() as supervised:
        supervised.add(board.child("judge"))
        waiting = asyncio.create_task(supervised.wait())
        await board.call()
        await supervised.stop()
        await waiting
        await supervised.stop()


async def test_a_stop_does_not_wait_for_a_restart_that_is_due(
    board: Switchboard, caplog: pytest.LogCaptureFixture
) -> None:
    async with Supervisor(Backoff(first_s=3600)) as supervised:
        code = supervised.add(board.child("judge"))
        (await board.call()).exit(4)
        while ("child_restarts", "judge") not in said(caplog):  # noqa: ASYNC110 - the log is what tells
            await asyncio.sleep(0)
    assert await code == 4


async def test_a_stop_while_children_are_being_started_leaves_none(board: Switchboard) -> None:
    async with Supervisor() as supervised:
        codes = [supervised.add(board.child(name)) for name in ("streams", "judge")]
        await asyncio.sleep(0)
    assert await asyncio.gather(*codes) == [-signal.SIGTERM] * 2


async def test_a_name_is_taken_once_and_nothing_starts_after_the_stop(board: Switchboard) -> None:
    async with Supervisor() as supervised:
        supervised.add(board.child("judge"))
        with pytest.raises(ValueError, match="judge"):
            supervised.add(board.child("judge"))
    with pytest.raises(RuntimeError, match="router"):
        supervised.add(board.child("router"))


async def test_output_is_appended_to_the_log_file_over_restarts(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "job.log"
    program = "import sys; print('out', flush=True); sys.stderr.write('err\\n')"
    for _ in range(2):
        async with Supervisor() as supervised:
            await supervised.add(Child("job", [sys.executable, "-c", program], log_path=log, restart=False))
    assert log.read_text() == "out\nerr\n" * 2


async def test_a_childs_process_is_known_while_it_runs(board: Switchboard) -> None:
    async with Supervisor() as supervised:
        supervised.add(board.child("judge"))
        await board.call()
        pid = supervised.pid("judge")
        assert pid is not None
        assert os.getpgid(pid) == pid
        assert supervised.pid("router") is None
    assert supervised.pid("judge") is None


async def test_the_environment_is_the_childs(board: Switchboard) -> None:
    async with Supervisor() as supervised:
        supervised.add(board.child("judge", env={**os.environ, "WORD": "canary"}))
        assert (await board.call()).word == "canary"


async def test_a_program_that_is_not_there_is_told_like_any_exit(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    async with Supervisor() as supervised:
        assert await supervised.add(Child("job", ["/no/such/program"], log_path=log, restart=False)) == 127
    assert log.read_text() == "/no/such/program: No such file or directory\n"


async def test_a_log_file_that_cannot_be_opened_is_told_like_any_exit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Supervisor() as supervised:
        child = Child("job", [sys.executable, "-c", ""], log_path=tmp_path, restart=False)
        assert await supervised.add(child) == 127
    assert ("child_not_started", "job") in said(caplog)


async def test_every_start_and_end_is_logged(board: Switchboard, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with Supervisor(AT_ONCE) as supervised:
        supervised.add(board.child("judge"))
        (await board.call()).exit(5)
        await board.call()
    assert said(caplog) == [
        ("child_started", "judge"),
        ("child_restarts", "judge"),
        ("child_started", "judge"),
        ("child_exited", "judge"),
    ]
    assert [r.__dict__["code"] for r in caplog.records if "code" in r.__dict__] == [5, -signal.SIGTERM]


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
async def test_kill_9_of_the_supervisor_leaves_no_child(board: Switchboard) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SUPERVISOR, CALLER, str(board.port))
    calls = await board.calls(2)
    process.kill()
    assert [await call.last_words() for call in calls.values()] == ["", ""]
    assert await process.wait() == -signal.SIGKILL


async def test_ctrl_c_reaches_the_supervisor_alone_and_it_ends_the_children(board: Switchboard) -> None:
    command = [sys.executable, "-c", SUPERVISOR, CALLER, str(board.port)]
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, start_new_session=True, stderr=quiet)
    calls = await board.calls(2)
    os.killpg(process.pid, signal.SIGINT)
    assert [await call.last_words() for call in calls.values()] == ["SIGTERM\n", "SIGTERM\n"]
    assert await process.wait() == -signal.SIGINT


def test_the_backoff_doubles_up_to_the_longest() -> None:
    waits: list[float] = []
    for _ in range(7):
        waits.append(Backoff().after(waits[-1] if waits else None, lived_s=1))
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_healthy_life_makes_the_backoff_forget() -> None:
    assert Backoff().after(5.0, lived_s=9.9) == 5.0
    assert Backoff().after(5.0, lived_s=10) == 0.2


@given(lives=st.lists(st.floats(0, 100), min_size=1))
def test_the_backoff_stays_within_its_bounds(lives: list[float]) -> None:
    backoff, wait = Backoff(), None
    for lived in lives:
        wait = backoff.after(wait, lived)
        assert backoff.first_s <= wait <= backoff.longest_s
