"""Two lanes for the default run: what waits for real Kafka and Envoy, and what only computes. A scheduler of pytest-xdist."""

import os
from collections.abc import Collection
from typing import Any

from xdist.scheduler import LoadFileScheduling

FIRST = "gw0"
NICE = 10


class Lanes(LoadFileScheduling):
    """Whole files, in the order in which they were collected: the first worker takes them from the front, where the
    integration is, all others from the back, the units. They end where they meet, and few real stacks run at once.

    Some files have the machine to themselves: the others begin when those have ended.
    """

    def __init__(self, config: Any, log: Any = None, alone: Collection[str] = ()) -> None:
        """``alone``: names of files, which are collected first."""
        super().__init__(config, log)
        self._alone = alone

    def _assign_work_unit(self, node: Any) -> None:
        # The first one that there is: of little work not every worker gets some.
        first = min(self.nodes, key=lambda one: one.gateway.id)
        if node is not first:
            if self._waiting():
                return
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        waited = self._waiting()
        super().mark_test_complete(node, item_index, duration)
        if waited and not self._waiting():
            for _ in range(2):  # a worker begins a test when it knows the next one, and a file may hold only one
                self.schedule()

    def _waiting(self) -> bool:
        units = [self.workqueue, *self.assigned_work.values()]
        ours = (tests for files in units for file, tests in files.items() if file.rpartition("/")[2] in self._alone)
        return any(not all(tests.values()) for tests in ours)


def give_way(worker: str) -> None:
    """Who only computes takes what the stacks leave."""
    if worker != FIRST:
        os.nice(NICE)
