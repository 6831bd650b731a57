"""A worker that stops progressing ends, and nothing else does."""

import subprocess
import sys

import pytest

from streams.watchdog import STALLED, Watchdog
from transport.clock import FakeClock


class Scene:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ended = 0
        self.watchdog = Watchdog(self.clock, 60.0, self.end)

    def end(self) -> None:
        self.ended += 1

    def later(self, seconds: float) -> int:
        self.clock.advance(seconds)
        self.watchdog.look()
        return self.ended


def test_who_moves_is_left_alone() -> None:
    scene = Scene()
    for _ in range(5):
        scene.watchdog.moved("agent")
        scene.watchdog.moved("consumer")
        assert scene.later(59) == 0


def test_one_part_that_hangs_ends_the_worker_though_the_other_moves(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.watchdog.moved("agent")
    scene.watchdog.moved("consumer")
    assert scene.later(40) == 0
    scene.watchdog.moved("consumer")
    assert scene.later(21) == 1
    assert [(r.__dict__["action"], r.__dict__["part"], r.__dict__["for_s"]) for r in caplog.records] == [
        ("stalled", "agent", 61.0)
    ]


def test_what_has_not_begun_or_has_ended_is_not_watched() -> None:
    scene = Scene()
    assert scene.later(100) == 0
    scene.watchdog.moved("agent")
    scene.watchdog.rest("agent")
    scene.watchdog.rest("consumer")
    assert scene.later(100) == 0


HANGING = """
import threading
from streams.watchdog import Watchdog
from transport.clock import SystemClock
watchdog = Watchdog(SystemClock(), 0.01)
watchdog.moved("agent")
watchdog.start(0.01)
threading.Event().wait()
"""


def test_a_process_whose_main_thread_hangs_ends() -> None:
    assert subprocess.run([sys.executable, "-c", HANGING], timeout=60, check=False).returncode == STALLED
