"""Make the recordings of examples/recordings: `python -m demo.recordings FOLDER`, from the demo's own scene.

The stories are the demo's, with stages three times as long and open windows told twice a second: a healthy canary is
proved also on a slow machine, and the files stay small.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from demo.scene import SETTINGS, demo_plan, recorded, scene, traffic
from demo.stories import tell
from schemas.plan import Plan

STORIES = (("v2", "regression"), ("v3", "healthy"))
"""By canary of the scene; the names of the files."""


def plan(canary: str) -> Plan:
    """The demo's, with more time."""
    had = demo_plan(canary)
    stages = tuple(stage.model_copy(update={"duration_s": 3 * stage.duration_s}) for stage in had.stages)
    return had.model_copy(update={"stages": stages})


async def record(target: Path) -> None:
    """Both stories in one scene, a file each."""
    with tempfile.TemporaryDirectory(prefix="davylamp-recordings-") as folder:
        settings = SETTINGS | {"DAVYLAMP_STREAMS_PUBLISH_INTERVAL_S": "0.5"}
        async with scene(Path(folder), settings=settings) as stage:
            async with traffic(stage):
                for canary, _ in STORIES:
                    story = await tell(stage, canary, print, replace=True, plan=plan(canary), patience_s=300.0)
                    print(f"{canary}: {story.ended}")
            for rollout, (_, name) in enumerate(STORIES, start=1):
                print(await recorded(stage, rollout, target / f"{name}.jsonl.gz"))


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1])))
