"""One run: start a contender, wait until it is warm, and read its CPU time from then to the last event."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import isclose

from bench.processes import cpu_s, memory_mb
from bench.streams.contenders import PATIENCE_S, RAW, Contender, Ground, Told, words_of
from bench.streams.traffic import truth

WARM = 0.2
"""Of the events: they warm what is measured (imports, Java's compiler, caches), and are not."""
NEAR = 0.04
"""A p99 out of a histogram is so near."""


@dataclass(frozen=True, slots=True)
class Run:
    """What it took."""

    events: int
    cpu_s: float
    wall_s: float
    memory_mb: float
    """At its peak."""

    @property
    def an_s(self) -> float:
        """Events a CPU-second."""
        return self.events / max(self.cpu_s, 0.01)


def run(contender: Contender, ground: Ground) -> Run:
    """Count the topic once. Raises ``RuntimeError`` if it counts wrong or not to the end."""
    if contender.events is not None:
        ground = replace(ground, form=replace(ground.form, events=contender.events))
    with _process(contender, ground) as process:
        warm: tuple[int, float, float] | None = None
        end, peak, told = (0, 0.0, 0.0), 0.0, Told()
        for word in words_of(contender, process, ground):
            now = time.monotonic()
            if end[0] < ground.form.events and process.poll() is None:
                end, peak = (word.events, cpu_s(process.pid), now), memory_mb(process.pid)
            if warm is None and word.events >= WARM * ground.form.events:
                warm = end
            told = word.told or told
        _check(contender, told, truth(ground.form))
        first = warm or end
        return Run(end[0] - first[0], end[1] - first[1], end[2] - first[2], peak)


@contextmanager
def _process(contender: Contender, ground: Ground) -> Iterator["subprocess.Popen[bytes]"]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DAVYLAMP_")} | dict(contender.environ)
    with (ground.folder / "said.log").open("ab") as log:
        process = subprocess.Popen(contender.command, env=environ, stdout=subprocess.PIPE, stderr=log)  # noqa: S603
        limit = threading.Timer(PATIENCE_S, process.kill)
        limit.start()
        try:
            yield process
        finally:
            limit.cancel()
            process.kill()
            process.communicate()


def _check(contender: Contender, told: Told, true: Mapping[str, tuple[int, float]]) -> None:
    if contender.name == RAW:
        return
    found = sorted(told.values())
    right = sorted(true.values())
    same = [a[0] == b[0] and isclose(a[1], b[1], rel_tol=NEAR) for a, b in zip(found, right, strict=False)]
    if len(found) != len(right) or not all(same):
        raise RuntimeError(f"{contender.name} says {told}, it was {dict(true)}")
