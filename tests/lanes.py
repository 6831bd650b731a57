"""Two lanes for the default run: what waits for real Kafka and Envoy, and what only computes. A scheduler of pytest-xdist."""

import os
from typing import Any

from xdist.scheduler import LoadFileScheduling

FIRST = "gw0"
NICE = 10


class Lanes(LoadFileScheduling):
    """Whole files, in the order of their names: the first worker takes them from the front, where the integration is, all
    others from the back, the units. They end where they meet, so neither waits for long, and few real stacks run at once."""

    def _assign_work_unit(self, node: Any) -> None:
        if node.gateway.id != FIRST:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


def give_way(worker: str) -> None:
    """Who only computes takes what the stacks leave: their clients wait for answers no longer than real ones would."""
    if worker != FIRST:
        os.nice(NICE)
