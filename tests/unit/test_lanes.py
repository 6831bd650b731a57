"""The lanes of the default run: each test once, stories alone, the rest from both ends."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.lanes import Lanes

STORIES = [f"tests/integration/test_stories.py::test_{n}" for n in range(3)]
REST = [f"tests/{name}.py::test_{n}" for name in ("a/test_a", "b/test_b", "c/test_c", "d/test_d") for n in range(4)]
SINGLE = [f"tests/z/test_{name}.py::test" for name in "vwxyz"]


class Worker:
    """As xdist's: it begins a test when it knows the next one, or that there is none."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.queue: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.queue += indices

    def shutdown(self) -> None:
        self.shutting_down = True

    @property
    def ready(self) -> bool:
        return len(self.queue) > 1 or (bool(self.queue) and self.shutting_down)


def run(collected: list[str], workers: list[Worker]) -> list[tuple[str, str]]:
    """(worker, test) in the order in which they end, one of each worker's in turn."""
    option: Any = SimpleNamespace(loadscopereorder=False)
    config: Any = SimpleNamespace(
        option=option, getvalue=lambda _: ["popen"] * len(workers), getoption=lambda *_: ["popen"] * len(workers)
    )
    lanes, done = Lanes(config, alone={"test_stories.py"}), list[tuple[str, str]]()
    for worker in workers:
        lanes.add_node(worker)
        lanes.add_node_collection(worker, collected)
    lanes.schedule()
    while any(worker.ready for worker in workers):
        for worker in workers:
            if worker.ready:
                test = worker.queue.pop(0)
                done.append((worker.gateway.id, collected[test]))
                lanes.mark_test_complete(worker, test)
    return done


@pytest.mark.parametrize("names", [("gw0", "gw1"), ("gw1", "gw0"), ("gw0",), ("gw2", "gw0", "gw1")])
@pytest.mark.parametrize(
    "collected", [STORIES + REST, REST, STORIES + SINGLE, SINGLE, STORIES, STORIES + REST + SINGLE]
)
def test_each_test_runs_once_and_nobody_beside_a_story(names: tuple[str, ...], collected: list[str]) -> None:
    done = run(collected, [Worker(name) for name in names])
    assert sorted(test for _, test in done) == sorted(collected)
    told = [test for _, test in done if test in STORIES]
    assert [test for _, test in done[: len(told)]] == told


def test_the_first_lane_comes_from_the_front_and_the_other_from_the_back() -> None:
    done = run(STORIES + REST, [Worker("gw0"), Worker("gw1")])
    front, back = ([test for who, test in done if who == name] for name in ("gw0", "gw1"))
    assert front == STORIES + REST[: len(front) - len(STORIES)]
    assert back[:4] == REST[-4:]
    assert len(back) == 8
