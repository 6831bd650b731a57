"""A worker that stops progressing ends, and nothing else does."""

import logging
import subprocess
import sys
import threading

import pytest

from streams import watchdog
from streams.watchdog import PARTS, STALLED, Part, Watchdog
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


@pytest.mark.parametrize("quiet", PARTS)
def test_a_part_that_never_says_its_first_word_ends_the_worker_but_has_longer_for_it(quiet: Part) -> None:
    scene = Scene()
    scene.watchdog.watch()
    (other,) = set(PARTS) - {quiet}
    for _ in range(6):
        scene.watchdog.moved(other)
        assert scene.later(50) == 0
    scene.watchdog.moved(other)
    assert scene.later(1) == 1


def test_a_worker_that_was_told_to_end_has_the_limit_to_be_gone_whatever_still_moves() -> None:
    scene = Scene()
    scene.watchdog.watch()
    for part in PARTS:
        scene.watchdog.rest(part)
    assert scene.later(59) == 0
    for part in PARTS:
        scene.watchdog.moved(part)
    assert scene.later(2) == 2  # a word for each part: no process is ended twice


def test_a_worker_that_hangs_in_its_own_log_ends_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, written, handler = Scene(), threading.Event(), logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda _: written.wait(20))  # nobody reads its stderr
    monkeypatch.setattr(watchdog, "SAYING_S", 0.01)
    watchdog.logger.addHandler(handler)
    try:
        scene.watchdog.moved("agent")
        assert scene.later(61) == 1
        assert not written.is_set()
    finally:
        written.set()
        watchdog.logger.removeHandler(handler)


HANGING = """
import threading
from streams.watchdog import Watchdog
from transport.clock import SystemClock
Watchdog(SystemClock(), 0.01).start(0.01)
threading.Event().wait()
"""


def test_a_process_whose_main_thread_hangs_ends() -> None:
    assert subprocess.run([sys.executable, "-c", HANGING], timeout=60, check=False).returncode == STALLED
